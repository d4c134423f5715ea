"""Two steps of every KITTI network: forward, backward, prune, cut, export. Small in each run, at full size at night."""

import numpy as np
import pytest
import torch
from kitti_data import write_kitti
from torch import nn
from two_steps import GIBIBYTE, loss_after_two_steps, peak_memory

from slrprune.tasks.kitti import Kitti, PointPillars
from slrprune.tasks.kitti.design import CAR


def test_the_small_network(task, tmp_path):
    assert np.isfinite(loss_after_two_steps(task, tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize(("design", "kind"), [("car", "Car"), ("people", "Pedestrian")])
def test_the_published_networks(tmp_path, design, kind):
    task = Kitti(write_kitti(tmp_path / "data", train=2, val=1, kind=kind), design=design, holdout=0)
    assert task.example_input().shape == (1, 12_000, 100, 4)
    assert np.isfinite(loss_after_two_steps(task, tmp_path))
    assert peak_memory() < 12 * GIBIBYTE


def test_the_published_compression_of_the_recipe():
    # The abstract of arXiv 2012.10079 names 9.44x for PointPillars on KITTI; recipes/kitti_*.yaml go there.
    with torch.device("meta"):
        model = PointPillars(CAR)
    prunable = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
    weights = sum(module.weight.numel() for module in model.modules() if isinstance(module, prunable))
    everything = sum(tensor.numel() for name, tensor in model.named_parameters() if "bias" not in name)
    left = everything - round(0.8946 * weights)
    assert everything / left == pytest.approx(9.44, abs=0.01)
