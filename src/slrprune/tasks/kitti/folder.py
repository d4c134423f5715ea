"""The KITTI object folder: which frames there are, and whether their files are."""

from dataclasses import dataclass
from pathlib import Path

from slrprune.errors import DataError
from slrprune.tasks.complaints import Complaints
from slrprune.tasks.kitti.calibration import Calibration, read_calibration
from slrprune.tasks.kitti.labels import Label, read_labels
from slrprune.tasks.kitti.png import png_size
from slrprune.tasks.kitti.points import BYTES
from slrprune.tasks.listed_files import is_there

PARTS = {"velodyne": ".bin", "label_2": ".txt", "calib": ".txt", "image_2": ".png"}
"""Folders inside `training`, and how their files end."""


@dataclass(frozen=True)
class Frame:
    """One frame: everything but its points, which stay on disk.

    Attributes:
        number: as KITTI writes it, six digits.
        scan: the file of points.
        labels: the usable ones.
        calibration: of this frame.
        image_size: width and height in pixels.
    """

    number: str
    scan: Path
    labels: tuple[Label, ...]
    calibration: Calibration
    image_size: tuple[int, int]


def find_folder(root: Path) -> Path:
    """The folder that holds `training`: `root` itself, or `root/object`, `root/kitti`.

    Raises:
        DataError: none of them does, or `training` lacks one of its folders; the message names it.
    """
    found = next((path for path in (root, root / "object", root / "kitti") if (path / "training").is_dir()), None)
    if found is None:
        way_out = "It must hold velodyne, label_2, calib and image_2 of the KITTI object detection data."
        raise DataError("Kitti", f"the folder {root / 'training'} is missing", way_out)
    for part in PARTS:
        if not (found / "training" / part).is_dir():
            raise DataError("Kitti", f"the folder {found / 'training' / part} is missing")
    return found


def split_numbers(root: Path, split: str) -> list[str]:
    """Numbers of the frames of "train" or "val", from `ImageSets/<split>.txt`.

    Without a folder `ImageSets` the frames with a label file are dealt out in turns, the even ones of their order to
    "train". That is not the split of the published figures.

    Raises:
        DataError: there is a folder `ImageSets`, but not the file, or it is empty or holds something else than numbers.
    """
    if not (root / "ImageSets").is_dir():
        numbers = sorted(file.stem for file in (root / "training" / "label_2").glob("*.txt"))
        return numbers[0::2] if split == "train" else numbers[1::2]
    file = root / "ImageSets" / f"{split}.txt"
    if not file.is_file():
        raise DataError("Kitti", f"the file {file} is missing", "Without the folder ImageSets, frames are dealt out.")
    numbers = file.read_text(encoding="ascii", errors="replace").split()
    if not numbers or not all(number.isdecimal() for number in numbers):
        raise DataError("Kitti", f"{file} must hold the number of one frame on each line")
    return [number.zfill(6) for number in numbers]


def read_frame(root: Path, number: str, complaints: Complaints) -> Frame | None:
    """One frame, or None where it cannot be used; a strict `complaints` raises instead.

    All files are looked at but the scan, of which only the size is.
    """
    files = {part: root / "training" / part / (number + ending) for part, ending in PARTS.items()}
    names = {part: str(file.relative_to(root)) for part, file in files.items()}
    for part, file in files.items():
        if not is_there(file):
            complaints.add("files are missing", names[part])
            return None
    size = files["velodyne"].stat().st_size
    if not size or size % BYTES:
        complaints.add("scans are empty or truncated", names["velodyne"])
        return None
    image_size = png_size(files["image_2"])
    if image_size is None:
        complaints.add("images are truncated or not PNG", names["image_2"])
        return None
    calibration = read_calibration(files["calib"], names["calib"], complaints)
    labels = read_labels(files["label_2"], names["label_2"], image_size, complaints)
    if calibration is None or labels is None:
        return None
    return Frame(number, files["velodyne"], labels, calibration, image_size)
