"""Modes of training from end to end: float16 with scaling, bfloat16, averages, frozen weights, compiled steps, ..."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from methods_table import same_bits
from torch import Tensor, nn

from slrprune import (
    ADMM,
    SLR,
    Block,
    Channel,
    ClassicSLR,
    Global,
    GradualMagnitude,
    Method,
    NoRamp,
    Pruner,
    Unstructured,
)

METHODS: list[Method] = [SLR(), SLR(interval=2), ClassicSLR(interval=2), ADMM(interval=2), GradualMagnitude(interval=2)]
NAMES = ["SLR", "SLR interval=2", "ClassicSLR", "ADMM", "GradualMagnitude"]
every_method = pytest.mark.parametrize("method", METHODS, ids=NAMES)
OPTIMIZERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "SGD": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9),
    # Without momentum: torch 2.13 leaves its buffer uninitialized where the very first fused step is skipped.
    "SGD fused": lambda p: torch.optim.SGD(p, lr=0.05, fused=True),
    "Adam": lambda p: torch.optim.Adam(p, lr=0.01),
    "AdamW fused": lambda p: torch.optim.AdamW(p, lr=0.01, fused=True),
}
every_optimizer = pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS.keys())
STEPS = 10


def _model(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 4))


def _loss(model: nn.Module, step: int) -> Tensor:
    generator = torch.Generator().manual_seed(step)
    inputs, targets = torch.randn(8, 6, generator=generator), torch.randn(8, 4, generator=generator)
    return nn.functional.mse_loss(model(inputs.to(next(model.parameters()).dtype)).float(), targets)


def _bits(*objects: Any) -> list[Any]:
    return [copy.deepcopy(dict(entry.state_dict())) for entry in objects]


def _off_the_support(model: nn.Sequential, pruner: Pruner) -> list[Tensor]:
    parameters = dict(model.named_parameters())
    return [parameters[name][~mask] for name, mask in pruner.masks().items()]


@every_method
@every_optimizer
def test_float16_with_a_scale_that_overflows(make: Callable[[Any], torch.optim.Optimizer], method: Method) -> None:
    """The first steps overflow by themselves, until the scaler has found its scale; nothing of them remains."""
    model = _model()
    optimizer = make(model.parameters())
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**22, growth_interval=3)
    pruner = Pruner(model, optimizer, Global(0.75), total_steps=STEPS, method=method)
    skips = 0
    for step in range(100):
        with torch.autocast("cpu", dtype=torch.float16):
            loss = _loss(model, step)
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scale, before = scaler.get_scale(), _bits(model, pruner)
        scaler.step(optimizer)
        scaler.update()
        skipped = scaler.get_scale() < scale
        # a tensor tells as well as a number
        pruner.step(loss, skipped=torch.tensor(skipped) if step % 2 else skipped)
        assert same_bits(_bits(model, pruner), before) == skipped
        if method.is_sparse_throughout:
            assert not any(bool(values.any()) for values in _off_the_support(model, pruner))
        skips += skipped
        if pruner.steps == STEPS:
            break
    assert skips > 1
    assert pruner.steps == STEPS
    assert pruner.finalize().nnz == 20
    assert model[0].weight.dtype is torch.float32


@every_method
def test_clipping_and_accumulation_under_a_scaler(method: Method) -> None:
    """A scale that is a power of two leaves no trace, if gradients are unscaled before they are clipped."""
    runs = []
    for scale in (None, 2.0**12):
        model = _model()
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
        scaler = torch.amp.GradScaler("cpu", enabled=scale is not None, init_scale=scale or 1.0)
        pruner = Pruner(model, optimizer, Global(0.75), total_steps=STEPS, method=method)
        for step in range(STEPS):
            optimizer.zero_grad()
            losses = [_loss(model, 2 * step + part) for part in range(2)]
            for loss in losses:
                scaler.scale(loss / 2).backward()
            scaler.unscale_(optimizer)
            norm = nn.utils.clip_grad_norm_(model.parameters(), 0.1)
            assert norm > 0.1
            scaler.step(optimizer)
            scaler.update()
            pruner.step(torch.stack(losses).mean())
        runs.append(_bits(model, pruner))
    assert same_bits(runs[0], runs[1])


@every_method
@every_optimizer
def test_bfloat16_weights(make: Callable[[Any], torch.optim.Optimizer], method: Method) -> None:
    """Trained, stopped and resumed in bfloat16; what `SLR` remembers stays in float32."""
    results = []
    for stop in (None, 4):
        model = _model().bfloat16()
        optimizer = make(model.parameters())
        pruner = Pruner(model, optimizer, Global(0.75), total_steps=STEPS, method=method)
        for step in range(STEPS):
            if step == stop:
                saved = _bits(model, optimizer, pruner)
                model = _model(1).bfloat16()
                optimizer = make(model.parameters())
                pruner = Pruner(model, optimizer, Global(0.75), total_steps=STEPS, method=method)
                for part, state in zip((model, optimizer, pruner), saved, strict=True):
                    part.load_state_dict(state)
            loss = _loss(model, step)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            pruner.step(loss)
            if method.is_sparse_throughout:
                assert not any(bool(values.any()) for values in _off_the_support(model, pruner))
        memory = pruner.state_dict()["tensors"].get("memory", {})
        assert all(tensor.dtype is torch.float32 for tensor in memory.values())
        assert pruner.finalize().nnz == 20
        results.append(_bits(model))
    assert same_bits(results[0], results[1])
    assert all(tensor.dtype is torch.bfloat16 for tensor in results[0][0].values())


def test_steps_too_small_for_bfloat16_reach_the_memory() -> None:
    """Off the support a weight grows by steps that bfloat16 could not add to it, until it is chosen."""
    layer = nn.Linear(2, 1, bias=False, dtype=torch.bfloat16)
    layer.weight.data.copy_(torch.tensor([[1.0, 0.96875]]))
    optimizer = torch.optim.SGD(layer.parameters(), lr=1.0)
    method = SLR(sigma=1.0, trust=None, ramp=NoRamp())
    pruner = Pruner(layer, optimizer, Unstructured(0.5), total_steps=40, method=method)
    masks = []
    for _ in range(40):
        layer.weight.grad = torch.tensor([[0.0, -(2.0**-10)]], dtype=torch.bfloat16)  # a quarter of the spacing there
        optimizer.step()
        pruner.step(1.0)
        masks.append(pruner.masks()["weight"].tolist()[0])
    assert masks[:31] == [[True, False]] * 31
    assert masks[-1] == [False, True]


@every_method
def test_an_average_of_the_weights(method: Method) -> None:
    """The average is masked where the model is, and nowhere else touched; also after a resume."""
    model = _model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    pruner = Pruner(model, optimizer, Global(0.75), total_steps=STEPS, method=method)
    average = torch.optim.swa_utils.AveragedModel(
        model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.5), use_buffers=True
    )
    for step in range(STEPS):
        loss = _loss(model, step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        pruner.step(loss)
        average.update_parameters(model)
    pruner.finalize()
    twin = torch.optim.swa_utils.AveragedModel(_model(1), use_buffers=True)
    twin.load_state_dict(average.state_dict())
    before = {name: tensor.clone() for name, tensor in twin.module.state_dict().items()}
    pruner.apply_masks_(twin)
    after = twin.module.state_dict()
    for name, mask in pruner.masks().items():
        assert torch.equal(after[name], torch.where(mask, before[name], 0.0))
    assert torch.equal(after["0.bias"], before["0.bias"])
    assert sum(int(after[name].count_nonzero()) for name in pruner.masks()) <= 20


@pytest.mark.parametrize("rules", [Global(0.75), Block((4, 1), 0.75), Channel(0.5)], ids=repr)
def test_channels_last_under_autocast(rules: Any) -> None:
    """The format stays through training, resume and the cut, and chooses no other weights than the usual one."""
    masks = []
    for memory_format in (torch.contiguous_format, torch.channels_last):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(4, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3)).to(memory_format=memory_format)  # type: ignore[call-overload]
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        pruner = Pruner(model, optimizer, rules, total_steps=STEPS)
        for step in range(STEPS):
            images = torch.randn(2, 4, 7, 7, generator=torch.Generator().manual_seed(step))
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = model(images.contiguous(memory_format=memory_format)).float().square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            pruner.step(loss)
            if step == 4:
                pruner.load_state_dict(pruner.state_dict())
        report = pruner.finalize()
        assert model[0].weight.is_contiguous(memory_format=memory_format)
        assert report.nnz == sum(int(mask.sum()) for mask in pruner.masks().values())
        masks.append(pruner.masks())
    agreement = [float((masks[0][name] == masks[1][name]).float().mean()) for name in masks[0]]
    assert min(agreement) > 0.95  # bfloat16 convolutions round differently in the two formats


@every_method
def test_groups_that_stand_still(method: Method) -> None:
    """A group without a learning rate, and a layer frozen on the way, still end at the exact count."""
    model = _model()
    groups = [{"params": model[0].parameters(), "lr": 0.0}, {"params": model[2].parameters(), "weight_decay": 0.1}]
    optimizer = torch.optim.SGD(groups, lr=0.1)
    pruner = Pruner(model, optimizer, Unstructured(0.75), total_steps=STEPS, method=method)
    start = model[0].weight.detach().clone()
    for step in range(STEPS):
        if step == STEPS // 2:
            model[2].requires_grad_(False)
            optimizer.zero_grad(set_to_none=True)
        loss = _loss(model, step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        pruner.step(loss)
    assert [layer.nnz for layer in pruner.finalize().layers] == [12, 8]
    mask = pruner.masks()["0.weight"]
    assert torch.equal(mask, start.abs() >= start.abs().flatten().topk(12).values[-1])
    assert torch.equal(model[0].weight[mask], start[mask])


def test_frozen_layers_stay_as_they_are() -> None:
    model = _model()
    model[0].requires_grad_(False)
    before = model[0].weight.clone()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.01)
    pruner = Pruner(model, optimizer, Global(0.75), total_steps=STEPS)
    for step in range(STEPS):
        loss = _loss(model, step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        pruner.step(loss)
    report = pruner.finalize()
    assert torch.equal(model[0].weight, before)
    assert [layer.name for layer in report.layers] == ["2.weight"]
    assert "is frozen" in next(entry.reason for entry in report.skipped if entry.name == "0.weight")


@every_method
def test_one_matrix_in_two_layers_is_one_weight(method: Method) -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(8, 8, bias=False), nn.Linear(8, 8, bias=False)
            self.second.weight = self.first.weight

        def forward(self, inputs: Tensor) -> Tensor:
            return self.second(self.first(inputs).tanh())

    torch.manual_seed(0)
    model = Twice()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    pruner = Pruner(model, optimizer, Global(0.75), total_steps=STEPS, method=method)
    for step in range(STEPS):
        loss = model(torch.randn(4, 8, generator=torch.Generator().manual_seed(step))).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        pruner.step(loss)
        if step == 4:
            pruner.load_state_dict(pruner.state_dict())
    report = pruner.finalize()
    assert (report.nnz, report.numel) == (16, 64)
    assert list(pruner.masks()) == ["first.weight"]
    assert model.first.weight is model.second.weight


def test_two_networks_with_two_optimizers_and_two_pruners() -> None:
    """As in adversarial training: each pruner follows its own optimizer, at its own pace."""
    maker, critic = _model(0), nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
    optimizers = [torch.optim.Adam(model.parameters(), lr=0.01) for model in (maker, critic)]
    made = Pruner(maker, optimizers[0], Global(0.75), total_steps=6)
    judged = Pruner(critic, optimizers[1], Global(0.5), total_steps=12, method=ADMM(interval=2))
    noise = torch.randn(16, 6)
    for step in range(12):
        judgement = critic(maker(noise).detach()).mean() - critic(torch.randn(16, 4)).mean()
        optimizers[1].zero_grad()
        judgement.backward()
        optimizers[1].step()
        judged.step(judgement)
        if step % 2:
            deceit = -critic(maker(noise)).mean()
            optimizers[0].zero_grad()
            deceit.backward()
            optimizers[0].step()
            made.step(deceit)
    assert (made.steps, judged.steps) == (6, 12)
    assert (made.finalize().nnz, judged.finalize().nnz) == (20, 20)


def _train_step(model: nn.Module, optimizer: torch.optim.Optimizer, follow: Callable[[Tensor], None]) -> Any:
    def train_step(inputs: Tensor) -> None:
        loss = model(inputs).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        follow(loss)

    return train_step


@pytest.mark.parametrize("method", [SLR(), ADMM(interval=2)], ids=["SLR", "ADMM"])
@pytest.mark.parametrize(
    "part", ["optimizer", "step around the pruner", pytest.param("step with the pruner", marks=pytest.mark.slow)]
)
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # both are raised within dynamo
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
def test_a_compiled_step(part: str, method: Method) -> None:
    """The optimizer's step compiled, or everything that makes a step: the same numbers as without."""
    runs = []
    for compiled in (False, True):
        model = _model()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        pruner = Pruner(model, optimizer, Global(0.75), total_steps=STEPS, method=method)
        follow = pruner.step
        if compiled and part == "optimizer":
            optimizer.step = torch.compile(optimizer.step, backend="eager")  # type: ignore[method-assign]
        elif compiled and part == "step around the pruner":
            follow = torch.compiler.disable(pruner.step)
        train_step = _train_step(model, optimizer, follow)
        if compiled and part != "optimizer":
            train_step = torch.compile(train_step, backend="eager")
        for step in range(STEPS):
            train_step(torch.randn(8, 6, generator=torch.Generator().manual_seed(step)))
        assert pruner.steps == STEPS
        assert pruner.finalize().nnz == 20
        runs.append(_bits(model, pruner))
    assert same_bits(runs[0], runs[1])
    torch._dynamo.reset()
