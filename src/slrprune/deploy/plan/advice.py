"""What to beware of, in sentences: one function per kind of disappointment."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from slrprune.deploy import kernels
from slrprune.deploy.accelerate import AccelerateReport
from slrprune.deploy.plan.report import PlanRow, ShrunkPlan
from slrprune.sets import NM, Channel, ConstraintSet, KernelPattern

_NOTHING = 1.05
"""A speedup below it is none."""
_SMALLER = 1.5
"""A file that is not this many times smaller is not worth a special format."""
_SHOWN = 3


@dataclass(frozen=True)
class Plan:
    """What the warnings are drawn from.

    Attributes:
        rows: of the report.
        sets: by name of the parameter.
        acceleration: what `accelerate` found.
        compression_ratio: of the whole file.
        shrunk: what `shrink` would make of it.
        shrink_problems: why it could not be tried, or what it would have to leave.
    """

    rows: Sequence[PlanRow]
    sets: Mapping[str, ConstraintSet]
    acceleration: AccelerateReport
    compression_ratio: float
    shrunk: ShrunkPlan | None
    shrink_problems: Sequence[str]

    @property
    def pruned(self) -> list[PlanRow]:
        """The rows that a set prunes."""
        return [row for row in self.rows if row.is_pruned]


def warnings_of(plan: Plan) -> tuple[str, ...]:
    """All warnings that apply, in a fixed order."""
    return tuple(sentence for check in _CHECKS for sentence in check(plan))


def _scattered(plan: Plan) -> list[str]:
    names = [name for name, constraint in plan.sets.items() if not isinstance(constraint, Channel)]
    if not names:
        return []
    kinds = list(dict.fromkeys(type(plan.sets[name]).__name__ for name in names))
    where = "in ONNX Runtime, OpenVINO or plain torch"
    return [f"zeros of {' and '.join(kinds)} give nothing {where}: use Channel and shrink there, or accelerate here."]


def _whole_channels(plan: Plan) -> list[str]:
    if not any(isinstance(constraint, Channel) for constraint in plan.sets.values()):
        return []
    return list(plan.shrink_problems)


def _semi_structured(plan: Plan) -> list[str]:
    names = [name for name, constraint in plan.sets.items() if isinstance(constraint, (NM, KernelPattern))]
    if not names:
        return []
    rows = [row for row in plan.rows if row.name in names and row.time == row.time]
    dense, time = sum(row.dense_time for row in rows), sum(row.time for row in rows)
    measured = f" ({dense / time:.2f}x on the layers concerned)" if time else ""
    kinds = " and ".join(dict.fromkeys(repr(plan.sets[name]) for name in names))
    problem = f"on a CPU, {kinds} is no faster than scattered zeros of the same number{measured}"
    return [f"{problem}; NM(2, 4) is for linear layers in half precision on CUDA."]


def _below_break_even(plan: Plan) -> list[str]:
    rows = [row for row in plan.pruned if row.time == row.time and row.speedup < _NOTHING]
    if not rows or plan.shrunk is not None or not kernels.is_available():
        return []
    return [f"{_some(rows)}: the zeros do not pay here, the layer stays dense; prune it further, or leave it out."]


def _no_kernel(plan: Plan) -> list[str]:
    if not kernels.is_available():
        return [f"the sparse kernels are not available, so scattered zeros give no speed: {kernels.why_unavailable()}."]
    rows = [row for row in plan.pruned if row.time != row.time]
    return [f"{_some(rows)}: {row.runs_on}, so its zeros give no speed." for row in rows[:1]]


def _no_speed(plan: Plan) -> list[str]:
    best = max(plan.acceleration.speedup, plan.shrunk.speedup if plan.shrunk else 0.0)
    if best >= _NOTHING:
        return []
    return [f"in all, these rules make the model no faster here ({best:.2f}x)."]


def _no_smaller_file(plan: Plan) -> list[str]:
    if plan.compression_ratio >= _SMALLER:
        return []
    return [f"the file hardly gets smaller ({plan.compression_ratio:.2f}x): too few of all weights are zero."]


def _some(rows: Sequence[PlanRow]) -> str:
    more = f" and {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else ""
    return ", ".join(row.name for row in rows[:_SHOWN]) + more


_CHECKS: tuple[Callable[[Plan], list[str]], ...] = (
    _scattered,
    _whole_channels,
    _semi_structured,
    _below_break_even,
    _no_kernel,
    _no_speed,
    _no_smaller_file,
)
