"""A small TuSimple folder in exactly the format of the real one: clips of 1280 x 720 JPEG images, JSON lines."""

import json

import numpy as np
from PIL import Image, ImageDraw

SIZE = (1280, 720)
ROWS = list(range(240, 720, 10))  # most real labels begin at 240, some at 160
VANISHING = (640.0, 230.0)


def write_tusimple(folder, *, train=8, val=2, test=2, seed=0):
    """Writes `train_set` and `test_set` as they are unpacked; returns the folder."""
    rng = np.random.default_rng(seed)
    counts = {
        "train_set/label_data_0313.json": train - train // 2,
        "train_set/label_data_0601.json": train // 2,
        "train_set/label_data_0531.json": val,
        "test_set/test_label.json": test,
    }
    for name, count in counts.items():
        base = folder / name.split("/")[0]
        lines = []
        for number in range(count):
            raw_file = f"clips/{name[-9:-5]}/{number}/20.jpg"
            lanes = lanes_at(bottoms(rng), VANISHING[0] + rng.uniform(-60, 60))
            write_image(base / raw_file, lanes, rng)
            lines.append(label_line(raw_file, lanes))
        base.mkdir(exist_ok=True)
        (folder / name).write_text("".join(line + "\n" for line in lines))
    return folder


def bottoms(rng):
    """Where four lanes cross the lower border, two on either side; the outer ones leave the image before."""
    return [offset + rng.uniform(-50, 50) for offset in (-700, 240, 1040, 1980)]


def lanes_at(crossings, vanishing):
    """Straight lanes from the lower border to the vanishing point, as labels have them."""
    lanes = []
    for bottom in crossings:
        x = [vanishing + (bottom - vanishing) * (y - VANISHING[1]) / (SIZE[1] - VANISHING[1]) for y in ROWS]
        lanes.append([round(value) if 0 <= value < SIZE[0] - 1 else -2 for value in x])
    return lanes


def label_line(raw_file, lanes, rows=None):
    """One line of a label file."""
    return json.dumps({"lanes": lanes, "h_samples": ROWS if rows is None else rows, "raw_file": raw_file})


def write_image(file, lanes, rng):
    """White lanes on a gray road under a bright sky."""
    file.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", SIZE, (90, 90, 95))
    draw = ImageDraw.Draw(image)
    draw.rectangle([0, 0, SIZE[0], VANISHING[1]], fill=tuple(rng.integers(150, 255, 3).tolist()))
    for lane in lanes:
        points = [(x, y) for x, y in zip(lane, ROWS, strict=True) if x >= 0]
        draw.line(points, fill=(235, 235, 235), width=12)
    image.save(file, quality=85)
