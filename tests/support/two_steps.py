"""What every network of a driving task must stand: forward, backward, prune, cut, export."""

import resource
import sys
from pathlib import Path

import pytest

import slrprune as slr
from slrprune.tasks import Task

GIBIBYTE = 2**30


def loss_after_two_steps(task: Task, folder: Path) -> float:
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


def peak_memory() -> int:
    """Of this process so far, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
