"""From the fields `rules`, `set`, `sparsity` and `allocation` to the rules of a `Pruner`."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from slrprune.config.expressions import parse, set_names
from slrprune.config.model import DEFAULT_SPARSITY, SETS_WITHOUT_LEVEL, RunConfig

if TYPE_CHECKING:
    from torch import nn

    from slrprune.rules import Rules
    from slrprune.sets import ConstraintSet


@dataclass(frozen=True)
class PruningRules:
    """What a run prunes.

    Attributes:
        rules: for a `Pruner`.
        settings: the rules as one writes them.
    """

    rules: "Rules"
    settings: str


def pruning_rules(config: RunConfig, model: "nn.Module") -> PruningRules:
    """The rules for a model.

    In `rules` the same text stands for the same object: weights under two patterns with `Global(0.9)` share one budget.

    Args:
        config: the configuration.
        model: looked at for the shapes of its weights.

    Raises:
        UsageError: no weight of the model fits the set.
    """
    from slrprune.sets import Global
    from slrprune.structures import targets

    if config.rules is not None:
        made: dict[str, ConstraintSet] = {
            text: parse(text, set_names()) for text in config.rules.values() if text is not None
        }
        table: dict[str | type[nn.Module], ConstraintSet | None] = {
            pattern: None if text is None else made[text] for pattern, text in config.rules.items()
        }
        return PruningRules(table, repr(table))
    sparsity = DEFAULT_SPARSITY if config.sparsity is None else config.sparsity
    if config.set in (None, "global"):
        budget = Global(sparsity, allocation=config.allocation or "magnitude")
        return PruningRules(budget, repr(budget))
    levels = () if config.set in SETS_WITHOUT_LEVEL else (sparsity,)
    (target,) = targets(config.set, levels, model, "prune")
    return PruningRules(target.rules, target.settings)
