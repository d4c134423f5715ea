"""Convergence in one line of characters per arm."""

from collections.abc import Sequence

BARS = "▁▂▃▄▅▆▇█"
PLAIN = "_.-=+*#@"  # for terminals without Unicode


def sparkline(values: Sequence[float], low: float, high: float, levels: str = BARS) -> str:
    """One character per value, from the first of `levels` at `low` to the last at `high`.

    Args:
        values: finite; those outside [low, high] are drawn at its ends.
        low: lower end of the scale.
        high: upper end of the scale.
        levels: characters of rising height.

    Examples:
        >>> sparkline([0.0, 50.0, 100.0], 0.0, 100.0)
        '▁▅█'
    """
    if high <= low:
        return levels[-1] * len(values)
    top = len(levels) - 1
    shares = [min(1.0, max(0.0, (value - low) / (high - low))) for value in values]
    return "".join(levels[int(share * top + 0.5)] for share in shares)


def thinned(values: Sequence[float], width: int) -> list[float]:
    """At most `width` of the values, evenly spaced, the first and the last among them.

    Args:
        values: any number.
        width: at least 2.

    Examples:
        >>> thinned([0.0, 1.0, 2.0, 3.0, 4.0], 3)
        [0.0, 2.0, 4.0]
    """
    if len(values) <= width:
        return list(values)
    return [values[round(place * (len(values) - 1) / (width - 1))] for place in range(width)]


def scale(curves: Sequence[Sequence[float]]) -> tuple[float, float]:
    """One scale for several curves, so that they can be compared: from the lowest value to the highest."""
    values = [value for curve in curves for value in curve]
    return (min(values), max(values)) if values else (0.0, 100.0)
