"""`slrprune demo`: the main job on real data, small enough for a coffee break."""

import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from slrprune.cli.consoles import out
from slrprune.cli.session import run_and_show

_METHODS = ("slr", "gradual_magnitude", "one_shot", "admm_ramp", "classic_slr_ramp")


def demo(
    sparsity: Annotated[float, typer.Option(help="Fraction of zeros, in [0, 1).")] = 0.95,
    epochs: Annotated[int | None, typer.Option(help="Length of every pruning run; the task's own by default.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds.")] = 3,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; one per core, at most 2, by default.")] = None,
    folder: Annotated[Path | None, typer.Option("--out", help="Where the run is written. [runs/demo-<time>]")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Prune a small network on real digits by SLR and its rivals.

    The data are scikit-learn's, so that nothing is downloaded. Takes a minute or two.
    """
    from slrprune.cli.deployed import deploy_and_show
    from slrprune.compare import Plan, Target, find
    from slrprune.compare.keep import Keep, kept_models
    from slrprune.tasks import get

    task = get("digits")
    plan = Plan(
        arms=find(_METHODS),
        targets=(Target.at(sparsity),),
        epochs=task.pruning_recipe.epochs if epochs is None else epochs,
        seeds=tuple(range(seeds)),
    )
    if folder is None:
        folder = Path("runs") / f"demo-{datetime.now().astimezone():%Y%m%d-%H%M%S}"
    if not as_json:
        steps = plan.epochs * task.steps_per_epoch
        text = (
            f"A small CNN is trained on scikit-learn's digits, once for each seed ({seeds}). From the same dense net "
            f"every method prunes {100 * sparsity:g}% of the weights in {steps} steps. Then comes the hard cut, and "
            "the test, without any retraining."
        )
        out().print(text, highlight=False)
    workers = workers or min(2, os.cpu_count() or 1)
    keep = Keep({}, arms=("slr",), seeds=(0,))

    def ending() -> Mapping[str, Any]:
        kept = kept_models(folder)
        return deploy_and_show(kept[0], as_json=as_json) if kept else {}  # none where that run diverged

    run_and_show(task, plan, folder, workers=workers, as_json=as_json, keep=keep, ending=ending)
