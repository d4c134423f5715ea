"""One budget for all layers, shared out by one price per weight.

With a multiplier lambda for the budget, minimise sum_l error_l / energy_l + lambda * nnz falls apart into the layers,
and to second order into the entries: setting W_ij to zero, with the rest of its row refitted, costs
W_ij^2 / [H^-1]_jj (optimal brain surgery), and an entry stays where that exceeds the price. So every layer needs only a
histogram of these costs, relative to its energy tr(W H W^T); lambda is found by counting, and only counts are kept.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from slrprune.oneshot.factor import damped_cholesky
from slrprune.oneshot.problem import TINY, LayerProblem
from slrprune.sets.base import ConstraintSet
from slrprune.sets.global_ import Global

_DAMPING = 0.01  # of the unit diagonal of the scaled H, as SparseGPT damps
_LOWEST, _HIGHEST, _BINS = -32.0, 2.0, 3400  # decimal exponents of relative costs: bins of 2.3%


def cost_histogram(problem: LayerProblem) -> Tensor:
    """How many entries of a layer cost how much: int64 counts, bins of equal width in the logarithm of the cost.

    Costs below 1e-32 of the energy, such as those of dead inputs, are in the first bin.
    """
    damped = problem.scaled_gram.clone()
    damped.diagonal(dim1=-2, dim2=-1).add_(_DAMPING)
    inverse = torch.cholesky_inverse(damped_cholesky(damped))
    costs = problem.target.square() / inverse.diagonal(dim1=-2, dim2=-1).unsqueeze(-2) / max(problem.energy, TINY)
    exponents = costs.clamp_min(10.0**_LOWEST).log10().clamp(_LOWEST, _HIGHEST).float()
    return torch.histc(exponents, _BINS, _LOWEST, _HIGHEST).long().cpu()


def counts_at_one_price(histograms: Sequence[Tensor], numels: Sequence[int], kept: int, floor: float) -> list[int]:
    """How many entries each layer keeps when an entry costs the same everywhere.

    Args:
        histograms: of `cost_histogram`, one per layer.
        numels: entries of each layer.
        kept: of all layers together, at least one each.
        floor: fraction of its even share that every layer keeps, in [0, 1].

    Returns:
        Counts that sum to `kept`.
    """
    total = sum(numels)
    counts = [max(1, round(floor * kept * numel / total)) for numel in numels]
    tails = torch.stack(list(histograms)).flip(1).cumsum(1)  # entries that cost at least so much
    for here in tails.t().tolist():
        wanted = [min(numel, max(least, count)) for numel, least, count in zip(numels, counts, here, strict=True)]
        if sum(wanted) >= kept:
            return _trimmed(wanted, counts, sum(wanted) - kept)
    return _trimmed(list(numels), counts, total - kept)


def _trimmed(wanted: list[int], floors: Sequence[int], surplus: int) -> list[int]:
    """Takes what the last bin gave too much, from the layers with the most above their floor."""
    while surplus > 0:
        spare = [count - least for count, least in zip(wanted, floors, strict=True)]
        place = max(range(len(spare)), key=spare.__getitem__)
        taken = min(surplus, max(1, spare[place] // 64))
        wanted[place] -= taken
        surplus -= taken
    return wanted


def resolved(
    constraint: Global, names: Sequence[str], weights: Mapping[str, Tensor], histograms: Mapping[str, Tensor]
) -> dict[str, ConstraintSet]:
    """A set for each layer alone, which together are the budget.

    The allocation 'magnitude', the default of `Global`, means the common price here, since magnitudes of different
    layers say nothing about their outputs. Any other allocation is asked for its counts.

    Args:
        constraint: the joint set.
        names: its layers.
        weights: name to weight; only shapes matter, but for the allocation 'lamp'.
        histograms: name to `cost_histogram`; may be empty unless the price decides.
    """
    tensors = [weights[name] for name in names]
    if constraint.allocation == "magnitude":
        floor = 0.1 if constraint.floor is None else constraint.floor
        numels = [tensor.numel() for tensor in tensors]
        kept = constraint.kept(tensors)
        counts = counts_at_one_price([histograms[name] for name in names], numels, kept, floor)
    else:
        counts = [int(mask.sum()) for mask in constraint.select(tensors)]
    return {name: Global(params=count) for name, count in zip(names, counts, strict=True)}
