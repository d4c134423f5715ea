"""A table as plain text."""

from collections.abc import Sequence


def columns(lines: Sequence[Sequence[str]], right: Sequence[bool]) -> list[str]:
    """The lines with their cells padded to columns.

    Args:
        lines: cells, as many in each line.
        right: for each column, whether it is aligned to the right.
    """
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if is_right else cell.ljust(width)
            for cell, width, is_right in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in lines
    ]
