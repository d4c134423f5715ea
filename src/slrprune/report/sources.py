"""What the paths on the command line stand for: folders of runs, folders of records, single records."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from slrprune.errors import ArgumentError, DataError
from slrprune.report.outcome import Outcome, of_run, read_record
from slrprune.report.run_folder import RunFolder, is_run_folder, read_run


@dataclass(frozen=True)
class Sources:
    """What one report is made of.

    Attributes:
        runs: folders of runs, in the order given.
        outcomes: of these runs, and of all records.
        records: how many of the outcomes are records of a comparison.
    """

    runs: tuple[RunFolder, ...]
    outcomes: tuple[Outcome, ...]
    records: int


def read_sources(paths: Sequence[Path]) -> Sources:
    """Reads everything; a path given twice counts once.

    Raises:
        ArgumentError: no path.
        DataError: a path that is neither a run nor a folder of records, or a damaged file.
        StateError: a file of an unknown version.
    """
    if not paths:
        raise ArgumentError("write_report", "runs", [], "must name at least one run")
    runs: list[RunFolder] = []
    records: list[Outcome] = []
    for path in {path.resolve(): path for path in map(Path, paths)}.values():
        if path.is_file():
            records.append(read_record(path))
        elif is_run_folder(path):
            runs.append(read_run(path))
        else:
            records += _records(path)
    return Sources(tuple(runs), (*map(of_run, runs), *records), len(records))


def _records(folder: Path) -> list[Outcome]:
    if not folder.exists():
        raise DataError(str(folder), "does not exist", "Name the folder of a run.")
    files = sorted(folder.glob("*.json"))
    if not files:
        inside = sorted(
            path for path in folder.iterdir() if path.is_dir() and (is_run_folder(path) or [*path.glob("*.json")])
        )
        way_out = f"There are runs in it: try {inside[0]}." if inside else "Name the folder of a run."
        raise DataError(str(folder), "holds neither a run nor records of a comparison", way_out)
    return [read_record(path) for path in files]
