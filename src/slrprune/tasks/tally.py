"""What a task had to leave out: bad input that was skipped, counted for the report."""

from heapq import nsmallest

SHOWN = 3
"""Names told of each kind, for the report."""


class Tally:
    """Counts of what was skipped, by reason, each with the first few names in their own order.

    So the sentences of two runs are the same where they have met the same, whatever their seeds and processes. It says
    what was met on the way, not how the task is set: fingerprints leave it out.

    Examples:
        >>> tally = Tally()
        >>> tally.add("the image cannot be read", "train/cat/7.jpg")
        >>> tally.add("the image cannot be read", "train/cat/9.jpg")
        >>> tally.sentences()
        ('Skipped 2, since the image cannot be read: train/cat/7.jpg, train/cat/9.jpg.',)
    """

    def __init__(self) -> None:
        self._names: dict[str, set[str]] = {}

    def add(self, reason: str, name: str) -> None:
        """Notes one thing skipped, once however often it is met.

        Args:
            reason: a clause, for example "images cannot be read"; equal ones are counted together.
            name: of the file, with its place in it if that helps.
        """
        self._names.setdefault(reason, set()).add(name)

    def __len__(self) -> int:
        """How many things were skipped."""
        return sum(map(len, self._names.values()))

    def sentences(self) -> tuple[str, ...]:
        """One sentence for each reason, in the order in which they were first met."""
        return tuple(self._sentence(reason, names) for reason, names in self._names.items())

    def _sentence(self, reason: str, names: set[str]) -> str:
        more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
        return f"Skipped {len(names):,}, since {reason}: {', '.join(nsmallest(SHOWN, names))}{more}."
