"""Unstructured magnitude pruning of NNCF 3.4 while the network trains.

A mask in front of every weight, set anew by the scheduler: `UNSTRUCTURED_MAGNITUDE_GLOBAL` for one budget (it compares
magnitudes relative to the norm of each layer), `UNSTRUCTURED_MAGNITUDE_LOCAL` for one per layer. The sparsity grows by
NNCF's exponential schedule over the first half of the run, in 20 stages, and the rest of the run is fine-tuning under
the last mask. The masks are placed by the names of the weights, since an adapter has no example input for NNCF's graph.
"""

from copy import deepcopy
from dataclasses import dataclass
from functools import singledispatch

import torch
from benchmarks.peers.cutting import CutTrainer, hard_cut_
from torch import Tensor, nn
from torch.optim import Optimizer

from slrprune import ConstraintSet, Global, Unstructured
from slrprune.compare import RivalArm, register
from slrprune.errors import MissingExtraError, UsageError
from slrprune.rules import Rules, assign

try:
    import nncf
    from nncf.parameters import PruneMode
    from nncf.torch.function_hook.pruning.magnitude.algo import apply_magnitude_pruning, get_pruned_modules
    from nncf.torch.function_hook.pruning.magnitude.schedulers import ExponentialMagnitudePruningScheduler
    from nncf.torch.function_hook.wrapper import ATR_HOOK_STORAGE, wrap_model
except ImportError as error:
    raise MissingExtraError("The rival nncf_magnitude", "nncf", "peers") from error


class NNCFTrainer(CutTrainer):
    """Plain steps of a network with masks, and a stage of the schedule now and then.

    Args:
        model: wrapped for the length of the run.
        optimizer: of its weights.
        rules: one budget, or one per layer.
        stage: steps between two stages.
        stages: how many there are until the target is reached.
    """

    def __init__(self, model: nn.Module, optimizer: Optimizer, rules: Rules, stage: int, stages: int) -> None:
        super().__init__(model, rules)
        names, mode, sparsity = _asked(model, rules)
        self.optimizer, self.stage, self.steps = optimizer, stage, 0
        wrap_model(model)
        apply_magnitude_pruning(model, names, mode, 0.0)
        self.schedule = ExponentialMagnitudePruningScheduler(
            model, mode=mode, initial_ratio=0.0, target_ratio=sparsity, target_epoch=stages
        )
        self.schedule.step()

    def step(self, loss: Tensor, /) -> None:
        """Backward pass and step; the masks are in the network's forward pass."""
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.steps += 1
        if self.steps % self.stage == 0:
            self.schedule.step()

    def preview(self) -> nn.Module:
        """The masked weights on a copy without NNCF's wrapping, after the hard cut."""
        copy = deepcopy(self.model)
        _bake_(copy)
        hard_cut_(copy, self.rules)
        return copy

    def finalize(self) -> None:
        """Masks become zeros, NNCF's wrapping goes, and the hard cut follows."""
        _bake_(self.model)
        hard_cut_(self.model, self.rules)


@torch.no_grad()
def _bake_(model: nn.Module) -> None:
    for name, hook in get_pruned_modules(model).items():
        model.get_parameter(name).mul_(hook.binary_mask)
    delattr(model, ATR_HOOK_STORAGE)
    for wrapped in ("forward", "_replicate_for_data_parallel"):
        model.__dict__.pop(wrapped, None)


def _asked(model: nn.Module, rules: Rules) -> tuple[set[str], PruneMode, float]:
    """Names of the weights, mode and sparsity; all weights must be asked the same."""
    assignments, _ = assign(model, rules)
    asked = [_mode(assignment.constraint) for assignment in assignments]
    if len(dict.fromkeys(asked)) > 1 or (asked[0][0] is PruneMode.UNSTRUCTURED_MAGNITUDE_GLOBAL and len(asked) > 1):
        raise UsageError("nncf_magnitude", "NNCF asks the same of all weights", "Give one set for all of them.")
    names = {target.name for assignment in assignments for target in assignment.targets}
    return names, *asked[0]


@singledispatch
def _mode(constraint: ConstraintSet) -> tuple[PruneMode, float]:
    raise UsageError("nncf_magnitude", f"{constraint!r} has no counterpart in NNCF", "Take Global or Unstructured.")


@_mode.register
def _of_global(constraint: Global) -> tuple[PruneMode, float]:
    if constraint.sparsity is None:
        raise UsageError("nncf_magnitude", f"{constraint!r} gives no sparsity", "Write Global(0.9).")
    return PruneMode.UNSTRUCTURED_MAGNITUDE_GLOBAL, constraint.sparsity


@_mode.register
def _of_unstructured(constraint: Unstructured) -> tuple[PruneMode, float]:
    return PruneMode.UNSTRUCTURED_MAGNITUDE_LOCAL, constraint.sparsity


@dataclass(frozen=True)
class Exponential:
    """Makes trainers.

    Args:
        end: fraction of the run at which the target is reached, in (0, 1].
        stages: how often the masks are set until then.
    """

    end: float = 0.5
    stages: int = 20

    def __call__(self, model: nn.Module, optimizer: Optimizer, rules: Rules, total_steps: int) -> NNCFTrainer:
        ramp = int(self.end * total_steps)
        if ramp < 1:
            raise UsageError("nncf_magnitude", f"{total_steps} steps are too short for a schedule", "Plan more epochs.")
        stages = min(self.stages, ramp)
        return NNCFTrainer(model, optimizer, rules, ramp // stages, stages)


def _arm(factory: Exponential, *others: Exponential) -> RivalArm:
    settings = f"nncf {nncf.__version__}, {factory}"
    description = "NNCF's magnitude pruning with its exponential schedule"
    return RivalArm("nncf_magnitude", description, factory, settings, alternatives=tuple(map(_arm, others)))


_OTHERS = (
    Exponential(end=0.3),
    Exponential(end=0.7),
    Exponential(end=0.9),
    Exponential(stages=5),
    Exponential(stages=80),
)
ARM = _arm(Exponential(), *_OTHERS)
register(ARM)
