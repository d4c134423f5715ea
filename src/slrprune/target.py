"""What the arms are asked to reach."""

import re
from dataclasses import dataclass

from slrprune.errors import ArgumentError
from slrprune.rules import Rules
from slrprune.sets import ConstraintSet, Global


@dataclass(frozen=True)
class Target:
    """The rules that all arms of a comparison prune by.

    Args:
        label: short name in tables and file names, for example "90%" or "nm-2-4".
        rules: as for a `Pruner`; they must be picklable.
        sparsity: fraction of zeros over the pruned weights that the rules ask for, in [0, 1); None where the sets own
            their level.
    """

    label: str
    rules: Rules
    sparsity: float | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\w.%-]+", self.label):
            raise ArgumentError("Target", "label", self.label, "must consist of letters, digits and . % _ -")

    @classmethod
    def at(cls, sparsity: float) -> "Target":
        """One global budget at this sparsity, in [0, 1).

        Examples:
            >>> Target.at(0.95)
            Target(label='95%', rules=Global(sparsity=0.95), sparsity=0.95)
        """
        return cls(f"{100 * sparsity:.6g}%", Global(sparsity), sparsity)

    @property
    def settings(self) -> str:
        """Everything that defines the target; two of equal settings are the same."""
        if isinstance(self.rules, ConstraintSet):
            return self.rules.settings
        # One object shared by two rules is one budget, two equal objects are two: tell them apart.
        first = {id(entry): position for position, entry in reversed([*enumerate(self.rules.values())])}
        shared = [first[id(entry)] for entry in self.rules.values()]
        rules = ", ".join(
            f"{pattern!r}: {None if entry is None else entry.settings}" for pattern, entry in self.rules.items()
        )
        return f"{{{rules}}}, shared as {shared}"
