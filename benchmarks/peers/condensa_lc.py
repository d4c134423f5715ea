"""Condensa 0.5: the L-C algorithm (learning and compression), an augmented Lagrangian with a pruned copy theta.

Condensa owns the whole training (`condensa.opt.LC.compress` takes loaders and a loss function), so that its loop cannot
be put between somebody else's steps. The adapter therefore makes the outer loop itself, step by step as in LC.compress,
out of Condensa's parts: its scheme `Prune` with a global threshold for theta, and its optimizer `opt.lc.SGD` for the
weights, which holds the pull towards theta. Momentum, weight decay and learning rates are the recipe's; Condensa's own
optimizer fails on weight decay with today's torch, so that the adapter adds it to the gradient.

Settings are those of the CIFAR-10 example (compress_alexnet.sh): mu grows by 1.1 with every L step, and the first L
step is ten times as long as the others. The example leaves the number of rounds to the user; 34 is ours. Its mu_init of
1e-3 belongs to L steps of 3,000 iterations. Here it is scaled so that learning rate x mu x iterations of an L step, the
share of the distance to theta that is closed, is as published: 0.03.
"""

from copy import deepcopy
from dataclasses import dataclass

import torch
from benchmarks.peers.cutting import CutTrainer, hard_cut_
from torch import Tensor, nn
from torch.optim import SGD, Optimizer

from slrprune import Global
from slrprune.compare import RivalArm, register
from slrprune.errors import MissingExtraError, UsageError
from slrprune.rules import Rules

try:
    import condensa
    from condensa.opt.lc.sgd import SGD as LStep  # noqa: N811  (torch's SGD has the name)
    from condensa.schemes import Prune
except ImportError as error:
    raise MissingExtraError("The rival condensa_lc", "condensa", "peers") from error


@dataclass(frozen=True)
class LC:
    """Makes trainers.

    Args:
        pull: learning rate x mu x iterations of the first ordinary L step, at the mean learning rate.
        growth: of mu with every L step.
        rounds: L steps, the first of which counts ten times.
    """

    pull: float = 0.03
    growth: float = 1.1
    rounds: int = 34

    def __call__(self, model: nn.Module, optimizer: Optimizer, rules: Rules, total_steps: int) -> "LCTrainer":
        return LCTrainer(model, optimizer, rules, self, total_steps)


class LCTrainer(CutTrainer):
    """L steps on the weights, C steps on theta."""

    def __init__(self, model: nn.Module, optimizer: Optimizer, rules: Rules, settings: LC, total_steps: int) -> None:
        super().__init__(model, rules)
        if not isinstance(rules, Global) or rules.sparsity is None:
            raise UsageError("condensa_lc", f"Condensa's Prune takes one density, not {rules!r}", "Write Global(0.9).")
        if not isinstance(optimizer, SGD) or len(optimizer.param_groups) != 1:
            raise UsageError("condensa_lc", "Condensa's L step is an SGD of its own", "Take a recipe with SGD.")
        self.optimizer, self.group = optimizer, optimizer.param_groups[0]
        self.settings, self.scheme = settings, Prune(1 - rules.sparsity)
        self.length = max(1, total_steps // (settings.rounds + 9))
        self.left = total_steps - self.length * (settings.rounds - 1)  # the first L step takes what is left
        if self.left < 1:
            raise UsageError("condensa_lc", f"{total_steps} steps are too few for L-C", "Plan more epochs.")
        self.mu = settings.pull / (0.5 * self.group["lr"] * self.length)
        self.theta, self.multipliers = deepcopy(model), deepcopy(model)
        with torch.no_grad():
            for parameter in self.multipliers.parameters():
                parameter.zero_()
        self.scheme.pi(self.theta)  # the first C step, without multipliers; it also marks what is compressed
        self.descent = LStep(model, lr=self.group["lr"], momentum=self.group["momentum"])

    def step(self, loss: Tensor, /) -> None:
        """One iteration of an L step; the last one of it is followed by a C step."""
        self.descent.zero_grad()
        loss.backward()
        for parameter in self.model.parameters():
            if parameter.grad is not None:
                parameter.grad.add_(parameter.detach(), alpha=self.group["weight_decay"])
        self.descent.step(self.group["lr"], self.mu, self.theta, self.multipliers)
        self.optimizer.zero_grad()
        self.optimizer.step()  # moves nothing without gradients; the learning rate's schedule wants to see steps
        self.left -= 1
        if self.left == 0:
            self._compress_(self.model, self.theta)
            self._move_multipliers_()
            self.descent.reset_state()
            self.mu *= self.settings.growth
            self.left = self.length

    def preview(self) -> nn.Module:
        """theta as a C step would leave it now, in a copy of the model."""
        copy = deepcopy(self.model)
        self._write_theta_(copy)
        return copy

    def finalize(self) -> None:
        """theta becomes the model."""
        self._write_theta_(self.model)

    @torch.no_grad()
    def _write_theta_(self, model: nn.Module) -> None:
        theta = deepcopy(self.theta)
        self._compress_(model, theta)
        for weight, pruned, _ in self._triples(model, theta):
            weight.copy_(pruned)
        hard_cut_(model, self.rules)

    @torch.no_grad()
    def _compress_(self, model: nn.Module, theta: nn.Module) -> None:
        """The C step: theta = Prune(w - lambda / mu)."""
        for weight, pruned, multiplier in self._triples(model, theta):
            pruned.copy_(weight - multiplier / self.mu)
        self.scheme.pi(theta)

    @torch.no_grad()
    def _move_multipliers_(self) -> None:
        """lambda = lambda - mu (w - theta)."""
        for weight, pruned, multiplier in self._triples(self.model, self.theta):
            multiplier.sub_(self.mu * (weight - pruned))

    def _triples(self, model: nn.Module, theta: nn.Module) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Weight, its pruned copy and its multiplier, for the layers that Condensa compresses."""
        modules = zip(model.modules(), theta.modules(), self.multipliers.modules(), strict=True)
        kinds = tuple(self.scheme.layer_types)
        return [(ours.weight, pruned.weight, held.weight) for ours, pruned, held in modules if type(ours) in kinds]


def _arm(factory: LC, *others: LC) -> RivalArm:
    settings = f"condensa {condensa.__version__}, {factory}"
    description = "Condensa's L-C algorithm"
    return RivalArm("condensa_lc", description, factory, settings, alternatives=tuple(map(_arm, others)))


ARM = _arm(LC(), LC(pull=0.1), LC(pull=0.3), LC(pull=0.01), LC(growth=1.2), LC(pull=1.0))
register(ARM)
