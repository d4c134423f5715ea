"""history.jsonl of a run, sorted by kind."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slrprune.errors import DataError
from slrprune.report.values import number, text


@dataclass(frozen=True)
class History:
    """The lines of one file; see docs/run_directory.md for their fields.

    Attributes:
        start: the line of kind `start`; empty where it has not been written yet.
        updates: lines of kind `update`, as epochs, layers and events in the order of the file.
        lines: how many lines could be read.
        is_cut: whether the last line was cut off, and dropped.
    """

    start: Mapping[str, Any]
    updates: tuple[Mapping[str, Any], ...]
    epochs: tuple[Mapping[str, Any], ...]
    layers: tuple[Mapping[str, Any], ...]
    events: tuple[Mapping[str, Any], ...]
    lines: int
    is_cut: bool

    @property
    def last_step(self) -> int:
        """Optimizer steps at the last line; 0 for an empty history."""
        last = [found[-1] for found in (self.updates, self.epochs, self.events) if found]
        return max((int(number(line.get("step")) or 0) for line in last), default=0)

    @property
    def last_epoch(self) -> Mapping[str, Any]:
        """The last line of kind `epoch`; empty where there is none."""
        return self.epochs[-1] if self.epochs else {}

    def has_event(self, name: str) -> bool:
        """Whether an event of this name happened."""
        return any(text(line.get("event")) == name for line in self.events)


def column(lines: Sequence[Mapping[str, Any]], name: str) -> list[float | None]:
    """One field of every line, None where it is missing or no finite number."""
    return [number(line.get(name)) for line in lines]


def read_history(path: Path) -> History:
    """Reads the file; without one, the history is empty. A last line that is cut off is dropped.

    Raises:
        DataError: another line is no JSON object.
    """
    raw = path.read_text(encoding="utf-8", errors="replace").split("\n") if path.exists() else []
    found: list[Mapping[str, Any]] = []
    is_cut = False
    last = max((index for index, line in enumerate(raw) if line.strip()), default=-1)
    for index, line in enumerate(raw[: last + 1]):
        if not line.strip():
            continue
        entry = _parsed(line)
        if entry is not None:
            found.append(entry)
        elif index == last:
            is_cut = True
        else:
            raise DataError(f"{path}, line {index + 1}", "is no JSON object", "The file is damaged.")
    return _sorted(found, is_cut)


def _parsed(line: str) -> Mapping[str, Any] | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None


def _sorted(lines: Sequence[Mapping[str, Any]], is_cut: bool) -> History:
    kinds: dict[str, list[Mapping[str, Any]]] = {}
    for line in lines:
        kinds.setdefault(text(line.get("kind")), []).append(line)
    return History(
        start=kinds.get("start", [{}])[0],
        updates=tuple(kinds.get("update", ())),
        epochs=tuple(kinds.get("epoch", ())),
        layers=tuple(kinds.get("layers", ())),
        events=tuple(kinds.get("event", ())),
        lines=len(lines),
        is_cut=is_cut,
    )
