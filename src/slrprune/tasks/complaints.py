"""Bad input: refused by the name of its file, or skipped and noted, as the task's `strict` says."""

from slrprune.errors import DataError


class Complaints:
    """Takes note of bad input while files are read.

    It holds plain values only, so that one filled in a worker process can be sent home.

    Args:
        owner: the task's class, for messages.
        strict: refuse bad input instead of noting it.

    Examples:
        >>> complaints = Complaints("Kitti", strict=False)
        >>> complaints.add("label files are empty", "training/label_2/000007.txt")
        >>> complaints.found
        [('label files are empty', 'training/label_2/000007.txt')]
    """

    def __init__(self, owner: str, strict: bool) -> None:
        self.owner = owner
        self.strict = strict
        self.found: list[tuple[str, str]] = []

    def add(self, reason: str, name: object) -> None:
        """Notes one thing that will be skipped.

        Args:
            reason: plural, continuing a count, for example "images cannot be read".
            name: of the file, with its place in it if that helps.

        Raises:
            DataError: the task is strict.
        """
        if self.strict:
            way_out = "Mend the file, or pass strict=False, which skips such things and counts them."
            raise DataError(f"{self.owner}(strict=True)", f"{name}: {reason}", way_out)
        self.found.append((reason, str(name)))
