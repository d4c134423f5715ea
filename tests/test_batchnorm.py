"""Re-estimated BatchNorm statistics are plain averages, and nothing else changes."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from slrprune import reestimate_batchnorm
from slrprune.errors import ArgumentError, UsageError


def _model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 4), nn.BatchNorm1d(4))


def _batches(count: int = 5) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(16, 3, generator=generator) + step for step in range(count)]


def _everything(model: nn.Module) -> dict[str, Any]:
    tensors = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    momenta = [module.momentum for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    return {**tensors, "modes": modes, "momenta": momenta}


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(torch.equal(one[k], other[k]) if isinstance(one[k], Tensor) else one[k] == other[k] for k in one)


@pytest.mark.parametrize("training", [True, False])
def test_statistics_are_the_averages_over_the_batches(training: bool) -> None:
    model = _model().train(training)
    batches = _batches()
    before = _everything(model)
    assert reestimate_batchnorm(model, batches) == 2

    with torch.no_grad():
        first = [model[0](batch) for batch in batches]
        means = torch.stack([output.mean(0) for output in first]).mean(0)
        variances = torch.stack([output.var(0) for output in first]).mean(0)
        # The second layer saw what the first one normalized with each batch's own statistics, without dropout.
        second = [
            model[3](model[1].weight * (x - x.mean(0)) / (x.var(0, unbiased=False) + 1e-5).sqrt() + model[1].bias)
            for x in first
        ]
        later = torch.stack([output.mean(0) for output in second]).mean(0)
    assert torch.allclose(model[1].running_mean, means, atol=1e-5)
    assert torch.allclose(model[1].running_var, variances, atol=1e-5)
    assert torch.allclose(model[4].running_mean, later, atol=1e-5)
    after = _everything(model)
    changed = {name for name in after if not _same({"x": before[name]}, {"x": after[name]})}
    buffers = ("running_mean", "running_var", "num_batches_tracked")
    assert changed == {f"{layer}.{name}" for layer in (1, 4) for name in buffers}
    assert int(model[1].num_batches_tracked) == 5


def test_modes_are_restored_module_by_module() -> None:
    model = _model().train()
    model[1].eval()  # frozen by the user
    model[3].eval()
    before = _everything(model)["modes"]
    reestimate_batchnorm(model, _batches())
    assert _everything(model)["modes"] == before


def test_momentum_is_restored() -> None:
    model = _model()
    model[1].momentum, model[4].momentum = 0.3, None
    reestimate_batchnorm(model, _batches())
    assert (model[1].momentum, model[4].momentum) == (0.3, None)


def test_a_model_without_batchnorm_is_left_alone() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4, track_running_stats=False), nn.LayerNorm(4))
    before = _everything(model)

    def untouched() -> Iterator[Tensor]:
        raise AssertionError("no batch is asked for")
        yield

    assert reestimate_batchnorm(model, untouched()) == 0
    assert _same(before, _everything(model))


def test_a_layer_that_no_batch_reaches_keeps_its_statistics() -> None:
    """Auxiliary heads run in training only; zeros and ones would be worse than what they had."""

    class WithAuxiliaryHead(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.auxiliary = nn.BatchNorm1d(3), nn.BatchNorm1d(3)

        def forward(self, inputs: Tensor) -> Tensor:
            return self.body(inputs) + (self.auxiliary(inputs) if self.training else 0)

    model = WithAuxiliaryHead()
    model(torch.randn(16, 3) + 7)
    before = {name: tensor.clone() for name, tensor in model.auxiliary.state_dict().items()}
    assert reestimate_batchnorm(model, _batches()) == 1
    assert _same(before, model.auxiliary.state_dict())
    assert int(model.body.num_batches_tracked) == 5


@pytest.mark.parametrize(
    "wrap",
    [lambda x: x, lambda x: (x, "label"), lambda x: [x, 3]],
    ids=["tensor", "tuple", "list"],
)
def test_batches_as_a_loader_gives_them(wrap: Callable[[Tensor], Any]) -> None:
    one, other = _model(), _model()
    reestimate_batchnorm(one, _batches())
    reestimate_batchnorm(other, (wrap(batch) for batch in _batches()))
    assert _same(_everything(one), _everything(other))


def test_forward_for_everything_else() -> None:
    one, other = _model(), _model()
    reestimate_batchnorm(one, _batches())
    batches = [{"inputs": batch} for batch in _batches()]
    reestimate_batchnorm(other, batches, forward=lambda model, batch: model(batch["inputs"]))
    assert _same(_everything(one), _everything(other))


def test_no_batch() -> None:
    model = _model()
    model(_batches()[0])
    before = _everything(model)
    message = r"reestimate_batchnorm: no batch was given\. Pass at least one batch of training inputs\."
    with pytest.raises(UsageError, match=message):
        reestimate_batchnorm(model, [])
    assert _same(before, _everything(model))


def test_one_tensor_is_no_batches() -> None:
    with pytest.raises(
        ArgumentError, match=r"batches must be an iterable of batches, not one tensor\. Put a single batch"
    ):
        reestimate_batchnorm(_model(), _batches()[0])


def test_a_failing_batch_leaves_everything_as_it_was() -> None:
    model = _model()
    model(_batches()[0])
    before = _everything(model)
    with pytest.raises(ValueError, match="Expected more than 1 value per channel"):
        reestimate_batchnorm(model, [*_batches(), torch.ones(1, 3)])
    assert _same(before, _everything(model))


def test_no_gradient_is_recorded() -> None:
    seen: list[bool] = []
    reestimate_batchnorm(_model(), _batches(1), forward=lambda model, batch: seen.append(model(batch).requires_grad))
    assert seen == [False]
