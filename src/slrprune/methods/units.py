"""For which output units a multiplier step is worth anything, and which are gone (docs/theory.md, eq. 25 and 26)."""

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from slrprune.methods.base import Problem
from slrprune.methods.masked import as_numbers


def trusted_units(
    problem: Problem, masks: Sequence[Tensor], memories: Sequence[Tensor], trust: float
) -> list[Tensor | None]:
    """For each weight the units (filters, neurons) whose slopes off the support are of the size of those on it.

    The slope is the optimizer's last step: W' - Z on the support, W' off it, where Z is zero. A unit is trusted where
    the root mean square of the second is at most `trust` times that of the first, and where it has a support at all.
    A 16-bit weight loses the steps on its support that are below its resolution, while those from zero keep all their
    digits; there the first counts for at least what may be lost.

    Args:
        problem: its weights are W'; says along which dimension of a weight its units lie.
        masks: of the support, bool, one per weight.
        memories: Z on the support.
        trust: at least 0.

    Returns:
        Bool, of size 1 in all dimensions but that of the units, so that it can be broadcast; None for a weight
        without units. The same on all ranks that hold the same unit.
    """
    sums: dict[int, Tensor] = {}
    for position, (weight, mask, memory) in enumerate(zip(problem.weights, masks, memories, strict=True)):
        if (dim := problem.unit_dims[position]) is not None:
            sums[position] = _sums(weight, mask, memory, [other for other in range(mask.dim()) if other != dim])
    parted = _parted(problem, sums)
    if parted:
        whole = problem.world.sum(torch.cat([sums[position].flatten().to(problem.device) for position in parted]))
        parts = whole.split([sums[position].numel() for position in parted])
        sums.update((p, part.to(sums[p].device).view_as(sums[p])) for p, part in zip(parted, parts, strict=True))
    found: list[Tensor | None] = []
    for position, shape in enumerate(problem.shapes):
        dim = problem.unit_dims[position]
        if dim is None:
            found.append(None)
            continue
        kept, on, both = sums[position]
        entries = math.prod(shape) // max(shape[dim], 1)
        found.append((kept > 0) & ((both - on) * kept <= trust**2 * on * (entries - kept)))
    return found


def of_units(size: float | Tensor, trusted: Tensor | None, beta: float | Tensor, dtype: torch.dtype) -> float | Tensor:
    """The stepsize of a weight's multipliers, 0 in units that are not trusted.

    Args:
        size: of the step elsewhere, a number or 0-dim.
        trusted: from `trusted_units`.
        beta: of the relaxed path (eq. 20). Where it is above 0 all units are: the network computes with all entries.
        dtype: of the memory, on the device of `trusted`.
    """
    if trusted is None:
        return size
    if isinstance(beta, Tensor):
        trusted = trusted | (beta.to(trusted.device) > 0)
    return trusted.to(dtype) * (size.to(trusted.device, dtype) if isinstance(size, Tensor) else size)


def forget_units(
    problem: Problem,
    masks: Sequence[Tensor],
    points: Sequence[Tensor],
    relaxation: float | Tensor,
    is_usable: Tensor | None = None,
) -> None:
    """Clears, in place, what is left of the units that are gone: those without any entry on the support (eq. 26).

    Nobody knows what such a unit would be worth today: its slopes mean nothing, and its last weights are those of
    another network, while the units it competes with go on. In layers that feed BatchNorm momentum has gathered such
    slopes, too, and would hurl away the weights of a unit that came back.

    Args:
        problem: says along which dimension of a weight its units lie, and which ranks hold them.
        masks: of the new support.
        points: V.
        relaxation: beta of the relaxed path (eq. 20). Above 0 the network computes with all units: none is forgotten.
        is_usable: of the moment; after a step that is not, none is forgotten.
    """
    if isinstance(relaxation, float) and relaxation > 0:
        return
    for position, living in _living(problem, masks).items():
        gone, point = ~living, points[position]
        if isinstance(relaxation, Tensor):
            gone &= relaxation.to(gone.device) <= 0
        if is_usable is not None:
            gone &= is_usable.to(gone.device)
        if gone.device.type != "cpu" or bool(gone.any()):  # looking costs nothing on a CPU, and saves work
            point.masked_fill_(gone, 0.0)


def _living(problem: Problem, masks: Sequence[Tensor]) -> dict[int, Tensor]:
    """For each weight with units which of them have a support, on all ranks together; of size 1 along other dims."""
    found: dict[int, Tensor] = {}
    for position, mask in enumerate(masks):
        if (dim := problem.unit_dims[position]) is not None:
            others = [other for other in range(mask.dim()) if other != dim]
            # As bytes: on a CPU their maximum is vectorized, and `any` is not. A rank may hold no rows at all.
            entries = mask.view(torch.uint8)
            found[position] = (entries.amax if mask.numel() else entries.any)(others, keepdim=True)
    parted = _parted(problem, found)
    if parted:
        flat = torch.cat([found[position].flatten().to(problem.device, torch.float32) for position in parted])
        parts = problem.world.sum(flat).split([found[position].numel() for position in parted])
        found.update((p, part.to(found[p].device).view_as(found[p])) for p, part in zip(parted, parts, strict=True))
    return {position: kept > 0 for position, kept in found.items()}


def _parted(problem: Problem, positions: Iterable[int]) -> list[int]:
    """Weights are cut along dimension 0 over the ranks: units along another one lie on all of them, in parts."""
    return [position for position in positions if problem.world.ranks > 1 and problem.unit_dims[position] != 0]


def _sums(weight: Tensor, mask: Tensor, memory: Tensor, dims: list[int]) -> Tensor:
    """Of each unit: entries on the support, sum of squares of the step on the support, and of the whole step."""
    support = as_numbers(mask, memory.dtype)
    before = memory if memory.dtype == weight.dtype else memory.to(weight.dtype).to(memory.dtype)  # as W had it
    step = torch.addcmul(weight.to(memory.dtype), before, support, value=-1)
    kept = support.sum(dims, keepdim=True)
    whole = _squares(step, dims)
    lost = None if weight.itemsize >= 4 else _squares(support * before * (torch.finfo(weight.dtype).eps / 4), dims)
    on = _squares(support.mul_(step), dims)
    if lost is not None:
        seen, on = on, torch.maximum(on, lost)
        whole = whole + (on - seen)
    return torch.stack([kept, on, whole])


def _squares(values: Tensor, dims: list[int]) -> Tensor:
    """Sums of squares over `dims`, which stay with size 1."""
    norms: Tensor = torch.linalg.vector_norm(values, dim=dims, keepdim=True)
    return norms.square()
