"""`slrprune new-task`: a task of the user's own, to begin with."""

from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from slrprune.errors import UsageError

_FUNCTION = "make_task"


def new_task(
    file: Annotated[Path, typer.Argument(help="File to write; one that is there is left alone.")] = Path("my_task.py"),
) -> None:
    """Write a template of a task of your own, that runs as it is."""
    if file.suffix != ".py" or not file.stem.isidentifier():
        raise UsageError("new-task", f"{file} can be no Python module", "Take a name such as my_task.py.")
    text = (files("slrprune.cli") / "task_template.py").read_text(encoding="utf-8")
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        with file.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise UsageError("new-task", f"{file} is there already", "Give another name; nothing was written.") from None
    task = f"{file}:{_FUNCTION}"
    typer.echo(f"Wrote {file}. Try it as it is, then put your model and your data in:")
    for verb in ("inspect", "sensitivity", "prune"):
        typer.echo(f"  slrprune {verb} {task}")
