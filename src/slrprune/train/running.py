"""`run` and `resume`: a run from its configuration to its final files, in one folder."""

import json
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import torch

from slrprune.config import RunConfig, dump_config, load_config
from slrprune.errors import NonFiniteError
from slrprune.seeding import seeded_everywhere
from slrprune.train.accelerated import Accelerated
from slrprune.train.finishing import write_final_files, write_page, write_summary
from slrprune.train.interruption import Interruption
from slrprune.train.observer import Observer, Silent
from slrprune.train.plan import Plan, make_plan
from slrprune.train.rehearsal import rehearse
from slrprune.train.rundir.environment import describe_environment
from slrprune.train.rundir.folder import RunFolder
from slrprune.train.session import Session
from slrprune.train.trackers import Tracker


@dataclass(frozen=True)
class RunResult:
    """A run that has come to its end.

    Attributes:
        folder: where everything lies.
        summary: what `summary.json` holds.
    """

    folder: Path
    summary: dict[str, Any]

    @property
    def is_ok(self) -> bool:
        """Whether it trained to its end; False where it diverged."""
        return bool(self.summary["status"] == "ok")


def run(
    config: RunConfig, folder: Path | None = None, *, observer: Observer | None = None, command: str | None = None
) -> RunResult:
    """Prunes a task as the configuration says, and leaves a folder as in docs/run_directory.md.

    Under `torchrun` or `accelerate launch` every process calls it, and the main one writes.

    Args:
        config: see `slrprune.config`.
        folder: of the run; by default `runs/<task>-<time>`.
        observer: told how it goes.
        command: for the record; the program's command line by default.

    Raises:
        UsageError: the folder holds a run already.
        Interrupted: SIGINT or SIGTERM came; the run is saved, `resume` goes on with it.
        CheckpointWriteError: a checkpoint could not be written; the last good one is there.
        MissingExtraError: accelerate or the tracker is not installed.
        SlrpruneError: a task, a set or a method that cannot be built, rules that do not fit the model, a run too short
            for its method; nothing was written.
    """
    tracker = Tracker(config.tracker)
    name = f"{config.task.rpartition(':')[2]}-{datetime.now().astimezone():%Y%m%d-%H%M%S}"
    with _engine(config, tracker, folder or Path("runs") / name) as (engine, place):
        plan = make_plan(config, engine)
        rehearse(plan)
        engine.by_main(lambda: _begun(plan, place))
        return _executed(plan, place, tracker, observer, command)


def resume(folder: Path, *, observer: Observer | None = None, command: str | None = None) -> RunResult:
    """Goes on with a run that was stopped, at its last whole checkpoint; on a CPU the result is the same bit for bit.

    Args:
        folder: of the run.
        observer: told how it goes.
        command: for the record.

    Raises:
        DataError: no run lies there, or all its checkpoints are damaged.
        UsageError: the run has come to its end.
        StateError: a checkpoint of another model, method, optimizer, number of processes or newer version; nothing is
            changed.
        Interrupted, CheckpointWriteError, MissingExtraError, SlrpruneError: as `run`.
    """
    RunFolder(folder).check_resumable()
    config = load_config(folder / "config.yaml")
    tracker = Tracker(config.tracker)
    with _engine(config, tracker, folder) as (engine, place):
        return _executed(make_plan(config, engine), place, tracker, observer, command)


@contextmanager
def _engine(config: RunConfig, tracker: Tracker, folder: Path) -> Iterator[tuple[Accelerated, RunFolder]]:
    """The engine, and the folder that all processes agree on; the number of threads holds inside."""
    threads = torch.get_num_threads()
    engine = Accelerated(
        precision=config.precision,
        accumulation=config.accumulation,
        clip_norm=config.clip_norm,
        cpu=config.device == "cpu",
        tracker=tracker.accelerate_name,
        folder=folder,
    )
    try:
        if config.threads is not None:
            torch.set_num_threads(config.threads)
        yield engine, RunFolder(Path(engine.gathered(str(folder))[0]))
    finally:
        torch.set_num_threads(threads)
        engine.close()


def _executed(
    plan: Plan, folder: RunFolder, tracker: Tracker, observer: Observer | None, command: str | None
) -> RunResult:
    """Trains and writes the final files."""
    plan.engine.by_main(lambda: _write_environment(plan, folder, command))
    with Interruption() as interruption, seeded_everywhere(plan.config.seed):
        session = Session(plan, folder, tracker=tracker, observer=observer or Silent(), interruption=interruption)
        try:
            prune, rules = session.train()
        except NonFiniteError as error:
            ending: dict[str, Any] = {"status": "diverged", "reason": str(error)}
        else:
            ending = {"rules": rules.settings, "steps": session.steps, "seconds": session.facts["seconds_before"]}
            files = plan.engine.by_main(lambda: write_final_files(plan, folder, prune, session.facts))
            ending = (files or {}) | ending
    summary = plan.engine.by_main(lambda: write_summary(plan, folder, session.facts, ending))
    if summary is not None and plan.config.report and ending.get("status") is None:
        why = write_page(folder.path)
        if why is not None:
            session.observer.noted("warning", why)
    return RunResult(folder.path, plan.engine.gathered(summary)[0])  # the other processes wait for the files here


def _begun(plan: Plan, folder: RunFolder) -> None:
    """Takes the folder, and writes down what is to be done."""
    folder.claim()
    folder.write_text("config.yaml", dump_config(plan.config))


def _write_environment(plan: Plan, folder: RunFolder, command: str | None) -> None:
    """What the run was begun with, and in `resumes` what it was gone on with, each time."""
    path = folder / "environment.json"
    text = command if command is not None else shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    now = describe_environment(plan.task.device, text, plan.engine.processes)
    first = json.loads(path.read_text()) if path.exists() else None
    found = now | {"resumes": []} if first is None else first | {"resumes": [*first["resumes"], now]}
    folder.write_json("environment.json", found)
