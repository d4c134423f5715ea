"""YOLOv3's anchors: published, fitted, and inside the network, where its weights take them along."""

import copy
import json

import pytest
import torch
from safetensors.torch import load_file, load_model, save_file

import slrprune as slr
from slrprune.compare.identity import fingerprint
from slrprune.deploy import load_sparse, save_sparse
from slrprune.errors import StateError
from slrprune.tasks.coco import Coco
from slrprune.tasks.coco.boxes import shape_overlaps
from slrprune.tasks.coco.system import Objects
from slrprune.tasks.coco.yolo import YOLOV3, YOLOV3_TINY, YOLOV3_TINY_REDUCED, SquaredError, Yolo
from slrprune.tasks.coco.yolo.anchors import fit_anchors


def objects(*boxes):
    found = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    return Objects(found, torch.zeros(len(boxes), dtype=torch.long))


def reduced(**options):
    return Yolo(YOLOV3_TINY_REDUCED, None, 3, **options)


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


def test_boxes_are_cut_at_the_border_before_anchors_are_fitted(coco_copy):
    file = coco_copy / "annotations/instances_train2017.json"
    document = json.loads(file.read_text())
    document["annotations"] = [
        {**entry, "bbox": [-1e5, 10, 2e5, 1e5] if entry["image_id"] == 100 else [90, 60, 1e5, 1e5]}
        for entry in document["annotations"]
    ]
    file.write_text(json.dumps(document))
    anchors = Coco(coco_copy, system="yolov3_tiny_reduced", size=[64, 96], batch_size=4, holdout=0).system.anchors
    torch.testing.assert_close(anchors.reshape(-1, 2).unique(dim=0), torch.tensor([[6.0, 4], [96, 54]]))


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
