"""The verbs, and what is said without one."""

from collections.abc import Callable
from functools import wraps
from typing import Annotated, ParamSpec

import typer

import slrprune
from slrprune.cli.bench import bench
from slrprune.cli.compare import compare
from slrprune.cli.consoles import err, out
from slrprune.cli.demo import demo
from slrprune.cli.export import export
from slrprune.cli.lists import NumbersCommand
from slrprune.cli.oneshot import oneshot
from slrprune.cli.plan import plan
from slrprune.cli.table import table
from slrprune.cli.tasks import tasks
from slrprune.errors import SlrpruneError

P = ParamSpec("P")

_FIRST = """\
slrprune prunes PyTorch networks while they train.

  slrprune demo               begin here: prunes a small network on real data by five methods, in a minute or two
  slrprune tasks              what else is ready to run
  slrprune compare --help     every method at the same budget, on a task of your choice
  slrprune table DIR          the table of a comparison that has been run
  slrprune plan MODEL         before any training: what pruning would give on this machine, in bytes and in time
  slrprune bench MODEL        how fast a pruned model runs here, layer by layer
  slrprune oneshot hf:MODEL   a trained transformer, pruned from a text without training
  slrprune export DIR         a pruned model for other programs: sparse file, ONNX, or with dead channels removed

In your own training loop it takes three lines; the README shows them."""


def _speaking(verb: Callable[P, None]) -> Callable[P, None]:
    """The verb with errors told in one sentence, and 1 as the exit code."""

    @wraps(verb)
    def spoken(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            verb(*args, **kwargs)
        except (SlrpruneError, OSError) as error:
            err().print(f"slrprune: {error}", markup=False, highlight=False, soft_wrap=True)
            raise typer.Exit(1) from None

    return spoken


def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    """Prune PyTorch networks by Surrogate Lagrangian Relaxation."""
    if version:
        out().print(slrprune.__version__, highlight=False)
        raise typer.Exit
    if context.invoked_subcommand is None:
        out().print(_FIRST, markup=False, highlight=False, soft_wrap=True)


app = typer.Typer(name="slrprune", add_completion=False, pretty_exceptions_enable=False)
app.callback(invoke_without_command=True)(_root)
for _verb in (demo, compare, table, tasks, plan, bench, export, oneshot):
    app.command(cls=NumbersCommand)(_speaking(_verb))
