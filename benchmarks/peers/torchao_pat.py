"""Pruning-aware training of torchao 0.18 (`torchao.prototype.pat`), an optimizer around the optimizer.

Two arms:

torchao_pat     its hard constraint with an exact target: every step projects, gradients are taken at the projected
                weights and applied to dense latent ones, the target grows by a cubic ramp; from `healing` on the mask
                is frozen. The README recommends the hard constraint for exact targets, and a global budget is
                `GlobalMinSparsityConstraint`. It gives no fractions for warm-up and healing; 5 % and 60 % of the run
                are those of fairchem's callback for the same schedule.
torchao_lasso   its element-wise soft threshold (`ProxLasso`), whose strength and not sparsity is given: 2e-4, the
                README's. Whatever it leaves too much is taken by the hard cut at the end.

PAT's global budget has no floor per layer, as ours has, so that it may empty a layer; that is its own behaviour.

torchao 0.18 writes its zeros through `reshape(-1, 1)`, which copies a weight in channels-last format, so that nothing
is pruned and nothing is said. The adapter lays the weights out row by row before; activations stay as they are.
"""

from dataclasses import dataclass
from functools import singledispatch
from typing import Any

from benchmarks.peers.cutting import CutTrainer
from torch import Tensor, nn
from torch.optim import Optimizer

from slrprune import Channel, ConstraintSet, Global, Unstructured
from slrprune.compare import RivalArm, register
from slrprune.errors import MissingExtraError, UsageError
from slrprune.rules import Rules, assign

try:
    import torchao
    from torchao.prototype.pat.optim import PruneOptimizer
except ImportError as error:
    raise MissingExtraError("The rival torchao_pat", "torchao", "peers") from error


class PATTrainer(CutTrainer):
    """Backward pass and a step of `PruneOptimizer`."""

    def __init__(self, model: nn.Module, optimizer: PruneOptimizer, rules: Rules) -> None:
        super().__init__(model, rules)
        self.optimizer = optimizer

    def step(self, loss: Tensor, /) -> None:
        """One step; the zeros are in the weights after it."""
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()


@dataclass(frozen=True)
class HardConstraint:
    """Makes trainers with an exact target.

    Args:
        warmup: fraction of the run before the ramp.
        healing: fraction of the run at which the ramp has ended and the mask is frozen.
    """

    warmup: float = 0.05
    healing: float = 0.6

    def __call__(self, model: nn.Module, optimizer: Optimizer, rules: Rules, total_steps: int) -> PATTrainer:
        for targets, options in _constraints(model, rules):
            _move(optimizer, targets, {**options, "min_sparsity_schedule": True})
        begin, end = int(self.warmup * total_steps), int(self.healing * total_steps)
        if end <= begin:
            problem = f"{total_steps} steps are too short for a ramp from {self.warmup:.0%} to {self.healing:.0%}"
            raise UsageError("torchao_pat", problem, "Plan more epochs.")
        return PATTrainer(model, PruneOptimizer(optimizer, warmup_steps=begin, healing_start_step=end), rules)


@dataclass(frozen=True)
class SoftThreshold:
    """Makes trainers with a strength in place of a target.

    Args:
        strength: lambda of the lasso.
        healing: fraction of the run from which the zeros are frozen.
    """

    strength: float = 2e-4
    healing: float = 0.6

    def __call__(self, model: nn.Module, optimizer: Optimizer, rules: Rules, total_steps: int) -> PATTrainer:
        targets = [target.parameter for assignment in assign(model, rules)[0] for target in assignment.targets]
        _move(optimizer, targets, {"group_type": "ElemGrouper", "prox_type": "ProxLasso"})
        end = max(1, int(self.healing * total_steps))
        return PATTrainer(model, PruneOptimizer(optimizer, healing_start_step=end, reg_lambda=self.strength), rules)


def _constraints(model: nn.Module, rules: Rules) -> list[tuple[list[nn.Parameter], dict[str, Any]]]:
    """The weights of each budget, with PAT's words for it."""
    return [
        ([target.parameter for target in assignment.targets], _options(assignment.constraint))
        for assignment in assign(model, rules)[0]
    ]


@singledispatch
def _options(constraint: ConstraintSet) -> dict[str, Any]:
    problem = f"{constraint!r} has no counterpart in PAT that this adapter knows"
    raise UsageError("torchao_pat", problem, "Global, Unstructured and Channel(dim=0) have one.")


@_options.register
def _of_global(constraint: Global) -> dict[str, Any]:
    if constraint.sparsity is None:
        raise UsageError("torchao_pat", f"{constraint!r} gives no sparsity", "Write Global(0.9).")
    # Groups of one element have one score whatever the type of score.
    kind = {"group_type": "ElemGrouper", "prox_type": "GlobalMinSparsityConstraint"}
    return {**kind, "min_sparsity": constraint.sparsity}


@_options.register
def _of_unstructured(constraint: Unstructured) -> dict[str, Any]:
    kind = {"group_type": "KElementGrouper", "k": 1, "prox_type": "MinSparsityConstraint"}
    return {**kind, "min_sparsity": constraint.sparsity}


@_options.register
def _of_channel(constraint: Channel) -> dict[str, Any]:
    if constraint.dim != 0:
        raise UsageError("torchao_pat", f"{constraint!r} is not along dim 0", "PAT drops whole rows.")
    return {"group_type": "Dim0Grouper", "prox_type": "MinSparsityConstraint", "min_sparsity": constraint.sparsity}


def _move(optimizer: Optimizer, weights: list[nn.Parameter], options: dict[str, Any]) -> None:
    """Moves `weights` into a parameter group of their own with PAT's options, all else as in the group they leave."""
    for weight in weights:
        weight.data = weight.data.contiguous()
    chosen = {id(weight) for weight in weights}
    homes = [group for group in optimizer.param_groups if any(id(parameter) in chosen for parameter in group["params"])]
    if len(homes) != 1:
        problem = f"the weights of one budget are in {len(homes)} parameter groups"
        raise UsageError("torchao_pat", problem, "PAT shares a budget within one group only.")
    (home,) = homes
    home["params"] = [parameter for parameter in home["params"] if id(parameter) not in chosen]
    rest = {name: value for name, value in home.items() if name != "params"}
    optimizer.add_param_group({**rest, **options, "params": weights})


def _arm(name: str, description: str, factory: HardConstraint | SoftThreshold, *others: Any) -> RivalArm:
    settings = f"torchao {torchao.__version__}, {factory}"
    alternatives = tuple(_arm(name, description, other) for other in others)
    return RivalArm(name, description, factory, settings, alternatives=alternatives)


HARD = _arm(
    *("torchao_pat", "torchao's pruning-aware optimizer, exact target", HardConstraint()),
    *(HardConstraint(0.0, healing) for healing in (0.5, 0.6, 0.75, 0.9)),
    HardConstraint(0.05, 0.75),
)
SOFT = _arm(
    *("torchao_lasso", "torchao's pruning-aware optimizer, soft threshold", SoftThreshold()),
    *(SoftThreshold(strength) for strength in (2e-3, 5e-3, 1e-2, 2e-2, 5e-2)),
)
register(HARD)
register(SOFT)
