"""From what was chosen to the report on it."""

import torch
from torch import nn

from slrprune.deploy import kernels
from slrprune.deploy.accelerate.candidates import DENSE
from slrprune.deploy.accelerate.choices import Choices
from slrprune.deploy.accelerate.layer import find_layers
from slrprune.deploy.accelerate.report import AccelerateReport, LayerRow
from slrprune.deploy.accelerate.variants import Variant
from slrprune.deploy.accelerate.work import Work
from slrprune.deploy.shrink.example import tensors_in


def summarize(work: Work, variant: Variant, times: dict[str, float], difference: float) -> AccelerateReport:
    """The report on what was chosen.

    Args:
        work: the model.
        variant: what is returned.
        times: microseconds by variant; empty where nothing was measured.
        difference: of its outputs from the original's, relative.
    """
    by_name = {choice.row.name: choice.row for choice in variant.choices}
    rows = tuple(
        by_name[name] if name in by_name else _left_dense(name, module, work.fused.kept_dense.get(name, ""))
        for name, module in find_layers(work.original)
    )
    picks = {choice.row.name: choice.row.chosen for choice in variant.choices if not choice.is_dense}
    return AccelerateReport(
        rows=rows,
        totals=times,
        chosen=variant.name,
        choices=Choices(variant.fused, variant.layout, picks),
        relative_difference=difference,
        tolerance=work.tolerance,
        folded=work.fused.folded if variant.fused else 0,
        inputs=tuple(tuple(tensor.shape) for tensor in tensors_in(work.inputs)),
        threads=torch.get_num_threads(),
        instruction_set=kernels.instruction_set() if kernels.is_available() else "",
        notes=_notes(work, variant),
    )


def _left_dense(name: str, module: nn.Linear | nn.Conv2d, why: str) -> LayerRow:
    weight = module._parameters.get("weight")
    has_values = weight is not None and not nn.parameter.is_lazy(weight)
    zeros = 1 - int(weight.count_nonzero()) / max(1, weight.numel()) if weight is not None and has_values else 0.0
    shape = tuple(weight.shape) if weight is not None and has_values else ()
    return LayerRow(name, type(module).__name__, shape, zeros, False, {}, {}, DENSE.name, why)


def _notes(work: Work, variant: Variant) -> tuple[str, ...]:
    notes = []
    if not kernels.is_available():
        notes.append(f"The sparse kernels are not available, torch's own serve instead: {kernels.why_unavailable()}.")
    if work.fused.untraced:
        notes.append(f"BatchNorm and ReLU are fused within Sequential modules only: {work.fused.untraced}.")
    others: dict[str, str] = {}  # kind to the first of its kind
    for name, module in work.original.named_modules():
        if _has_other_weight(module):
            others.setdefault(type(module).__name__, name)
    if others:
        listed = ", ".join(f"{kind} ({name})" for kind, name in others.items())
        notes.append(f"Modules of other kinds stay as they are: {listed}.")
    if variant.is_dense and not variant.is_original:
        notes.append("No replacement made the whole model clearly faster; what was gained is from folding alone.")
    return tuple(notes)


def _has_other_weight(module: nn.Module) -> bool:
    """Whether a module that is neither linear nor Conv2d has a weight of two dimensions or more of its own."""
    is_ours = isinstance(module, (nn.Linear, nn.Conv2d))
    return not is_ours and any(weight.dim() > 1 for weight in module.parameters(recurse=False))
