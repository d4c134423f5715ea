"""Writes the blood cells of shared/data/detect (BCCD) as a COCO folder with the splits of that data set.

    python benchmarks/bccd_to_coco.py --data ../shared/data --out .cache/bccd
    slrprune prune coco --data .cache/bccd --set task_options.system=yolov3_tiny

OUT then holds train.json, val.json, test.json (205, 87 and 72 images) and images/, whose entries are links to the JPEG
files, or copies with --copy. Boxes are written as they are: two of the 4,888 have no area, and the task skips them with
a count. The image sizes are read from the files.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any

from PIL import Image

SPLITS = ("train", "val", "test")


def convert(data: Path, out: Path, *, copy: bool) -> dict[str, int]:
    """Writes the folder; returns the number of images in each split."""
    source = data / "detect" / "bccd"
    index = json.loads((data / "detect" / "bccd.json").read_text(encoding="utf-8"))
    boxes = {Path(entry["image"]).stem: entry["boxes"] for entry in index["annotations"]}
    (out / "images").mkdir(parents=True, exist_ok=True)
    for split in SPLITS:
        names = index["splits"][split]
        for name in names:
            place(source / f"{name}.jpg", out / "images" / f"{name}.jpg", copy)
        made = document([source / f"{name}.jpg" for name in names], boxes, index["classes"])
        (out / f"{split}.json").write_text(json.dumps(made), encoding="utf-8")
    return {split: len(index["splits"][split]) for split in SPLITS}


def place(source: Path, target: Path, copy: bool) -> None:
    """A link to the image, or a copy of it, in place of what was there."""
    target.unlink(missing_ok=True)
    if copy:
        shutil.copyfile(source, target)
    else:
        target.symlink_to(source.resolve())


def document(files: list[Path], boxes: dict[str, list[list[int]]], classes: list[str]) -> dict[str, Any]:
    """One annotation file; identifiers count from 1, as COCO's do."""
    images, annotations = [], []
    for image_id, file in enumerate(files, start=1):
        with Image.open(file) as image:
            width, height = image.size
        images.append({"id": image_id, "file_name": file.name, "width": width, "height": height})
        for label, left, top, right, bottom in boxes[file.stem]:
            box = [left, top, right - left, bottom - top]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": label + 1,
                    "bbox": box,
                    "area": box[2] * box[3],
                    "iscrowd": 0,
                }
            )
    categories = [{"id": number, "name": name} for number, name in enumerate(classes, start=1)]
    return {"images": images, "annotations": annotations, "categories": categories}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds detect/bccd.json")
    parser.add_argument("--out", type=Path, required=True, help="the folder to write")
    parser.add_argument("--copy", action="store_true", help="copy the images instead of linking to them")
    arguments = parser.parse_args()
    if not (arguments.data / "detect" / "bccd.json").is_file():
        sys.exit(f"The file {arguments.data / 'detect' / 'bccd.json'} is missing.")
    counts = convert(arguments.data, arguments.out, copy=arguments.copy)
    print(", ".join(f"{split}: {count} images" for split, count in counts.items()))


if __name__ == "__main__":
    main()
