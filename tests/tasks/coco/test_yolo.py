"""YOLOv3: sizes, anchors, boxes there and back, who answers for what, learning one batch by heart."""

import copy
import math
import pickle

import pytest
import torch
from safetensors.torch import load_file, load_model, save_file
from torch.nn import functional as F

import slrprune as slr
from slrprune.compare.identity import fingerprint
from slrprune.deploy import load_sparse, save_sparse
from slrprune.errors import ArgumentError, StateError
from slrprune.tasks.coco.boxes import overlaps, shape_overlaps, sizes
from slrprune.tasks.coco.system import Objects
from slrprune.tasks.coco.systems import NAMES, system_named
from slrprune.tasks.coco.yolo import YOLOV3, YOLOV3_TINY, YOLOV3_TINY_REDUCED, CompleteIoU, SquaredError, Yolo
from slrprune.tasks.coco.yolo.anchors import fit_anchors
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


# --- anchors ---------------------------------------------------------------------------------------------------------


def test_published_anchors_scale_with_the_input():
    system = Yolo(YOLOV3, (416, 832), 80)
    assert system.anchors[0, 0].tolist() == [2 * 116, 90]
    assert system.anchors[2, 0].tolist() == [2 * 10, 13]


def test_anchors_are_found_where_the_boxes_are():
    centers = torch.tensor([[10.0, 10], [20, 60], [90, 50]])
    boxes = (centers[torch.arange(300) % 3] * (1 + 0.05 * torch.randn(300, 2))).float()
    torch.testing.assert_close(fit_anchors(boxes, 3), centers, rtol=0.03, atol=0)


def test_no_box_changes_its_anchor_any_more():
    boxes = 5 + 95 * torch.rand(200, 2)
    anchors = fit_anchors(boxes, 6)
    nearest = shape_overlaps(boxes, anchors).argmax(1)
    again = torch.stack([boxes[nearest == place].mean(0) for place in range(6)])
    torch.testing.assert_close(again, anchors)
    assert (anchors.prod(1).diff() > 0).all()
    assert torch.equal(fit_anchors(boxes, 6), anchors)


def test_more_anchors_than_boxes():
    assert fit_anchors(torch.tensor([[3.0, 4.0]]), 6).tolist() == [[3, 4]] * 6


def test_a_system_fits_its_anchors_but_for_coco():
    boxes = 5 + 50 * torch.rand(100, 2)
    system = reduced(box_weight=2.0, box_loss=SquaredError()).fitted(boxes)
    assert system.anchors.shape == (2, 3, 2)
    areas = system.anchors.prod(2)
    assert areas[0].min() > areas[1].max()  # the coarse map, which comes first, has the large ones
    assert system.objective.box_weight == 2.0
    assert isinstance(system.objective.box_loss, SquaredError)
    coco = Yolo(YOLOV3_TINY, None, 80)
    assert coco.fitted(boxes) is coco
    assert system.fitted(torch.zeros(0, 2)) is system


OTHER = torch.tensor([[[50.0, 40], [60, 80], [90, 90]], [[5.0, 6], [12, 9], [20, 30]]])


def test_anchors_travel_with_the_weights(tmp_path):
    """What was trained with fitted anchors is decoded by them wherever its weights go, without the training boxes."""
    trained = reduced(anchors=OTHER)
    model, images = trained.network().eval(), torch.rand(1, 3, 96, 96)
    expected = trained.detect(model, images)[0]
    published = reduced()
    assert not torch.equal(published.detect(model_without_anchors(model), images)[0].boxes, expected.boxes)
    assert torch.equal(published.detect(model, images)[0].boxes, expected.boxes)
    save_sparse(model, tmp_path / "sparse")
    save_file(model.state_dict(), tmp_path / "dense")
    ways = {
        "state dict": lambda twin: twin.load_state_dict(model.state_dict()),
        "sparse file": lambda twin: load_sparse(tmp_path / "sparse", twin),
        "safetensors": lambda twin: load_model(twin, tmp_path / "dense"),
        "start": lambda twin: published.load(twin, load_file(tmp_path / "dense")),
    }
    for way, load in ways.items():
        twin = published.network().eval()
        load(twin)
        assert torch.equal(published.detect(twin, images)[0].boxes, expected.boxes), way
    seen = [objects([10.0, 20, 40, 60])]
    assert torch.equal(published.loss(model, images, seen), trained.loss(model, images, seen))
    assert torch.equal(published.loss(Wrapper(model), images, seen), trained.loss(model, images, seen))


def model_without_anchors(model):
    twin = copy.deepcopy(model)
    del twin.anchors
    return twin


class Wrapper(torch.nn.Module):
    """As DistributedDataParallel: the network is a part, and gives nothing away but its forward pass."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, images):
        return self.module(images)


def test_weights_without_anchors_keep_those_that_are_there(tmp_path):
    model = reduced(anchors=OTHER).network()
    older = {name: tensor for name, tensor in reduced().network().state_dict().items() if name != "anchors.sizes"}
    save_file(older, tmp_path / "older")
    ways = {
        "state dict": lambda twin: twin.load_state_dict(older),
        "safetensors": lambda twin: load_model(twin, tmp_path / "older"),
        "start": lambda twin: reduced().load(twin, older),
    }
    for way, load in ways.items():
        twin = copy.deepcopy(model)
        load(twin)
        assert torch.equal(twin.anchors.sizes, OTHER), way
        assert torch.equal(twin.fine[0][0].weight, older["fine.0.0.weight"]), way
    assert "anchors.sizes" not in older  # what is missing is added to no one's dictionary
    with pytest.raises(RuntimeError, match=r"fine\.0\.0\.weight"):
        model.load_state_dict({name: older[name] for name in older if name != "fine.0.0.weight"})
    save_sparse(model_without_anchors(model), tmp_path / "sparse")
    with pytest.raises(StateError, match=r"the file does not fit the model: it lacks anchors\.sizes"):
        load_sparse(tmp_path / "sparse", model)
    model.load_state_dict(load_sparse(tmp_path / "sparse"))


def test_fresh_heads_take_the_anchors_of_the_new_boxes():
    model = reduced(anchors=OTHER).network()
    reduced().load(model, Yolo(YOLOV3_TINY_REDUCED, None, 20).network().state_dict())
    assert torch.equal(model.anchors.sizes, OTHER)


def test_anchors_of_another_network_are_refused():
    model, state = reduced().network(), reduced().network().state_dict()
    with pytest.raises(RuntimeError, match=r"size mismatch for anchors\.sizes"):
        model.load_state_dict({**state, "anchors.sizes": torch.ones(3, 3, 2)})


def test_anchors_are_neither_trained_nor_pruned():
    model = reduced(anchors=OTHER).network()
    assert "anchors.sizes" not in dict(model.named_parameters())
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    pruner = slr.Pruner(model, optimizer, slr.Global(0.9), total_steps=2)
    for _ in range(2):
        loss = reduced().loss(model.train(), torch.rand(2, 3, 96, 96), [objects([10.0, 20, 40, 60]), objects()])
        loss.backward()
        optimizer.step()
        pruner.step(loss)
    pruner.finalize()
    assert torch.equal(model.anchors.sizes, OTHER)
    assert all(not name.startswith("anchors") for name in pruner.masks())


def test_a_network_with_anchors_goes_to_onnx(tmp_path):
    pytest.importorskip("onnxruntime")
    from slrprune.deploy.handover import export_onnx

    model = reduced(anchors=OTHER).network().eval()
    assert export_onnx(model, torch.rand(1, 3, 96, 96), tmp_path / "model.onnx").relative_difference < 1e-4


def test_fingerprints_know_the_anchors():
    assert fingerprint(reduced()) == fingerprint(reduced())
    assert fingerprint(reduced()) != fingerprint(reduced(anchors=OTHER))
    models = []
    for anchors in (None, None, OTHER):
        torch.manual_seed(0)
        models.append(reduced(anchors=anchors).network())
    prints = [fingerprint(model) for model in models]
    assert prints[0] == prints[1] != prints[2]


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
