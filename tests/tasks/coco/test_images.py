"""Pixels and boxes on the way to the network: letterbox, augmentation, examples."""

import numpy as np
import pytest
import torch
from PIL import Image

from slrprune.errors import ArgumentError
from slrprune.tasks.coco.augment import AUGMENTATIONS, Augmentation
from slrprune.tasks.coco.images import as_input, open_image
from slrprune.tasks.coco.placement import GREY, Picture, Placement, Window, letterbox, letterboxed, paint

STILL = AUGMENTATIONS["none"]


def scene(size=(96, 64), box=(20, 10, 60, 40), color=(250, 10, 10)):
    """A picture with one bright rectangle, which is its object."""
    image = Image.new("RGB", size, (0, 60, 0))
    image.paste(color, box)
    return Picture(image, np.array([box], dtype=np.float64), np.array([1]))


def bright(image, color=(250, 10, 10), far=120):
    """The rectangle's box, read from the pixels."""
    pixels = np.asarray(image, dtype=np.int64)
    rows, columns = np.nonzero(np.abs(pixels - color).sum(axis=2) < far)
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


@pytest.mark.parametrize(
    ("image_size", "size", "expected"),
    [
        ((640, 480), (320, 320), Placement(0.5, 0.5, 0.0, 40.0)),
        ((480, 640), (320, 320), Placement(0.5, 0.5, 40.0, 0.0)),
        ((10, 10), (30, 50), Placement(3.0, 3.0, 10.0, 0.0)),
        ((3, 1000), (100, 100), Placement(1 / 3, 0.1, 49.0, 0.0)),
    ],
)
def test_letterbox(image_size, size, expected):
    assert letterbox(image_size, size) == pytest.approx(expected)


def test_boxes_go_forth_and_back():
    boxes = np.random.default_rng(0).uniform(-10, 700, (20, 4))
    placement = Placement(0.31, 0.47, -3.5, 12.25)
    assert placement.back(placement.forth(boxes)) == pytest.approx(boxes)
    assert placement.forth(np.array([[0.0, 0, 10, 10]]))[0] == pytest.approx([-3.5, 12.25, -0.4, 16.95])


def test_paint_draws_the_picture_and_its_boxes_alike():
    canvas = Image.new("RGB", (160, 160), GREY)
    boxes, labels = paint(canvas, scene(), Placement(1.5, 2.0, 10.0, 20.0), Window(0, 0, 160, 160))
    assert boxes.tolist() == [[40, 40, 100, 100]]
    assert labels.tolist() == [1]
    assert bright(canvas) == pytest.approx(boxes[0], abs=1.01)
    assert canvas.getpixel((5, 5)) == GREY
    assert canvas.getpixel((12, 25)) == (0, 60, 0)


@pytest.mark.parametrize("width", [480, 571, 588, 639])
def test_a_letterbox_is_filled_and_no_more(width):
    # In floating point 571 times its scale is a hair more than 371.
    white = Picture(Image.new("RGB", (width, 640), (255, 255, 255)), np.zeros((0, 4)), np.zeros(0, dtype=np.int64))
    pixels = np.asarray(letterboxed(white, (416, 416)).image)[..., 0]
    across = round(width * 416 / 640)
    left = (416 - across) // 2
    assert (pixels[:, left : left + across] == 255).all()
    assert (pixels == 255).sum() == 416 * across


def test_paint_stays_inside_its_window():
    canvas = Image.new("RGB", (160, 160), GREY)
    boxes, _ = paint(canvas, scene(), Placement(1.5, 2.0, 10.0, 20.0), Window(0, 0, 70, 160))
    assert boxes.tolist() == [[40, 40, 70, 100]]
    assert bright(canvas) == pytest.approx(boxes[0], abs=1.01)
    assert (np.asarray(canvas)[:, 70:] == GREY).all()


@pytest.mark.parametrize(("right", "kept"), [(54, 0), (56, 1)])
def test_objects_of_which_little_is_left_are_left_out(right, kept):
    # The box reaches from 40 to 100: a quarter of it ends at 55.
    canvas = Image.new("RGB", (160, 160), GREY)
    boxes, labels = paint(canvas, scene(), Placement(1.5, 2.0, 10.0, 20.0), Window(0, 0, right, 160))
    assert (len(boxes), len(labels)) == (kept, kept)


def test_tiny_objects_and_pictures_out_of_sight_are_left_out():
    canvas = Image.new("RGB", (160, 160), GREY)
    boxes, _ = paint(canvas, scene(box=(20, 10, 22, 60)), Placement(0.9, 0.9, 0.0, 0.0), Window(0, 0, 160, 160))
    assert boxes.shape == (0, 4)
    boxes, labels = paint(canvas, scene(), Placement(1.0, 1.0, 200.0, 0.0), Window(0, 0, 160, 160))
    assert (boxes.shape, labels.shape) == ((0, 4), (0,))


def test_pictures_without_objects():
    empty = Picture(Image.new("RGB", (50, 50)), np.zeros((0, 4)), np.zeros(0, dtype=np.int64))
    rng = np.random.default_rng(0)
    for changed in (AUGMENTATIONS["photo"].single(empty, (64, 64), rng), STILL.four([empty] * 4, (64, 64), rng)):
        assert (changed.boxes.shape, changed.labels.shape) == ((0, 4), (0,))


@pytest.mark.parametrize("seed", range(8))
def test_augmentation_moves_pixels_and_boxes_alike(seed):
    strong = Augmentation(flip_y=True, zoom=(0.5, 2.0), stretch=1.5, color=0.1)
    changed = strong.single(scene(), (96, 128), np.random.default_rng(seed))
    assert changed.image.size == (128, 96)
    assert len(changed.boxes) == 1
    assert bright(changed.image) == pytest.approx(changed.boxes[0], abs=1.6)
    again = strong.single(scene(), (96, 128), np.random.default_rng(seed))
    assert np.asarray(again.image).tolist() == np.asarray(changed.image).tolist()
    assert again.boxes.tolist() == changed.boxes.tolist()


def test_flips_happen_where_they_are_allowed():
    boxes = {}
    for name in ("photo", "slide", "none"):
        still = Augmentation(
            flip_x=AUGMENTATIONS[name].flip_x, flip_y=AUGMENTATIONS[name].flip_y, zoom=(1, 1), stretch=1, color=0
        )
        rng = np.random.default_rng(0)
        drawn = [still.single(scene(), (64, 96), rng).boxes[0].tolist() for _ in range(30)]
        boxes[name] = {tuple(box) for box in drawn}
    assert boxes["none"] == {(20, 10, 60, 40)}
    assert boxes["photo"] == {(20, 10, 60, 40), (36, 10, 76, 40)}
    assert boxes["slide"] == boxes["photo"] | {(20, 24, 60, 54), (36, 24, 76, 54)}


def test_a_mosaic_shows_four_pictures_around_a_point():
    colors = [(250, 10, 10), (10, 250, 10), (10, 10, 250), (250, 250, 10)]
    pictures = [scene(color=color, box=(10, 10, 86, 54)) for color in colors]
    mosaic = STILL.four(pictures, (128, 128), np.random.default_rng(2))
    assert mosaic.image.size == (128, 128)
    found = {color: bright(mosaic.image, color) for color in colors}
    assert len(mosaic.boxes) == 4
    for color, box in zip(colors, mosaic.boxes, strict=True):
        assert found[color] == pytest.approx(box, abs=1.6)
    assert found[colors[0]][2] < found[colors[1]][0]
    assert found[colors[0]][3] < found[colors[2]][1]
    assert found[colors[3]][0] > found[colors[2]][2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"zoom": (0.0, 1.0)}, r"Augmentation\(zoom=\(0\.0, 1\.0\)\): zoom must be two positive scales"),
        ({"zoom": (2.0, 1.0)}, "zoom must be two positive scales, the smaller first"),
        ({"stretch": 0.9}, r"stretch must be at least 1\."),
        ({"color": 1.0}, r"color must be in \[0, 1\)"),
        ({"mosaic": -0.1}, r"mosaic must be in \[0, 1\]"),
    ],
)
def test_amounts_out_of_range_are_refused(options, message):
    with pytest.raises(ArgumentError, match=message):
        Augmentation(**options)


def test_inputs_are_red_green_blue_in_zero_to_one():
    pixels = as_input(Image.new("RGB", (6, 4), (255, 51, 0)))
    assert (pixels.shape, pixels.dtype) == ((3, 4, 6), np.float32)
    assert torch.from_numpy(pixels)[:, 0, 0].tolist() == pytest.approx([1, 0.2, 0])


def test_only_whole_images_are_opened(tmp_path):
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (64, 64, 3), np.uint8)).save(tmp_path / "a.jpg")
    assert open_image(tmp_path / "a.jpg").size == (64, 64)
    Image.new("L", (5, 7), 9).save(tmp_path / "grey.png")
    assert open_image(tmp_path / "grey.png").getpixel((0, 0)) == (9, 9, 9)
    Image.fromarray(np.full((7, 5), 0x4321, np.uint16)).save(tmp_path / "deep.png")
    assert open_image(tmp_path / "deep.png").getpixel((0, 0)) == (0x43, 0x43, 0x43)
    Image.new("CMYK", (5, 7), (0, 255, 255, 0)).save(tmp_path / "print.jpg")
    assert open_image(tmp_path / "print.jpg").getpixel((0, 0)) == pytest.approx((255, 0, 0), abs=3)
    (tmp_path / "half.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:900])
    (tmp_path / "text.jpg").write_text("no image")
    for name in ("half.jpg", "text.jpg", "nowhere.jpg"):
        assert open_image(tmp_path / name) is None
