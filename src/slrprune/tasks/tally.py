"""What a task had to leave out: bad input that was skipped, counted for the report."""

from collections import Counter

SHOWN = 3
"""Names kept of each kind, for the report."""


class Tally:
    """Counts of what was skipped, by reason, each with the first few names.

    It says what was met on the way, not how the task is set: fingerprints leave it out.

    Examples:
        >>> tally = Tally()
        >>> tally.add("the image cannot be read", "train/cat/7.jpg")
        >>> tally.add("the image cannot be read", "train/cat/9.jpg")
        >>> tally.sentences()
        ('Skipped 2, since the image cannot be read: train/cat/7.jpg, train/cat/9.jpg.',)
    """

    def __init__(self) -> None:
        self._names: dict[str, list[str]] = {}
        self._counts: Counter[str] = Counter()
        self._seen: set[tuple[str, str]] = set()

    def add(self, reason: str, name: str) -> None:
        """Notes one thing skipped, once however often it is met.

        Args:
            reason: a clause, for example "images cannot be read"; equal ones are counted together.
            name: of the file, with its place in it if that helps.
        """
        if (reason, name) in self._seen:
            return
        self._seen.add((reason, name))
        self._counts[reason] += 1
        if self._counts[reason] <= SHOWN:
            self._names.setdefault(reason, []).append(name)

    def __len__(self) -> int:
        """How many things were skipped."""
        return sum(self._counts.values())

    def sentences(self) -> tuple[str, ...]:
        """One sentence for each reason, in the order in which they were first met."""
        return tuple(self._sentence(reason, count) for reason, count in self._counts.items())

    def _sentence(self, reason: str, count: int) -> str:
        listed = ", ".join(self._names[reason])
        more = f" and {count - SHOWN:,} more" if count > SHOWN else ""
        return f"Skipped {count:,}, since {reason}: {listed}{more}."
