"""What a configuration means for a task: every default decided, every part built."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from slrprune.config import RunConfig
from slrprune.config.methods import build_method
from slrprune.config.model import DEFAULT_SPARSITY, SETS_WITHOUT_LEVEL
from slrprune.errors import UsageError
from slrprune.methods.base import Method
from slrprune.tasks.base import Split, Task, has_split
from slrprune.tasks.options import build_task, task_parameters
from slrprune.tasks.recipe import Recipe
from slrprune.train.accelerated import Accelerated
from slrprune.train.distillation import Distillation


@dataclass(frozen=True)
class Plan:
    """A run that is ready to begin.

    Attributes:
        config: with every default decided.
        task: what is pruned.
        engine: what makes the steps.
        recipe: of pruning, at the length of the configuration.
        method: how the weights are pushed into their sets.
        curve_split: where the metric is taken at the end of every epoch.
        final_split: where the final figures are taken.
    """

    config: RunConfig
    task: Task
    engine: Accelerated
    recipe: Recipe
    method: Method
    curve_split: Split
    final_split: Split

    @property
    def retraining_recipe(self) -> Recipe:
        """The same at the length of the retraining, which must be planned."""
        return replace(self.recipe, epochs=self.config.retrain)

    @property
    def distillation(self) -> Distillation | None:
        """How much the dense net teaches."""
        distil = self.config.distil
        return None if distil is None else Distillation(distil.weight, distil.temperature)


def make_plan(config: RunConfig, engine: Accelerated) -> Plan:
    """Builds the task and decides what the configuration left open.

    Raises:
        UsageError: a task on another device than the engine, without data to judge by, with an epoch shorter than
            an accumulated step, or with batches that the engine's processes cannot share.
        SlrpruneError: what building the task or the method raises.
    """
    task = _build_task(config, engine)
    if task.device.type != engine.device.type:
        problem = f"the task lives on {task.device} and training would be on {engine.device}"
        way_out = "Give the function a parameter `device`, or set device in the configuration."
        raise UsageError(config.task, problem, way_out)
    if engine.processes > 1 and not task.has_divisible_batches:
        problem = f"a batch of this task is one whole thing, which {engine.processes} processes cannot share"
        raise UsageError(config.task, problem, "Start one process.")
    if task.steps_per_epoch < config.accumulation:
        problem = f"an epoch has {task.steps_per_epoch} batches, one step needs accumulation={config.accumulation}"
        raise UsageError(config.task, problem, "Lower the accumulation or the batch_size.")
    splits: list[Split] = [split for split in _judging() if has_split(task, split)]
    if not splits:
        raise UsageError(config.task, "the task has neither a 'val' nor a 'test' split to judge by")
    recipe = task.pruning_recipe
    given: dict[str, Any] = {"epochs": config.epochs, "lr": config.lr, "weight_decay": config.weight_decay}
    recipe = replace(recipe, **{name: value for name, value in given.items() if value is not None})
    return Plan(
        config=_decided(config, task, recipe),
        task=task,
        engine=engine,
        recipe=recipe,
        method=build_method(config.method, config.method_options),
        curve_split=splits[0],
        final_split=splits[-1],
    )


def _judging() -> tuple[Split, ...]:
    return ("val", "test")


def _build_task(config: RunConfig, engine: Accelerated) -> Task:
    options: dict[str, Any] = dict(config.task_options)
    if config.data is not None:
        options["data"] = Path(config.data)
    if config.batch_size is not None:
        options["batch_size"] = config.batch_size
    if "device" not in options and "device" in task_parameters(config.task, "prune"):
        options["device"] = str(engine.device)
    return build_task(config.task, options, "prune")


def _decided(config: RunConfig, task: Task, recipe: Recipe) -> RunConfig:
    """The configuration with nothing left open that the task has decided; paths hold from any folder."""
    has_rules = config.rules is not None
    name = None if has_rules else config.set or "global"
    levelled = not has_rules and name not in SETS_WITHOUT_LEVEL
    batch_size = config.batch_size
    takes_batch_size = "batch_size" in task_parameters(config.task, "prune")
    if batch_size is None and takes_batch_size and "batch_size" not in config.task_options:
        batch_size = vars(task).get("batch_size")
    return config.model_copy(
        update={
            "task": _absolute_task(config.task),
            "data": None if config.data is None else str(Path(config.data).absolute()),
            "dense": None if config.dense is None else str(Path(config.dense).absolute()),
            "epochs": recipe.epochs,
            "lr": recipe.lr,
            "weight_decay": recipe.weight_decay,
            "batch_size": batch_size,
            "set": name,
            "sparsity": (DEFAULT_SPARSITY if config.sparsity is None else config.sparsity) if levelled else None,
            "allocation": (config.allocation or "magnitude") if name == "global" else None,
            "device": task.device.type,
        }
    )


def _absolute_task(task: str) -> str:
    place, colon, function = task.rpartition(":")
    return f"{Path(place).absolute()}{colon}{function}" if place.endswith(".py") else task
