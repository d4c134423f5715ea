"""A small KITTI object folder in exactly the format of the real one: scans, labels, calibration, images, lists."""

import math
import struct
import zlib
from pathlib import Path

import numpy as np

IMAGE_SIZE = (1242, 375)
FOCAL = 720.0

# The scanner looks along x, the camera along z; it sits 8 cm lower and 27 cm further ahead.
TO_CAMERA = np.array([[0, -1, 0, 0], [0, 0, -1, -0.08], [1, 0, 0, -0.27]])
PROJECTION = np.array([[FOCAL, 0, 621, 0], [0, FOCAL, 187.5, 0], [0, 0, 1, 0]])

GROUND = -1.73
CAR = (3.9, 1.6, 1.5)  # length, width, height
PEDESTRIAN = (0.8, 0.6, 1.73)


def write_kitti(folder, *, train=8, val=2, objects=6, seed=0, kind="Car"):
    """Writes frames 000000 to train + val - 1 and the lists of both splits; returns the folder."""
    rng = np.random.default_rng(seed)
    for part in ("velodyne", "label_2", "calib", "image_2"):
        (folder / "training" / part).mkdir(parents=True)
    numbers = [f"{number:06}" for number in range(train + val)]
    for number in numbers:
        boxes = _boxes(rng, objects, CAR if kind == "Car" else PEDESTRIAN)
        write_frame(folder, number, boxes, scan(rng, boxes), kind=kind)
    (folder / "ImageSets").mkdir()
    (folder / "ImageSets" / "train.txt").write_text("\n".join(numbers[:train]) + "\n")
    (folder / "ImageSets" / "val.txt").write_text("\n".join(numbers[train:]) + "\n")
    return folder


def write_frame(folder, number, boxes, points, *, kind="Car"):
    """One frame; boxes are (x, y, z, length, width, height, heading) of the scanner, points float32 (n, 4)."""
    training = Path(folder) / "training"
    points.astype("<f4").tofile(training / "velodyne" / f"{number}.bin")
    (training / "calib" / f"{number}.txt").write_text(calibration_text())
    (training / "image_2" / f"{number}.png").write_bytes(png(*IMAGE_SIZE))
    lines = [label_line(kind, box) for box in boxes]
    lines.append("DontCare -1 -1 -10 503.89 169.71 590.61 190.13 -1 -1 -1 -1000 -1000 -1000 -10")
    (training / "label_2" / f"{number}.txt").write_text("\n".join(lines) + "\n")


def label_line(kind, box, *, truncation=0.0, occlusion=0):
    """The line of a label file that describes a box of the scanner."""
    x, y, z, length, width, height, heading = box
    left, top, right, bottom = image_box(box)
    place = TO_CAMERA @ np.array([x, y, z - height / 2, 1])
    rotation = (-heading - math.pi / 2 + math.pi) % (2 * math.pi) - math.pi
    alpha = rotation - math.atan2(place[0], place[2])
    numbers = [alpha, left, top, right, bottom, height, width, length, *place, rotation]
    return f"{kind} {truncation:.2f} {occlusion} " + " ".join(f"{value:.2f}" for value in numbers)


def image_box(box):
    """Hull of the projected corners, clipped to the image."""
    x, y, z, length, width, height, heading = box
    corners = []
    for a in (-length / 2, length / 2):
        for b in (-width / 2, width / 2):
            for c in (-height / 2, height / 2):
                corner = [x + a * math.cos(heading) - b * math.sin(heading)]
                corner += [y + a * math.sin(heading) + b * math.cos(heading), z + c, 1]
                u, v, w = PROJECTION @ np.append(TO_CAMERA @ np.array(corner), 1)
                corners.append((u / w, v / w))
    u, v = np.array(corners).T
    last = np.array(IMAGE_SIZE) - 1
    low, high = np.clip([u.min(), v.min()], 0, last), np.clip([u.max(), v.max()], 0, last)
    return [*low, *high]


def scan(rng, boxes, *, per_object=120, ground=300):
    """Points on the surfaces of boxes and on the ground around them, float32 (n, 4)."""
    parts = [np.column_stack([rng.uniform(1, 20, ground), rng.uniform(-10, 10, ground), np.full(ground, GROUND)])]
    for x, y, z, length, width, height, heading in boxes:
        points = rng.uniform(-0.5, 0.5, (per_object, 3))
        face = rng.integers(0, 3, per_object)
        points[np.arange(per_object), face] = np.sign(points[np.arange(per_object), face]) / 2
        points *= (length, width, height)
        cosine, sine = math.cos(heading), math.sin(heading)
        turned = points[:, 0] * cosine - points[:, 1] * sine, points[:, 0] * sine + points[:, 1] * cosine
        parts.append(np.column_stack([turned[0] + x, turned[1] + y, points[:, 2] + z]))
    place = np.concatenate(parts)
    return np.column_stack([place, rng.random(len(place))]).astype(np.float32)


def calibration_text():
    """A calibration file with all seven matrices."""
    matrices = {f"P{camera}": PROJECTION for camera in range(4)}
    matrices |= {"R0_rect": np.eye(3), "Tr_velo_to_cam": TO_CAMERA, "Tr_imu_to_velo": np.eye(4)[:3]}
    lines = [f"{name}: " + " ".join(f"{value:.12e}" for value in matrix.ravel()) for name, matrix in matrices.items()]
    return "\n".join(lines) + "\n\n"


def png(width, height):
    """A black image."""

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    rows = zlib.compress((b"\0" + b"\0" * width) * height)
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def _boxes(rng, count, size):
    """Boxes on the ground in the camera's view that do not touch each other."""
    boxes = []
    for attempt in range(10_000):
        if len(boxes) == count:
            return boxes
        if attempt % 200 == 199:
            boxes = []  # the first ones stand in the way
        x = rng.uniform(4, 17)
        y = rng.uniform(-1, 1) * min(0.6 * x, 8)
        heading = rng.choice([0, math.pi / 2, math.pi, -math.pi / 2]) + rng.uniform(-0.2, 0.2)
        new = (x, y, GROUND + size[2] / 2, *size, heading)
        if all(_apart(new, box) for box in boxes):
            boxes.append(new)
    raise AssertionError(f"no room for {count} boxes")


def _apart(first, second):
    """Whether the upright hulls of two boxes leave a gap."""
    reach = [0.3, 0.3]
    for _, _, _, length, width, _, heading in (first, second):
        cosine, sine = abs(math.cos(heading)), abs(math.sin(heading))
        reach[0] += (length * cosine + width * sine) / 2
        reach[1] += (length * sine + width * cosine) / 2
    return abs(first[0] - second[0]) > reach[0] or abs(first[1] - second[1]) > reach[1]
