"""The command line. This module needs none of the packages of the extra `cli`, and says so where they are missing."""

import sys

from slrprune.errors import MissingExtraError


def main() -> None:
    """What the command `slrprune` runs: exits with 0, with 1 after an error, with 2 after a wrong command line."""
    try:
        from slrprune.cli.app import app

        app()
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in ("typer", "rich"):
            raise
        sys.exit(str(MissingExtraError("The command line", package, "cli")))
