"""Segmentation on COCO: outlines drawn, mean intersection over union, and the way to a pruned and saved network."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from coco_scenes import photo
from PIL import Image
from two_steps import GIBIBYTE, loss_after_two_steps, peak_memory

pytest.importorskip("torchvision")

import slrprune as slr
from slrprune.deploy import load_sparse, save_sparse
from slrprune.errors import ArgumentError, DataError, StateError
from slrprune.tasks import get
from slrprune.tasks.coco import CocoSegmentation
from slrprune.tasks.coco.outlines import draw
from slrprune.tasks.coco.placement import UNKNOWN


@pytest.fixture(scope="module")
def task(made_coco):
    """The smallest network, on inputs of the images' own size."""
    return CocoSegmentation(made_coco, size=[64, 96], batch_size=4, holdout=0.25)


def square(left, top, right, bottom):
    return [[left, top, right, top, right, bottom, left, bottom]]


def drawn(shapes, labels, size=(8, 6)):
    return draw(replace(photo([[0, 0, 1, 1]] * len(shapes), labels, size=size), shapes=tuple(shapes)))


def test_polygons_and_run_lengths_are_drawn():
    expected = np.zeros((6, 8), dtype=np.uint8)
    expected[1:4, 2:5] = 2
    assert drawn([square(2, 1, 5, 4)], [1]).tolist() == expected.tolist()
    # Run lengths go down the columns, first the zeros.
    columns = expected.T.reshape(-1) > 0
    changes = np.flatnonzero(np.diff(columns.astype(int))) + 1
    counts = np.diff(np.concatenate([[0], changes, [48]])).tolist()
    assert drawn([{"size": [6, 8], "counts": counts}], [1]).tolist() == expected.tolist()
    from pycocotools import mask

    code = mask.encode(np.asfortranarray((expected > 0).astype(np.uint8)))
    packed = {"size": [6, 8], "counts": code["counts"].decode()}
    assert drawn([packed], [1]).tolist() == expected.tolist()


def test_run_lengths_as_text_are_those_of_pycocotools():
    from pycocotools import mask

    rng = np.random.default_rng(0)
    for scale, size in ((0.5, (40, 30)), (0.02, (300, 200)), (0.0, (300, 200))):
        expected = np.asfortranarray(rng.random(size[::-1]) < scale, dtype=np.uint8)
        packed = {"size": [size[1], size[0]], "counts": mask.encode(expected)["counts"].decode()}
        assert np.array_equal(drawn([packed], [0], size=size), expected)


def test_a_polygon_may_reach_over_the_border():
    assert (drawn([square(-700, -700, 700, 700)], [0]) == 1).all()


def test_an_outline_that_pycocotools_refuses_cannot_be_drawn(monkeypatch):
    from pycocotools import mask

    def refuse(code):
        raise ValueError("Invalid RLE mask representation")

    monkeypatch.setattr(mask, "decode", refuse)
    assert drawn([square(2, 1, 5, 4)], [1]) is None
    monkeypatch.setattr(mask, "decode", lambda code: np.zeros((8, 6), dtype=np.uint8))
    assert drawn([square(2, 1, 5, 4)], [1]) is None


def test_pixels_that_two_categories_claim_are_unknown():
    found = drawn([square(0, 0, 4, 4), square(2, 2, 6, 6), square(1, 1, 3, 3)], [0, 1, 0], size=(6, 6))
    assert (found[2:4, 2:4] == UNKNOWN).all()
    assert (found[0, 0], found[1, 1], found[5, 5], found[0, 5]) == (1, 1, 2, 0)


BAD = {
    "short": [[1, 2, 3, 4]],
    "odd": [[1, 2, 3, 4, 5, 6, 7]],
    "words": [["a"] * 6],
    "not finite": [[1, 2, 3, 4, 5, float("nan")]],
    "other size": {"size": [8, 6], "counts": [48]},
    "too many": {"size": [6, 8], "counts": [48, 1]},
    "negative": {"size": [6, 8], "counts": [49, -1]},
    "empty": {"size": [6, 8], "counts": ""},
    "no counts": {"size": [6, 8]},
    "cut inside a number": {"size": [6, 8], "counts": "P"},
    "cut between numbers": {"size": [6, 8], "counts": "1"},
    "negative in text": {"size": [6, 8], "counts": "a1O"},
    "endless": {"size": [6, 8], "counts": "P" * 50 + "1"},
    "not ASCII": {"size": [6, 8], "counts": "a1\u00e9"},
    "no text": {"size": [6, 8], "counts": "\ud800"},
    "far": [[0, 0, 10_000, 0, 0, 5]],
    "far to the left": [[0, 0, -10_000.0, 0, 0, 5]],
    "too far for pycocotools": [[0, 0, 1e9, 0, 1e9, 1e9]],
    "much too far for pycocotools": [[0, 0, 1e308, 0, 0, -1e308]],
    "too far for float64": [[0, 0, 10**400, 0, 0, 5]],
    "a number": 3,
}


@pytest.mark.parametrize("damage", BAD)
def test_an_outline_that_cannot_be_drawn_leaves_the_image_out(coco_copy, damage):
    assert drawn([BAD[damage]], [0]) is None
    file = coco_copy / "annotations/instances_val2017.json"
    document = json.loads(file.read_text())
    shape = BAD[damage]
    if isinstance(shape, dict) and shape["size"] == [6, 8]:
        shape = {**shape, "size": [64, 96]}
    document["annotations"][0]["segmentation"] = shape
    file.write_text(json.dumps(document))
    task = CocoSegmentation(coco_copy, size=[64, 96], batch_size=4)
    assert sum(len(images) for images, _ in task.batches("test")) == 2
    assert task.warnings() == ("Skipped 1, since images have an outline that cannot be drawn: test_000.png.",)
    with pytest.raises(
        DataError, match=r"CocoSegmentation\(strict=True\): .*000\.png: images have an outline that can"
    ):
        CocoSegmentation(coco_copy, size=[64, 96], batch_size=4, strict=True)


def test_labels_are_where_the_pixels_are(task):
    for split in ("test", "train"):
        images, labels = next(task.batches(split))
        assert (labels.shape, labels.dtype) == ((images[:, 0]).shape, torch.int64)
        # A square drawn red, inside its outline: red is high there, blue low.
        red = images[:, 0] - images[:, 2]
        assert red[labels == 1].mean() > 0.4
        assert red[labels == 0].abs().mean() < 0.1


def test_what_lies_around_the_image_is_unknown(made_coco):
    task = CocoSegmentation(made_coco, size=128, batch_size=4)
    _, labels = next(task.batches("test"))
    assert (labels[:, :21] == UNKNOWN).all()
    assert (labels[:, 21:106] != UNKNOWN).float().mean() > 0.95


class Saying(torch.nn.Module):
    """Gives the same categories for every image."""

    def __init__(self, said):
        super().__init__()
        self.said = said

    def forward(self, images):
        return torch.nn.functional.one_hot(self.said, 3).permute(2, 0, 1).float().expand(len(images), -1, -1, -1)


def test_mean_intersection_over_union_by_hand(made_coco, monkeypatch):
    task = CocoSegmentation(made_coco, size=[4, 4], batch_size=4)
    labels = torch.zeros(1, 4, 4, dtype=torch.int64)
    labels[0, :2] = 1
    labels[0, 3, 3] = UNKNOWN
    said = torch.zeros(4, 4, dtype=torch.int64)
    said[0], said[3, 3], said[3, 0] = 1, 2, 2
    batches = [(torch.zeros(1, 3, 4, 4), labels)] * 2
    monkeypatch.setattr(task, "in_order", lambda split: iter(batches))
    # Background: 6 right of 7 + 4 labelled or said; category 1: 4 of 8; category 2 occurs in no label.
    assert task.intersections(Saying(said), "test")[:2].tolist() == pytest.approx([6 / 11, 4 / 8])
    assert torch.isnan(task.intersections(Saying(said), "test")[2])
    assert task.evaluate(Saying(said), "test") == pytest.approx(100 * (6 / 11 + 4 / 8) / 2)


def test_two_steps_pruning_cut_and_file(task, tmp_path):
    model = task.build_model()
    optimizer = task.pruning_recipe.optimizer(model)
    pruner = slr.Pruner(model, optimizer, slr.Global(0.8), total_steps=2)
    batch = next(task.batches("train"))
    for _ in range(2):
        optimizer.zero_grad()
        loss = task.loss(model, batch)
        loss.backward()
        assert torch.isfinite(loss)
        optimizer.step()
        pruner.step(loss)
    assert pruner.finalize().sparsity == pytest.approx(0.8, abs=1e-3)
    save_sparse(model, tmp_path / "model.safetensors")
    twin = task.build_model()
    load_sparse(tmp_path / "model.safetensors", twin)
    value = task.evaluate(model, "test")
    assert 0 <= value <= 100
    assert task.evaluate(twin, "test") == value
    assert model.eval()(task.example_input()).shape == (1, 3, 64, 96)


def test_published_weights_start_all_but_the_heads(made_coco, tmp_path):
    from torchvision.models import get_model

    name = "deeplabv3_mobilenet_v3_large"
    published = get_model(name, weights=None, weights_backbone=None, num_classes=21, aux_loss=True).state_dict()
    assert any(entry.startswith("aux_classifier.") for entry in published)
    torch.save(published, tmp_path / "published.pth")
    options = {"size": [64, 96], "batch_size": 4, "start": tmp_path / "published.pth"}
    begun = CocoSegmentation(made_coco, model=name, **options).build_model().segmenter.state_dict()
    fresh = {entry for entry, tensor in begun.items() if not torch.equal(tensor, published[entry])}
    assert fresh == {"classifier.4.weight", "classifier.4.bias"}
    with pytest.raises(StateError, match=r"published\.pth does not hold weights of lraspp_mobilenet_v3_large"):
        CocoSegmentation(made_coco, **options).build_model()


def test_an_image_that_breaks_is_left_out(coco_copy):
    Image.new("RGB", (10, 10)).save(coco_copy / "train2017" / "train_002.png")
    task = get("coco_segmentation", data=coco_copy, size=[64, 96], batch_size=4, holdout=0)
    assert [len(images) for images, _ in task.batches("train")] == [4, 4]
    expected = "Skipped 1, since images have another size than their annotations say: train_002.png."
    assert task.warnings() == (expected,)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "fcn"}, r"CocoSegmentation\(model='fcn'\): model must be one of deeplabv3.*The closest is fcn_res"),
        ({"augment": "photo_mosaic"}, r"augment must be one without a mosaic\."),
        ({"holdout": -0.1}, r"CocoSegmentation\(holdout=-0\.1\): holdout must be in \[0, 1\)"),
        ({"size": (1, 2, 3)}, r"CocoSegmentation\(size=\(1, 2, 3\)\): size must be a positive whole number, or two"),
        ({"batch_size": 9}, r"batch_size must be in \[1, 8\], the number of training images"),
    ],
)
def test_values_out_of_range_are_refused(made_coco, options, message):
    with pytest.raises(ArgumentError, match=message):
        CocoSegmentation(made_coco, **{"batch_size": 4, "holdout": 0, **options})


@pytest.mark.slow
def test_the_published_size(made_coco, tmp_path):
    task = CocoSegmentation(made_coco, batch_size=2)
    assert task.example_input().shape == (1, 3, 520, 520)
    assert math.isfinite(loss_after_two_steps(task, tmp_path))
    assert peak_memory() < 12 * GIBIBYTE
