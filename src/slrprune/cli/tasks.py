"""`slrprune tasks`: what is ready to be pruned, and which arms can compete."""

import inspect
from typing import Annotated, Any

import typer

from slrprune.cli.consoles import out
from slrprune.cli.session import print_json


def tasks(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the tasks, their needs and settings, and the methods."""
    from slrprune import compare
    from slrprune.tasks import available, task_class

    ready = {name: _description(name, task_class(name)) for name in available()}
    arms = {arm.name: arm.description for arm in compare.available()}
    if as_json:
        print_json({"tasks": ready, "methods": arms})
        return
    out().print(
        "Settings are given as below; in a configuration they are the fields of task_options.\n", highlight=False
    )
    for name, task in ready.items():
        out().print(f"[bold]{name}[/bold]  {task['what']}", highlight=False)
        if task["needs"]:
            out().print(f"    needs {task['needs']}", markup=False, highlight=False)
        for setting, default in task["settings"].items():
            out().print(f"    --option {setting}={default}", markup=False, highlight=False)
    out().print("\n[bold]methods[/bold]", highlight=False)
    width = max(len(name) for name in arms)
    for name, description in arms.items():
        out().print(f"  {name:<{width}}  {description}", markup=False, highlight=False)


def _description(name: str, task: type) -> dict[str, Any]:
    """The first sentence of the class, what it needs, and its settings with their defaults."""
    from slrprune.tasks.needs import NEEDS

    sentence = (inspect.getdoc(task) or "").partition("\n\n")[0].replace("\n", " ")
    parameters = inspect.signature(task).parameters.values()
    settings = {entry.name: _default(entry) for entry in parameters}
    return {"what": sentence, "needs": NEEDS.get(name, ""), "settings": settings}


def _default(entry: inspect.Parameter) -> str:
    return "(required)" if entry.default is inspect.Parameter.empty else repr(entry.default)
