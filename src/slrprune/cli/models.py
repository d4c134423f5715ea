"""MODEL on the command line: a built-in task, `timm:NAME`, `hf:NAME`, or a function of the user's own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slrprune.cli.hub_models import HUB, load_hub_model
from slrprune.cli.task_options import read_options
from slrprune.errors import UsageError, closest, suggestion
from slrprune.user_code import refuse_file_alone

if TYPE_CHECKING:
    from torch import nn

    from slrprune.tasks import Task

MODEL_HELP = (
    "A task (see: slrprune tasks), timm:NAME, hf:NAME_OR_FOLDER, or module:function or file.py:function that returns "
    "a task or (model, example_inputs)."
)
_TIMM = "timm:"


@dataclass(frozen=True)
class Subject:
    """A model with an example of its inputs.

    Attributes:
        name: as the user wrote it.
        model: in eval mode.
        example_inputs: a tensor, a tuple of positional arguments, or a dict of keyword arguments.
    """

    name: str
    model: "nn.Module"
    example_inputs: Any


def resolve(name: str, options: Sequence[str], data: Path | None, verb: str) -> Subject:
    """What MODEL stands for; weights that are not trained are drawn with seed 0.

    Args:
        name: MODEL.
        options: what was given as --option; arguments of a task's class, or of the user's function.
        data: what was given as --data; the argument `data` of the same.
        verb: for messages.

    Raises:
        UsageError: an unknown name, with the closest ones; a function that cannot be found or returns something else.
        DataError: transformers finds no such model.
        MissingExtraError: timm or transformers is not installed.
        BrokenPackageError: timm, or torchvision, which it imports, is damaged.
        SlrpruneError: what building the task raises.
    """
    import torch

    from slrprune.seeding import seeded
    from slrprune.tasks import available
    from slrprune.tasks.options import MODEL_PREFIXES, build_task

    given = read_options(options, data, verb)
    if given and name.startswith(MODEL_PREFIXES):
        raise UsageError(verb, "--data and --option are settings of tasks", f"{name!r} is none; leave them out.")
    with seeded(0, torch.device("cpu")):
        if name in available():
            return _of_task(name, build_task(name, given, verb))
        if name.startswith(_TIMM):
            return _of_timm(name, verb)
        if name.startswith(HUB):
            return Subject(name, *load_hub_model(name, verb))
        if ":" in name:
            return _of_function(name, given, verb)
    refuse_file_alone(name, verb)
    tasks = suggestion(name, available(), "The closest task is {!r}; or name")
    tasks = tasks or f"Name one of the tasks {', '.join(available())}, or"
    way_out = f"{tasks} timm:NAME, hf:NAME, module:function or file.py:function."
    raise UsageError(verb, f"there is no model {name!r}", way_out)


def _of_task(name: str, task: "Task") -> Subject:
    model = task.pretrained()
    return Subject(name, (task.build_model() if model is None else model).eval(), task.example_input())


def _of_timm(name: str, verb: str) -> Subject:
    import torch

    from slrprune.tasks.timm_models import import_timm

    timm = import_timm(f"{verb} {name}")
    wanted = name.removeprefix(_TIMM)
    if not timm.is_model(wanted):
        raise UsageError(verb, f"timm has no model {wanted!r}", f"Closest: {_listed(wanted, timm.list_models())}.")
    model = timm.create_model(wanted).eval()
    _wake_(model)
    settings = timm.data.resolve_data_config(model=model)
    return Subject(name, model, torch.randn(1, *settings["input_size"]))


def _wake_(model: "nn.Module") -> None:
    """Norms that start at zero, as the last one of a residual branch often does, start at one.

    Folded into the layer before them they would make it all zeros, and no figure about the model would mean anything.
    """
    import torch

    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 1 and name.endswith("weight") and not parameter.any():
                parameter.fill_(1)


def _of_function(name: str, options: Mapping[str, Any], verb: str) -> Subject:
    from torch import nn

    from slrprune.tasks import Task
    from slrprune.tasks.options import call_seeded

    made = call_seeded(name, options, verb)
    if isinstance(made, Task):
        return _of_task(name, made)
    if isinstance(made, tuple) and len(made) == 2 and isinstance(made[0], nn.Module):
        return Subject(name, made[0].eval(), made[1])
    problem = f"{name} returned a {type(made).__name__}"
    raise UsageError(verb, problem, "It must return (model, example_inputs), or a slrprune.tasks.Task.")


def _listed(word: str, choices: list[str]) -> str:
    return ", ".join(closest(word, choices))
