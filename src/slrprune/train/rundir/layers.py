"""`layers.json`: one row per pruned or skipped weight."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from slrprune.errors import SlrpruneError
from slrprune.macs import macs_per_weight
from slrprune.records import SparsityReport
from slrprune.rules import canonical_name, targets_by_name

IMAGE = 128
"""Largest number of tiles in a mask's image, along each side."""


def layer_rows(
    model: nn.Module,
    report: SparsityReport,
    example: Tensor,
    *,
    seconds: Mapping[str, float],
    residuals: Mapping[str, float],
) -> list[dict[str, Any]]:
    """The rows, pruned weights first.

    Args:
        model: after the cut.
        report: of the pruner.
        example: a batch of one, to count multiply-adds.
        seconds: measured time of the modules, by the names that `named_modules` has; empty where nothing was measured.
        residuals: what the cut took from each weight, by name.
    """
    weights = {name: target.parameter for name, target in targets_by_name(model).items()}
    sets = {layer.name: layer.constraint for layer in report.layers}
    reasons = {skipped.name: skipped.reason for skipped in report.skipped}
    from slrprune.deploy.plan.sizes import sizes

    coded, times = sizes(model).tensors, {_owner(f"{module}.weight"): time for module, time in seconds.items()}
    counted = _uses_of_all(model, {name: weights[name] for name in (*sets, *reasons)}, example)
    rows = []
    for name in (*sets, *reasons):
        weight, uses = weights[name].detach(), counted[name]
        nnz = int(weight.count_nonzero())
        rows.append(
            {
                "name": name,
                "shape": list(weight.shape),
                "numel": weight.numel(),
                "nnz": nnz,
                "sparsity": 1 - nnz / max(1, weight.numel()),
                "constraint": sets.get(name),
                "skipped": reasons.get(name),
                "macs": None if uses is None else uses * weight.numel(),
                "macs_left": None if uses is None else uses * nnz,
                "bytes_dense": weight.nbytes,
                "bytes_sparse": coded.get(name),
                "seconds": times.get(_owner(name)) if weight.dim() > 1 else None,
                "primal_residual": residuals.get(name),
                "mask_image": _image(weight != 0) if name in sets else None,
            }
        )
    return rows


def _uses_of_all(model: nn.Module, weights: Mapping[str, Tensor], example: Tensor) -> dict[str, int | None]:
    """Multiply-adds per single entry of each weight; None where we cannot count them."""
    uses: dict[str, int | None] = dict.fromkeys(weights)
    wanted = {name: weight for name, weight in weights.items() if weight.dim() > 1}
    try:  # one pass for all, where all can be counted
        return uses | dict(zip(wanted, macs_per_weight(model, wanted, example), strict=True))
    except SlrpruneError:
        return uses | {name: _uses(model, name, weight, example) for name, weight in wanted.items()}


def _uses(model: nn.Module, name: str, weight: Tensor, example: Tensor) -> int | None:
    try:
        return macs_per_weight(model, {name: weight}, example)[0]
    except SlrpruneError:
        return None


def _owner(name: str) -> str:
    """The module of a parameter, by the parameter's canonical name: a lone wrapped layer is "", and not "module"."""
    return canonical_name(name).rpartition(".")[0]


def _image(mask: Tensor) -> dict[str, Any]:
    """Density of the (out, in * kernel) matrix over at most 128 x 128 tiles."""
    matrix = mask.reshape(mask.shape[0], -1).float()
    rows, columns = (min(IMAGE, side) for side in matrix.shape)
    tiles = F.adaptive_avg_pool2d(matrix[None], (rows, columns))[0]
    return {"rows": rows, "columns": columns, "density": [round(value, 3) for value in tiles.flatten().tolist()]}


def residual_of(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> dict[str, float]:
    """Norm of what a cut takes from every weight, by name."""
    return {name: float(torch.linalg.vector_norm((before[name] - cut).detach().float())) for name, cut in after.items()}
