"""The configuration of a run: what may be said, how a file says it, and every mistake at once."""

from slrprune.config.expressions import parse
from slrprune.config.load import dump_config, load_config, make_config, schema
from slrprune.config.model import RunConfig
from slrprune.config.problems import ConfigError, Problem

__all__ = ["ConfigError", "Problem", "RunConfig", "dump_config", "load_config", "make_config", "parse", "schema"]
