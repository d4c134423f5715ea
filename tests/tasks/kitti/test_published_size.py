"""Two steps of every KITTI network: forward, backward, prune, cut, export. Small in each run, at full size at night."""

import resource
import sys

import numpy as np
import pytest
import torch
from kitti_data import write_kitti
from torch import nn

import slrprune as slr
from slrprune.tasks.kitti import Kitti, PointPillars
from slrprune.tasks.kitti.design import CAR

GIBIBYTE = 2**30


def step_and_export(task, folder):
    """The loss of the second of two steps; the cut model's ONNX file must give the model's outputs."""
    pytest.importorskip("onnxruntime")
    from slrprune.deploy.handover import export_onnx

    model = task.build_model()
    optimizer = task.pruning_recipe.optimizer(model)
    pruner = slr.Pruner(model, optimizer, slr.Global(0.9), total_steps=2)
    batch = next(task.batches("train"))
    for _ in range(2):
        optimizer.zero_grad()
        loss = task.loss(model, batch)
        loss.backward()
        assert all(parameter.grad is not None for parameter in model.parameters())
        optimizer.step()
        pruner.step(loss)
    assert pruner.finalize().sparsity == pytest.approx(0.9, abs=1e-3)
    model.eval()
    report = export_onnx(model, task.example_input(), folder / "model.onnx", tolerance=1e-3)
    assert report.relative_difference < 1e-3
    return loss.item()


def test_the_small_network(task, tmp_path):
    assert np.isfinite(step_and_export(task, tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize(("design", "kind"), [("car", "Car"), ("people", "Pedestrian")])
def test_the_published_networks(tmp_path, design, kind):
    task = Kitti(write_kitti(tmp_path / "data", train=2, val=1, kind=kind), design=design, holdout=0)
    assert task.example_input().shape == (1, 12_000, 100, 4)
    assert np.isfinite(step_and_export(task, tmp_path))
    unit = 1 if sys.platform == "darwin" else 1024
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit < 12 * GIBIBYTE


def test_the_published_compression_of_the_recipe():
    # The abstract of arXiv 2012.10079 names 9.44x for PointPillars on KITTI; recipes/kitti_*.yaml go there.
    with torch.device("meta"):
        model = PointPillars(CAR)
    prunable = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
    weights = sum(module.weight.numel() for module in model.modules() if isinstance(module, prunable))
    everything = sum(tensor.numel() for name, tensor in model.named_parameters() if "bias" not in name)
    left = everything - round(0.8946 * weights)
    assert everything / left == pytest.approx(9.44, abs=0.01)
