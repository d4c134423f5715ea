"""The COCO task: batches, bad images, evaluation, and the way to a pruned, cut and exported network."""

import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import slrprune as slr
from slrprune.compare.keep import Keep, kept_model
from slrprune.compare.start import DenseSource
from slrprune.deploy import load_sparse, save_sparse
from slrprune.errors import ArgumentError, DataError, MissingExtraError, SlrpruneError, StateError, UsageError
from slrprune.tasks import AdamWRecipe, get
from slrprune.tasks.coco import Coco
from slrprune.tasks.coco.augment import Augmentation
from slrprune.tasks.coco.system import Detections
from slrprune.tasks.coco.systems import system_named
from slrprune.train import PruningTrainer, train


@pytest.fixture(scope="module")
def task(made_coco):
    """The small YOLO on the made images."""
    return Coco(made_coco, system="yolov3_tiny_reduced", size=[64, 96], batch_size=4, holdout=0.25)


def same(first, second):
    return torch.equal(first[0], second[0]) and all(map(torch.equal, first[1], second[1]))


def test_batches_hold_images_and_their_objects(task):
    images, targets = next(task.batches("test"))
    assert images.shape == (3, 3, 64, 96)
    assert (images.dtype, images.min() >= 0, images.max() <= 1) == (torch.float32, True, True)
    for photo, objects in zip(task.sources["test"].photos, targets.objects(), strict=True):
        assert objects.boxes.tolist() == photo.boxes.tolist()
        assert objects.labels.tolist() == photo.labels.tolist()
    assert targets.photos.tolist() == [0, 1, 2]
    assert task.example_input().shape == (1, 3, 64, 96)
    assert task.categories == ("square", "disc")
    assert task.model_name == "yolov3_tiny_reduced"


def test_batches_follow_from_seed_and_epoch_alone(task):
    state = torch.get_rng_state()
    first = list(task.batches("train", epoch=1, seed=2))
    assert torch.equal(torch.get_rng_state(), state)
    assert [len(images) for images, _ in first] == [4]
    assert len(first) == task.steps_per_epoch
    assert all(map(same, first, task.batches("train", epoch=1, seed=2)))
    assert not same(first[0], next(task.batches("train", epoch=2, seed=2)))
    assert not same(first[0], next(task.batches("train", epoch=1, seed=3)))
    assert same(first[0], next(pickle.loads(pickle.dumps(task)).batches("train", epoch=1, seed=2)))


@pytest.mark.parametrize("augment", ["photo", "slide_mosaic"])
def test_workers_change_nothing(made_coco, augment):
    options = {"system": "yolov3_tiny_reduced", "size": [64, 96], "batch_size": 4, "augment": augment}
    here, ahead = (Coco(made_coco, workers=workers, **options) for workers in (0, 1))
    assert all(map(same, here.batches("train", 3, 4), ahead.batches("train", 3, 4)))
    assert all(map(same, here.batches("test"), ahead.batches("test")))


def test_crowds_are_not_trained_on(coco_copy):
    file = coco_copy / "annotations/instances_train2017.json"
    document = json.loads(file.read_text())
    document["annotations"][0]["iscrowd"] = 1
    file.write_text(json.dumps(document))
    task = Coco(coco_copy, system="yolov3_tiny_reduced", size=[64, 96], batch_size=4, augment="none", holdout=0)
    for _, targets in task.batches("train"):
        for number, objects in zip(targets.photos.tolist(), targets.objects(), strict=True):
            photo = task.sources["train"].photos[number]
            assert objects.boxes.tolist() == photo.boxes[~photo.crowd].tolist()


class Oracle:
    """Says of every image what its labels say, in place of the task's system."""

    size = (128, 128)

    def __init__(self, task):
        self.found = [
            Detections(boxes, torch.linspace(1, 0.5, len(boxes)), labels)
            for _, targets in task.batches("test")
            for boxes, labels in targets.objects()
        ]

    def detect(self, model, images):
        return [self.found.pop(0) for _ in images]


@pytest.mark.parametrize("score", ["mAP50", "mAP50-95"])
def test_perfect_detections_are_perfect_in_the_pixels_of_the_image(made_coco, score):
    # 96 x 64 pixels on an input of 128 x 128: scaled by 4/3 and moved down by 21.
    task = Coco(made_coco, system="yolov3_tiny_reduced", size=128, batch_size=2, score=score)
    task.system = Oracle(task)
    assert task.evaluate(torch.nn.Identity(), "test") == pytest.approx(100)
    assert task.metric == {"mAP50": "mAP@0.5", "mAP50-95": "mAP@0.5:0.95"}[score]
    task.system = Oracle(task)
    found = task.details(torch.nn.Identity(), "test")
    assert found == {"mAP@0.5": pytest.approx(100), "mAP@0.5:0.95": pytest.approx(100)}
    task.system = Oracle(task)
    for photo, found in task.detect(torch.nn.Identity(), "test"):
        assert found.boxes == pytest.approx(photo.boxes, abs=1e-4)


def test_detections_beside_the_image_are_cut_at_its_border(made_coco):
    task = Coco(made_coco, system="yolov3_tiny_reduced", size=128, batch_size=2)
    oracle = Oracle(task)
    everything = Detections(torch.tensor([[-50.0, -50, 500, 500]]), torch.ones(1), torch.zeros(1, dtype=torch.int64))
    oracle.found = [everything] * 3
    task.system = oracle
    assert task.detect(torch.nn.Identity(), "test")[0][1].boxes.tolist() == [[0, 0, 96, 64]]


@pytest.mark.parametrize("spoil", ["truncated", "no image", "another size"])
@pytest.mark.parametrize("augment", ["photo", "photo_mosaic"])
def test_an_image_that_breaks_does_not_end_the_epoch(coco_copy, spoil, augment):
    from PIL import Image

    file = coco_copy / "train2017" / "train_001.png"
    reason = "images are truncated or cannot be read"
    if spoil == "truncated":
        file.write_bytes(file.read_bytes()[:120])
    elif spoil == "no image":
        file.write_bytes(b"not an image at all")
    else:
        Image.new("RGB", (64, 96)).save(file)
        reason = "images have another size than their annotations say"
    options = {"system": "yolov3_tiny_reduced", "size": [64, 96], "batch_size": 4, "holdout": 0, "augment": augment}
    task = Coco(coco_copy, **options)
    assert task.warnings() == ()  # images are decoded when their batch is due
    for epoch in range(2):
        batches = list(task.batches("train", epoch))
        assert [len(images) for images, _ in batches] == [4, 4]
        assert 1 not in torch.cat([targets.photos for _, targets in batches])
    assert task.warnings() == (f"Skipped 1, since {reason}: train_001.png.",)
    assert len(task.detect(task.build_model(), "train")) == 7
    with pytest.raises(DataError, match=rf"Coco\(strict=True\): train_001\.png: {reason}"):
        Coco(coco_copy, strict=True, **options)


def test_whatever_a_decoder_raises_is_an_image_that_cannot_be_read(coco_copy, monkeypatch):
    """A damaged AVIF is a RuntimeError, a damaged DDS a NotImplementedError, whatever their names end in."""
    from PIL import Image

    whole = Image.Image.convert

    def convert(self, mode):
        if self.filename.endswith("train_001.png"):
            raise RuntimeError("Failed to decode image")
        return whole(self, mode)

    monkeypatch.setattr(Image.Image, "filename", "", raising=False)
    monkeypatch.setattr(Image.Image, "convert", convert)
    task = Coco(coco_copy, system="yolov3_tiny_reduced", size=[64, 96], batch_size=4, holdout=0)
    assert len(list(task.batches("train"))) == 2
    assert task.warnings() == ("Skipped 1, since images are truncated or cannot be read: train_001.png.",)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_split_of_broken_images_is_refused_by_a_sentence(coco_copy, workers):
    for file in (coco_copy / "train2017").iterdir():
        file.write_bytes(b"not an image at all")
    task = Coco(coco_copy, system="yolov3_tiny_reduced", size=[64, 96], batch_size=4, holdout=0, workers=workers)
    with pytest.raises(
        SlrpruneError, match=r"^Coco: not one example of the training split can be used; .* cannot be rea"
    ):
        next(task.batches("train"))


def test_what_was_wrong_in_the_files_is_among_the_warnings(coco_copy):
    file = coco_copy / "annotations/instances_train2017.json"
    document = json.loads(file.read_text())
    document["annotations"][0]["bbox"] = [1, 1, 0, 5]
    document["annotations"].append({**document["annotations"][0], "id": 5, "bbox": [1, 1, 9, 9]})
    file.write_text(json.dumps(document))
    task = Coco(coco_copy, system="yolov3_tiny_reduced", size=[64, 96], batch_size=4)
    assert task.warnings() == ("Skipped 1, since boxes have no area: instances_train2017.json, annotation 7.",)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"system": "yolov9"}, r"name must be one of yolov3, .*torchvision:NAME or transformers:NAME"),
        ({"score": "AP"}, r"Coco\(score='AP'\): score must be one of mAP50, mAP50-95\."),
        ({"augment": "strong"}, r"Coco\(augment='strong'\): augment must be one of none, photo,"),
        ({"holdout": 1.0}, r"Coco\(holdout=1\.0\): holdout must be in \[0, 1\)"),
        ({"batch_size": 0}, r"Coco\(batch_size=0\): batch_size must be in \[1, 8\]"),
        ({"workers": -1}, r"Coco\(workers=-1\): workers must be at least 0\."),
        ({"size": [64]}, r"Coco\(size=\[64\]\): size must be a positive whole number, or two of them"),
        ({"size": 0}, r"Coco\(size=0\): size must be a positive whole number"),
    ],
)
def test_values_out_of_range_are_refused(made_coco, options, message):
    with pytest.raises(ArgumentError, match=message):
        Coco(made_coco, **{"batch_size": 4, **options})


def test_without_held_out_images_there_is_no_val(made_coco):
    task = get("coco", data=made_coco, system="yolov3_tiny_reduced", size=[64, 96], batch_size=4, holdout=0)
    with pytest.raises(UsageError, match="coco: there is no 'val' split"):
        task.evaluate(task.build_model(), "val")
    with pytest.raises(ArgumentError, match="split must be one of"):
        task.batches("testing")


def test_an_augmentation_of_ones_own(made_coco):
    still = Augmentation(flip_x=False, zoom=(1, 1), stretch=1, color=0)
    options = {"system": "yolov3_tiny_reduced", "size": [64, 96], "batch_size": 4}
    mine, named = (Coco(made_coco, augment=augment, **options) for augment in (still, "none"))
    assert all(map(same, mine.batches("train"), named.batches("train")))


def test_training_pruning_cut_and_file(made_coco, tmp_path):
    # The images are learned by heart, so they stay as they are.
    options = {"system": "yolov3_tiny_reduced", "size": [64, 96], "batch_size": 4, "holdout": 0, "augment": "none"}
    task = Coco(made_coco, **options)
    torch.manual_seed(0)
    model = task.build_model()
    assert task.evaluate(model, "train") < 20
    dense = train(model, task, AdamWRecipe(epochs=40, lr=3e-3, weight_decay=1e-4, warmup=0.1))
    assert dense.losses[-1] < dense.losses[0] / 2
    before = task.judge(model, "train")
    assert before.precisions().at_half > 70
    pruners = []

    def trainer(model, optimizer, steps):
        pruners.append(slr.Pruner(model, optimizer, slr.Global(0.5), total_steps=steps))
        return PruningTrainer(optimizer, pruners[0])

    train(model, task, AdamWRecipe(epochs=10, lr=1e-3, weight_decay=1e-4), trainer=trainer)
    assert pruners[0].finalize().sparsity == pytest.approx(0.5, abs=1e-4)
    after = task.evaluate(model, "train")
    assert after > before.precisions().at_half - 20
    save_sparse(model, tmp_path / "model.safetensors")
    twin = task.build_model()
    load_sparse(tmp_path / "model.safetensors", twin)
    assert np.isclose(task.evaluate(twin, "train"), after)


def test_a_checkpoint_must_be_of_these_categories(made_coco, tmp_path):
    options = {"system": "yolov3_tiny_reduced", "size": [64, 96], "batch_size": 4}
    trained, other = (system_named(options["system"], (64, 96), classes).network() for classes in (2, 5))
    file = tmp_path / "weights.pth"
    torch.save(trained.state_dict(), file)
    assert Coco(made_coco, **options).pretrained() is None
    taken = Coco(made_coco, checkpoint=file, **options).pretrained().state_dict()
    assert all(torch.equal(taken[name], tensor) for name, tensor in trained.state_dict().items())
    torch.save(other.state_dict(), file)
    message = r"weights\.pth does not hold weights of yolov3_tiny_reduced for 2 categories\. Those of other .* `start`"
    with pytest.raises(StateError, match=message):
        Coco(made_coco, checkpoint=file, **options).pretrained()
    begun = Coco(made_coco, start=file, **options).build_model().state_dict()
    assert torch.equal(begun["fine.0.0.weight"], other.state_dict()["fine.0.0.weight"])


def test_the_anchors_of_a_checkpoint_go_through_a_comparison(made_coco, tmp_path):
    """Its weights keep the anchors of their own training, whatever boxes these images have."""
    options = {"system": "yolov3_tiny_reduced", "size": 96, "batch_size": 4}
    trained = Coco(made_coco, **options).build_model()
    other = trained.anchors.sizes.mul_(1.5).clone()
    torch.save(trained.state_dict(), tmp_path / "weights.pth")
    task = Coco(made_coco, checkpoint=tmp_path / "weights.pth", **options)
    assert not torch.equal(task.build_model().anchors.sizes, other)
    assert torch.equal(task.pretrained().anchors.sizes, other)
    dense = DenseSource(task, tmp_path / "runs")
    dense.make(0)
    assert torch.equal(dense.load(0)[0].anchors.sizes, other)
    kept = tmp_path / "runs" / "models" / "one.safetensors"
    Keep({"data": made_coco, **options}).save(dense.load(0)[0], task, kept.parent.parent / "one.json", "a run")
    model, _ = kept_model(kept).rebuild()
    assert torch.equal(model.anchors.sizes, other)


def test_other_weights_under_the_same_name_are_another_comparison(made_coco, tmp_path):
    options = {"system": "yolov3_tiny", "size": [64, 96], "batch_size": 4}
    state = Coco(made_coco, **options).build_model().state_dict()
    dense = []
    for folder, value in (("a", 0.0), ("b", 1.0)):
        (tmp_path / folder).mkdir()
        torch.save(state | {"anchors.sizes": state["anchors.sizes"] + value}, tmp_path / folder / "start.pt")
        task = Coco(made_coco, start=tmp_path / folder / "start.pt", **options)
        dense.append(DenseSource(task, tmp_path / "runs").fingerprint)
    assert dense[0] != dense[1]


def test_without_pillow_the_extra_is_named(task, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingExtraError, match=r"Reading photographs needs Pillow\..*slrprune\[detection\]"):
        next(task.batches("test"))


def test_the_blood_cells(data_dir, tmp_path):
    if not (data_dir / "detect" / "bccd.json").is_file():
        pytest.skip(f"needs BCCD: {data_dir} has no detect/bccd.json")
    script = Path(__file__).resolve().parents[3] / "benchmarks" / "bccd_to_coco.py"
    command = [sys.executable, script, "--data", data_dir, "--out", tmp_path]
    made = subprocess.run(command, check=True, capture_output=True, text=True)
    assert made.stdout == "train: 205 images, val: 87 images, test: 72 images\n"
    task = Coco(tmp_path, system="yolov3_tiny_reduced", size=[96, 128], batch_size=4)
    assert task.categories == ("RBC", "WBC", "Platelets")
    assert sum(len(photo.boxes) for source in task.sources.values() for photo in source.photos) == 4886
    assert task.warnings()[0].startswith("Skipped 2, since boxes have no area: train.json, annotation")
    assert len(next(task.batches("train"))[0]) == 4
