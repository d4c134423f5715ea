"""The folder of one run, read as far as it has come; see docs/run_directory.md."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slrprune.errors import DataError
from slrprune.report.history import History, read_history
from slrprune.report.json_file import read_object, read_versioned
from slrprune.report.values import entries, text

OWN_FILES = ("summary.json", "history.jsonl", "config.yaml")
"""A folder with one of these is a run's."""


@dataclass(frozen=True)
class RunFolder:
    """One run.

    Attributes:
        path: the folder.
        summary: summary.json; None for a run that has not come to its end.
        history: what happened.
        layers: rows of layers.json that were pruned; None without the file.
        skipped: rows of weights that were left dense, as name and reason.
        histograms: by layer; empty without the file.
        config: text of config.yaml; None without the file.
        environment: environment.json; None without the file.
        missing: names of the files that a finished run has, and this one lacks.
    """

    path: Path
    summary: Mapping[str, Any] | None
    history: History
    layers: tuple[Mapping[str, Any], ...] | None
    skipped: tuple[tuple[str, str], ...]
    histograms: Mapping[str, Mapping[str, Any]]
    config: str | None
    environment: Mapping[str, Any] | None
    missing: tuple[str, ...]

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.path.resolve().name

    @property
    def headline(self) -> Mapping[str, Any]:
        """The summary, empty where there is none yet."""
        return self.summary or {}

    @property
    def status(self) -> str:
        """`ok`, `diverged`, `interrupted`, or `unfinished` where the run has not said how it ended."""
        if self.summary is not None:
            return text(self.summary.get("status")) or "ok"
        last = text(self.history.events[-1].get("event")) if self.history.events else ""
        return "interrupted" if last == "interrupted" else "unfinished"


def is_run_folder(path: Path) -> bool:
    """Whether a folder is one of a run."""
    return any((path / name).exists() for name in OWN_FILES)


def read_run(path: Path) -> RunFolder:
    """Reads a run's folder.

    Raises:
        DataError: a file is damaged.
        StateError: a file has an unknown version.
    """
    summary = read_versioned(path / "summary.json")
    layers = read_versioned(path / "layers.json")
    histograms = read_versioned(path / "histograms.json")
    environment = read_object(path / "environment.json")
    config = _read_text(path / "config.yaml")
    found = {"config.yaml": config, "environment.json": environment}
    found |= {"layers.json": layers, "histograms.json": histograms, "summary.json": summary}
    missing = [name for name, content in found.items() if content is None]
    missing += [] if (path / "history.jsonl").exists() else ["history.jsonl"]
    rows = entries((layers or {}).get("layers"))
    by_layer = (histograms or {}).get("layers")
    return RunFolder(
        path=path,
        summary=summary,
        history=read_history(path / "history.jsonl"),
        layers=None if layers is None else tuple(row for row in rows if row.get("skipped") is None),
        skipped=_skipped(rows, summary or {}),
        histograms=by_layer if isinstance(by_layer, Mapping) else {},
        config=config,
        environment=environment,
        missing=tuple(missing),
    )


def _skipped(rows: tuple[Mapping[str, Any], ...], summary: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """From both files, each name once."""
    found = {text(row.get("name")): text(row["skipped"]) for row in rows if row.get("skipped") is not None}
    for entry in entries(summary.get("skipped")):
        found.setdefault(text(entry.get("name")), text(entry.get("reason")))
    return tuple(found.items())


def _read_text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8") if path.exists() else None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(str(path), f"cannot be read ({error})", "Move it away to do without it.") from error
