"""YOLOv3: sizes, boxes there and back, who answers for what, learning one batch by heart."""

import math
import pickle

import pytest
import torch
from torch.nn import functional as F

from slrprune.errors import ArgumentError
from slrprune.tasks.coco.boxes import overlaps, sizes
from slrprune.tasks.coco.system import Objects
from slrprune.tasks.coco.systems import NAMES, system_named
from slrprune.tasks.coco.yolo import YOLOV3_TINY_REDUCED, CompleteIoU, SquaredError, Yolo
from slrprune.tasks.coco.yolo.assign import assign, is_first, silent
from slrprune.tasks.coco.yolo.loss import YoloLoss
from slrprune.tasks.coco.yolo.places import all_places, decode, encode, in_a_row


def objects(*boxes, labels=None):
    found = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    return Objects(found, torch.tensor(labels if labels is not None else [0] * len(boxes), dtype=torch.long))


def reduced(**options):
    return Yolo(YOLOV3_TINY_REDUCED, None, 3, **options)


def places_of(system):
    return all_places(system.size, system.design.strides, system.anchors)


# --- networks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "weights"), [("yolov3", 61_949_149), ("yolov3_tiny", 8_852_366)])
def test_the_published_numbers_of_parameters(name, weights):
    # Those of the layers in the authors' yolov3.cfg and yolov3-tiny.cfg: convolutions, BatchNorm, biases of the heads.
    with torch.device("meta"):
        model = system_named(name, None, 80).design.build(3 * 85)
    assert sum(parameter.numel() for parameter in model.parameters()) == weights


@pytest.mark.parametrize(("name", "maps"), [("yolov3", [(2, 3), (4, 6), (8, 12)]), ("yolov3_tiny", [(2, 3), (4, 6)])])
def test_the_output_maps(name, maps):
    with torch.device("meta"):
        model = system_named(name, (64, 96), 80).design.build(255)
        found = model(torch.empty(2, 3, 64, 96))
    assert [tuple(tensor.shape) for tensor in found] == [(2, 255, *size) for size in maps]


def test_pooling_with_stride_one_compares_each_pixel_with_its_neighbours_right_and_below():
    pad, pool = system_named("yolov3_tiny_reduced", None, 3).network().coarse[2:4]
    x = torch.randn(1, 2, 3, 4)
    padded = F.pad(x, (0, 1, 0, 1), value=-math.inf)
    expected = torch.stack([padded[..., i : i + 3, j : j + 4] for i in (0, 1) for j in (0, 1)]).amax(0)
    torch.testing.assert_close(pool(pad(x)), expected, rtol=0, atol=0)


@pytest.mark.parametrize("size", [(100, 96), (0, 32), (16, 16)])
def test_sizes_that_do_not_fit_are_refused(size):
    with pytest.raises(ArgumentError, match="must be positive multiples of 32"):
        system_named("yolov3_tiny", size, 3)


def test_names():
    assert NAMES == ("yolov3", "yolov3_tiny", "yolov3_tiny_reduced", "fastestdet")
    with pytest.raises(ArgumentError, match=r"name='yolov3_tini'.*The closest is yolov3_tiny"):
        system_named("yolov3_tini", None, 3)
    with pytest.raises(ArgumentError, match="classes must be at least 1"):
        system_named("yolov3", None, 0)


def test_weights_for_other_categories_leave_the_last_layers_fresh():
    other = Yolo(YOLOV3_TINY_REDUCED, None, 20).network()
    model = reduced().network()
    fresh = model.coarse_head[1].weight.clone()
    reduced().load(model, other.state_dict())
    assert torch.equal(model.coarse_head[1].weight, fresh)
    assert torch.equal(model.coarse_head[0][0].weight, other.coarse_head[0][0].weight)
    with pytest.raises(RuntimeError, match="numbers fit"):
        reduced().load(model, {"weight": torch.zeros(3)})


def test_a_new_network_sees_hardly_anything():
    system = reduced()
    model = system.network().eval()
    numbers = in_a_row(model(torch.rand(1, 3, 96, 96)), 3)
    torch.testing.assert_close(torch.sigmoid(numbers[..., 4]).mean(), torch.tensor(0.01), rtol=0.5, atol=0)


def test_a_system_can_be_pickled():
    system = reduced()
    again = pickle.loads(pickle.dumps(system))
    assert torch.equal(again.anchors, system.anchors)


# --- places ----------------------------------------------------------------------------------------------------------


def test_the_maps_in_a_row():
    # One channel per (anchor, number), so that its value says where it came from.
    coarse = torch.arange(2 * 6 * 1 * 2).reshape(2, 6, 1, 2)
    rows = in_a_row([coarse], 3)
    assert rows.shape == (2, 6, 2)
    # Cells in order, in each its anchors: cell 1, anchor 2, number 1 is channel 5, column 1.
    assert rows[1, 5, 1] == coarse[1, 5, 0, 1]
    places = all_places((32, 64), (32,), torch.tensor([[[1.0, 2], [3, 4], [5, 6]]]))
    assert places.corners.tolist() == [[0, 0]] * 3 + [[32, 0]] * 3
    assert places.anchors[5].tolist() == [5, 6]


def test_boxes_there_and_back():
    system = reduced()
    boxes = torch.tensor([[10.0, 20, 40, 60], [33, 1, 95, 95], [50, 50, 53, 58], [0, 0, 96, 96]])
    answers = assign(boxes, (96, 96), (32, 16), system.anchors)
    assert len(answers.unique()) == 4
    places = places_of(system).at(answers)
    torch.testing.assert_close(decode(encode(boxes, places), places), boxes, rtol=1e-4, atol=1e-3)


def test_boxes_stay_finite_whatever_the_network_says():
    system = reduced()
    boxes = decode(torch.full((len(places_of(system).corners), 4), 1e4), places_of(system))
    assert torch.isfinite(boxes).all()


# --- who answers -----------------------------------------------------------------------------------------------------


def test_the_anchor_of_the_most_similar_shape_in_the_cell_of_the_center_answers():
    anchors = torch.tensor([[[60.0, 60], [30, 80]], [[10.0, 10], [20, 20]]])
    # The center (50, 20) is in column 1, row 0 of the coarse map and in column 3, row 1 of the fine one.
    large, small = [20.0, -10, 80, 50], [41.0, 11, 59, 29]
    answers = assign(torch.tensor([large, small]), (96, 96), (32, 16), anchors)
    assert answers.tolist() == [1 * 2 + 0, 9 * 2 + (1 * 6 + 3) * 2 + 1]


def test_a_center_at_the_far_border_is_in_the_last_cell():
    anchors = torch.tensor([[[60.0, 60]], [[2.0, 2]]])
    assert assign(torch.tensor([[95.0, 95, 97, 97]]), (96, 96), (32, 16), anchors).tolist() == [9 + 35]


def test_of_two_objects_at_one_place_the_first_counts():
    boxes = torch.tensor([[1.0, 1, 31, 31], [40.0, 40, 60, 60], [2.0, 2, 32, 32]])
    answers = assign(boxes, (96, 96), (32,), torch.tensor([[[30.0, 30]]]))
    assert answers.tolist() == [0, 4, 0]
    assert is_first(answers, 9).tolist() == [True, True, False]


def test_near_misses_are_silent():
    target = torch.tensor([[0.0, 0, 10, 10]])
    found = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 5.1], [0, 0, 10, 5], [40, 40, 50, 50]])
    # The overlaps are 1, 0.51, 0.5 and 0; silent is what lies above one half.
    assert silent(found, target, 0.5).tolist() == [True, True, False, False]
    assert not silent(found, torch.zeros(0, 4), 0.5).any()


def objectness_alone(numbers, seen, system):
    """The loss where boxes count nothing and categories are taken off again."""
    places = assign(seen.boxes, system.size, (32, 16), system.anchors)
    total = YoloLoss(CompleteIoU(), 0.0)(
        numbers[None], [seen], places_of(system), size=system.size, strides=(32, 16), anchors=system.anchors
    )
    classes = F.one_hot(seen.labels, 3).float()
    return total - F.binary_cross_entropy_with_logits(numbers[places, 5:], classes, reduction="sum")


def test_a_place_that_sees_the_object_of_another_one_is_not_called_wrong():
    system = reduced()
    seen = objects([20.0, 20, 60, 60])
    answer = assign(seen.boxes, system.size, (32, 16), system.anchors).item()
    numbers = torch.zeros(len(places_of(system).corners), 8)
    numbers[:, 4] = -20.0  # nobody sees anything, and the boxes are the anchors
    numbers[answer, 4] = 20.0
    quiet = objectness_alone(numbers, seen, system)
    assert quiet.item() == pytest.approx(0, abs=1e-5)
    other = next(place for place in (0, 1, 2, 3, 4, 5) if place != answer)
    wrong = numbers.clone()
    wrong[other, 2:4] = -5.0  # far too small a box
    wrong[other, 4] = 20.0
    assert objectness_alone(wrong, seen, system).item() == pytest.approx(20, rel=1e-3)
    near = next(
        place
        for place in range(len(numbers))
        if place != answer and (places_of(system).corners[place] - torch.tensor([40.0, 40])).abs().max() < 32
    )
    place = places_of(system).at(torch.tensor([near]))
    centered = torch.tensor([[20.0, 20, 60, 60]])
    # Its box is the object's own as far as its cell allows.
    ignored = numbers.clone()
    ignored[near, :4] = encode(centered, place)[0]
    ignored[near, 4] = 20.0
    assert overlaps(decode(ignored[near : near + 1, :4], place), centered).item() > 0.5
    assert objectness_alone(ignored, seen, system).item() == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("box_loss", [CompleteIoU(), SquaredError()])
def test_the_right_box_has_no_loss_and_a_wrong_one_has(box_loss):
    system = reduced()
    boxes = torch.tensor([[10.0, 20, 40, 60], [50.0, 50, 70, 90]])
    places = places_of(system).at(assign(boxes, system.size, (32, 16), system.anchors))
    right = encode(boxes, places)
    torch.testing.assert_close(box_loss(right, boxes, places, (96, 96)), torch.zeros(2), atol=1e-4, rtol=0)
    assert (box_loss(right + 0.3, boxes, places, (96, 96)) > 0.01).all()


def test_small_boxes_weigh_more_in_the_squared_error():
    places = all_places((96, 96), (32,), torch.tensor([[[30.0, 30]]])).at(torch.tensor([0, 0]))
    boxes = torch.tensor([[0.0, 0, 30, 30], [12.0, 12, 18, 18]])
    off = encode(boxes, places) + torch.tensor([0.0, 0, 1, 0])
    expected = torch.tensor([0.5 * (2 - 900 / 9216), 0.5 * (2 - 36 / 9216)])
    torch.testing.assert_close(SquaredError()(off, boxes, places, (96, 96)), expected, rtol=1e-4, atol=1e-5)


# --- learning --------------------------------------------------------------------------------------------------------


def test_images_without_objects_have_a_loss_and_a_gradient():
    system = reduced()
    model = system.network().train()
    loss = system.loss(model, torch.rand(2, 3, 96, 96), [objects(), objects()])
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("box_loss", [CompleteIoU(), SquaredError()])
def test_one_batch_is_learned_by_heart(box_loss):
    system = Yolo(YOLOV3_TINY_REDUCED, (64, 64), 3, box_loss=box_loss)
    images = torch.rand(2, 3, 64, 64)
    seen = [objects([4.0, 4, 24, 28], [30.0, 20, 60, 60], labels=[0, 2]), objects([10.0, 14, 50, 60], labels=[1])]
    model = system.network().train()
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    first = None
    for _ in range(80):
        optimizer.zero_grad()
        loss = system.loss(model, images, seen)
        loss.backward()
        optimizer.step()
        first = loss.item() if first is None else first
    assert loss.item() < 0.1 * first
    # In training mode, whose statistics are those of this batch, as the network knows it.
    for found, right in zip(system.detect(model, images), seen, strict=True):
        sure = found.scores > 0.5
        assert sorted(found.labels[sure].tolist()) == sorted(right.labels.tolist())
        for box, label in zip(found.boxes[sure], found.labels[sure], strict=True):
            assert overlaps(box[None], right.boxes[right.labels == label]).item() > 0.8


def test_at_most_a_hundred_detections_best_first():
    system = reduced()
    model = system.network().eval()
    with torch.no_grad():
        for found in system.detect(model, torch.rand(2, 3, 96, 96)):
            assert len(found.scores) <= 100
            assert (found.scores.diff() <= 0).all()
            assert sizes(found.boxes).min() > 0
