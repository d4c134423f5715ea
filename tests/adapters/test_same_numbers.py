"""The contract of all adapters: whatever engine drives the loop, the bits are those of a plain loop."""

from pathlib import Path

import pytest
from engine_task import ENGINES, KEPT, STEPS, STEPS_PER_EPOCH, Interruption, plain
from methods_table import same_bits

from slrprune import ADMM, SLR, Method, RelaxedPath

METHODS: dict[str, Method] = {
    "SLR": SLR(),
    "SLR steered by the loss": SLR(ramp=RelaxedPath(slack=0.25), tolerance=0.0),
    "ADMM, pulled by the learning rate": ADMM(interval=2),
}
every_method = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS.keys())
every_engine = pytest.mark.parametrize("engine", ENGINES)


@every_method
@every_engine
def test_the_bits_of_the_plain_loop(engine: str, method: Method, tmp_path: Path) -> None:
    expected, pruner = plain(method)
    model, pruning = ENGINES[engine](method, tmp_path)
    assert same_bits(dict(model.state_dict()), dict(expected.state_dict()))
    assert same_bits(pruning.pruner.state_dict()["records"], pruner.state_dict()["records"])
    assert pruning.report is not None
    assert (pruning.report.nnz, pruning.report.steps, pruning.report.total_steps) == (KEPT, STEPS, STEPS)


@every_method
@every_engine
def test_killed_and_resumed(engine: str, method: Method, tmp_path: Path) -> None:
    stop = STEPS_PER_EPOCH if engine == "lightning" else STEPS_PER_EPOCH + 2  # Lightning resumes between epochs
    with pytest.raises(Interruption):
        ENGINES[engine](method, tmp_path, stop=stop)
    model, pruning = ENGINES[engine](method, tmp_path, resume=True)
    expected, pruner = plain(method)
    assert same_bits(dict(model.state_dict()), dict(expected.state_dict()))
    assert same_bits(pruning.pruner.state_dict()["records"], pruner.state_dict()["records"])


@every_engine
@pytest.mark.parametrize("stop", [None, STEPS_PER_EPOCH, 2 * STEPS_PER_EPOCH])
def test_masked_retraining_after_the_cut(engine: str, stop: int | None, tmp_path: Path) -> None:
    """With fewer steps to prune than to train the zeros are held; also resumed before and after the cut."""
    steps = STEPS_PER_EPOCH + 2
    expected, _ = plain(SLR(), steps)
    if stop is not None:
        with pytest.raises(Interruption):
            ENGINES[engine](SLR(), tmp_path, stop=stop, total_steps=steps)
    model, pruning = ENGINES[engine](SLR(), tmp_path, resume=stop is not None, total_steps=steps)
    assert same_bits(dict(model.state_dict()), dict(expected.state_dict()))
    assert pruning.pruner.steps == steps
    assert pruning.report is not None
    assert pruning.report.nnz == KEPT
