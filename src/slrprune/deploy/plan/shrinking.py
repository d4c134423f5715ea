"""What `shrink` would make of the pruned model, tried on a model that looks like it."""

from functools import partial

import torch
from torch import nn

from slrprune.deploy.accelerate import Timer
from slrprune.deploy.accelerate.timing import medians
from slrprune.deploy.plan.report import ShrunkPlan
from slrprune.deploy.shrink import shrink
from slrprune.deploy.shrink.example import run
from slrprune.errors import SlrpruneError

_SHOWN = 5


def try_shrink(model: nn.Module, inputs: object, timer: Timer) -> tuple[ShrunkPlan | None, list[str]]:
    """Shrinks the model and measures it, both under dense torch.

    Returns:
        The figures, or None where it cannot be shrunk; and what it had to leave, or why it cannot, in sentences.
    """
    try:
        smaller, report = shrink(model, inputs)
    except SlrpruneError as error:
        return None, [f"what shrink would bring is unknown: {error}"]
    functions = {"dense": partial(run, model, inputs), "shrunk": partial(run, smaller, inputs)}
    with torch.no_grad():
        times = medians(timer("shrunk", functions))
    stuck = [f"shrink cannot remove {left}." for left in report.leftovers]
    more = [f"and {len(stuck) - _SHOWN} more like these."] if len(stuck) > _SHOWN else []
    figures = ShrunkPlan(report.parameters_after, report.macs_after, 1e6 * times["shrunk"], 1e6 * times["dense"])
    return figures, stuck[:_SHOWN] + more
