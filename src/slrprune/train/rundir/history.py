"""`history.jsonl`: what happened, one JSON object per line."""

import json
import os
from pathlib import Path
from typing import Any

from slrprune.atomic import write_atomically
from slrprune.train.rundir.folder import finite

_ABOUT_RUNNING = ("checkpoint", "interrupted", "resumed", "fallback")
"""Events that tell about the process, not about the training: they stay although they came after a checkpoint."""


class History:
    """Appends lines; a process that is not the main one of its run writes nothing.

    Args:
        path: of the file.
        is_main: whether this process writes.
    """

    def __init__(self, path: Path, *, is_main: bool = True) -> None:
        self.path = path
        self.is_main = is_main
        self.lines = 0

    def begin(self) -> None:
        """An empty file."""
        self._rewrite([])

    def go_on(self, step: int, lines: int) -> None:
        """Back to a checkpoint: drops what came after it, so that the file reads as if nothing had happened.

        Args:
            step: of the checkpoint.
            lines: how many the file had when it was written.
        """
        entries = read_history(self.path)
        kept = entries[:lines]
        kept += [
            entry for entry in entries[lines:] if entry.get("event") in _ABOUT_RUNNING and entry.get("step", 0) <= step
        ]
        self._rewrite(kept)

    def add(self, kind: str, step: int, time: float, **fields: Any) -> None:
        """Appends one line.

        Args:
            kind: "start", "update", "epoch", "layers" or "event".
            step: optimizer steps made.
            time: seconds of training so far.
            fields: see docs/run_directory.md.
        """
        self.lines += 1
        if not self.is_main:
            return
        line = json.dumps(finite({"kind": kind, "step": step, "time": round(time, 3), **fields}), allow_nan=False)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def sync(self) -> None:
        """Waits until every line is on the disk."""
        if self.is_main and self.path.exists():
            with self.path.open("rb+") as file:
                os.fsync(file.fileno())

    def _rewrite(self, entries: list[dict[str, Any]]) -> None:
        self.lines = len(entries)
        text = "".join(json.dumps(entry) + "\n" for entry in entries)
        if self.is_main:
            write_atomically(self.path, lambda partial: partial.write_text(text, encoding="utf-8"))


def read_history(path: Path) -> list[dict[str, Any]]:
    """The lines of a file; a last one that was cut off is dropped."""
    entries: list[dict[str, Any]] = []
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    for line in text.split("\n"):
        try:
            entry = json.loads(line)
        except ValueError:
            break
        if not isinstance(entry, dict):
            break
        entries.append(entry)
    return entries
