"""Giving a freshly built model the sizes of a shrunk one, so that it can load its weights."""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from slrprune.deploy.shrink.kinds import fit_attributes, is_depthwise, is_per_channel, is_plain_embedding, is_weighted
from slrprune.errors import StateError, closest


def resize_model_(model: nn.Module, shapes: Mapping[str, Sequence[int]]) -> nn.Module:
    """Makes the tensors of `model` smaller, in place, so that the state dict of the shrunk model fits.

    The values that stay are the first ones along each dimension: load the state dict next. An InstanceNorm without
    parameters keeps its `num_features`, for no shape tells; torch then warns, and computes the same.

    Args:
        model: built as the original was, in full size.
        shapes: `ShrinkReport.shapes`, or the shapes in a shrunk model's state dict.

    Returns:
        `model`.

    Raises:
        StateError: names that differ from the model's, a tensor that would have to grow or to change its number of
            dimensions, or one of a kind of layer that `shrink` never cuts. The model is then as it was.

    Examples:
        >>> from torch import nn
        >>> model = nn.Sequential(nn.Linear(8, 4), nn.Linear(4, 2))
        >>> shapes = {"0.weight": (3, 8), "0.bias": (3,), "1.weight": (2, 3), "1.bias": (2,)}
        >>> resize_model_(model, shapes)
        Sequential(
          (0): Linear(in_features=8, out_features=3, bias=True)
          (1): Linear(in_features=3, out_features=2, bias=True)
        )
    """
    state = model.state_dict(keep_vars=True)
    _check_names(state, shapes)
    changed: dict[str, dict[str, Tensor]] = {}
    for name, tensor in state.items():
        if isinstance(tensor, Tensor) and tensor.shape != tuple(shapes[name]):
            path, _, attribute = name.rpartition(".")
            _check_change(name, tensor, shapes[name], model.get_submodule(path))
            changed.setdefault(path, {})[attribute] = _first(tensor, shapes[name])
    for path, tensors in changed.items():
        module = model.get_submodule(path)
        for attribute, tensor in tensors.items():
            replace_tensor(module, attribute, tensor)
        fit_attributes(module)
    return model


def replace_tensor(module: nn.Module, attribute: str, tensor: Tensor) -> None:
    """Puts `tensor` where a parameter or buffer was; a parameter keeps its `requires_grad`."""
    old = getattr(module, attribute)
    new = nn.Parameter(tensor, requires_grad=old.requires_grad) if isinstance(old, nn.Parameter) else tensor
    setattr(module, attribute, new)


def _first(tensor: Tensor, shape: Sequence[int]) -> Tensor:
    return tensor.detach()[tuple(slice(size) for size in shape)].clone()


def _check_names(state: Mapping[str, object], shapes: Mapping[str, object]) -> None:
    for name in shapes:
        if name not in state:
            near = ", ".join(closest(name, state))
            raise StateError("resize_model_", f"the model has no tensor {name}", f"The closest names are {near}.")
    for name, tensor in state.items():
        if name not in shapes and isinstance(tensor, Tensor):
            raise StateError("resize_model_", f"no shape is given for {name}", "Give those of a whole state dict.")


def _check_change(name: str, tensor: Tensor, shape: Sequence[int], module: nn.Module) -> None:
    change = f"{name} has shape {tuple(tensor.shape)} and cannot become {tuple(shape)}"
    if len(shape) != tensor.ndim or any(new > old or new < 1 for new, old in zip(shape, tensor.shape, strict=True)):
        raise StateError("resize_model_", change, "Build the model as the original was, in full size.")
    known = is_weighted(module) or is_depthwise(module) or is_per_channel(module) or is_plain_embedding(module)
    known = known or isinstance(module, (nn.ParameterList, nn.ParameterDict))
    if not known and type(module).__module__.startswith("torch.nn"):
        raise StateError("resize_model_", f"{change}: shrink never cuts a {type(module).__name__}")
