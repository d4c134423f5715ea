"""A model with trained dense weights, wherever they come from."""

from pathlib import Path
from typing import TYPE_CHECKING

from slrprune.cli.consoles import err
from slrprune.errors import DataError

if TYPE_CHECKING:
    from torch import nn

    from slrprune.tasks import Task

WEIGHTS_HELP = "File of dense weights, safetensors. [the task's own; else they are trained, and kept in runs/<task>]"


def dense_model(task: "Task", weights: Path | None, folder: Path) -> "nn.Module":
    """The task's model with weights from a file, or the task's own, or trained by its dense recipe with seed 0.

    Args:
        task: the task.
        weights: a state dict as safetensors; None for the task's own.
        folder: where trained weights are kept, as `slrprune compare` keeps them; it uses them, too.

    Raises:
        DataError: the file is missing, or holds no weights of this model.
        NonFiniteError: the dense training diverged.
    """
    if weights is not None:
        return _from_file(task, weights)
    pretrained = task.pretrained()
    if pretrained is not None:
        return pretrained
    from slrprune.compare.start import DenseSource

    source = DenseSource(task, folder)
    path = source.path(0)
    if not path.exists():
        line = f"{task.name} has no trained weights: training them for {task.dense_recipe.epochs} epochs, once, {path}"
        err().print(line, markup=False, highlight=False, soft_wrap=True)
    source.make(0)
    return source.load(0)[0]


def _from_file(task: "Task", weights: Path) -> "nn.Module":
    from safetensors import SafetensorError
    from safetensors.torch import load_model

    model = task.build_model()
    try:
        load_model(model, weights)
    except (OSError, SafetensorError, RuntimeError) as error:
        problem = f"holds no weights of {task.model_name} ({str(error).splitlines()[0].rstrip('.:')})"
        raise DataError(str(weights), problem, "Give a state dict that safetensors has written.") from error
    return model
