"""Counts of non-zeros for a report, over all ranks."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from slrprune.distributed.dtensors import is_dtensor
from slrprune.methods.base import Problem
from slrprune.records import LayerSparsity, SparsityReport
from slrprune.rules import Skipped


@torch.no_grad()
def count(
    problem: Problem, model: nn.Module, skipped: Sequence[Skipped], steps: int, total_steps: int, is_finalized: bool
) -> SparsityReport:
    """The report of the weights as they are now; where they are cut over ranks, every rank calls it."""
    parameters = list(model.parameters())
    found = _nnz([*problem.weights, *parameters], problem)
    sets = problem.constraints()
    layers = tuple(
        LayerSparsity(name, shape, math.prod(shape), nnz, sets[name])
        for name, shape, nnz in zip(problem.names, problem.shapes, found, strict=False)
    )
    warnings = []
    if is_finalized and 0 < steps < total_steps:
        warnings.append(f"finalized early, {steps} of {total_steps} planned steps were made")
    if is_finalized and problem.is_plain:
        warnings += _lost_outputs(problem, parameters)
    return SparsityReport(
        layers=layers,
        skipped=tuple(skipped),
        model_numel=sum(parameter.numel() for parameter in parameters),
        model_nnz=sum(found[len(layers) :]),
        steps=steps,
        total_steps=total_steps,
        warnings=tuple(warnings),
    )


def _lost_outputs(problem: Problem, parameters: Sequence[Tensor]) -> list[str]:
    """A warning where the model's last layer, most often a classifier, lost outputs as a whole."""
    last = next((parameter for parameter in reversed(parameters) if parameter.dim() > 1), None)
    for constraint, positions in problem.groups:
        for position in positions:
            weight, dim = problem.weights[position], problem.unit_dims[position]
            if weight is not last or dim is None or not constraint.removes_whole(dim, weight.dim()):
                continue
            others = [other for other in range(weight.dim()) if other != dim]
            lost = int((~weight.detach().bool().any(dim=others)).sum()) if others else 0
            if lost:
                name, of = problem.names[position], weight.shape[dim]
                rule = f"{{{name.rpartition('.')[0] or name!r}: None, '*': ...}}"
                return [
                    f"{name}, the model's last layer, lost {lost} of its {of} outputs; are they classes? then {rule}"
                ]
    return []


def _nnz(tensors: Sequence[Tensor], problem: Problem) -> list[int]:
    """Non-zeros of each tensor; the weights of the problem come first, and are this rank's rows."""
    world = problem.world
    if world.ranks == 1:
        return [int(world.local(tensor.detach()).count_nonzero()) for tensor in tensors]
    is_part = [place < len(problem.weights) or is_dtensor(tensor) for place, tensor in enumerate(tensors)]
    mine = torch.stack([world.local(tensor.detach()).count_nonzero().to(problem.device) for tensor in tensors])
    parts = torch.tensor(is_part, device=problem.device)
    whole = torch.where(parts, world.sum(torch.where(parts, mine, 0)), mine)
    return [int(n) for n in whole.tolist()]
