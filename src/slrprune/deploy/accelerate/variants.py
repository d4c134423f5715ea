"""Whole models: dense ones, and those with the layers chosen; which of them is the fastest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

from torch import nn

from slrprune.deploy.accelerate.choose import Choice
from slrprune.deploy.accelerate.copying import shallow_copy
from slrprune.deploy.accelerate.layer import Layout
from slrprune.deploy.accelerate.module import Accelerated
from slrprune.deploy.accelerate.timing import Samples, Timer, is_faster, medians
from slrprune.deploy.shrink.example import described, run

_MARGIN = 0.02
"""The model with replaced layers must take at least 2% less time than the fastest dense one, or layers are reverted."""
_PLAIN = 0.1
"""A gain of 10% is beyond doubt; a smaller one is measured again."""
_REVERTED = "alone it was faster, but not in the whole model"


@dataclass(frozen=True, eq=False)
class Variant:
    """One way to compute the whole model.

    Args:
        name: in the report.
        base: the model whose layers are replaced.
        fused: whether BatchNorm is folded in the base.
        layout: memory format of its images.
        choices: its layers, with their replacements.
        is_original: whether it is the model as it was, with nothing replaced.
    """

    name: str
    base: nn.Module
    fused: bool
    layout: Layout
    choices: tuple[Choice, ...]
    is_original: bool = False

    @property
    def is_dense(self) -> bool:
        """Whether all its layers are."""
        return all(choice.is_dense for choice in self.choices)

    @cached_property
    def model(self) -> nn.Module:
        """With its layers replaced; it shares its tensors with the base."""
        if self.is_original:
            return self.base
        model = shallow_copy(self.base)
        for choice in self.choices:
            model.set_submodule(choice.row.name, choice.module)
        return model

    def dense(self, name: str) -> "Variant":
        """The same with all layers dense."""
        return replace(self, name=name, choices=tuple(choice.reverted(_REVERTED) for choice in self.choices))

    def with_reverted(self, names: Mapping[str, str]) -> "Variant":
        """The same with the layers of these names dense again, for these reasons."""
        kept = (each.reverted(names[each.row.name]) if each.row.name in names else each for each in self.choices)
        return replace(self, choices=tuple(kept))

    def less_eager(self) -> "Variant":
        """The same without that half of the replaced layers which gains least."""
        replaced = sorted((choice for choice in self.choices if not choice.is_dense), key=lambda choice: choice.gain)
        half = replaced[: (len(replaced) + 1) // 2]
        return self.with_reverted({choice.row.name: _REVERTED for choice in half})

    def runnable(self, inputs: object) -> "Variant":
        """The same without those layers whose replacement the model does not run with: it looks into them."""
        if not _problem(self, inputs):
            return self
        problems = {}
        for choice in self.choices:
            if not choice.is_dense:
                others = {other.row.name: "" for other in self.choices if other is not choice and not other.is_dense}
                if problem := _problem(self.with_reverted(others), inputs):
                    problems[choice.row.name] = f"the model does not run with a replacement ({problem})"
        return self.with_reverted(problems)


def fastest(
    dense: Sequence[Variant], tuned: Sequence[Variant], inputs: object, timer: Timer
) -> tuple[Variant, dict[str, float]]:
    """The fastest variant: one of the tuned where it clearly beats all dense ones, if need be with layers reverted.

    Args:
        dense: variants without replaced layers, at least one.
        tuned: variants with some.
        inputs: the example.
        timer: measures.

    Returns:
        The variant, and the microseconds of those that it was compared with at last.
    """
    samples = _measure([*dense, *tuned], inputs, timer)
    best = _first(dense, samples)
    candidate = _first(tuned, samples) if tuned else best
    while not candidate.is_dense:
        if is_faster(samples, candidate.name, best.name, _MARGIN):
            if is_faster(samples, candidate.name, best.name, _PLAIN):
                break
            # A small gain must show twice.
            samples = _measure([*dense, candidate], inputs, timer)
            best = _first(dense, samples)
            if is_faster(samples, candidate.name, best.name, _MARGIN):
                break
        candidate = candidate.less_eager()
        if not candidate.is_dense:
            # All anew: times of other rounds, when the machine was faster or slower, do not compare.
            samples = _measure([*dense, candidate], inputs, timer)
            best = _first(dense, samples)
    times = {name: 1e6 * seconds for name, seconds in medians(samples).items()}
    return best if candidate.is_dense else candidate, times


def _first(variants: Sequence[Variant], samples: Samples) -> Variant:
    times = medians(samples)
    return min(variants, key=lambda variant: times[variant.name])


def _measure(variants: Sequence[Variant], inputs: object, timer: Timer) -> Samples:
    # The original is measured as it is called, without the shell that is returned around it.
    models = {each.name: each.model if each.is_original else Accelerated(each.model, inputs) for each in variants}
    return timer("total", {name: partial(run, model, inputs) for name, model in models.items()})


def _problem(variant: Variant, inputs: object) -> str:
    try:
        run(variant.model, inputs)
    except Exception as error:  # a stranger's forward pass
        return described(error)
    return ""
