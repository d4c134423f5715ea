"""TuSimple's label files: one JSON object per line, with the lanes of one image."""

import json
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slrprune.tasks.complaints import Complaints
from slrprune.tasks.json_number import is_number
from slrprune.tasks.listed_files import has_content

ABSENT = -2
"""The x of a row in which a lane is not there."""


@dataclass(frozen=True)
class LaneImage:
    """One labelled image; it stays on disk.

    Attributes:
        file: the image.
        name: as the label file has it.
        lanes: the x of each lane in each row, float64 (lanes, r) in pixels, negative where the lane is not there.
        rows: the y of the rows, rising, float64 (r,).
    """

    file: Path
    name: str
    lanes: NDArray[np.float64]
    rows: NDArray[np.float64]


def read_label_file(file: Path, base: Path, complaints: Complaints) -> list[LaneImage]:
    """The usable images of a label file, in its order.

    Args:
        file: the label file; it must be there.
        base: the folder that the names of images start from.
        complaints: hears of lines that cannot be used, of missing images, and of an empty file.
    """
    images = []
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    numbered = [(number, line) for number, line in enumerate(lines, start=1) if line.strip()]
    if not numbered:
        complaints.add("label files are empty", file.name)
    for number, line in numbered:
        entry = _parse(line)
        if isinstance(entry, str):
            complaints.add(entry, f"{file.name}, line {number}")
            continue
        name, lanes, rows = entry
        path = base / name
        if not has_content(path):
            complaints.add("images are missing or empty", name)
            continue
        images.append(LaneImage(path, name, lanes, rows))
    return images


def _parse(line: str) -> tuple[str, NDArray[np.float64], NDArray[np.float64]] | str:
    """Name, lanes and rows of one line, or what is wrong with it."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return "labels are not JSON"
    if not isinstance(entry, dict) or not {"raw_file", "lanes", "h_samples"} <= entry.keys():
        return "labels lack one of raw_file, lanes, h_samples"
    name, lanes, rows = entry["raw_file"], entry["lanes"], entry["h_samples"]
    if not isinstance(name, str) or Path(name).is_absolute() or ".." in Path(name).parts:
        return "labels name no file inside the folder"
    if not _is_numbers(rows) or len(rows) < 2 or any(a >= b for a, b in pairwise(rows)):
        return "labels have rows that do not rise"
    if not isinstance(lanes, list) or not all(_is_numbers(lane) and len(lane) == len(rows) for lane in lanes):
        return "labels have lanes that do not fit their rows"
    present = np.array(lanes, dtype=np.float64).reshape(len(lanes), len(rows))
    if not (present >= 0).any():
        return "labels hold no lane"
    return name, present, np.array(rows, dtype=np.float64)


def _is_numbers(values: Any) -> bool:
    return isinstance(values, list) and all(map(is_number, values))
