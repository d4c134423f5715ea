"""What to type next: commands that fit the runs at hand."""

import re
import shlex
from dataclasses import dataclass

from slrprune.report.run_folder import RunFolder
from slrprune.report.sources import Sources
from slrprune.report.values import number, text


@dataclass(frozen=True)
class Step:
    """A command, or a line of Python, and what it is good for."""

    purpose: str
    command: str


def next_steps(sources: Sources) -> tuple[Step, ...]:
    """For the first run, finished or not; for records alone, where to begin."""
    if not sources.runs:
        return (
            Step("What there is to be pruned, and by which methods", "slrprune tasks"),
            Step(
                "One run with all its details, and a page like this at its end", "slrprune prune digits --sparsity 0.95"
            ),
        )
    run = sources.runs[0]
    folder = shlex.quote(str(run.path))
    if run.status in ("unfinished", "interrupted"):
        resume = Step("To go on where it stopped, if it is not running", f"slrprune prune --resume {folder}")
        return resume, Step("This page again, with what has come since", f"slrprune report {folder}")
    beside = Step("Several runs on one page", f"slrprune report {folder} OTHER_RUN")
    return (*_again(run), *_loaded(run), *_compared(run), beside)


def _again(run: RunFolder) -> tuple[Step, ...]:
    if run.config is None:
        return ()
    config = shlex.quote(str(run.path / "config.yaml"))
    return (Step("Once more with a setting of your own", f"slrprune prune --config {config} --set seed=1"),)


def _loaded(run: RunFolder) -> tuple[Step, ...]:
    path = run.path / "model.slrprune"
    if not path.exists():
        return ()
    lines = f"from slrprune.deploy import load_sparse\n\nload_sparse({str(path)!r}, model)"
    return (Step("The pruned weights in your own program, into a model of this kind", lines),)


def _compared(run: RunFolder) -> tuple[Step, ...]:
    """For tasks that are known by name; others are given as module:function."""
    task, sparsity = text(run.headline.get("task")), number(run.headline.get("sparsity"))
    is_by_name = re.search(rf"^task: {re.escape(task)}$", run.config or "", re.MULTILINE) is not None
    if not is_by_name or sparsity is None:
        return ()
    command = f"slrprune compare {shlex.quote(task)} --sparsity {sparsity:g}"
    return (Step("The other methods on this task, at equal budgets", command),)
