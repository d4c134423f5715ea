"""The verbs, each with one working example, and what is said without a verb."""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Annotated, Any, ParamSpec

import typer

from slrprune.cli.bench import bench
from slrprune.cli.compare import compare
from slrprune.cli.consoles import err
from slrprune.cli.demo import demo
from slrprune.cli.export import export
from slrprune.cli.inspect import inspect
from slrprune.cli.new_task import new_task
from slrprune.cli.oneshot import oneshot
from slrprune.cli.plan import plan
from slrprune.cli.prune import prune
from slrprune.cli.report import report
from slrprune.cli.sensitivity import sensitivity
from slrprune.cli.table import table
from slrprune.cli.tasks import tasks
from slrprune.cli.validate import validate
from slrprune.cli.words import ListCommand, VerbGroup
from slrprune.errors import SlrpruneError

P = ParamSpec("P")

VERBS: Mapping[Callable[..., None], str] = {
    demo: "slrprune demo --seeds 1 --out runs/demo",
    tasks: "slrprune tasks",
    new_task: "slrprune new-task my_task.py",
    inspect: "slrprune inspect digits --rule 'conv1=null' --rule 'conv*=NM(2, 4)' --rule '*=Unstructured(0.9)'",
    sensitivity: "slrprune sensitivity digits --sparsity 0.5 0.9 0.95",
    plan: "slrprune plan digits --sparsity 0.9",
    prune: "slrprune prune digits --sparsity 0.95 --out runs/first",
    validate: "slrprune validate runs/first/config.yaml",
    compare: "slrprune compare digits --methods slr dpf --sparsity 0.9 0.95 --seeds 3",
    table: "slrprune table runs/digits",
    report: "slrprune report runs/first",
    bench: "slrprune bench digits --sparsity 0.95 --threads 1",
    export: "slrprune export runs/first --to sparse",
    oneshot: "slrprune oneshot hf:sentence-transformers/all-MiniLM-L6-v2 --data text.txt --sparsity 0.5",
}
"""Every verb with the example at the end of its help, in the order in which they are listed."""


def _speaking(verb: Callable[P, None]) -> Callable[P, None]:
    """The verb with errors told in one sentence, and 1 as the exit code."""

    @wraps(verb)
    def spoken(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            verb(*args, **kwargs)
        except BrokenPipeError:
            raise  # the reader has gone, as in `slrprune table runs | head`: typer ends without a word
        except (SlrpruneError, OSError) as error:
            err().print(f"slrprune: {error}", markup=False, highlight=False, soft_wrap=True)
            raise typer.Exit(1) from None

    return spoken


def _root(
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    """Prune PyTorch networks by Surrogate Lagrangian Relaxation."""
    if version:
        from slrprune import __version__

        typer.echo(__version__)
        raise typer.Exit


def _made() -> typer.Typer:
    # Help is plain text: Rich takes as long to import as all the rest, and its boxes are of no use in a pipe.
    made = typer.Typer(name="slrprune", cls=VerbGroup, pretty_exceptions_enable=False, rich_markup_mode=None)
    settings: dict[str, Any] = {"invoke_without_command": True, "epilog": "What to do first: slrprune"}
    made.callback(**settings)(_root)
    for verb, example in VERBS.items():
        made.command(cls=ListCommand, epilog=f"\b\nExample:\n  {example}")(_speaking(verb))
    return made


app = _made()
