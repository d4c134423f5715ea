"""What to type next: commands that fit the runs at hand."""

import shlex
from dataclasses import dataclass

from slrprune.report.sources import Sources


@dataclass(frozen=True)
class Step:
    """A command, and what it is good for."""

    purpose: str
    command: str


def next_steps(sources: Sources) -> tuple[Step, ...]:
    """For a run that has come to its end, for one that has not, and for records."""
    if not sources.runs:
        return (Step("What there is to be pruned, and by which methods", "slrprune tasks"),)
    run = sources.runs[0]
    folder = shlex.quote(str(run.path))
    again = Step(
        "Once more with a setting of your own",
        f"slrprune prune --config {shlex.quote(str(run.path / 'config.yaml'))} --set seed=1",
    )
    if run.status != "ok":
        return (again, Step("This page again, once the run has gone on", f"slrprune report {folder}"))
    export = Step("The pruned model for another program", f"slrprune export {folder} --to onnx")
    beside = Step("Several runs on one page", f"slrprune report {folder} OTHER_RUN")
    return export, again, beside
