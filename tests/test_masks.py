"""Zeros that stay zero, whatever the optimizer carries; and masks for other copies of a model."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from slrprune import MaskKeeper, Unstructured, apply_masks_
from slrprune.errors import ArgumentError, RuleError, ShapeError, UsageError

OPTIMIZERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "SGD": lambda p: torch.optim.SGD(p, lr=0.1),
    "SGD momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01),
    "SGD Nesterov fused": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, fused=True),
    "SGD one by one": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, foreach=False),
    "Adam": lambda p: torch.optim.Adam(p, lr=0.05),
    "Adam fused": lambda p: torch.optim.Adam(p, lr=0.05, fused=True),
    "AdamW": lambda p: torch.optim.AdamW(p, lr=0.05),
    "AdamW fused amsgrad": lambda p: torch.optim.AdamW(p, lr=0.05, fused=True, amsgrad=True),
    "RMSprop": lambda p: torch.optim.RMSprop(p, lr=0.01, momentum=0.9),
    "Adafactor": lambda p: torch.optim.Adafactor(p, lr=0.05),
}
every_optimizer = pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS.keys())


def _model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 4))


def _cut(model: nn.Sequential) -> dict[str, Tensor]:
    """Half of each weight goes; the masks."""
    masks = {}
    for name, parameter in model.named_parameters():
        if parameter.ndim == 2:
            masks[name] = Unstructured(0.5).mask(parameter)
            parameter.data.masked_fill_(~masks[name], 0.0)
    return masks


def _train(model: nn.Sequential, optimizer: torch.optim.Optimizer, steps: int = 5) -> None:
    for step in range(steps):
        inputs = torch.randn(8, 6, generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        (model(inputs) - 1).square().mean().backward()
        optimizer.step()


def _revived(model: nn.Sequential, masks: dict[str, Tensor]) -> int:
    """How many masked entries are not +0.0."""
    parameters = dict(model.named_parameters())
    values = torch.cat([parameters[name].detach()[~mask] for name, mask in masks.items()])
    return int(((values != 0) | torch.signbit(values)).sum())


def _bits(model: nn.Module) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in model.parameters()]


@every_optimizer
@pytest.mark.parametrize("warm", [False, True])
def test_zeros_stay_exactly_zero(make: Callable[[Any], torch.optim.Optimizer], warm: bool) -> None:
    """Also where momentum was gathered before the cut: without a keeper it revives what was pruned."""
    model = _model()
    optimizer = make(model.parameters())
    if warm:
        _train(model, optimizer)
    masks = _cut(model)
    keeper = MaskKeeper(model, optimizer)
    before = _bits(model)
    for _ in range(3):
        _train(model, optimizer, steps=2)
        assert _revived(model, masks) == 0
    moved = [bool((a != b).any()) for a, b in zip(before, model.parameters(), strict=True)]
    assert all(moved), "everything else is trained"
    kept = torch.cat([parameter.detach()[masks[name]] for name, parameter in model.named_parameters() if name in masks])
    assert int(kept.count_nonzero()) == 40
    keeper.remove()
    _train(model, optimizer, steps=2)
    assert _revived(model, masks) > 0, "after remove() nothing is held: the test can fail"


@pytest.mark.parametrize("name", ["SGD momentum", "Adam", "AdamW fused amsgrad"])
def test_gathered_momentum_is_cleared_once_where_the_mask_is(name: str) -> None:
    model = _model()
    optimizer = OPTIMIZERS[name](model.parameters())
    _train(model, optimizer)
    masks = _cut(model)
    before = {
        (parameter_name, key): value.clone()
        for parameter_name, parameter in model.named_parameters()
        for key, value in optimizer.state[parameter].items()
        if isinstance(value, Tensor)
    }
    MaskKeeper(model, optimizer)
    assert before
    for (parameter_name, key), old in before.items():
        value = optimizer.state[model.get_parameter(parameter_name)][key]
        mask = masks.get(parameter_name)
        expected = old if mask is None or old.shape != mask.shape else old * mask
        assert torch.equal(value, expected), (parameter_name, key)


def test_support_trains_as_if_the_zeros_were_constants() -> None:
    """With plain SGD the kept entries move exactly as their own gradient says."""
    model, twin = _model(), _model()
    masks = _cut(model)
    _cut(twin)
    MaskKeeper(model, optimizer := torch.optim.SGD(model.parameters(), lr=0.1))
    _train(model, optimizer)
    for step in range(5):
        inputs = torch.randn(8, 6, generator=torch.Generator().manual_seed(step))
        gradients = torch.autograd.grad((twin(inputs) - 1).square().mean(), list(twin.parameters()))
        with torch.no_grad():
            for (name, parameter), gradient in zip(twin.named_parameters(), gradients, strict=True):
                parameter.sub_(0.1 * gradient * masks.get(name, 1))
    for one, other in zip(model.parameters(), twin.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-7)


def test_minus_zero_and_nan_are_overwritten() -> None:
    model = nn.Linear(4, 1, bias=False)
    model.weight.data.copy_(torch.tensor([[1.0, -0.0, torch.nan, 2.0]]))
    apply_masks_(model, {"weight": torch.tensor([[True, False, False, True]])})
    assert model.weight.tolist() == [[1.0, 0.0, 0.0, 2.0]]
    assert not torch.signbit(model.weight).any()


@pytest.mark.parametrize("fused", [False, True])
def test_a_step_skipped_by_the_scaler(fused: bool) -> None:
    model = _model()
    masks = _cut(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.05, fused=fused)
    MaskKeeper(model, optimizer)
    scaler = torch.amp.GradScaler("cpu", init_scale=16.0)
    for step in range(4):
        before = _bits(model)
        optimizer.zero_grad()
        scaler.scale(model(torch.ones(2, 6)).square().mean()).backward()
        if step == 2:
            model[0].weight.grad[0, 0] = torch.inf
        scaler.step(optimizer)
        scaler.update()
        assert _revived(model, masks) == 0
        is_same = all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
        assert is_same is (step == 2)


def test_two_optimizers_take_two_keepers() -> None:
    model = _model()
    masks = _cut(model)
    optimizers = [torch.optim.SGD(model[0].parameters(), lr=0.1), torch.optim.Adam(model[2].parameters(), lr=0.1)]
    keepers = [MaskKeeper(model, optimizer) for optimizer in optimizers]
    for _ in range(3):
        (model(torch.ones(2, 6)) - 1).square().mean().backward()
        for optimizer in optimizers:
            optimizer.step()
        assert _revived(model, masks) == 0
    for keeper in keepers:
        keeper.remove()
    assert not any(optimizer._optimizer_step_post_hooks for optimizer in optimizers)


def test_given_masks_are_copied_and_may_cover_what_is_not_selected_by_default() -> None:
    model = nn.Sequential(nn.Embedding(4, 3), nn.Linear(3, 2))
    mask = torch.rand(4, 3) > 0.5
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    MaskKeeper(model, optimizer, {"0.weight": mask})
    expected = mask.clone()
    mask.fill_(True)
    model(torch.arange(4)).square().mean().backward()
    optimizer.step()
    assert torch.equal(model[0].weight != 0, expected)
    assert int((model[1].weight == 0).sum()) == 0


def test_a_weight_replaced_after_building() -> None:
    model = _model()
    _cut(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    keeper = MaskKeeper(model, optimizer)
    model[2].weight = nn.Parameter(torch.ones(4, 8))
    message = r"MaskKeeper: 2\.weight was replaced after the keeper was built\. Build the keeper last"
    with pytest.raises(UsageError, match=message):
        _train(model, optimizer)
    keeper.remove()
    _train(model, optimizer)


def test_nothing_to_keep() -> None:
    model = _model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    message = r"MaskKeeper: the model has no zeros to keep\. Prune it first, or pass masks"
    with pytest.raises(UsageError, match=message):
        MaskKeeper(model, optimizer)
    with pytest.raises(UsageError, match=message):
        MaskKeeper(model, optimizer, {})
    assert not optimizer._optimizer_step_post_hooks


@pytest.mark.parametrize(
    ("masks", "kind", "message"),
    [
        (
            {"0.wait": torch.zeros(8, 6, dtype=torch.bool)},
            RuleError,
            r"0\.wait: the model has no such parameter\. The closest names are \['0\.weight', ",
        ),
        (
            {"2.weight": torch.zeros(8, 4, dtype=torch.bool)},
            ShapeError,
            r"2\.weight: the mask has shape \(8, 4\), got shape \(4, 8\)",
        ),
        (
            {"2.weight": torch.zeros(4, 8)},
            ArgumentError,
            r"masks\(2\.weight=torch\.float32\): 2\.weight must be a bool tensor, True = kept",
        ),
    ],
)
@pytest.mark.parametrize("use", ["apply_masks_", "MaskKeeper"])
def test_nothing_is_written_unless_all_masks_fit(
    masks: dict[str, Tensor], kind: type[Exception], message: str, use: str
) -> None:
    model = _model()
    before = _bits(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    _train(model, optimizer, steps=0)
    masks = {"0.weight": torch.zeros(8, 6, dtype=torch.bool), **masks}
    with pytest.raises(kind, match=message):
        apply_masks_(model, masks) if use == "apply_masks_" else MaskKeeper(model, optimizer, masks)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert not optimizer._optimizer_step_post_hooks


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod."])
@pytest.mark.parametrize("wrap", [lambda model: model, nn.DataParallel])
def test_wrapper_prefixes_do_not_matter(prefix: str, wrap: Callable[[nn.Module], nn.Module]) -> None:
    model = _model()
    masks = {f"{prefix}{name}": mask for name, mask in _cut(_model()).items()}
    apply_masks_(wrap(model), masks)
    assert _revived(model, {name.removeprefix(prefix): mask for name, mask in masks.items()}) == 0


def test_tied_weights_answer_to_both_names() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    model[1].weight = model[0].weight
    mask = torch.eye(4, dtype=torch.bool)
    apply_masks_(model, {"1.weight": mask})
    assert torch.equal(model[0].weight != 0, mask)
