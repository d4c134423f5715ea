"""The TuSimple task from its folder to a pruned, cut and saved network."""

import json
import pickle
import shutil
import sys

import numpy as np
import pytest
import torch

import slrprune as slr
from slrprune.deploy import load_sparse, save_sparse
from slrprune.errors import ArgumentError, DataError, MissingExtraError
from slrprune.tasks import AdamWRecipe, get
from slrprune.tasks.base import has_split
from slrprune.tasks.tusimple import TuSimple
from slrprune.tasks.tusimple.metric import LaneScores
from slrprune.train import PruningTrainer, train

VAL = "train_set/label_data_0531.json"


def same(first, second):
    return torch.equal(first[0], second[0]) and all(map(torch.equal, first[1], second[1]))


class Oracle(torch.nn.Module):
    """Says of every image what its labels say."""

    def __init__(self, task, split):
        super().__init__()
        self.task = task
        self.targets = [wanted for _, targets in task.batches(split) for wanted in targets.wanted]

    def forward(self, images):
        wanted = torch.stack([self.targets.pop(0) for _ in images])
        if self.task.system.name.startswith("ufld"):
            cells = torch.nn.functional.one_hot(wanted, self.task.system.cells + 1).permute(0, 3, 1, 2)
            return 30.0 * cells
        return torch.where(wanted > 0, 9.0, -9.0)


@pytest.mark.parametrize(("system", "least"), [("ufld", 98), ("ufld_reduced", 95), ("lanenet", 92)])
def test_perfect_outputs_find_the_lanes(made_tusimple, system, least):
    task = TuSimple(made_tusimple, system=system, batch_size=1)
    assert task.evaluate(Oracle(task, "test"), "test") > least
    found = task.scores(Oracle(task, "test"), "test")
    assert (found.false_positives, found.false_negatives) == (0, 0)


def test_details_are_the_official_figures_in_percent(lane_task, monkeypatch):
    monkeypatch.setattr(TuSimple, "scores", lambda *_: LaneScores(0.75, 0.5, 0.25))
    assert lane_task.details(None, "test") == {
        "accuracy": 75,
        "false positive rate": 50,
        "false negative rate": 25,
    }


def test_splits_follow_the_label_files(lane_task, made_tusimple):
    names = {split: [image.name for image in source.images] for split, source in lane_task.sources.items()}
    assert [len(names[split]) for split in ("train", "val", "test")] == [8, 2, 2]
    lines = (made_tusimple / VAL).read_text().splitlines()
    assert names["val"] == [json.loads(line)["raw_file"] for line in lines]
    assert lane_task.example_input().shape == (1, 3, 64, 160)


def test_labels_and_clips_may_lie_in_one_folder(made_tusimple, tmp_path):
    for part in ("train_set", "test_set"):
        shutil.copytree(made_tusimple / part, tmp_path, dirs_exist_ok=True)
    task = get("tusimple", data=tmp_path, system="ufld_reduced", batch_size=4)
    assert [len(source) for source in task.sources.values()] == [8, 2, 2]


def test_batches_follow_from_seed_and_epoch_alone(lane_task):
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first = list(lane_task.batches("train", epoch=1, seed=2))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(map(same, first, lane_task.batches("train", epoch=1, seed=2)))
    assert len(first) == lane_task.steps_per_epoch == 2
    assert not same(first[0], next(lane_task.batches("train", epoch=2, seed=2)))
    assert not same(first[0], next(lane_task.batches("train", epoch=1, seed=3)))
    twin = pickle.loads(pickle.dumps(lane_task))
    assert same(first[0], next(twin.batches("train", epoch=1, seed=2)))


def test_workers_change_nothing(lane_task, made_tusimple):
    ahead = TuSimple(made_tusimple, system="ufld_reduced", batch_size=4, workers=1)
    assert all(map(same, lane_task.batches("test"), ahead.batches("test")))
    assert all(map(same, lane_task.batches("train", 3, 4), ahead.batches("train", 3, 4)))


@pytest.mark.parametrize("missing", ["train_set/label_data_0601.json", VAL, "test_set/test_label.json"])
def test_a_missing_label_file_is_named(tusimple_copy, missing):
    (tusimple_copy / missing).unlink()
    with pytest.raises(DataError, match=rf"TuSimple: the file {tusimple_copy / missing} is missing"):
        TuSimple(tusimple_copy)


def test_missing_clips_are_named(tusimple_copy):
    (tusimple_copy / "test_set" / "clips").rename(tusimple_copy / "elsewhere")
    with pytest.raises(DataError, match=rf"TuSimple: the folder {tusimple_copy / 'test_set' / 'clips'} is missing"):
        TuSimple(tusimple_copy)


def edited(folder, **changes):
    """Changes the first line of a label file; returns the name of the file."""
    file = folder / "train_set" / "label_data_0313.json"
    first, *others = file.read_text().splitlines()
    entry = json.loads(first)
    entry.update(changes)
    entry = {key: value for key, value in entry.items() if value is not None}
    file.write_text("\n".join([json.dumps(entry), *others]) + "\n")


DAMAGES = {
    "no lanes": ({"lanes": []}, "labels hold no lane"),
    "absent lanes": ({"lanes": [[-2, -2]], "h_samples": [100, 200]}, "labels hold no lane"),
    "ragged lanes": ({"lanes": [[1, 2, 3]]}, "labels have lanes that do not fit their rows"),
    "words": ({"lanes": [["a", "b"]], "h_samples": [100, 200]}, "labels have lanes that do not fit their rows"),
    "not finite": ({"lanes": [[1, float("nan")]], "h_samples": [1, 2]}, "labels have lanes that do not fit their rows"),
    "beyond floats": ({"lanes": [[1, 10**400]], "h_samples": [1, 2]}, "labels have lanes that do not fit their rows"),
    "falling rows": ({"lanes": [[1, 2]], "h_samples": [200, 100]}, "labels have rows that do not rise"),
    "no field": ({"raw_file": None}, "labels lack one of raw_file, lanes, h_samples"),
    "outside": ({"raw_file": "../../secret.jpg"}, "labels name no file inside the folder"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_bad_label_is_skipped_with_a_count_or_refused_by_its_line(tusimple_copy, damage):
    changes, reason = DAMAGES[damage]
    edited(tusimple_copy, **changes)
    task = TuSimple(tusimple_copy, system="ufld_reduced", batch_size=4)
    assert len(task.sources["train"]) == 7
    assert task.warnings() == (f"Skipped 1, since {reason}: label_data_0313.json, line 1.",)
    with pytest.raises(DataError, match=rf"TuSimple\(strict=True\): label_data_0313\.json, line 1: {reason}\. Mend"):
        TuSimple(tusimple_copy, system="ufld_reduced", batch_size=4, strict=True)


def test_lines_that_are_not_json_and_missing_images(tusimple_copy):
    file = tusimple_copy / VAL
    first, second = file.read_text().splitlines()
    file.write_text(first[:-9] + "\n" + second + "\n")
    name = json.loads((tusimple_copy / "test_set" / "test_label.json").read_text().splitlines()[0])["raw_file"]
    (tusimple_copy / "test_set" / name).unlink()
    task = TuSimple(tusimple_copy, system="ufld_reduced", batch_size=4)
    assert [len(source) for source in task.sources.values()] == [8, 1, 1]
    assert task.warnings() == (
        "Skipped 1, since labels are not JSON: label_data_0531.json, line 1.",
        f"Skipped 1, since images are missing or empty: {name}.",
    )


def test_a_name_too_long_for_the_system_is_a_missing_image(tusimple_copy):
    name = "clips/" + 300 * "a" + ".jpg"
    edited(tusimple_copy, raw_file=name)
    task = TuSimple(tusimple_copy, system="ufld_reduced", batch_size=4)
    assert len(task.sources["train"]) == 7
    assert task.warnings() == (f"Skipped 1, since images are missing or empty: {name}.",)


def test_a_split_of_broken_images_is_refused_before_anything_is_trained(tusimple_copy):
    names = sorted((tusimple_copy / "test_set").rglob("*.jpg"))
    for file in names:
        file.write_bytes(b"not an image at all")
    task = TuSimple(tusimple_copy, system="ufld_reduced", batch_size=4)
    with pytest.raises(
        DataError, match=r"^TuSimple: none of the 2 images of 'test' can be used; clips/\S+: images are"
    ):
        has_split(task, "test")
    with pytest.raises(DataError, match="none of the 2 images of 'test'"):
        task.example_input()
    with pytest.raises(DataError, match="none of the 2 images of 'test'"):
        task.evaluate(task.build_model(), "test")
    assert len(task.warnings()) == 1
    assert has_split(task, "val")


def test_a_split_without_a_usable_image_is_refused(tusimple_copy):
    (tusimple_copy / VAL).write_text("\n")
    with pytest.raises(DataError, match=r"no image of the split 'val' can be used; label_data_0531\.json: label files"):
        TuSimple(tusimple_copy)


@pytest.mark.parametrize("spoil", ["truncated", "no image", "outside"])
def test_an_image_that_breaks_does_not_end_the_epoch(tusimple_copy, spoil):
    name = "clips/0313/1/20.jpg"
    file = tusimple_copy / "train_set" / name
    reason = "images are truncated or cannot be read"
    if spoil == "truncated":
        file.write_bytes(file.read_bytes()[:3000])
    elif spoil == "no image":
        file.write_bytes(b"not an image at all")
    else:
        from PIL import Image

        Image.new("RGB", (640, 360)).save(file)
        reason = "images have labels outside of them"
    task = TuSimple(tusimple_copy, system="ufld_reduced", batch_size=4)
    assert task.warnings() == ()  # images are decoded when their batch is due
    for _ in range(2):
        batches = list(task.batches("train"))
        assert [len(images) for images, _ in batches] == [4, 4]
    assert 1 not in torch.cat([targets.images for _, targets in batches])
    assert task.warnings() == (f"Skipped 1, since {reason}: {name}.",)
    assert len(task.detect(task.build_model(), "train")) == 7
    with pytest.raises(DataError, match=rf"TuSimple\(strict=True\): {name}: {reason}"):
        TuSimple(tusimple_copy, system="ufld_reduced", batch_size=4, strict=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"system": "erfnet"}, r"TuSimple\(system='erfnet'\): system must be one of ufld, lanenet, ufld_reduced, lane"),
        ({"batch_size": 0}, r"TuSimple\(batch_size=0\): batch_size must be in \[1, 8\]"),
        ({"workers": -1}, r"TuSimple\(workers=-1\): workers must be at least 0\."),
    ],
)
def test_values_out_of_range_are_refused(made_tusimple, options, message):
    with pytest.raises(ArgumentError, match=message):
        TuSimple(made_tusimple, **options)


@pytest.mark.parametrize(
    ("system", "lr", "least", "drop"), [("ufld_reduced", 3e-3, 70, 5), ("lanenet_reduced", 1e-2, 65, 15)]
)
def test_training_pruning_cut_and_file(made_tusimple, tmp_path, monkeypatch, system, lr, least, drop):
    # The images are learned by heart, so they must stay as they are.
    monkeypatch.setattr("slrprune.tasks.tusimple.source.augmented", lambda image, lanes, rows, rng: (image, lanes))
    task = TuSimple(made_tusimple, system=system, batch_size=4)
    model = task.build_model()
    assert task.evaluate(model, "train") < 50
    dense = train(model, task, AdamWRecipe(epochs=16, lr=lr, weight_decay=1e-4, warmup=0.1))
    assert dense.losses[-1] < dense.losses[0] / 2
    before = task.evaluate(model, "train")
    assert before > least
    pruners = []

    def trainer(model, optimizer, steps):
        pruners.append(slr.Pruner(model, optimizer, slr.Global(0.3), total_steps=steps))
        return PruningTrainer(optimizer, pruners[0])

    train(model, task, AdamWRecipe(epochs=6, lr=lr / 3, weight_decay=1e-4), trainer=trainer)
    trained = task.evaluate(model, "train")
    assert pruners[0].finalize().sparsity == pytest.approx(0.3, abs=1e-4)
    after = task.evaluate(model, "train")
    assert after == trained  # SLR's weights are in the set before the cut
    assert after > before - drop
    save_sparse(model, tmp_path / "model.safetensors")
    twin = task.build_model()
    load_sparse(tmp_path / "model.safetensors", twin)
    assert np.isclose(task.evaluate(twin, "train"), after)


def test_without_pillow_the_extra_is_named(lane_task, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingExtraError, match=r"Reading images of lanes needs Pillow\..*slrprune\[vision\]"):
        next(lane_task.batches("test"))
