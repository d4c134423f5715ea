"""`slrprune validate`: every mistake of a configuration at once, before any training."""

from pathlib import Path
from typing import Annotated

import typer

from slrprune.cli.consoles import out
from slrprune.cli.session import print_json
from slrprune.errors import UsageError


def validate(
    config: Annotated[Path | None, typer.Argument(help="YAML file for: slrprune prune --config")] = None,
    override: Annotated[list[str] | None, typer.Option("--set", help="A field as key=value; may be repeated.")] = None,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON schema of configurations.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check a configuration, and tell every mistake at once.

    Each with its line, its field and what is allowed there.
    """
    from slrprune.config import ConfigError, load_config
    from slrprune.config import schema as json_schema

    if schema:
        print_json(json_schema())
        return
    if config is None:
        raise UsageError("validate", "no configuration was named", "Name a YAML file, or ask for --schema.")
    try:
        found = load_config(config, override or [])
    except ConfigError as error:
        if not as_json:
            raise
        problems = [vars(problem) for problem in error.problems]
        print_json({"file": str(config), "valid": False, "problems": problems})
        raise typer.Exit(1) from None
    if as_json:
        print_json({"file": str(config), "valid": True, "config": found.model_dump(mode="json")})
    else:
        out().print(f"{config}: no mistakes.", markup=False, highlight=False, soft_wrap=True)
