"""Detectors of torchvision and transformers by name: loss, outputs, pruning, cut, file."""

import shutil
import sys
from importlib.util import find_spec

import pytest
import torch

pytest.importorskip("torchvision")
pytest.importorskip("transformers")

import transformers
from coco_data import write_coco
from two_steps import GIBIBYTE, peak_memory

import slrprune as slr
from slrprune.deploy import load_sparse, save_sparse
from slrprune.errors import ArgumentError, DataError, MissingExtraError, StateError
from slrprune.tasks.coco import Coco
from slrprune.tasks.coco.system import Objects
from slrprune.tasks.coco.systems import system_named
from slrprune.tasks.coco.transformers_system import Answers, TransformersSystem

SSDLITE = "torchvision:ssdlite320_mobilenet_v3_large"


@pytest.fixture(scope="module")
def yolos(tmp_path_factory):
    """The folder of a tiny YOLOS, a configuration without weights."""
    folder = tmp_path_factory.mktemp("models") / "yolos"
    transformers.YolosConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        image_size=[64, 96],
        num_detection_tokens=10,
        use_mid_position_embeddings=False,
    ).save_pretrained(folder)
    return folder


def step_prune_and_save(task, folder):
    """Two steps under a pruner, the cut, the file and back; returns the cut model."""
    model = task.build_model()
    optimizer = task.pruning_recipe.optimizer(model)
    pruner = slr.Pruner(model, optimizer, slr.Global(0.8), total_steps=2)
    batch = next(task.batches("train"))
    for _ in range(2):
        optimizer.zero_grad()
        loss = task.loss(model, batch)
        loss.backward()
        optimizer.step()
        pruner.step(loss)
        assert torch.isfinite(loss)
        assert loss.dtype == torch.float32
    assert pruner.finalize().sparsity == pytest.approx(0.8, abs=1e-3)
    save_sparse(model, folder / "model.safetensors")
    twin = task.build_model()
    load_sparse(folder / "model.safetensors", twin)
    first, second = (task.detect(network, "test") for network in (model, twin))
    for (_, found), (_, again) in zip(first, second, strict=True):
        assert (found.boxes == again.boxes).all()
    return model


def test_a_detector_of_torchvision(made_coco, tmp_path, suppression):
    task = Coco(made_coco, system=SSDLITE, size=[64, 96], batch_size=4)
    assert task.model_name == "ssdlite320_mobilenet_v3_large"
    model = step_prune_and_save(task, tmp_path)
    photo, found = task.detect(model, "test")[0]
    assert 0 < len(found.boxes) <= 100
    assert (found.scores[:-1] >= found.scores[1:]).all()
    assert set(found.labels.tolist()) <= {0, 1}
    assert found.boxes.max(0)[2] <= photo.size[0]


def test_labels_go_to_torchvision_and_back(monkeypatch):
    system = system_named(SSDLITE, None, 2)
    assert system.size == (320, 320)
    seen = []

    class Answering(torch.nn.Module):
        def forward(self, images, targets=None):
            if targets is None:
                boxes = torch.arange(480.0).reshape(120, 4)
                return [{"boxes": boxes, "scores": torch.linspace(0, 1, 120), "labels": torch.tensor([1, 2] * 60)}]
            seen.extend(targets)
            return {"first": torch.tensor(1.5), "second": torch.tensor(2.0)}

    objects = [Objects(torch.tensor([[1.0, 2, 30, 40]]), torch.tensor([1]))]
    images = torch.zeros(1, 3, 320, 320)
    assert system.loss(Answering(), images, objects) == 3.5
    assert seen[0]["labels"].tolist() == [2]
    found = system.detect(Answering(), images)[0]
    assert found.labels[:2].tolist() == [1, 0]
    assert (len(found.boxes), found.scores[0]) == (100, 1.0)
    assert found.boxes[0].tolist() == [476, 477, 478, 479]


def test_torchvision_takes_the_input_as_it_is():
    system = system_named("torchvision:retinanet_resnet50_fpn", (64, 96), 2)
    with torch.device("meta"):
        transform = system.network().transform
    images, _ = transform([torch.full((3, 64, 96), 0.485)])
    assert images.tensors.shape == (1, 3, 64, 96)
    assert images.tensors[0, 0] == pytest.approx(0, abs=1e-6)
    assert system_named("torchvision:retinanet_resnet50_fpn", None, 2).size == (800, 1333)


def test_weights_of_other_categories_start_all_but_the_head():
    with torch.device("meta"):
        theirs, ours = (system_named(SSDLITE, None, classes).network() for classes in (80, 2))
    state = {name: torch.full_like(tensor, 7, device="cpu") for name, tensor in theirs.state_dict().items()}
    ours = ours.to_empty(device="cpu")
    system_named(SSDLITE, (320, 320), 2).load(ours, state)
    kept = [name for name, tensor in ours.state_dict().items() if not (tensor == 7).all()]
    assert kept
    assert all(name.startswith("head.classification_head") for name in kept)


def test_weights_trained_with_a_frozen_batchnorm_are_taken():
    system = system_named("torchvision:retinanet_resnet50_fpn", (64, 96), 2)
    with torch.device("meta"):
        model = system.network()
    # As in torchvision's published file.
    kept = {name: tensor for name, tensor in model.state_dict().items() if "num_batches_tracked" not in name}
    assert len(kept) < len(model.state_dict())
    state = {name: torch.full_like(tensor, 7, device="cpu") for name, tensor in kept.items()}
    model = model.to_empty(device="cpu")
    system.load(model, state)
    assert all((model.state_dict()[name] == 7).all() for name in state)


def test_weights_of_another_network_are_refused(made_coco, yolos, tmp_path):
    torch.save({"weight": torch.zeros(3)}, tmp_path / "other.pth")
    task = Coco(made_coco, system=f"transformers:{yolos}", start=tmp_path / "other.pth", batch_size=4)
    with pytest.raises(StateError, match=r"Coco: .*other\.pth does not hold weights of yolos"):
        task.build_model()


def test_damaged_weights_are_refused_by_the_folder(yolos, tmp_path):
    folder = shutil.copytree(yolos, tmp_path / "damaged")
    file = folder / "model.safetensors"
    system_named(f"transformers:{folder}", None, 2).network().detector.save_pretrained(folder)
    whole = file.read_bytes()
    for content in (b"version https://git-lfs.github.com/spec/v1", b"", whole[: len(whole) // 2]):
        file.write_bytes(content)
        with pytest.raises(DataError, match=r"coco: transformers cannot load '.*damaged' \("):
            system_named(f"transformers:{folder}", None, 2).network()


@pytest.mark.parametrize("model", ["ssdlite", "maskrcnn_resnet50_fpn", "resnet50"])
def test_other_names_are_refused(model):
    with pytest.raises(
        ArgumentError, match=rf"torchvision\(model='{model}'\): model must be a detector of torchvision"
    ):
        system_named(f"torchvision:{model}", None, 2)


def test_a_detector_of_transformers(made_coco, yolos, tmp_path):
    task = Coco(made_coco, system=f"transformers:{yolos}", batch_size=4)
    assert (task.model_name, task.system.size) == ("yolos", (64, 96))
    model = step_prune_and_save(task, tmp_path)
    assert task.detect(model, "test")[0][1].boxes.shape == (10, 4)


def test_the_loss_is_computed_by_a_call_of_the_module(made_coco, yolos):
    """A wrapper such as DistributedDataParallel sees calls of the module alone, and it has no other methods."""

    class Wrapper(torch.nn.Module):
        def __init__(self, module):
            super().__init__()
            self.module = module

        def forward(self, *inputs):
            return self.module(*inputs)

    task = Coco(made_coco, system=f"transformers:{yolos}", batch_size=4)
    model = task.build_model().eval()
    batch = next(task.batches("train"))
    assert torch.equal(task.loss(Wrapper(model), batch), task.loss(model, batch))


def test_boxes_go_to_transformers_and_back(yolos):
    system = TransformersSystem(str(yolos), (100, 200), 2)
    objects = Objects(torch.tensor([[20.0, 10, 60, 40]]), torch.tensor([1]))
    labels = system._labels(objects)
    assert labels["boxes"][0].tolist() == pytest.approx([0.2, 0.25, 0.2, 0.3])
    assert labels["class_labels"].tolist() == [1]
    no_object = torch.tensor([[[0.0, 3.0, 0.0], [0.0, 0.0, 9.0]]])
    boxes = torch.tensor([[[0.2, 0.25, 0.2, 0.3], [0.5, 0.5, 1.0, 1.0]]])
    found = system.detect(lambda images: Answers(no_object, boxes), torch.zeros(1, 3, 100, 200))[0]
    assert found.boxes[0].tolist() == pytest.approx([20, 10, 60, 40])
    assert found.labels.tolist() == [1, 0]
    expected = torch.tensor([[0.0, 3.0, 0.0], [0.0, 0.0, 9.0]]).softmax(1)
    assert found.scores.tolist() == pytest.approx([expected[0, 1].item(), expected[1, 0].item()])


def test_heads_without_no_object_give_pairs_of_query_and_category(yolos):
    system = TransformersSystem(str(yolos), (100, 200), 2)
    logits = torch.tensor([[[2.0, 1.0], [-5.0, 3.0]]])
    boxes = torch.tensor([[[0.5, 0.5, 1.0, 1.0], [0.2, 0.25, 0.2, 0.3]]])
    found = system.detect(lambda images: Answers(logits, boxes), torch.zeros(1, 3, 100, 200))[0]
    assert found.labels.tolist() == [1, 0, 1, 0]
    assert found.scores.tolist() == pytest.approx(torch.tensor([3.0, 2.0, 1.0, -5.0]).sigmoid().tolist())
    assert found.boxes[0].tolist() == pytest.approx([20, 10, 60, 40])
    assert found.boxes[1].tolist() == pytest.approx([0, 0, 200, 100])


def test_a_folder_with_weights_keeps_them_but_for_the_head(yolos, tmp_path):
    folder = tmp_path / "trained"
    shutil.copytree(yolos, folder)
    config = transformers.AutoConfig.from_pretrained(folder, num_labels=7)
    trained = transformers.AutoModelForObjectDetection.from_config(config)
    trained.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text('{"image_mean": [0.5, 0.5, 0.5], "image_std": [0.25, 0.25, 0.25]}')
    model = system_named(f"transformers:{folder}", None, 2).network()
    ours, theirs = model.detector.state_dict(), trained.state_dict()
    different = {name for name in ours if ours[name].shape != theirs[name].shape}
    assert different == {"class_labels_classifier.layers.2.weight", "class_labels_classifier.layers.2.bias"}
    assert all(torch.equal(ours[name], theirs[name]) for name in ours if name not in different)
    assert model.mean.flatten().tolist() == [0.5, 0.5, 0.5]
    assert model.std.flatten().tolist() == [0.25, 0.25, 0.25]


def test_a_model_that_is_nowhere_is_refused(tmp_path):
    with pytest.raises(
        DataError, match=r"transformers: there is no model .*nowhere\. Give a name on the hub, or a fol"
    ):
        system_named(f"transformers:{tmp_path}/nowhere", None, 2)


@pytest.mark.parametrize(
    ("library", "module", "extra"),
    [("torchvision", "packages", "detection"), ("transformers", "coco.transformers_system", "transformers")],
)
def test_without_the_library_the_extra_is_named(monkeypatch, library, module, extra):
    place = sys.modules[f"slrprune.tasks.{module}"]
    monkeypatch.setattr(place, "find_spec", lambda name: None if name == library else find_spec(name))
    with pytest.raises(MissingExtraError, match=rf"A detector of {library} needs {library}\..*slrprune\[{extra}\]"):
        system_named(f"{library}:anything", None, 2)


@pytest.mark.slow
@pytest.mark.parametrize(
    "system", ["ssdlite320_mobilenet_v3_large", "ssd300_vgg16", "retinanet_resnet50_fpn", "fcos_resnet50_fpn"]
)
def test_the_published_sizes(tmp_path, suppression, system):
    folder = write_coco(tmp_path / "data", train=2, test=1, size=(640, 480))
    task = Coco(folder, system=f"torchvision:{system}", holdout=0, batch_size=2)
    assert task.example_input().shape == (1, 3, *task.system.size)
    step_prune_and_save(task, tmp_path)
    assert peak_memory() < 12 * GIBIBYTE
