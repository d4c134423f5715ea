"""Layer by layer: measure what can compute it, keep what is clearly faster than dense."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor, nn

from slrprune.deploy.accelerate.candidates import DENSE, Candidate
from slrprune.deploy.accelerate.layer import Layer
from slrprune.deploy.accelerate.report import LayerRow
from slrprune.deploy.accelerate.timing import Timer, is_faster, medians
from slrprune.deploy.shrink.example import described, relative_difference

_MARGIN = 0.05
"""A candidate must take at least 5% less time than dense; less is noise, or lost again in the whole model."""


@dataclass(frozen=True, eq=False)
class Choice:
    """A layer with its replacement.

    Args:
        row: for the report.
        module: what computes the layer.
        dense: what would, had nothing been faster.
    """

    row: LayerRow
    module: nn.Module
    dense: nn.Module

    @property
    def is_dense(self) -> bool:
        """Whether the layer stays with dense torch."""
        return self.row.chosen == DENSE.name

    @property
    def gain(self) -> float:
        """Microseconds saved in one forward pass."""
        return self.row.times[DENSE.name] - self.row.times[self.row.chosen] if self.row.times else 0.0

    def reverted(self, why: str) -> "Choice":
        """The same layer, dense again; as it is where it was never anything else."""
        return self if self.is_dense else Choice(replace(self.row, chosen=DENSE.name, why=why), self.dense, self.dense)


def choose(layer: Layer, candidates: Sequence[Candidate], timer: Timer, tolerance: float) -> Choice:
    """The fastest way to compute a layer.

    Args:
        layer: with its calls.
        candidates: what to try beside dense.
        timer: measures.
        tolerance: a candidate whose output differs by more, relative to the largest, is refused.
    """
    dense = DENSE.build(layer)
    examples = layer.examples()
    expected = [dense(x) for x in examples]
    built, refused = _build_all(layer, candidates, examples, expected, tolerance)
    if not built:
        return Choice(_row(layer, {}, refused, DENSE.name, _why_dense(layer, refused)), dense, dense)
    modules = {DENSE.name: dense, **built}
    functions = {name: _calling(module, examples) for name, module in modules.items()}
    samples = timer(layer.name, functions)
    times = {name: 1e6 * seconds for name, seconds in medians(samples).items()}
    fastest = min(built, key=lambda name: times[name])
    if not is_faster(samples, fastest, DENSE.name, _MARGIN):
        why = f"no other of the {len(times)} measured is clearly faster{_because(layer, refused)}"
        return Choice(_row(layer, times, refused, DENSE.name, why), dense, dense)
    why = f"takes {times[fastest] / times[DENSE.name]:.0%} of the dense time"
    return Choice(_row(layer, times, refused, fastest, why), modules[fastest], dense)


def apply(layer: Layer, candidate: Candidate, why: str) -> Choice:
    """A choice made before; dense where the candidate cannot compute the layer here."""
    dense = DENSE.build(layer)
    problem = candidate.obstacle(layer)
    if problem:
        return Choice(_row(layer, {}, {candidate.name: problem}, DENSE.name, problem), dense, dense)
    return Choice(_row(layer, {}, {}, candidate.name, why), candidate.build(layer), dense)


def _build_all(
    layer: Layer, candidates: Sequence[Candidate], examples: list[Tensor], expected: list[Tensor], tolerance: float
) -> tuple[dict[str, nn.Module], dict[str, str]]:
    """What can compute the layer, and why the others cannot."""
    built, refused = {}, {}
    for candidate in candidates:
        problem = candidate.obstacle(layer)
        if not problem:
            try:
                module = candidate.build(layer)
                difference = relative_difference(expected, [module(x) for x in examples])
            except Exception as error:  # what a build of torch supports shows only when it is called
                problem = f"it fails here ({described(error)})"
            else:
                if difference <= tolerance:
                    built[candidate.name] = module
                else:
                    problem = f"its output differs by {difference:.1e} relative"
        if problem:
            refused[candidate.name] = problem
    return built, refused


class _calling:  # noqa: N801  # a function with its arguments
    """One forward pass's calls of a layer."""

    def __init__(self, module: nn.Module, examples: Sequence[Tensor]) -> None:
        self.module, self.examples = module, examples

    def __call__(self) -> None:
        for x in self.examples:
            self.module(x)


def _why_dense(layer: Layer, refused: Mapping[str, str]) -> str:
    if layer.sparsity == 0:
        return "it has no zeros"
    return next(iter(dict.fromkeys(refused.values())), "nothing else was asked for")


def _because(layer: Layer, refused: Mapping[str, str]) -> str:
    return f"; {next(iter(refused.values()))}" if refused and layer.sparsity > 0 else ""


def _row(layer: Layer, times: Mapping[str, float], refused: Mapping[str, str], chosen: str, why: str) -> LayerRow:
    return LayerRow(
        name=layer.name,
        kind=type(layer.module).__name__,
        shape=tuple(layer.module.weight.shape),
        sparsity=layer.sparsity,
        relu=layer.relu,
        times=dict(times),
        refused=dict(refused),
        chosen=chosen,
        why=why,
    )
