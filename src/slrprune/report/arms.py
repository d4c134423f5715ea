"""Runs that differ in nothing but the seed, brought together: one arm at one sparsity."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from slrprune.report.outcome import Outcome
from slrprune.report.values import DASH, NO_BREAK

_Question = tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Spread:
    """A mean over seeds; `std` is the sample standard deviation, None for one value."""

    mean: float
    std: float | None
    count: int


@dataclass(frozen=True)
class Level:
    """The runs of one arm at one sparsity.

    Attributes:
        sparsity: asked for; None where the rules own their level.
        outcomes: all of them, diverged ones included.
    """

    sparsity: float | None
    outcomes: tuple[Outcome, ...]

    @property
    def good(self) -> tuple[Outcome, ...]:
        """The runs that came to their end."""
        return tuple(outcome for outcome in self.outcomes if outcome.status == "ok")

    def spread(self, value: Callable[[Outcome], float | None]) -> Spread | None:
        """Over the good runs that have the value; None where none has."""
        known = [found for outcome in self.good if (found := value(outcome)) is not None]
        return Spread(fmean(known), stdev(known) if len(known) > 1 else None, len(known)) if known else None

    def mean(self, value: Callable[[Outcome], float | None]) -> float | None:
        """Of the good runs that have the value; None where none has."""
        found = self.spread(value)
        return None if found is None else found.mean

    @property
    def accuracy(self) -> Spread | None:
        """Of the final models, in percent."""
        return self.spread(lambda outcome: outcome.accuracy)

    @property
    def accuracy_text(self) -> str:
        """The same for people; a dash where there is none."""
        found = self.accuracy
        if found is None:
            return DASH
        return f"{found.mean:.2f}" + ("" if found.std is None else f" ± {found.std:.2f}") + NO_BREAK + "%"

    @property
    def at(self) -> float | None:
        """Where on an axis of sparsity it stands: what was reached, on average, or what was asked for."""
        reached = self.mean(lambda outcome: outcome.reached)
        return self.sparsity if reached is None else reached


@dataclass(frozen=True)
class Arm:
    """One method with its settings.

    Attributes:
        label: unique within its contest.
        is_dense: whether it is the reference that was not pruned.
        levels: by rising sparsity.
    """

    label: str
    is_dense: bool
    levels: tuple[Level, ...]


@dataclass(frozen=True)
class Contest:
    """Arms on the same task and model, asked the same.

    Attributes:
        question: what tells it from other contests on this task and model; empty where there is none.
    """

    task: str
    model: str
    question: str
    metric: str
    arms: tuple[Arm, ...]

    def levels(self) -> Iterator[tuple[Arm, Level]]:
        """Every arm at every sparsity."""
        return ((arm, level) for arm in self.arms for level in arm.levels)

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """All runs."""
        return tuple(outcome for _, level in self.levels() for outcome in level.outcomes)


def contests(outcomes: Sequence[Outcome]) -> tuple[Contest, ...]:
    """Groups runs by task, model and what was asked, then by method and settings, then by sparsity.

    References that were not pruned join every contest on their task and model. What a run does not tell keeps it out of
    none: a folder tells its rules, but neither recipe nor settings, and a run that was stopped tells nothing.
    """
    grouped: dict[tuple[str, str], list[Outcome]] = {}
    for outcome in outcomes:
        grouped.setdefault((outcome.task, outcome.model), []).append(outcome)
    found = []
    for (task, model), alike in grouped.items():
        asked = _questions([outcome.question for outcome in alike if not outcome.is_dense])
        told = [{part for group in question for part in group} for question in asked]
        for question in asked:
            runs = [outcome for outcome in alike if outcome.is_dense or _goes_with(outcome.question, question)]
            own = [part for group in question for part in group if not all(part in other for other in told)]
            found.append(Contest(task, model, ", ".join(own), _metric(runs), _arms(runs)))
    return tuple(found)


def _questions(asked: Sequence[_Question]) -> list[_Question]:
    """Those that differ, without any that another one tells more of; an empty one where nothing was asked."""
    known = list(dict.fromkeys(asked)) or [()]
    return [one for one in known if not any(other != one and _goes_with(one, other) for other in known)]


def _goes_with(one: _Question, other: _Question) -> bool:
    """Whether all that `one` tells is as in `other`."""
    return all(not mine or mine == theirs for mine, theirs in zip(one, other, strict=False))


def _metric(outcomes: Sequence[Outcome]) -> str:
    """Of the first run that names it: older records do not, and are of the same task."""
    return next((outcome.metric for outcome in outcomes if outcome.metric), "accuracy")


def _arms(outcomes: Sequence[Outcome]) -> tuple[Arm, ...]:
    grouped: dict[tuple[object, ...], list[Outcome]] = {}
    for outcome in outcomes:
        name = outcome.method.replace("_", "").lower()
        key = (name, outcome.settings, outcome.epochs, outcome.retrain_epochs, outcome.is_dense)
        grouped.setdefault(key, []).append(outcome)
    firsts = [found[0] for found in grouped.values()]
    labels = _labels(firsts)
    arms = [
        Arm(label, found[0].is_dense, _levels(found)) for label, found in zip(labels, grouped.values(), strict=True)
    ]
    return tuple(sorted(arms, key=lambda arm: (arm.is_dense, -_best(arm))))


def _best(arm: Arm) -> float:
    """Mean accuracy at the highest sparsity; diverged arms come last."""
    found = arm.levels[-1].accuracy
    return -1.0 if found is None else found.mean


def _levels(outcomes: Sequence[Outcome]) -> tuple[Level, ...]:
    grouped: dict[float | None, list[Outcome]] = {}
    for outcome in outcomes:
        grouped.setdefault(outcome.sparsity, []).append(outcome)
    ordered = sorted(grouped.items(), key=lambda pair: -1.0 if pair[0] is None else pair[0])
    return tuple(Level(sparsity, tuple(found)) for sparsity, found in ordered)


def _labels(firsts: Sequence[Outcome]) -> list[str]:
    """The method's name, with the settings by which it differs from others of its name."""
    labels = []
    for outcome in firsts:
        same = [other for other in firsts if other.method == outcome.method]
        parts = _parts(outcome.settings)
        others = [_parts(other.settings) for other in same]
        more = [part for part in parts if not all(part in other for other in others)]
        if len({other.epochs for other in same}) > 1:
            more.append(f"{outcome.epochs} epochs")
        if len({other.retrain_epochs for other in same}) > 1:
            more.append(f"{outcome.retrain_epochs} of retraining")
        labels.append(outcome.method + (f" ({', '.join(more)})" if more else ""))
    return labels


def _parts(settings: str) -> list[str]:
    """The arguments of a call as one writes it, those of inner calls left together.

    Examples:
        >>> _parts("SLR(interval=1, ramp=CubicRamp(begin=0.0, end=0.5))")
        ['interval=1', 'ramp=CubicRamp(begin=0.0, end=0.5)']
    """
    inside = settings.partition("(")[2].removesuffix(")") if "(" in settings else settings
    parts, depth = [""], 0
    for letter in inside:
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts if part.strip()]
