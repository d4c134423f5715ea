"""With whom the arms of a table are compared: the best of the others, the best of some others, or one that is named."""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from slrprune.compare.statistics import best_rival
from slrprune.errors import ArgumentError, suggestion

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Against:
    """Whom every arm is measured by.

    Args:
        rival: name of an arm, also of the dense one, that takes the place of the best rival; where a table holds
            several settings under one name, the name as the table writes it.
        without: names of arms that are left out of the table before the best rival is chosen: the lead over "the best
            that is not DPF" is the one without "dpf". An arm with an extra ("dpf+distil") is an arm of its own.

    Raises:
        ArgumentError: the rival is left out.
    """

    rival: str | None = None
    without: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.rival is not None and _name(self.rival) in self.without:
            raise ArgumentError("Against", "rival", self.rival, "must not be among those that are left out")

    def check(self, names: Iterable[str], owner: str) -> None:
        """Refuses names that are not there: a slip would show the lead over somebody else.

        Args:
            names: of the arms that there are.
            owner: for the message.

        Raises:
            ArgumentError: an unknown name, or every arm is left out.
        """
        known = [*dict.fromkeys(names)]
        asked = [("against", _name(self.rival))] if self.rival is not None else []
        for argument, name in [*asked, *(("without", name) for name in self.without)]:
            if name not in known:
                rule = f"must be one of {', '.join(known)}"
                raise ArgumentError(owner, argument, name, rule, suggestion(name, known))
        if known and not set(known) - set(self.without):
            raise ArgumentError(owner, "without", ", ".join(self.without), "must leave a method in the table")

    def check_label(self, labels: Iterable[str], owner: str) -> None:
        """Refuses a rival with settings that no table writes: all differences would be missing without a word.

        Args:
            labels: of the arms, as the tables write them.
            owner: for the message.

        Raises:
            ArgumentError: no arm has the label.
        """
        known = [*dict.fromkeys(labels)]
        if self.rival is not None and self.rival not in known and self.rival not in map(_name, known):
            way_out = "The settings are part of a name only where a table holds several under it."
            raise ArgumentError(owner, "against", self.rival, f"must be one of {'; '.join(map(repr, known))}", way_out)

    def choose(self, label: str, accuracies: Mapping[str, Mapping[Key, float]]) -> str | None:
        """The rival of the arm `label`; None where there is none.

        Args:
            label: of the arm, as the table writes it.
            accuracies: those of every arm that may be a rival, by label.

        Raises:
            ArgumentError: several settings bear the rival's name.
        """
        others = {name: values for name, values in accuracies.items() if name != label}
        if self.rival is None:
            return best_rival(accuracies.get(label, {}), others)
        found = [name for name in accuracies if self.rival in (name, _name(name))]
        if len(found) > 1:
            rule = f"must name one of several settings: {'; '.join(map(repr, found))}"
            raise ArgumentError("table", "against", self.rival, rule)
        return found[0] if found and found[0] != label else None


def _name(label: str) -> str:
    """The arm's name in what a table writes: "slr" of "slr: SLR(sigma=1.0)"."""
    return label.partition(":")[0]
