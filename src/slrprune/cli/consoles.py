"""Where text goes: results to stdout, progress and errors to stderr. Rich honors NO_COLOR and is plain in pipes."""

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

_PIPE_WIDTH = 1000
"""A pipe has no width; nothing should be folded there."""


def out() -> "Console":
    """For results."""
    from rich.console import Console  # dear to import, and `slrprune --help` does without it

    return Console(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else _PIPE_WIDTH)


def err() -> "Console":
    """For progress and errors."""
    from rich.console import Console

    return Console(stderr=True)
