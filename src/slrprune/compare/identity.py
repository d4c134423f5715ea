"""Fingerprints: equal where a run would give the same result, different where a setting has changed."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial, singledispatch
from pathlib import PurePath
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType

import numpy as np
import torch
from torch import Tensor, nn

from slrprune.errors import UsageError
from slrprune.seeding import seeded
from slrprune.tasks.base import Task
from slrprune.tasks.recipe import Recipe
from slrprune.tasks.tally import Tally


def task_fingerprint(task: Task) -> str:
    """Of a task's data, settings and model structure; not of its recipes, its device and where its files lie.

    All attributes enter, also those of subclasses from elsewhere, so that no setting can be forgotten.
    """
    with seeded(0, task.device):
        model = task.build_model()
    structure = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    return fingerprint((task.name, task.model_name, task.steps_per_epoch, structure, task))


def fingerprint(value: object) -> str:
    """16 hexadecimal digits of tensors, containers and plain objects.

    Mappings count whatever their order; paths, devices, recipes and tallies of bad input are left out.

    Functions count by their names, and by their code where they have none (lambdas); by what they close over and by
    their defaults, too.

    Raises:
        UsageError: something inside keeps its state where Python cannot see it, or contains itself.

    Examples:
        >>> fingerprint({"a": 1, "b": (2.0, None)}) == fingerprint({"b": (2.0, None), "a": 1})
        True
        >>> fingerprint([1, 2]) == fingerprint([12])
        False
    """
    digest = hashlib.sha256()
    try:
        parts = _parts(value)
    except RecursionError:
        problem = "an object contains itself, so that a changed setting could not be noticed"
        raise UsageError("fingerprint", problem, "Keep it out of the task's attributes.") from None
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)  # lengths keep neighbouring parts apart
    return digest.hexdigest()[:16]


def combine(parts: Mapping[str, object]) -> str:
    """16 hexadecimal digits for plain values under their names."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


_PLAIN = (bool, int, float, str, type(None), torch.dtype, tuple)
"""Attributes of a module that are taken for its settings; its tensors and submodules count by themselves."""


@singledispatch
def _parts(value: object) -> list[bytes]:
    """What enters the fingerprint; by default an object's class and attributes."""
    try:
        attributes = vars(value)
    except TypeError:
        problem = f"a {type(value).__qualname__} hides its state, so that a changed setting could not be noticed"
        raise UsageError("fingerprint", problem, "Keep it out of the task's attributes.") from None
    return [f"object {type(value).__qualname__}".encode(), *_parts(attributes)]


@_parts.register(bool)
@_parts.register(int)
@_parts.register(float)
@_parts.register(str)
@_parts.register(bytes)
@_parts.register(complex)
@_parts.register(type(None))
@_parts.register(type(...))
@_parts.register(torch.dtype)
def _of_plain(value: object) -> list[bytes]:
    return [repr(value).encode()]


@_parts.register
def _of_tensor(value: Tensor) -> list[bytes]:
    on_host = value.detach().cpu().contiguous()
    data = on_host.flatten().view(torch.uint8).numpy().tobytes() if on_host.numel() else b""
    return [f"tensor {on_host.dtype} {tuple(on_host.shape)}".encode(), data]


@_parts.register
def _of_array(value: np.ndarray) -> list[bytes]:
    return [f"array {value.dtype} {value.shape}".encode(), value.tobytes()]


@_parts.register
def _of_module(value: nn.Module) -> list[bytes]:
    parts = _parts(value.state_dict())
    for name, module in value.named_modules():
        settings = {key: entry for key, entry in vars(module).items() if isinstance(entry, _PLAIN) and key[0] != "_"}
        settings.pop("training", None)  # whoever calls it sets that
        parts += [f"module {name} {type(module).__qualname__}".encode(), *_parts(settings)]
    return parts


@_parts.register
def _of_mapping(value: Mapping) -> list[bytes]:  # type: ignore[type-arg]  # singledispatch takes bare classes only
    parts = [f"mapping {len(value)}".encode()]
    for key in sorted(value, key=repr):
        parts += [repr(key).encode(), *_parts(value[key])]
    return parts


@_parts.register(tuple)
@_parts.register(list)
def _of_sequence(value: tuple[object, ...]) -> list[bytes]:
    parts = [f"sequence {len(value)}".encode()]
    for entry in value:
        parts += _parts(entry)
    return parts


@_parts.register(set)
@_parts.register(frozenset)
def _of_set(value: frozenset[object]) -> list[bytes]:
    return [b"set", *_parts(sorted(value, key=repr))]


@_parts.register(type)
@_parts.register(BuiltinFunctionType)
def _of_named(value: type) -> list[bytes]:
    return [f"function {value.__module__}.{value.__qualname__}".encode()]


@_parts.register
def _of_function(value: FunctionType) -> list[bytes]:
    parts = [f"function {value.__module__}.{value.__qualname__}".encode()]
    if value.__name__ == "<lambda>":
        parts += _parts(value.__code__)
    inside = [entry for entry in _closed_over(value) if entry is not value and not isinstance(entry, Task)]
    for more in (inside, value.__defaults__, value.__kwdefaults__):
        if more:
            parts += _parts(more)
    return parts


def _closed_over(function: FunctionType) -> Iterator[object]:
    for cell in function.__closure__ or ():
        with suppress(ValueError):  # nothing has been assigned to that name yet
            yield cell.cell_contents


@_parts.register
def _of_code(value: CodeType) -> list[bytes]:
    return [value.co_code, *_parts((value.co_names, value.co_consts))]


@_parts.register
def _of_method(value: MethodType) -> list[bytes]:
    owner = [] if isinstance(value.__self__, Task) else _parts(value.__self__)  # the task itself counts already
    return [*_parts(value.__func__), *owner]


@_parts.register(partial)
def _of_partial(value: "partial[object]") -> list[bytes]:
    return [b"partial", *_parts((value.func, value.args, value.keywords))]


@_parts.register(PurePath)
@_parts.register(torch.device)
@_parts.register(Recipe)
@_parts.register(Tally)
def _of_left_out(_: object) -> list[bytes]:
    return []
