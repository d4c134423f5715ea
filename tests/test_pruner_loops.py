"""Training loops in use: loss scaling, accumulation, clipping, closures, several optimizers, tensor learning rates."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from slrprune import (
    ADMM,
    SLR,
    ClassicSLR,
    Global,
    GradualMagnitude,
    Method,
    NoRamp,
    Pruner,
    QuadraticPenalty,
    Unstructured,
)

METHODS = [SLR(), SLR(sigma=1.0, interval=2), ClassicSLR(interval=2), ADMM(interval=2), GradualMagnitude(interval=2)]
every_method = pytest.mark.parametrize("method", METHODS, ids=repr)


@pytest.fixture(autouse=True)
def _every_digit() -> Iterator[None]:
    """States are compared as text here, in which NaN equals NaN: print every digit of every entry."""
    torch.set_printoptions(precision=17, threshold=1_000_000)
    yield
    torch.set_printoptions(profile="default")


def _model(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 4))


def _batch(step: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(step)
    return torch.randn(8, 6, generator=generator), torch.randn(8, 4, generator=generator)


def _loss(model: nn.Module, step: int) -> Tensor:
    inputs, targets = _batch(step)
    return nn.functional.mse_loss(model(inputs), targets)


def _bits(*objects: Any) -> str:
    """Everything that the objects hold, as text; all tensors here are small enough to be printed whole."""
    return "\n".join(str(entry.state_dict()) for entry in objects)


@pytest.mark.parametrize("fused", [False, True])
@every_method
def test_a_step_that_the_scaler_skipped(method: Method, fused: bool) -> None:
    """An overflow on the way: model, optimizer and pruner stay as they were, and the run goes on as if without it."""
    results = []
    for overflow in (False, True):
        model = _model()
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, fused=fused)
        scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=1000, backoff_factor=0.5)
        pruner = Pruner(model, optimizer, Global(0.75), total_steps=8, method=method)
        for step in range(8):
            if overflow and step == 3:
                before = _bits(model, pruner)
                moments = str(optimizer.state_dict()["state"])
                optimizer.zero_grad()
                scaler.scale(_loss(model, step)).backward()
                model[0].weight.grad[0, 0] = torch.inf
                scale = scaler.get_scale()
                scaler.step(optimizer)
                scaler.update()
                assert scaler.get_scale() < scale
                pruner.step(_loss(model, step), skipped=scaler.get_scale() < scale)
                assert _bits(model, pruner) == before
                assert str(optimizer.state_dict()["state"]) == moments
                assert pruner.steps == 3
            optimizer.zero_grad()
            loss = _loss(model, step)
            scaler.scale(loss).backward()
            scale = scaler.get_scale()
            scaler.step(optimizer)
            scaler.update()
            pruner.step(loss, skipped=scaler.get_scale() < scale)
        assert pruner.steps == 8
        assert pruner.finalize().nnz == 20
        results.append((model, pruner))
    # Powers of two scale without rounding: the scale itself leaves no trace.
    assert _bits(*results[0]) == _bits(*results[1])


@every_method
def test_autocast(method: Method) -> None:
    model = _model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    pruner = Pruner(model, optimizer, Global(0.75), total_steps=8, method=method)
    for step in range(8):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = _loss(model, step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        pruner.step(loss)
    assert pruner.finalize().nnz == 20
    assert model[0].weight.dtype is torch.float32


@every_method
def test_accumulation_counts_whole_steps_only(method: Method) -> None:
    """Four micro-steps of a quarter of the batch: the same run, up to rounding, as with whole batches."""
    runs = []
    for parts in (1, 4):
        model = _model()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        pruner = Pruner(model, optimizer, Global(0.75), total_steps=8, method=method)
        for step in range(8):
            optimizer.zero_grad()
            total = torch.zeros(())
            for inputs, targets in zip(*(entry.chunk(parts) for entry in _batch(step)), strict=True):
                loss = nn.functional.mse_loss(model(inputs), targets) / parts
                loss.backward()
                total += loss.detach()
            optimizer.step()
            pruner.step(total)
        assert pruner.steps == 8
        runs.append((model, pruner))
    for one, other in zip(*(run[0].parameters() for run in runs), strict=True):
        assert torch.allclose(one, other, atol=1e-4)
    losses = [[record.loss for record in run[1].records()] for run in runs]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


@every_method
def test_clipping_acts_on_the_gradient_of_the_loss_alone(method: Method) -> None:
    """Decoupled: what the pruner does never passes through `.grad`, so a clip at zero stops all but the pruner."""
    model = _model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    pruner = Pruner(model, optimizer, Global(0.75), total_steps=8, method=method)
    biases = [model[0].bias.detach().clone(), model[2].bias.detach().clone()]
    for step in range(8):
        loss = _loss(model, step)
        optimizer.zero_grad()
        loss.backward()
        gradients = [parameter.grad.clone() for parameter in model.parameters()]  # type: ignore[union-attr]
        norm = nn.utils.clip_grad_norm_(model.parameters(), 0.0)
        assert float(norm) == pytest.approx(float(torch.stack([g.square().sum() for g in gradients]).sum().sqrt()))
        optimizer.step()
        pruner.step(loss)
    assert pruner.finalize().nnz == 20
    assert torch.equal(model[0].bias, biases[0])
    assert torch.equal(model[2].bias, biases[1])


class SAM(torch.optim.Optimizer):
    """Sharpness-aware minimization: a step up, a second gradient, and the step down from where it started."""

    def __init__(self, parameters: Any, base: type[torch.optim.Optimizer], rho: float = 0.05, **options: Any) -> None:
        super().__init__(parameters, {"rho": rho, **options})
        self.base = base(self.param_groups, **options)
        self.param_groups = self.base.param_groups

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor]) -> Tensor:  # type: ignore[override]
        loss = torch.enable_grad()(closure)()
        for group in self.param_groups:
            for weight in group["params"]:
                self.state[weight]["up"] = group["rho"] * weight.grad / weight.grad.norm().add(1e-12)
                weight.add_(self.state[weight]["up"])
        torch.enable_grad()(closure)()
        for group in self.param_groups:
            for weight in group["params"]:
                weight.sub_(self.state[weight]["up"])
        self.base.step()
        return loss


@every_method
def test_sam_with_its_two_gradients(method: Method) -> None:
    model = _model()
    optimizer = SAM(model.parameters(), torch.optim.SGD, lr=0.1, momentum=0.9)
    pruner = Pruner(model, optimizer, Global(0.75), total_steps=8, method=method)
    for step in range(8):

        def closure(step: int = step) -> Tensor:
            optimizer.zero_grad()
            loss = _loss(model, step)
            loss.backward()
            return loss

        pruner.step(optimizer.step(closure))
        assert pruner.steps == step + 1
        if method.is_sparse_throughout:
            for weight, mask in zip((model[0].weight, model[2].weight), pruner.masks().values(), strict=True):
                assert not bool((weight[~mask] != 0).any())
    assert pruner.finalize().nnz == 20


@every_method
def test_a_closure_is_the_loop_written_differently(method: Method) -> None:
    runs = []
    for with_closure in (False, True):
        model = _model()
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        pruner = Pruner(model, optimizer, Global(0.75), total_steps=8, method=method)
        for step in range(8):

            def closure(step: int = step, model: nn.Module = model, optimizer: Any = optimizer) -> Tensor:
                optimizer.zero_grad()
                loss = _loss(model, step)
                loss.backward()
                return loss

            if with_closure:
                loss = optimizer.step(closure)
            else:
                loss = closure()
                optimizer.step()
            pruner.step(loss)
        runs.append(_bits(model, pruner))
    assert runs[0] == runs[1]


@pytest.mark.parametrize("method", [ADMM(interval=2, ramp=NoRamp()), QuadraticPenalty(interval=2)], ids=repr)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_learning_rate_may_be_a_tensor(method: Method, dtype: torch.dtype) -> None:
    runs = []
    for lr in (0.125, torch.tensor(0.125)):
        model = _model().to(dtype)
        optimizer = torch.optim.SGD(model.parameters(), lr=lr, foreach=False)
        pruner = Pruner(model, optimizer, Global(0.75), total_steps=8, method=method)
        for _ in range(8):
            for parameter in model.parameters():
                parameter.grad = torch.full_like(parameter, 0.125)
            optimizer.step()
            pruner.step(1.0)
        runs.append(model)
    for one, other in zip(*(model.parameters() for model in runs), strict=True):
        assert torch.allclose(one.float(), other.float(), atol=1e-6 if dtype is torch.float32 else 1e-2)


def test_the_pull_follows_the_schedule_of_the_learning_rate() -> None:
    """Read at every step from the group that owns the weight, also after loading the optimizer's state."""
    model = _model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    rho = 2.0
    method = QuadraticPenalty(interval=10, penalty=rho, ramp=NoRamp())
    pruner = Pruner(model, optimizer, Unstructured(0.5), total_steps=10, method=method)
    targets = [z.clone() for z in pruner._state.tensors["auxiliary"]]
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
    for step in range(4):
        if step == 2:
            optimizer.load_state_dict(optimizer.state_dict())  # replaces the groups
        lr = 0.5 * 0.5**step
        expected = [
            (weight + lr * rho * z) / (1 + lr * rho)
            for weight, z in zip((model[0].weight, model[2].weight), targets, strict=True)
        ]
        for parameter in model.parameters():
            parameter.grad = torch.zeros_like(parameter)
        optimizer.step()
        pruner.step(1.0)
        scheduler.step()
        for weight, value in zip((model[0].weight, model[2].weight), expected, strict=True):
            assert torch.allclose(weight, value, atol=1e-7)


def test_a_group_added_later_is_none_of_the_pruners_business() -> None:
    model = _model()
    optimizer = torch.optim.SGD(model[0].parameters(), lr=0.1)
    pruner = Pruner(model, optimizer, {"0": Unstructured(0.5)}, total_steps=4)
    optimizer.add_param_group({"params": list(model[2].parameters()), "lr": 0.2})
    for step in range(4):
        loss = _loss(model, step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        pruner.step(loss)
    assert pruner.finalize().nnz == 24


def test_weight_decay_acts_on_the_support_alone() -> None:
    """The decay of `SLR` is the optimizer's, from Z: what lies in the memory is not decayed."""
    weight = nn.Linear(4, 1, bias=False, dtype=torch.float64)
    weight.weight.data.copy_(torch.tensor([[4.0, 3.0, 2.0, 1.0]]))
    optimizer = torch.optim.AdamW(weight.parameters(), lr=0.1, weight_decay=0.5)
    pruner = Pruner(weight, optimizer, Unstructured(0.5), total_steps=5, method=SLR(sigma=1.0, ramp=NoRamp()))
    for _ in range(5):
        weight.weight.grad = torch.zeros_like(weight.weight)
        optimizer.step()
        pruner.step(1.0)
    # The first step is made from the dense weights, and decays them all.
    support = [value * 0.95**5 for value in (4.0, 3.0)]
    assert weight.weight.flatten().tolist() == pytest.approx([*support, 0, 0])
    memory = pruner.state_dict()["tensors"]["memory"]["weight"].flatten().tolist()
    assert memory[2:] == pytest.approx([2 * 0.95, 1 * 0.95])
