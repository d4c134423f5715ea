"""The COCO annotation file: which images there are, and the usable objects in each.

T.-Y. Lin et al., "Microsoft COCO: common objects in context", ECCV 2014; the format: cocodataset.org/#format-data.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slrprune.errors import DataError
from slrprune.tasks.complaints import Complaints
from slrprune.tasks.json_number import is_number
from slrprune.tasks.listed_files import has_content

PARTS = ("images", "annotations", "categories")
"""What an annotation file must hold, each a list of objects."""

LONGEST_SIDE = 2**31 - 1
"""Images with a longer side cannot be opened, pixels."""


class Category(NamedTuple):
    """One kind of object.

    Attributes:
        id: as the file has it; COCO's 80 are not consecutive.
        name: for example "person".
    """

    id: int
    name: str


@dataclass(frozen=True, eq=False)
class Photo:
    """One image with its usable objects; the pixels stay on disk.

    Attributes:
        file: where they lie.
        name: of the file, as the annotations have it.
        size: width and height that the annotations name, pixels.
        boxes: left, top, right, bottom as annotated, in pixels, float64 (n, 4); parts may lie outside the image.
        labels: place of each object's category in the list, int64 (n,).
        crowd: true where the box stands for a group, which is not trained on and counts in no metric, bool (n,).
        shapes: outlines as annotated, polygons or a run-length code, one for each object; empty where not asked for.
    """

    file: Path
    name: str
    size: tuple[int, int]
    boxes: NDArray[np.float64]
    labels: NDArray[np.int64]
    crowd: NDArray[np.bool_]
    shapes: tuple[Any, ...] = ()


class Annotations(NamedTuple):
    """What one annotation file holds.

    Attributes:
        categories: by their ids, rising.
        photos: the usable images, in the order of the file.
    """

    categories: tuple[Category, ...]
    photos: tuple[Photo, ...]


def read_annotations(file: Path, folder: Path, complaints: Complaints, *, shapes: bool = False) -> Annotations:
    """Reads one file; bad entries are skipped, and `complaints` hears of them.

    An image without any annotation is a picture of background and stays; one whose annotations are all bad does not.

    Args:
        file: the annotations.
        folder: where the images lie.
        complaints: hears of what is skipped; a strict one raises instead.
        shapes: keep the objects' outlines, too, and leave out objects without one.

    Raises:
        DataError: the file as a whole cannot be used, or `complaints` is strict and anything is wrong.
    """
    document = _document(file)
    categories = _categories(document["categories"], file)
    places = {category.id: place for place, category in enumerate(categories)}
    listed = _by_id(document["images"], file, complaints)
    objects: dict[int, list[_Object]] = {number: [] for number in listed}
    named: dict[int, int] = dict.fromkeys(listed, 0)
    for place, annotation in enumerate(document["annotations"]):
        number = annotation.get("image_id") if isinstance(annotation, dict) else None
        where = f"{file.name}, annotation {_identity(annotation, place)}"
        if not isinstance(number, int) or number not in listed:
            complaints.add("annotations name no listed image", where)
            continue
        named[number] += 1
        found, reason = _object(annotation, _size(listed[number]), places, shapes)
        if found is None:
            complaints.add(reason, where)
        else:
            objects[number].append(found)
    photos = []
    for number, entry in listed.items():
        if named[number] and not objects[number]:
            complaints.add("images have bad annotations only", f"{file.name}, image {number}")
            continue
        photo = _photo(entry, objects[number], folder, complaints)
        if photo is not None:
            photos.append(photo)
    return Annotations(categories, tuple(photos))


class _Object(NamedTuple):
    box: tuple[float, float, float, float]
    label: int
    crowd: bool
    shape: Any


def _document(file: Path) -> dict[str, list[Any]]:
    """The file's JSON, its three lists present and not empty."""
    try:
        document = json.loads(file.read_bytes())
    except OSError as error:
        raise DataError("Coco", f"{file} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise DataError("Coco", f"{file} is not JSON: {error}") from error
    for part in PARTS:
        entries = document.get(part) if isinstance(document, dict) else None
        if not isinstance(entries, list) or not entries:
            raise DataError("Coco", f"{file} must hold a list {part!r} that is not empty")
    return document  # type: ignore[no-any-return]


def _categories(entries: Sequence[Any], file: Path) -> tuple[Category, ...]:
    found = []
    for entry in entries:
        if not isinstance(entry, dict) or not isinstance(entry.get("id"), int) or "name" not in entry:
            raise DataError("Coco", f"{file}: each of the categories must have an id, a whole number, and a name")
        found.append(Category(entry["id"], str(entry["name"])))
    if len({category.id for category in found}) < len(found):
        raise DataError("Coco", f"{file}: two categories have the same id")
    return tuple(sorted(found))


def _by_id(entries: Sequence[Any], file: Path, complaints: Complaints) -> dict[int, Mapping[str, Any]]:
    """The usable image entries, in order."""
    found: dict[int, Mapping[str, Any]] = {}
    for place, entry in enumerate(entries):
        where = f"{file.name}, image {_identity(entry, place)}"
        if not _describes_an_image(entry):
            complaints.add("image entries lack an id, a file name or a size", where)
        elif entry["id"] in found:
            complaints.add("image entries repeat an id", where)
        else:
            found[entry["id"]] = entry
    return found


def _describes_an_image(entry: Any) -> bool:
    if not isinstance(entry, dict) or not isinstance(entry.get("id"), int) or not entry.get("file_name"):
        return False
    sides = (entry.get("width"), entry.get("height"))
    return isinstance(entry["file_name"], str) and all(_is_side(side) for side in sides)


def _is_side(number: Any) -> bool:
    return isinstance(number, int) and 0 < number <= LONGEST_SIDE


def _identity(entry: Any, place: int) -> str:
    """The entry's id, or where it stands in its list."""
    return str(entry["id"]) if isinstance(entry, dict) and "id" in entry else f"number {place + 1}"


def _size(entry: Mapping[str, Any]) -> tuple[int, int]:
    return entry["width"], entry["height"]


def _object(
    annotation: Mapping[str, Any], size: tuple[int, int], places: Mapping[int, int], shapes: bool
) -> tuple[_Object | None, str]:
    """The object, or None and what is wrong with it."""
    category, numbers = annotation.get("category_id"), annotation.get("bbox")
    if not isinstance(category, int) or category not in places:
        return None, "annotations name no listed category"
    if not isinstance(numbers, list) or len(numbers) != 4 or not all(is_number(number) for number in numbers):
        return None, "boxes are not four finite numbers"
    left, top, width, height = (float(number) for number in numbers)
    if width <= 0 or height <= 0:
        return None, "boxes have no area"
    right, bottom = left + width, top + height
    if left >= size[0] or top >= size[1] or right <= 0 or bottom <= 0:
        return None, "boxes lie outside the image"
    if _vanishes(left, right, size[0]) or _vanishes(top, bottom, size[1]):
        return None, "boxes have no area"
    crowd = annotation.get("iscrowd", 0)
    if not _is_zero_or_one(crowd):
        return None, "annotations have an iscrowd other than 0 and 1"
    shape = annotation.get("segmentation") if shapes else None
    if shapes and not shape:
        return None, "objects have no outline"
    return _Object((left, top, right, bottom), places[category], bool(crowd), shape), ""


def _vanishes(low: float, high: float, side: int) -> bool:
    """Whether the part inside the image has no length in float32, which is what networks and anchors get."""
    return bool(np.float32(min(high, side)) <= np.float32(max(low, 0)))


def _is_zero_or_one(number: Any) -> bool:
    """Also as false and true, or with a point. A text is neither: as a truth value "0" would be true."""
    return isinstance(number, int | float) and number in (0, 1)


def _photo(entry: Mapping[str, Any], objects: Sequence[_Object], folder: Path, complaints: Complaints) -> Photo | None:
    name = entry["file_name"]
    file = folder / name
    if Path(name).is_absolute() or ".." in Path(name).parts:
        complaints.add("annotations name no file inside the folder", name)
        return None
    if not has_content(file):
        complaints.add("images are missing or empty", name)
        return None
    boxes = np.array([found.box for found in objects], dtype=np.float64).reshape(-1, 4)
    labels = np.array([found.label for found in objects], dtype=np.int64)
    crowd = np.array([found.crowd for found in objects], dtype=np.bool_)
    shapes = tuple(found.shape for found in objects if found.shape is not None)
    return Photo(file, name, _size(entry), boxes, labels, crowd, shapes)
