"""Two steps of our detectors: forward, backward, prune, cut, export. Small in each run, at full size at night."""

import numpy as np
import pytest
from coco_data import write_coco
from two_steps import GIBIBYTE, loss_after_two_steps, peak_memory

from slrprune.tasks.coco.task import Coco


@pytest.mark.parametrize(("system", "size"), [("yolov3_tiny_reduced", 64), ("fastestdet", 64)])
def test_small_networks(made_coco, tmp_path, system, size):
    task = Coco(made_coco, system=system, size=size, holdout=0, batch_size=2)
    assert np.isfinite(loss_after_two_steps(task, tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("system", "size"),
    [("yolov3", 416), ("yolov3_tiny", 416), ("fastestdet", 352)],
)
def test_the_published_networks(tmp_path, system, size):
    folder = write_coco(tmp_path / "data", train=2, test=1, size=(640, 480))
    task = Coco(folder, system=system, holdout=0, batch_size=2)
    assert task.example_input().shape == (1, 3, size, size)
    assert np.isfinite(loss_after_two_steps(task, tmp_path))
    assert peak_memory() < 12 * GIBIBYTE
