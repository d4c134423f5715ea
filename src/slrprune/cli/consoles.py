"""Where text goes: results to stdout, progress and errors to stderr. Rich honors NO_COLOR and is plain in pipes."""

import os
import sys

from rich.console import Console

_PIPE_WIDTH = 160  # a pipe has no width; tables should not be folded there


def out() -> Console:
    """For results."""
    return Console(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else _PIPE_WIDTH)


def err() -> Console:
    """For progress and errors."""
    return Console(stderr=True)
