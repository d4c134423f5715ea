"""Cooper 1.0: min f(W) subject to g(W) <= tolerance by simultaneous descent and ascent on the Lagrangian.

Cooper solves constrained problems that its user writes down; it has no pruning constraint of its own. The adapter gives
it one with an exact target: g is the L1 norm of what the hard cut would remove, relative to what it would have removed
from the dense net, so that g = 1 at the start and 0 in the set. The multiplier grows while g is above the tolerance and
falls below it. Formulation, optimizer of the multiplier (gradient ascent) and the simultaneous update are those of
Cooper's first tutorial. The multiplier's learning rate is the one knob: `pressure` over the number of steps, so that a
run of any length can build up the same multiplier; 100 was the best of 1, 3, 10, 30, 100 and 300 on digits (95 %, 10
epochs, one seed).
"""

from dataclasses import dataclass
from importlib.metadata import version

import torch
from benchmarks.peers.cutting import CutTrainer
from torch import Tensor, nn
from torch.optim import Optimizer

from slrprune.compare import RivalArm, register
from slrprune.errors import MissingExtraError
from slrprune.rules import Rules, assign

try:
    import cooper
except ImportError as error:
    raise MissingExtraError("The rival cooper", "cooper-optim", "peers") from error

TOLERANCE = 1e-3
"""How much may be left when the constraint counts as satisfied; at 0 the multiplier could never fall."""


class Distance:
    """g(W): the L1 norm of W - Proj_S(W), over all sets, divided by its value at the start."""

    def __init__(self, model: nn.Module, rules: Rules) -> None:
        assignments, _ = assign(model, rules)
        self.groups = []
        for assignment in assignments:
            weights = {target.name: target.parameter for target in assignment.targets}
            self.groups.append((assignment.constraint.bind(model, weights), list(weights.values())))
        self.first = 1.0
        with torch.no_grad():
            self.first = max(float(self()), 1e-12)

    def __call__(self) -> Tensor:
        parts = []
        for constraint, weights in self.groups:
            masks = constraint.select([weight.detach() for weight in weights])
            parts += [weight[~mask].abs().sum() for weight, mask in zip(weights, masks, strict=True)]
        return torch.stack(parts).sum() / self.first


class Sparse(cooper.ConstrainedMinimizationProblem):
    """The problem, at the loss of one batch."""

    def __init__(self, distance: Distance, device: torch.device) -> None:
        super().__init__()
        self.distance = distance
        multiplier = cooper.multipliers.DenseMultiplier(num_constraints=1, device=device)
        kind = cooper.ConstraintType.INEQUALITY
        self.sparsity = cooper.Constraint(kind, formulation_type=cooper.formulations.Lagrangian, multiplier=multiplier)

    def compute_cmp_state(self, loss: Tensor) -> cooper.CMPState:
        """Loss and violation."""
        violation = (self.distance() - TOLERANCE).reshape(1)
        return cooper.CMPState(loss, {self.sparsity: cooper.ConstraintState(violation=violation)})


class CooperTrainer(CutTrainer):
    """One simultaneous update for each loss."""

    def __init__(self, model: nn.Module, optimizer: Optimizer, rules: Rules, dual_lr: float) -> None:
        super().__init__(model, rules)
        device = next(model.parameters()).device
        self.problem = Sparse(Distance(model, rules), device)
        dual = torch.optim.SGD(self.problem.dual_parameters(), lr=dual_lr, maximize=True)
        self.solver = cooper.optim.SimultaneousOptimizer(self.problem, optimizer, dual)

    def step(self, loss: Tensor, /) -> None:
        """Weights and multiplier move together."""
        self.solver.roll(compute_cmp_state_kwargs={"loss": loss})


@dataclass(frozen=True)
class Lagrangian:
    """Makes trainers.

    Args:
        pressure: the multiplier that a violation of 1 would build up over the whole run.
    """

    pressure: float = 100.0

    def __call__(self, model: nn.Module, optimizer: Optimizer, rules: Rules, total_steps: int) -> CooperTrainer:
        return CooperTrainer(model, optimizer, rules, self.pressure / total_steps)


def _arm(pressure: float, *others: float) -> RivalArm:
    factory = Lagrangian(pressure)
    settings = f"cooper-optim {version('cooper-optim')}, {factory}"
    description = "Cooper's Lagrangian on the distance to the set"
    return RivalArm("cooper", description, factory, settings, alternatives=tuple(_arm(other) for other in others))


ARM = _arm(100.0, 30.0, 300.0, 10.0, 1000.0, 3000.0)
register(ARM)
