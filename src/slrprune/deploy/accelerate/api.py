"""accelerate: each layer on what was measured fastest for it, here."""

import torch
from torch import nn

from slrprune.deploy.accelerate.candidates import BFLOAT16, BY_NAME, CONVERTED, DENSE, EXACT, Candidate
from slrprune.deploy.accelerate.choices import Choices
from slrprune.deploy.accelerate.choose import Choice, apply, choose
from slrprune.deploy.accelerate.layer import Layout
from slrprune.deploy.accelerate.module import Accelerated
from slrprune.deploy.accelerate.report import AccelerateReport
from slrprune.deploy.accelerate.summary import summarize
from slrprune.deploy.accelerate.timing import InterleavedTimer, Timer
from slrprune.deploy.accelerate.variants import Variant, fastest
from slrprune.deploy.accelerate.work import Work, prepare
from slrprune.deploy.shrink.example import relative_difference, run, tensors_in
from slrprune.errors import ArgumentError, StateError, UsageError

_TOLERANCE = 1e-4
"""Greatest relative difference of the outputs in float32, or 16 roundings of a coarser dtype where these are more."""
_TOLERANCE_BFLOAT16 = 0.05
"""Where bfloat16 is allowed: 13 of its roundings, which differ from layer to layer and add up."""


def accelerate(
    model: nn.Module,
    example_inputs: object,
    *,
    choices: Choices | None = None,
    allow_bf16: bool = False,
    tolerance: float | None = None,
    timer: Timer | None = None,
) -> tuple[Accelerated, AccelerateReport]:
    """An inference copy of `model` in which each layer is computed by what was measured fastest for it.

    Candidates for linear and convolution layers are dense torch (images contiguous or channels_last), the sparse
    kernels for single weights and for 4x1 blocks, torch BSR, and 2:4 on CUDA. They are measured on this machine, with
    the layer's own pattern, the shapes that the example leads to, `torch.get_num_threads()` threads, and all changes
    of the memory format. Where torch.fx can follow the model, BatchNorm is folded into the layer before it and ReLU is
    computed with it; elsewhere layers are replaced one by one. At last the whole model is measured against the model
    as it was and its dense variants; layers are reverted, in the limit all of them, until it is the fastest.

    Args:
        model: any module in eval mode, with zeros in its weights, however they got there; masks of
            `torch.nn.utils.prune` and parametrizations that are still there are made permanent in the copy. It is not
            changed.
        example_inputs: a tensor, a tuple of positional arguments, or a dict of keyword arguments of `model`, on its
            device. The batch and the sizes are what is measured.
        choices: what an earlier call chose (`report.choices`); nothing is measured then.
        allow_bf16: whether layers may be computed in bfloat16.
        tolerance: greatest difference of the outputs on the example, relative to the largest output. None: 1e-4, or
            16 roundings of a dtype coarser than float32; 0.05 with `allow_bf16`.
        timer: what measures; None: 15 interleaved rounds.

    Returns:
        The module, and what was chosen, why, and what came of it.

    Raises:
        ArgumentError: the model does not take the example, or the example is on another device.
        StateError: `choices` are of another model.
        UsageError: the model is in training mode, cannot be copied, is random, or differs by more than the tolerance
            once accelerated.

    Examples:
        >>> import torch
        >>> model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 8)).eval()
        >>> fast, report = accelerate(model, torch.randn(1, 64))
        >>> fast(torch.randn(3, 64)).shape, [row.name for row in report.rows]
        (torch.Size([3, 8]), ['0', '2'])
    """
    if tolerance is not None and not tolerance > 0:
        raise ArgumentError("accelerate", "tolerance", tolerance, "must be positive, or None")
    with torch.inference_mode(False), torch.no_grad():
        times: dict[str, float] = {}
        _refuse_autocast()
        work = prepare(model, example_inputs, _tolerance(model, allow_bf16, tolerance))
        if choices is not None:
            variant = _chosen_before(work, choices, allow_bf16)
        else:
            candidates = (*EXACT, BFLOAT16) if allow_bf16 else EXACT
            variant, times = _measured(work, candidates, timer or InterleavedTimer())
        result = Accelerated(variant.model, example_inputs)
        difference = relative_difference(work.outputs, tensors_in(run(result, example_inputs)))
        if difference > work.tolerance:
            problem = f"the outputs on the example differ by {difference:.1e} relative, more than {work.tolerance:.0e}"
            raise UsageError("accelerate", problem, "Pass a larger tolerance if that is precise enough for you.")
    return result, summarize(work, variant, times, difference)


def _measured(work: Work, candidates: tuple[Candidate, ...], timer: Timer) -> tuple[Variant, dict[str, float]]:
    """Chooses layer by layer in every layout, then among the whole models."""
    dense: list[Variant] = []
    tuned: list[Variant] = []
    first: list[Choice] = []
    for layout in work.layouts:
        # Where layouts mix, what a layer gets depends on what the layers before it are.
        guess = [choice for choice in first if choice.row.chosen != CONVERTED.name]
        choices = [choose(layer, candidates, timer, work.tolerance) for layer in work.layers(layout, guess)]
        variant = work.variant(f"accelerated, {layout.value}", layout, choices).runnable(work.inputs)
        if not variant.is_dense:
            tuned.append(variant)
        if not first:
            first = list(variant.choices)
            dense.append(work.as_it_was(choices))
        if layout is not Layout.CONTIGUOUS or not work.fused.is_unchanged:
            dense.append(variant.dense(f"dense, {layout.value}"))
    return fastest(dense, tuned, work.inputs, timer)


def _chosen_before(work: Work, choices: Choices, allow_bf16: bool) -> Variant:
    """The variant that an earlier call chose."""
    known = [layer.name for layer in work.fused.layers]
    unknown = [name for name in choices.layers if name not in known]
    if unknown:
        problem = f"the model has no layer {unknown[0]!r} that could be replaced"
        raise StateError("accelerate(choices=...)", problem, "Measure this model: leave choices out.")
    if BFLOAT16.name in choices.layers.values() and not allow_bf16:
        raise UsageError("accelerate(choices=...)", "they contain bfloat16", "Pass allow_bf16=True if that will do.")
    if not choices.fused:
        return work.as_it_was([apply(layer, DENSE, "chosen before") for layer in work.fused.layers])
    chosen = [
        apply(layer, BY_NAME[choices.layers.get(layer.name, DENSE.name)], "chosen before")
        for layer in work.layers(choices.layout)
    ]
    kind = "accelerated" if choices.layers else "dense"
    return work.variant(f"{kind}, {choices.layout.value}", choices.layout, chosen)


def _tolerance(model: nn.Module, allow_bf16: bool, given: float | None) -> float:
    if given is not None:
        return given
    kinds = dict.fromkeys(tensor.dtype for tensor in model.parameters() if tensor.is_floating_point())
    least = _TOLERANCE_BFLOAT16 if allow_bf16 else _TOLERANCE
    return max(least, *(16 * torch.finfo(kind).eps for kind in kinds), 0.0)


def _refuse_autocast() -> None:
    """Layers measured in one precision and run in another would be measured for nothing."""
    if any(torch.is_autocast_enabled(device) for device in ("cpu", "cuda")):
        raise UsageError("accelerate", "autocast is on", "Call it outside of torch.autocast, and the result too.")
