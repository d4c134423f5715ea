"""What a `Pruner` checks before it starts, and the check of the weights that it repeats at every step."""

import math
from collections.abc import Sequence
from fractions import Fraction
from functools import reduce
from numbers import Real

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from slrprune.distributed.dtensors import is_dtensor
from slrprune.errors import ArgumentError, NonFiniteError, RuleError, UsageError
from slrprune.methods.base import Method, Problem
from slrprune.rules import Target


def checked_steps(total_steps: int, method: Method) -> int:
    """`total_steps` itself; raises `ArgumentError` where it is too short for the method's schedule."""
    if isinstance(total_steps, bool) or not isinstance(total_steps, int) or total_steps < 1:
        way_out = "It is len(loader) * epochs, counted in optimizer steps."
        raise ArgumentError("Pruner", "total_steps", total_steps, "must be a positive integer", way_out)
    if int(method.ramp.end * total_steps) < method.interval and method.ramp.end > 0:
        rule = f"is too short for the schedule: {type(method).__name__} ramps up until {method.ramp.end:.0%} of the run"
        needed = _least_steps(method.ramp.end, method.interval)
        way_out = f"Plan at least {needed} steps, or lower interval={method.interval}."
        raise ArgumentError("Pruner", "total_steps", total_steps, rule, way_out)
    return total_steps


def checked_method(given: object) -> Method:
    """The method itself; raises `ArgumentError` for a name or a class."""
    if isinstance(given, Method):
        return given
    name = given.__name__ if isinstance(given, type) else repr(given)
    way_out = "Call the class, as in method=SLR()."
    raise ArgumentError("Pruner", "method", name, "must be an object of a method's class", way_out)


def checked_model(given: object) -> nn.Module:
    """The model itself; raises `ArgumentError` for anything else."""
    if isinstance(given, nn.Module):
        return given
    way_out = "Several models go into one nn.ModuleList."
    raise ArgumentError("Pruner", "model", type(given).__name__, "must be a torch module", way_out)


def checked_optimizers(given: Optimizer | Sequence[Optimizer]) -> tuple[Optimizer, ...]:
    """The optimizers as a tuple; raises where one is none, or is LBFGS."""
    optimizers = tuple(given) if isinstance(given, Sequence) else (given,)
    for optimizer in optimizers:
        if not isinstance(optimizer, Optimizer):
            way_out = "Of a wrapper, hand over the optimizer inside."
            kind = type(optimizer).__name__
            raise ArgumentError("Pruner", "optimizer", kind, "must be a torch Optimizer, or several", way_out)
        if isinstance(optimizer, torch.optim.LBFGS):
            problem = "LBFGS builds on curvature between its own iterates, which a projection would falsify"
            raise UsageError("Pruner", problem, "Take a first-order optimizer such as SGD or AdamW.")
    return optimizers


def checked_loss(loss: Tensor | float, device: torch.device) -> Tensor:
    """A copy of the loss, 0-dim float64 on `device`; a number is written there without a copy from the host.

    Raises:
        ArgumentError: it is not one number.
    """
    if not isinstance(loss, Tensor):
        if not isinstance(loss, Real):
            rule = "must be a tensor or a number"
            raise ArgumentError("Pruner.step", "loss", loss, rule, "Pass the mini-batch's loss.")
        return torch.full((), loss, dtype=torch.float64, device=device)
    if loss.numel() != 1:
        raise ArgumentError("Pruner.step", "loss", tuple(loss.shape), "must hold one number")
    return loss.detach().to(device=device, dtype=torch.float64, copy=True).reshape(())


def owning_groups(targets: Sequence[Target], optimizers: Sequence[Optimizer]) -> tuple[tuple[Optimizer, int], ...]:
    """For each target the optimizer that owns it and the index of its group (groups are replaced on loading).

    Raises:
        RuleError: a weight that none of them owns.
    """
    owners = {
        id(parameter): (optimizer, index)
        for optimizer in optimizers
        for index, group in enumerate(optimizer.param_groups)
        for parameter in group["params"]
    }
    for target in targets:
        if id(target.parameter) not in owners:
            way_out = f"Hand its optimizer over as well, or leave it out with the rule {target.name!r}: None."
            if is_dtensor(target.parameter):
                way_out = "Build the optimizer after fully_shard, and the pruner after the optimizer."
            raise RuleError(target.name, "no optimizer handed to the pruner owns it", way_out)
    return tuple(owners[id(target.parameter)] for target in targets)


def weight_norms(weights: Sequence[Tensor]) -> Tensor:
    """One norm per weight, not finite where an entry is not (or where one exceeds 1e19, which is as bad)."""
    dtype = reduce(torch.promote_types, (weight.dtype for weight in weights), torch.float32)
    norms = torch._foreach_norm([weight.detach() for weight in weights], dtype=dtype)
    return torch.stack([norm.to(weights[0].device, torch.float64) for norm in norms])


def loss_and_health(problem: Problem, loss: Tensor) -> tuple[Tensor, Tensor]:
    """The mean loss of all ranks, and whether loss and weights are finite on all of them; 0-dim, of the loss's device.

    Args:
        problem: the weights.
        loss: this rank's, 0-dim float64.
    """
    usable = loss.isfinite() & weight_norms(problem.weights).isfinite().all()
    if problem.world.size == 1:
        return loss, usable
    summed = problem.world.total(torch.stack([loss, (~usable).double()]))
    return summed[0] / problem.world.size, summed[1] == 0


def refuse_non_finite(problem: Problem) -> None:
    """Raises `NonFiniteError` naming the first weight with an entry that is not finite, on whatever rank.

    Weights on the meta device have no entries at all: `UsageError`.
    """
    for name, weight in zip(problem.names, problem.weights, strict=True):
        if weight.is_meta:
            way_out = "Load the model's weights before the pruner is built."
            raise UsageError("Pruner", f"{name} is on the meta device and has no values", way_out)
    bad = problem.world.total((~weight_norms(problem.weights).isfinite()).long())
    if bool(bad.any()):
        name = problem.names[int(bad.nonzero()[0, 0])]
        raise NonFiniteError(name, "the weight", "Load the last checkpoint; nothing has been changed.")


def _least_steps(end: float, interval: int) -> int:
    """The least n with int(end * n) >= interval, for end in (0, 1]; beyond 2**53 steps one that will do."""
    needed = math.ceil(interval / Fraction(end))
    # The product of floats may be rounded up to the interval one step before the exact one gets there.
    return needed - 1 if needed < 2**53 and int(end * (needed - 1)) >= interval else needed
