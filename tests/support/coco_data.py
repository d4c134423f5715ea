"""A small data set in COCO's format: squares and discs of two colors on grey, with the ids of real files."""

import json

import numpy as np
from PIL import Image, ImageDraw

CATEGORIES = [{"id": 3, "name": "square"}, {"id": 17, "name": "disc"}]
COLORS = {3: (220, 40, 40), 17: (30, 60, 220)}


def write_coco(folder, train=8, test=3, val=None, size=(96, 64), layout="2017"):
    """Writes a folder; with `val` images the layout is the simple one with three files."""
    places = {"train": ("annotations/instances_train2017.json", "train2017", train)}
    if val is None and layout == "2017":
        places["test"] = ("annotations/instances_val2017.json", "val2017", test)
    else:
        places = {"train": ("train.json", "images", train), "val": ("val.json", "images", val or 0)}
        places["test"] = ("test.json", "images", test)
    for number, (split, (file, images, count)) in enumerate(places.items()):
        (folder / images).mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(number)
        document = scenes(rng, folder / images, split, count, size)
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(json.dumps(document))
    return folder


def scenes(rng, folder, split, count, size):
    """Draws the images; returns their annotations."""
    images, annotations = [], []
    for place in range(count):
        image = Image.new("RGB", size, (128, 128, 128))
        name = f"{split}_{place:03d}.png"
        for _ in range(int(rng.integers(1, 4))):
            category = int(rng.choice([3, 17]))
            side = int(rng.integers(14, 30))
            left, top = int(rng.integers(0, size[0] - side)), int(rng.integers(0, size[1] - side))
            draw = ImageDraw.Draw(image)
            corners = [left, top, left + side - 1, top + side - 1]
            (draw.rectangle if category == 3 else draw.ellipse)(corners, fill=COLORS[category])
            right, bottom = left + side, top + side
            annotations.append(
                {
                    "id": 10 * len(annotations) + 7,
                    "image_id": 100 + place,
                    "category_id": category,
                    "bbox": [left, top, side, side],
                    "area": side * side,
                    "iscrowd": 0,
                    "segmentation": [[left, top, right, top, right, bottom, left, bottom]],
                }
            )
        image.save(folder / name)
        images.append({"id": 100 + place, "file_name": name, "width": size[0], "height": size[1]})
    return {"images": images, "annotations": annotations, "categories": CATEGORIES}
