"""Pruning inside other training engines: transformers.Trainer, Lightning, Accelerate. See docs/integrations.md.

Each adapter follows its engine's optimizer steps through public hooks and leaves all decisions to `Pruner`, so that the
numbers are those of a plain loop.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from slrprune.errors import MissingExtraError

if TYPE_CHECKING:  # at run time an adapter is imported when it is first used: each needs its engine installed
    from slrprune.adapters.accelerate_pruning import AcceleratePruning
    from slrprune.adapters.lightning_pruning import LightningPruning
    from slrprune.adapters.transformers_pruning import TransformersPruning

__all__ = ["AcceleratePruning", "LightningPruning", "TransformersPruning"]

_HOMES = {  # name to module, engine, extra
    "AcceleratePruning": ("slrprune.adapters.accelerate_pruning", "accelerate", "train"),
    "LightningPruning": ("slrprune.adapters.lightning_pruning", "lightning", "lightning"),
    "TransformersPruning": ("slrprune.adapters.transformers_pruning", "transformers", "transformers"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'slrprune.adapters' has no attribute {name!r}")
    home, engine, extra = _HOMES[name]
    if find_spec(engine) is None:
        raise MissingExtraError(name, engine, extra)
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
