"""YOLO's and FastestDet's losses on several processes (gloo, DDP) are those of one process on the whole batch."""

from pathlib import Path

import ranks
import shared_batch
import torch

from slrprune.tasks.coco.object_count import mean_object_count


def test_several_processes_have_the_loss_of_one(tmp_path):
    shared_batch.of_one_process(tmp_path)
    said = ranks.run([Path(shared_batch.__file__)], tmp_path)
    names = (f"scenario_{kind}_shares_of_a_batch_give_its_loss" for kind in ("yolos", "fastestdets"))
    assert said == {name: [""] * ranks.SIZE for name in names}, said


def test_one_process_divides_by_its_own_count():
    assert [mean_object_count(count, torch.device("cpu")) for count in (0, 1, 7)] == [1, 1, 7]
    assert [int(mean_object_count(torch.tensor(count), torch.device("cpu"))) for count in (0, 7)] == [1, 7]
