"""What counts as a number among JSON's values."""

import sys
from typing import Any


def is_number(value: Any) -> bool:
    """A finite number that float64 holds: no truth value, and no whole number of JSON beyond all floats."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
