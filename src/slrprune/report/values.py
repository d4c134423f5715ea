"""Values as they stand in JSON, read with care, and numbers as people read them."""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

NOT_MEASURED = "not measured"
DASH = "\u2013"
"""Stands for what is not known."""

NO_BREAK = "\u00a0"
"""Keeps a number and its sign on one line."""


def number(value: Any) -> float | None:
    """A finite number as a float; None for everything else, truth values included."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def whole(value: Any) -> int | None:
    """A finite number as an int; None for everything else."""
    found = number(value)
    return None if found is None else int(found)


def text(value: Any) -> str:
    """A string as it is, any other value as Python writes it, None as nothing."""
    return value if isinstance(value, str) else "" if value is None else str(value)


def entries(value: Any) -> tuple[Mapping[str, Any], ...]:
    """The objects of a list of objects; what is none is left out."""
    found = value if isinstance(value, Sequence) and not isinstance(value, str) else ()
    return tuple(entry for entry in found if isinstance(entry, Mapping))


def short(value: float | None, digits: int = 4) -> str:
    """A number with so many significant digits, thousands set apart; a dash for None.

    Examples:
        >>> short(0.000123456), short(12345.0)
        ('0.0001235', '12,345')
    """
    if value is None:
        return DASH
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.{digits}g}" if abs(value) < 10**digits else f"{value:,.0f}"


def percent(value: float | None, decimals: int = 2) -> str:
    """A metric that is in percent already, as "98.89 %"; a dash for None."""
    return DASH if value is None else f"{value:.{decimals}f}{NO_BREAK}%"


def share(value: float | None, decimals: int = 2) -> str:
    """A fraction in [0, 1] as percent; a dash for None."""
    return percent(None if value is None else 100 * value, decimals)


def points(value: float) -> str:
    """A difference of percentages, with its sign.

    Examples:
        >>> points(0.2778), points(0.0)
        ('+0.28 points', '±0.00 points')
    """
    shown = f"{abs(value):.2f}"
    sign = "±" if float(shown) == 0 else "\u2212" if value < 0 else "+"
    return f"{sign}{shown} points"


def times(value: float | None) -> str:
    """A ratio as "12.7x"; a dash for None."""
    return DASH if value is None else f"{value:.1f}x" if value >= 10 else f"{value:.2f}x"


def size(count: float | None) -> str:
    """Bytes in the unit that reads best, powers of 1000.

    Examples:
        >>> size(864.0), size(12_345.0), size(46_100_000.0)
        ('864 B', '12.3 kB', '46.1 MB')
    """
    if count is None:
        return DASH
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            return f"{count / scale:.3g} {unit}" if count < 999.5 * scale else f"{count / scale:,.0f} {unit}"
    return f"{count:.0f} B"


def milliseconds(value: float | None) -> str:
    """A time given in milliseconds, in the unit that reads best; a dash for None.

    Examples:
        >>> milliseconds(0.0213), milliseconds(0.521), milliseconds(1234.0)
        ('21.3 µs', '0.521 ms', '1.23 s')
    """
    if value is None:
        return DASH
    if value >= 1000:
        return f"{value / 1000:.3g} s"
    return f"{value:.3g} ms" if value >= 0.1 else f"{1000 * value:.3g} µs"


def duration(seconds: float | None) -> str:
    """A stretch of time; a dash for None.

    Examples:
        >>> duration(6.21), duration(59.96), duration(86.2), duration(7512.0)
        ('6.2 s', '1 min 0 s', '1 min 26 s', '2 h 5 min')
    """
    if seconds is None:
        return DASH
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def moment(iso: str) -> str:
    """A time in ISO form, to the minute; anything else stays as it is.

    Examples:
        >>> moment("2026-11-22T21:04:05+00:00")
        '2026-11-22 21:04 UTC'
    """
    try:
        found = datetime.fromisoformat(iso)
    except ValueError:
        return iso
    zone = found.tzname() or ""
    return f"{found:%Y-%m-%d %H:%M} {zone}".strip()


def ratio(above: float | None, below: float | None) -> float | None:
    """above / below; None where either is missing, or `below` is 0."""
    return None if above is None or not below else above / below


def rounded(value: float | None) -> float | None:
    """Five significant digits, which is more than a screen shows; None stays None."""
    return None if value is None else float(f"{value:.5g}")
