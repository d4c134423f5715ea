"""The KITTI task from its folder to a pruned, cut and saved network."""

import copy
import itertools
import math
import pickle
import shutil

import numpy as np
import pytest
import torch
from kitti_data import write_kitti

import slrprune as slr
from slrprune.deploy import load_sparse, save_sparse
from slrprune.errors import ArgumentError, DataError, UsageError
from slrprune.tasks import AdamWRecipe, get
from slrprune.tasks.kitti import Kitti, detection_lines
from slrprune.tasks.kitti.anchors import match
from slrprune.tasks.kitti.coder import direction, encode
from slrprune.tasks.kitti.design import PEOPLE, REDUCED
from slrprune.tasks.kitti.network import Outputs
from slrprune.train import PruningTrainer, train


def same(first, second):
    return torch.equal(first[0], second[0]) and all(map(torch.equal, first[1], second[1]))


class Oracle(torch.nn.Module):
    """Says of every anchor what the labels say."""

    def __init__(self, task):
        super().__init__()
        self.task = task
        self.frame = 0

    def forward(self, pillars):
        outputs = []
        for _ in pillars:
            _, targets = list(self.task.batches("test"))[self.frame // self.task.batch_size]
            boxes, classes = (part[self.frame % self.task.batch_size] for part in (targets.boxes, targets.classes))
            anchors = self.task._anchors
            answers = match(anchors, self.task._anchor_classes, boxes, classes, self.task.design)
            wanted = boxes[answers.clamp(min=0)]
            ways = torch.nn.functional.one_hot(direction(wanted[:, 6]), 2).float()
            outputs.append((torch.where(answers >= 0, 3.0, -9.0)[:, None], encode(wanted, anchors), ways))
            self.frame += 1
        return Outputs(*map(torch.stack, zip(*outputs, strict=True)))


def test_perfect_outputs_find_everything(tmp_path):
    task = Kitti(write_kitti(tmp_path / "many", train=1, val=14, objects=6), design="reduced", holdout=0, batch_size=1)
    table = task.average_precisions(Oracle(task), "test")
    # 84 objects. Labels are rounded to centimeters, as KITTI's are, and boxes follow the rounded ones.
    assert table == {("Car", kind, level): 100 for kind in ("image", "above", "space") for level in LEVELS}
    assert task.evaluate(Oracle(task), "test") == 100
    names = {f"Car, {kind}, {level}" for kind in ("2-D", "BEV", "3-D") for level in LEVELS}
    assert task.details(Oracle(task), "test") == dict.fromkeys({"3-D average precision"} | names, 100)


def test_details_are_the_table_and_the_metric_of_one_pass(task, monkeypatch):
    table = {
        (name, kind, level): float(number)
        for number, (name, kind, level) in enumerate(
            itertools.product(("Pedestrian", "Cyclist"), ("image", "above", "space"), LEVELS)
        )
    }
    table["Cyclist", "space", "moderate"] = math.nan
    monkeypatch.setattr(Kitti, "average_precisions", lambda *_: table)
    monkeypatch.setattr(task, "design", PEOPLE)
    found = task.details(None, "test")
    assert found["3-D average precision"] == found["Pedestrian, 3-D, moderate"] == 7
    assert (found["Pedestrian, BEV, easy"], found["Pedestrian, 2-D, hard"], found["Cyclist, BEV, hard"]) == (3, 2, 14)
    assert math.isnan(found["Cyclist, 3-D, moderate"])
    assert len(found) == 19


LEVELS = ("easy", "moderate", "hard")


def test_detections_are_written_as_kitti_reads_them(task):
    frame, found = task.detect(Oracle(task), "test")[0]
    lines = [line.split() for line in detection_lines(found, task.design.classes, frame.calibration)]
    assert len(lines) == 6
    assert {len(line) for line in lines} == {16}
    wanted = sorted((*label.size, *label.location, label.rotation) for label in frame.labels if not label.is_dont_care)
    assert np.array(sorted([float(value) for value in line[8:15]] for line in lines)) == pytest.approx(
        np.array(wanted), abs=2e-3
    )
    boxes = sorted(label.image_box for label in frame.labels if not label.is_dont_care)
    assert np.array(sorted([float(value) for value in line[4:8]] for line in lines)) == pytest.approx(
        np.array(boxes), abs=2.0
    )


def test_batches_follow_from_seed_and_epoch_alone(task):
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first = list(task.batches("train", epoch=1, seed=2))
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(6)
    again = list(task.batches("train", epoch=1, seed=2))
    assert len(first) == task.steps_per_epoch == 4
    assert all(map(same, first, again))
    assert not same(first[0], next(task.batches("train", epoch=2, seed=2)))
    assert not same(first[0], next(task.batches("train", epoch=1, seed=3)))
    assert first[0][0].shape == (2, REDUCED.pillars, REDUCED.points, 4)
    frames = sorted(int(number) for _, targets in first for number in targets.frames)
    assert frames == list(range(8))


def test_workers_change_nothing(task, made_kitti):
    ahead = Kitti(made_kitti, design="reduced", holdout=0, workers=1)
    state = torch.get_rng_state()
    assert all(map(same, task.batches("train", 3, 4), ahead.batches("train", 3, 4)))
    assert torch.equal(torch.get_rng_state(), state)


def test_splits_follow_the_lists(made_kitti):
    task = Kitti(made_kitti, design="reduced", holdout=0.25)
    numbers = {split: [frame.number[-1] for frame in source.frames] for split, source in task.sources.items()}
    assert numbers == {"train": list("012456"), "val": list("37"), "test": list("89")}
    assert len(list(task.batches("val"))) == 1
    assert task.example_input().shape == (1, REDUCED.pillars, REDUCED.points, 4)
    with pytest.raises(UsageError, match=r"kitti: there is no 'val' split\. Hold some training frames out for it\."):
        Kitti(made_kitti, design="reduced", holdout=0).batches("val")


def test_without_lists_frames_are_dealt_out(kitti_copy):
    for file in (kitti_copy / "ImageSets").iterdir():
        file.unlink()
    (kitti_copy / "ImageSets").rmdir()
    task = get("kitti", data=kitti_copy, design="reduced", holdout=0)
    numbers = {split: [frame.number[-1] for frame in source.frames] for split, source in task.sources.items()}
    assert numbers == {"train": list("02468"), "test": list("13579")}


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize(("frames", "count"), [(0, "no label file"), (1, "one label file")])
def test_too_few_frames_to_deal_out_are_refused(kitti_copy, frames, count, strict):
    shutil.rmtree(kitti_copy / "ImageSets")
    folder = kitti_copy / "training" / "label_2"
    for file in sorted(folder.iterdir())[frames:]:
        file.unlink()
    expected = rf"Kitti: the folder {folder} holds {count}, where at least two frames are needed\. Add frames: without"
    with pytest.raises(DataError, match=expected):
        Kitti(kitti_copy, design="reduced", holdout=0, batch_size=1, strict=strict)


def test_a_task_can_be_pickled_and_copied(task):
    for twin in (pickle.loads(pickle.dumps(task)), copy.deepcopy(task)):
        assert same(next(twin.batches("train")), next(task.batches("train")))


@pytest.mark.parametrize(
    "missing", ["training", "training/velodyne", "training/label_2", "ImageSets/train.txt", "ImageSets/val.txt"]
)
def test_what_is_missing_is_named(kitti_copy, missing):
    path = kitti_copy / missing
    path.rename(kitti_copy / "elsewhere")
    with pytest.raises(DataError, match=rf"Kitti: the (file|folder) {path} is missing"):
        Kitti(kitti_copy, design="reduced")


DAMAGES = {
    "a missing scan": (lambda t: (t / "velodyne/000001.bin").unlink(), "files are missing", "velodyne/000001.bin"),
    "a truncated scan": (
        lambda t: (t / "velodyne/000001.bin").write_bytes(b"\0" * 17),
        "scans are empty or truncated",
        "velodyne/000001.bin",
    ),
    "a name that is too long": (
        lambda t: (t.parent / "ImageSets/train.txt").write_text("\n".join(["9" * 400, *map(str, range(1, 8))])),
        "files are missing",
        f"velodyne/{'9' * 400}.bin",
    ),
    "an empty label file": (
        lambda t: (t / "label_2/000001.txt").write_text(""),
        "label files are empty",
        "label_2/000001.txt",
    ),
    "a wrong calibration": (
        lambda t: (t / "calib/000001.txt").write_text("P2: 1 2 3\n"),
        "calibration files lack one of P2, R0_rect, Tr_velo_to_cam",
        "calib/000001.txt",
    ),
    "a calibration of other axes": (
        lambda t: (t / "calib/000001.txt").write_text(
            (t / "calib/000001.txt").read_text().replace("R0_rect: 1.000000000000e+00", "R0_rect: -1.0")
        ),
        "calibration files do not turn the scanner's axes to the camera's",
        "calib/000001.txt",
    ),
    "a truncated image": (
        lambda t: (t / "image_2/000001.png").write_bytes(b"\x89PNG\r\n\x1a\n"),
        "images are truncated or not PNG",
        "image_2/000001.png",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_frame_is_skipped_with_a_count_or_refused_by_name(kitti_copy, damage):
    spoil, sentence, name = DAMAGES[damage]
    spoil(kitti_copy / "training")
    task = Kitti(kitti_copy, design="reduced", holdout=0)
    assert len(task.sources["train"]) == 7
    assert task.warnings() == (f"Skipped 1, since {sentence}: training/{name}.",)
    with pytest.raises(
        DataError, match=rf"Kitti\(strict=True\): training/{name}: .*Mend the file, or pass strict=False"
    ):
        Kitti(kitti_copy, design="reduced", holdout=0, strict=True)


def test_points_that_are_not_finite_are_dropped_or_refused(kitti_copy):
    file = kitti_copy / "training" / "velodyne" / "000001.bin"
    points = np.fromfile(file, dtype="<f4").reshape(-1, 4)
    points[::7, 1] = np.nan
    points.tofile(file)
    task = Kitti(kitti_copy, design="reduced", holdout=0)
    assert task.warnings() == ()  # scans are read when their batch is due
    for epoch in range(2):
        assert all(torch.isfinite(inputs).all() for inputs, _ in task.batches("train", epoch))
    (sentence,) = task.warnings()
    assert "1, since points are not finite: training/velodyne/000001.bin (" in sentence
    with pytest.raises(DataError, match=r"Kitti\(strict=True\): training/velodyne/000001\.bin \(\d+ points\)"):
        Kitti(kitti_copy, design="reduced", holdout=0, strict=True)


def test_a_frame_whose_labels_are_all_bad_is_no_background(kitti_copy):
    (kitti_copy / "training" / "label_2" / "000001.txt").write_text("Boat 1 2 3\n")
    task = Kitti(kitti_copy, design="reduced", holdout=0)
    assert [int(frame.number) for frame in task.sources["train"].frames] == [0, 2, 3, 4, 5, 6, 7]
    name = "training/label_2/000001.txt"
    assert f"Skipped 1, since label files have no usable object left: {name}." in task.warnings()
    with pytest.raises(DataError, match=rf"Kitti\(strict=True\): {name}, line 1: labels have another number"):
        Kitti(kitti_copy, design="reduced", holdout=0, strict=True)


def test_a_scan_without_a_finite_point_is_no_empty_street(kitti_copy):
    for number in (1, 8):
        file = kitti_copy / "training" / "velodyne" / f"00000{number}.bin"
        np.full((50, 4), np.nan, dtype="<f4").tofile(file)
    task = Kitti(kitti_copy, design="reduced", holdout=0)
    frames = sorted(int(number) for _, targets in task.batches("train") for number in targets.frames)
    assert frames == [0, 2, 2, 3, 4, 5, 6, 7]  # the next one stands in
    assert [targets.frames.tolist() for _, targets in task.batches("test")] == [[1]]
    (sentence,) = task.warnings()
    assert sentence.startswith("Skipped 2, since scans hold no finite point: training/velodyne/00000")
    with pytest.raises(DataError, match=r"Kitti\(strict=True\): training/velodyne/000001\.bin: scans hold no finite"):
        Kitti(kitti_copy, design="reduced", holdout=0, strict=True)


def test_a_scan_that_breaks_after_the_check_does_not_end_the_epoch(kitti_copy):
    task = Kitti(kitti_copy, design="reduced", holdout=0)
    (kitti_copy / "training" / "velodyne" / "000003.bin").write_bytes(b"")
    (kitti_copy / "training" / "velodyne" / "000008.bin").unlink()
    batches = list(task.batches("train"))
    assert [len(inputs) for inputs, _ in batches] == [2, 2, 2, 2]
    frames = sorted(int(number) for _, targets in batches for number in targets.frames)
    assert frames == [0, 1, 2, 4, 4, 5, 6, 7]  # the next one stands in
    assert [len(inputs) for inputs, _ in task.batches("test")] == [1]
    assert len(task.warnings()) == 2


def test_a_split_without_a_usable_frame_is_refused(kitti_copy):
    for number in (8, 9):
        (kitti_copy / "training" / "label_2" / f"00000{number}.txt").write_text("")
    with pytest.raises(DataError, match=r"no frame of the split 'test' can be used; training/label_2/000009\.txt: lab"):
        Kitti(kitti_copy, design="reduced")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"design": "bus"}, r"Kitti\(design='bus'\): design must be one of car, people, reduced\."),
        ({"holdout": 1.0}, r"Kitti\(holdout=1\.0\): holdout must be in \[0, 1\)\."),
        ({"batch_size": 9}, r"Kitti\(batch_size=9\): batch_size must be in \[1, 8\]"),
        ({"workers": -1}, r"Kitti\(workers=-1\): workers must be at least 0\."),
    ],
)
def test_values_out_of_range_are_refused(made_kitti, options, message):
    with pytest.raises(ArgumentError, match=message):
        Kitti(made_kitti, **{"design": "reduced", "holdout": 0, **options})


def test_training_pruning_cut_and_file(made_kitti, tmp_path, monkeypatch):
    # The scenes are learned by heart, so they must stay as they are.
    monkeypatch.setattr("slrprune.tasks.kitti.source.augmented", lambda points, boxes, rng: (points, boxes))
    task = Kitti(made_kitti, design="reduced", holdout=0, batch_size=1)
    model = task.build_model()
    assert task.evaluate(model, "train") == 0
    dense = train(model, task, AdamWRecipe(epochs=20, lr=4e-3, weight_decay=1e-4, warmup=0.1))
    assert dense.losses[-1] < dense.losses[0] / 8
    before = task.evaluate(model, "train")
    assert before > 25
    pruners = []

    def trainer(model, optimizer, steps):
        pruners.append(slr.Pruner(model, optimizer, slr.Global(0.3), total_steps=steps))
        return PruningTrainer(optimizer, pruners[0])

    train(model, task, AdamWRecipe(epochs=5, lr=2e-3, weight_decay=1e-4), trainer=trainer)
    trained = task.evaluate(model, "train")
    assert pruners[0].finalize().sparsity == pytest.approx(0.3, abs=1e-4)
    after = task.evaluate(model, "train")
    assert after == trained  # SLR's weights are in the set before the cut
    assert after > before / 2
    save_sparse(model, tmp_path / "model.safetensors")
    twin = task.build_model()
    load_sparse(tmp_path / "model.safetensors", twin)
    assert task.evaluate(twin, "train") == after
