"""A run is resumed by the optimizer that it was begun with: Adam's state would be taken by AdamW."""

import pytest
from stopped_runs import same_weights, stopped

from slrprune.errors import StateError
from slrprune.tasks import AdamRecipe, AdamWRecipe
from slrprune.train import resume, run
from slrprune.train.checkpoint import store


@pytest.mark.parametrize(("phase", "step"), [("dense", 3), ("prune", 8), ("retrain", 2)])
def test_another_optimizer_is_refused_and_nothing_is_lost(configured, tmp_path, monkeypatch, phase, step):
    """Adam and AdamW: a state of the one would be taken by the other."""
    import run_task

    def recipes(kind):
        monkeypatch.setattr(run_task.Blobs, "dense_recipe", kind(epochs=1, lr=0.02))
        monkeypatch.setattr(run_task.Blobs, "pruning_recipe", kind(epochs=3, lr=0.02))

    def files(folder):
        kept = (path for path in folder.rglob("*") if path.is_file() and path.name != "environment.json")
        return {path: path.read_bytes() for path in kept}

    recipes(AdamRecipe)
    run(configured(retrain=1), tmp_path / "whole")
    folder = tmp_path / "run"
    stopped(configured(retrain=1), folder, step, phase=phase)
    before = files(folder)
    recipes(AdamWRecipe)
    with pytest.raises(StateError, match=r"of another optimizer, .*\.Adam; this run has .*\.AdamW\. Resume it"):
        resume(folder)
    assert files(folder) == before
    recipes(AdamRecipe)
    resume(folder)
    assert same_weights(folder, tmp_path / "whole")


def test_a_checkpoint_without_the_optimizers_class_is_gone_on_with(configured, tmp_path):
    folder = tmp_path / "run"
    run(configured(), tmp_path / "whole")
    stopped(configured(), folder, 8)
    checkpoints = store.Checkpoints(folder / "checkpoints")
    state = checkpoints.newest().state
    del state["loop"]["optimizer_class"]
    checkpoints.save(8, state)
    resume(folder)
    assert same_weights(folder, tmp_path / "whole")
