"""Two steps of every lane network: forward, backward, prune, cut, export. Small in each run, at full size at night."""

import resource
import sys

import numpy as np
import pytest

import slrprune as slr
from slrprune.tasks.tusimple import TuSimple

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


@pytest.mark.parametrize("system", ["ufld_reduced", "lanenet_reduced"])
def test_the_small_networks(made_tusimple, tmp_path, system):
    task = TuSimple(made_tusimple, system=system, batch_size=2)
    assert np.isfinite(step_and_export(task, tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("system", ["ufld", "lanenet"])
def test_the_published_networks(made_tusimple, tmp_path, system):
    task = TuSimple(made_tusimple, system=system, batch_size=2)
    assert task.example_input().shape[1:] == (3, *task.system.size)
    assert np.isfinite(step_and_export(task, tmp_path))
    unit = 1 if sys.platform == "darwin" else 1024
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit < 12 * GIBIBYTE
