"""The folder of a data set in COCO's format: which layouts are known, and which file makes which split."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from slrprune.errors import DataError
from slrprune.tasks.base import SPLITS, Split
from slrprune.tasks.coco.annotations import Category, Photo, read_annotations
from slrprune.tasks.complaints import Complaints


class Place(NamedTuple):
    """Where one split lies.

    Attributes:
        annotations: the file, inside the folder.
        images: folders that may hold the images, the first that exists is taken.
    """

    annotations: str
    images: tuple[str, ...]


def _official(year: int) -> Mapping[Split, Place]:
    def place(name: str) -> Place:
        return Place(f"annotations/instances_{name}{year}.json", (f"{name}{year}", f"images/{name}{year}"))

    return {"train": place("train"), "test": place("val")}


LAYOUTS: tuple[Mapping[Split, Place], ...] = (
    _official(2017),
    _official(2014),
    {split: Place(f"{split}.json", ("images", ".")) for split in SPLITS},
    {
        split: Place(f"{name}/_annotations.coco.json", (name,))
        for split, name in zip(SPLITS, ("train", "valid", "test"), strict=True)
    },
)
"""Known layouts: COCO's own of 2017 and 2014, one with three files and a folder `images`, and that of Roboflow."""


class Splits(NamedTuple):
    """All splits of a folder.

    Attributes:
        categories: the same for all.
        photos: of each split; "val" may be missing.
    """

    categories: tuple[Category, ...]
    photos: dict[Split, tuple[Photo, ...]]


def read_folder(root: Path, holdout: float, complaints: Complaints, *, shapes: bool = False) -> Splits:
    """The usable images of all splits.

    Where the layout has no file for "val", every so-manyth training image is held out for it.

    Args:
        root: the folder.
        holdout: fraction of the training images held out, in [0, 1), where it is needed; with 0 there is no "val".
        complaints: hears of what is skipped.
        shapes: read the objects' outlines, too.

    Raises:
        DataError: a file or folder is missing, the splits disagree about the categories, no image of a split can be
            used, or `complaints` is strict and anything is wrong.
    """
    files = find_files(root)
    read = {split: read_annotations(*place, complaints, shapes=shapes) for split, place in files.items()}
    categories = read["train"].categories
    for split, annotations in read.items():
        if annotations.categories != categories:
            raise DataError("Coco", f"{files[split][0]} and {files['train'][0]} must list the same categories")
        if not annotations.photos:
            reason, name = complaints.found[-1]
            raise DataError("Coco", f"no image of the split {split!r} can be used; {name}: {reason}")
    photos = {split: annotations.photos for split, annotations in read.items()}
    return Splits(categories, photos if "val" in photos else _held_out(photos, holdout))


def find_files(root: Path) -> dict[Split, tuple[Path, Path]]:
    """For each split its annotation file and the folder of its images.

    The layout is the first of `LAYOUTS` whose training annotations are there.

    Raises:
        DataError: there are none, or another file of the layout or a folder of images is missing; the message names it.
    """
    layout = next((found for found in LAYOUTS if (root / found["train"].annotations).is_file()), None)
    if layout is None:
        others = " or ".join(known["train"].annotations for known in LAYOUTS[1:])
        way_out = f"Other layouts begin with {others}."
        raise DataError("Coco", f"the file {root / LAYOUTS[0]['train'].annotations} is missing", way_out)
    found: dict[Split, tuple[Path, Path]] = {}
    for split, place in layout.items():
        file = root / place.annotations
        if not file.is_file():
            if split == "val":
                continue
            raise DataError("Coco", f"the file {file} is missing")
        folder = next((root / name for name in place.images if (root / name).is_dir()), None)
        if folder is None:
            raise DataError("Coco", f"the folder {root / place.images[0]} is missing")
        found[split] = file, folder
    return found


def _held_out(photos: Mapping[Split, tuple[Photo, ...]], holdout: float) -> dict[Split, tuple[Photo, ...]]:
    """The splits with "val" cut out of "train", evenly over its order."""
    apart = [int((place + 1) * holdout) > int(place * holdout) for place in range(len(photos["train"]))]
    splits: dict[Split, tuple[Photo, ...]] = {
        "train": tuple(photo for photo, out in zip(photos["train"], apart, strict=True) if not out),
        "val": tuple(photo for photo, out in zip(photos["train"], apart, strict=True) if out),
        "test": photos["test"],
    }
    return {split: chosen for split, chosen in splits.items() if chosen}
