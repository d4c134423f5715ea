"""The TuSimple folder: which label files make which split, and where their images lie."""

from pathlib import Path

from slrprune.errors import DataError
from slrprune.tasks.base import Split
from slrprune.tasks.complaints import Complaints
from slrprune.tasks.tusimple.labels import LaneImage, read_label_file

FILES: dict[Split, tuple[str, ...]] = {
    "train": ("label_data_0313.json", "label_data_0601.json"),
    "val": ("label_data_0531.json",),
    "test": ("test_label.json",),
}
"""The usual split: one of the three files with training labels is for choices."""

_SUBFOLDERS = {"train": "train_set", "val": "train_set", "test": "test_set"}


def label_files(root: Path) -> dict[Split, list[tuple[Path, Path]]]:
    """For each split its label files, each with the folder that its image names start from.

    Labels and `clips` may lie in `root` itself, or as they are unpacked, in `root/train_set` and `root/test_set`
    (`test_label.json` may stay in `root` then).

    Raises:
        DataError: a label file or the folder `clips` is missing; the message names it.
    """
    found: dict[Split, list[tuple[Path, Path]]] = {}
    for split, names in FILES.items():
        inner = root / _SUBFOLDERS[split]
        base = inner if inner.is_dir() else root
        if not (base / "clips").is_dir():
            raise DataError("TuSimple", f"the folder {base / 'clips'} is missing")
        found[split] = [(_label_file(root, base, name), base) for name in names]
    return found


def _label_file(root: Path, base: Path, name: str) -> Path:
    for folder in (base, root):
        if (folder / name).is_file():
            return folder / name
    raise DataError("TuSimple", f"the file {base / name} is missing")


def read_splits(root: Path, complaints: Complaints) -> dict[Split, list[LaneImage]]:
    """The usable images of all splits.

    Args:
        root: the folder.
        complaints: hears of what is skipped.

    Raises:
        DataError: as `label_files`, or no image of a split can be used.
    """
    splits: dict[Split, list[LaneImage]] = {}
    for split, files in label_files(root).items():
        splits[split] = [image for file, base in files for image in read_label_file(file, base, complaints)]
        if not splits[split]:
            reason, name = complaints.found[-1]
            raise DataError("TuSimple", f"no image of the split {split!r} can be used; {name}: {reason}")
    return splits
