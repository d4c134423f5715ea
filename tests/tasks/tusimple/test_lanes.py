"""Lanes as targets of both systems, and back from perfect outputs."""

import math

import numpy as np
import pytest
import torch
from tusimple_data import ROWS, SIZE, lanes_at

from slrprune.errors import StateError
from slrprune.tasks.tusimple import SYSTEMS
from slrprune.tasks.tusimple.augment import augmented
from slrprune.tasks.tusimple.backbone import load_backbone
from slrprune.tasks.tusimple.geometry import at_rows, length, moved, slope
from slrprune.tasks.tusimple.images import pillow
from slrprune.tasks.tusimple.resnet import ResNet18
from slrprune.tasks.tusimple.row_anchors import LANES, RowAnchors, places
from slrprune.tasks.tusimple.segmentation import Segmentation
from slrprune.tasks.tusimple.tracing import trace
from slrprune.tasks.weights_file import WeightsFile

Y = np.array(ROWS, dtype=float)


def lanes(*crossings):
    return np.array(lanes_at(crossings or (-700, 240, 1040, 1980), 640.0), dtype=float)


def test_lanes_at_other_rows():
    lane = np.array([-2.0, 10, 20, -2, 40, -2])
    rows = np.arange(6) * 10.0
    assert at_rows(lane, rows, np.array([0.0, 10, 15, 30, 40, 45])).tolist() == [-2, 10, 15, 30, 40, -2]
    assert at_rows(np.full(6, -2.0), rows, np.array([0.0, 10])).tolist() == [-2, -2]
    assert slope(lane, rows) == pytest.approx(1.0)
    assert length(lane, rows) == pytest.approx(math.hypot(30, 30))
    assert math.isnan(slope(np.full(6, -2.0), rows))


def test_lanes_move_with_the_image():
    lane = np.array([[10.0, 20, 30, 40]])
    rows = np.arange(4) * 10.0
    shifted = moved(lane, rows, np.array([[1.0, 0, 5], [0, 1.0, 10]]), (50, 40))
    assert shifted.tolist() == [[-2, 15, 25, 35]]
    right = moved(lane, rows, np.array([[1.0, 0, 15], [0, 1.0, 0]]), (50, 40))
    assert right.tolist() == [[25, 35, 45, -2]]  # 55 is outside
    gone = moved(lane, rows, np.array([[1.0, 0, 500], [0, 1.0, 0]]), (50, 40))
    assert gone.tolist() == [[-2] * 4]


def test_an_augmented_image_and_its_lanes_stay_together():
    module = pillow()
    pixels = np.zeros((720, 1280), dtype=np.uint8)
    label = lanes(240)
    for x, y in zip(label[0], ROWS, strict=True):
        if x >= 0:
            pixels[y - 1 : y + 2, int(x) - 2 : int(x) + 3] = 255
    image = module.fromarray(pixels).convert("RGB")
    for seed in range(4):
        changed, new = augmented(image, label, Y, np.random.default_rng(seed))
        assert changed.size == image.size
        here = [(int(x), int(y)) for x, y in zip(new[0], Y, strict=True) if x >= 0]
        assert len(here) > 15
        # The drawn points lie between the rows after a move, so the neighborhood is asked.
        grown = np.asarray(changed.convert("L"))
        near = [grown[max(y - 8, 0) : y + 9, max(x - 8, 0) : x + 9].max() for x, y in here]
        assert np.mean(np.array(near) > 60) > 0.9
        assert not np.allclose(new, label)


def test_places_go_from_far_left_to_far_right():
    far_left, left, right, far_right = lanes()
    shuffled = np.stack([far_right, left, far_left, right])
    for found, expected in zip(places(shuffled, Y, SIZE[0]), (far_left, left, right, far_right), strict=True):
        assert np.array_equal(found, expected)
    # A third lane on one side is too far out, a missing one leaves its place empty.
    found = places(lanes(-2000, -700, 240), Y, SIZE[0])
    assert [entry is None for entry in found] == [False, False, True, True]
    assert np.array_equal(found[0], lanes(-700)[0])
    assert [entry is None for entry in places(lanes(1040), Y, SIZE[0])] == [True, True, False, True]


def test_short_lanes_are_no_targets():
    stub = lanes(240)
    stub[:, :-5] = -2
    assert places(stub, Y, SIZE[0]) == [None] * 4


@pytest.mark.parametrize("system", [SYSTEMS["ufld"], SYSTEMS["ufld_reduced"]], ids=lambda system: system.name)
def test_row_anchors_read_back_what_they_encode(system):
    label = lanes()
    target = system.target(label, Y, SIZE)
    assert target.shape == (system.rows, LANES)
    logits = 20.0 * np.eye(system.cells + 1)[target].transpose(2, 0, 1)
    found = system.lanes(logits, Y, SIZE)
    assert len(found) == 4
    for lane, expected in zip(found, label, strict=True):
        both = (lane >= 0) & (expected >= 0)
        assert both.sum() > 0.8 * (expected >= 0).sum()
        assert np.abs(lane - expected)[both].max() < SIZE[0] / system.cells


@pytest.mark.parametrize("first", [0, 5, 6, 7, 21])
@pytest.mark.parametrize("last", [30, 32, 52, 55])
def test_a_lane_is_read_back_with_its_ends(first, last):
    """Anchors and labels are the same rows of an image of 720 pixels, computed in two ways."""
    system = SYSTEMS["ufld"]
    rows = np.arange(160.0, 720.0, 10.0)
    label = np.full((1, len(rows)), -2.0)
    label[0, first : last + 1] = np.linspace(700.0, 200.0, last + 1 - first)
    target = system.target(label, rows, SIZE)
    assert (target < system.cells).sum() == last + 1 - first
    logits = 20.0 * np.eye(system.cells + 1)[target].transpose(2, 0, 1)
    (found,) = system.lanes(logits, rows, SIZE)
    assert ((found >= 0) == (label[0] >= 0)).all()


def test_row_anchors_of_a_published_size():
    system = SYSTEMS["ufld"]
    assert system.anchors(720).tolist() == pytest.approx(list(range(160, 720, 10)))
    target = system.target(lanes(240), Y, SIZE)
    assert (target[:, [0, 2, 3]] == 100).all()
    assert (target[:8, 1] == 100).all()  # labels begin at 240
    assert target[8, 1] == int(lanes(240)[0][0] / 1280 * 100)


def test_empty_outputs_hold_no_lane():
    system = SYSTEMS["ufld_reduced"]
    logits = np.zeros((system.cells + 1, system.rows, LANES))
    logits[-1] = 5
    assert system.lanes(logits, Y, SIZE) == []
    segmentation = SYSTEMS["lanenet_reduced"]
    assert segmentation.lanes(np.full((24, 48), -5.0), Y, SIZE) == []


def test_the_loss_of_row_anchors_is_the_papers():
    system = RowAnchors("tiny", (32, 32), 4, rows=3, cells=2, hidden=4)
    logits = torch.randn(2, 3, 3, LANES, generator=torch.Generator().manual_seed(0))
    targets = torch.randint(3, (2, 3, LANES), generator=torch.Generator().manual_seed(1))
    classes = similarity = shape = 0.0
    for image in range(2):
        for place in range(LANES):
            row_logits = logits[image, :, :, place].double().numpy().T
            expected = []
            for row, values in enumerate(row_logits):
                chances = np.exp(values) / np.exp(values).sum()
                p = chances[targets[image, row, place]]
                classes -= (1 - p) ** 2 * math.log(p) / (2 * 3 * LANES)
                expected.append(np.exp(values[1]) / np.exp(values[:2]).sum())
            for step in np.abs(np.diff(row_logits, axis=0)).ravel():
                similarity += (step**2 / 2 if step < 1 else step - 0.5) / (2 * 2 * 3 * LANES)
            shape += abs(expected[2] - 2 * expected[1] + expected[0]) / (2 * LANES) / 2
    assert system.loss(logits, targets).item() == pytest.approx(classes + similarity + shape, rel=1e-5)


@pytest.mark.parametrize("system", [SYSTEMS["lanenet"], Segmentation("s", (192, 384), 8)], ids=lambda s: s.name)
def test_segmentation_reads_back_what_it_encodes(system):
    label = lanes()
    target = system.target(label, Y, SIZE)
    assert target.shape == (system.size[0] // 4, system.size[1] // 4)
    assert 0.005 < target.mean() < 0.2
    found = system.lanes(np.where(target > 0, 4.0, -4.0), Y, SIZE)
    assert len(found) == 4
    for expected in label:
        errors = [np.abs(lane - expected)[(lane >= 0) & (expected >= 0)] for lane in found]
        best = min(errors, key=np.median)
        # A pixel of the output is 10 (6.7) pixels wide in the image, and lanes meet near the vanishing point.
        assert np.median(best) < 10
        assert len(best) > 0.7 * (expected >= 0).sum()


def test_classes_of_the_segmentation_weigh_by_their_share():
    logits = torch.tensor([[[0.3, -0.2], [1.0, -2.0]]])
    targets = torch.tensor([[[1, 0], [0, 0]]])
    lane, road = 1 / math.log(1.02 + 0.25), 1 / math.log(1.02 + 0.75)
    losses = [lane * math.log(1 + math.exp(-0.3))]
    losses += [road * math.log(1 + math.exp(value)) for value in (-0.2, 1.0, -2.0)]
    expected = sum(losses) / (lane + 3 * road)
    assert SYSTEMS["lanenet"].loss(logits, targets).item() == pytest.approx(expected, rel=1e-5)


def test_traces_bridge_gaps_and_stay_apart():
    picture = np.zeros((40, 60))
    for row in range(40):
        if row not in (20, 21, 22):
            picture[row, 10 + row // 2] = 1.0  # leans, with a gap
        picture[row, 45:47] = (0.6, 0.9)  # two pixels wide
    picture[5, 55] = 1.0  # a speck
    first, second = trace(picture)
    assert first.tolist() == pytest.approx([45.6] * 40)
    assert (second[[20, 21, 22]] == -2).all()
    assert second[[0, 19, 23, 39]].tolist() == [10, 19, 21, 29]


def test_a_long_gap_ends_a_lane():
    picture = np.zeros((40, 20))
    picture[:12, 5] = picture[25:, 5] = 1.0
    assert sorted((lane >= 0).sum() for lane in trace(picture)) == [12, 15]


def test_the_backbone_has_the_names_of_timm(tmp_path):
    timm = pytest.importorskip("timm")
    reference = timm.create_model("resnet18", num_classes=0).eval()
    torch.save(timm.create_model("resnet18").state_dict(), tmp_path / "other.pt")
    torch.save(reference.state_dict(), tmp_path / "resnet18.pt")
    model = SYSTEMS["lanenet"].network().eval()
    load_backbone(model, WeightsFile.of(tmp_path / "resnet18.pt"))
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(model.backbone(images)[-1], reference.forward_features(images), rtol=1e-4, atol=1e-5)
    load_backbone(model, WeightsFile.of(tmp_path / "other.pt"))  # its classifier is left out
    with pytest.raises(StateError, match=r"resnet18\.pt does not hold the weights of the backbone, a ResNet-18"):
        load_backbone(SYSTEMS["lanenet_reduced"].network(), WeightsFile.of(tmp_path / "resnet18.pt"))


def test_published_sizes():
    with torch.device("meta"):
        backbone = sum(parameter.numel() for parameter in ResNet18().parameters())
        model = SYSTEMS["ufld"].network()
        outputs = model(torch.empty(2, 3, 288, 800))
    assert backbone == 11_689_512 - 513_000  # torchvision's ResNet-18 without its classifier
    assert outputs.shape == (2, 101, 56, 4)
    head = 512 * 8 + 8 + 1800 * 2048 + 2048 + 2048 * 22_624 + 22_624
    assert sum(parameter.numel() for parameter in model.parameters()) == backbone + head
