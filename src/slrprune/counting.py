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
    early = is_finalized and 0 < steps < total_steps
    warning = f"finalized early, {steps} of {total_steps} planned steps were made"
    return SparsityReport(
        layers=layers,
        skipped=tuple(skipped),
        model_numel=sum(parameter.numel() for parameter in parameters),
        model_nnz=sum(found[len(layers) :]),
        steps=steps,
        total_steps=total_steps,
        warnings=(warning,) if early else (),
    )


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
