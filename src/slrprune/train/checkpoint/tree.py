"""Nested states as JSON and tensors: what `state_dict` methods return, without pickle."""

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from slrprune.errors import ArgumentError, DataError

_MARK = "$"


def flatten(value: Any) -> tuple[Any, dict[str, Tensor]]:
    """A JSON value in which every tensor is replaced by its name, and the tensors by name.

    Args:
        value: nested dicts, lists and tuples of tensors, str, bool, int, float (NaN and infinity, too) and None. Keys
            may be str or int.

    Returns:
        The JSON value; contiguous tensors on the CPU that share no memory with each other.

    Raises:
        ArgumentError: anything else, with the place where it lies.

    Examples:
        >>> import torch
        >>> flatten({"step": 3, "weight": torch.ones(2)})
        ({'step': 3, 'weight': {'$tensor': 'weight'}}, {'weight': tensor([1., 1.])})
    """
    flat = _Flattening()
    return flat.encode(value, ""), flat.tensors


def unflatten(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The inverse of `flatten`.

    Raises:
        DataError: a tensor that is missing.
    """
    if isinstance(value, list):
        return [unflatten(entry, tensors) for entry in value]
    if not isinstance(value, dict):
        return value
    mark = next((key for key in value if key.startswith(_MARK)), None)
    if mark is None:
        return {key: unflatten(entry, tensors) for key, entry in value.items()}
    content = value[mark]
    if mark == "$tensor":
        if content not in tensors:
            raise DataError("checkpoint", f"the tensor {content!r} is missing")
        return tensors[content]
    if mark == "$float":
        return float(content)
    if mark == "$tuple":
        return tuple(unflatten(entry, tensors) for entry in content)
    return {unflatten(key, tensors): unflatten(entry, tensors) for key, entry in content}


class _Flattening:
    """Collects tensors under the path where they were found."""

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        self._storages: dict[int, str] = {}

    def encode(self, value: Any, path: str) -> Any:
        if isinstance(value, Tensor):
            return {"$tensor": self._keep(value, path or "value")}
        if value is None or isinstance(value, str | bool | int):
            return value
        if isinstance(value, float):
            return value if math.isfinite(value) else {"$float": repr(value)}
        if isinstance(value, Mapping):
            return self._mapping(value, path)
        if isinstance(value, list | tuple):
            entries = [self.encode(entry, _joined(path, index)) for index, entry in enumerate(value)]
            return entries if isinstance(value, list) else {"$tuple": entries}
        kind = type(value).__name__
        raise ArgumentError("checkpoint", path, kind, "must be a plain value, a list, a dict or a tensor to be saved")

    def _mapping(self, value: Mapping[Any, Any], path: str) -> Any:
        if all(isinstance(key, str) and not key.startswith(_MARK) for key in value):
            return {key: self.encode(entry, _joined(path, key)) for key, entry in value.items()}
        pairs = value.items()
        return {"$items": [[self.encode(key, path), self.encode(entry, _joined(path, key))] for key, entry in pairs]}

    def _keep(self, tensor: Tensor, path: str) -> str:
        plain = tensor.detach().to("cpu").contiguous()
        storage = plain.untyped_storage().data_ptr()
        if storage in self._storages and plain.numel():
            plain = plain.clone()  # safetensors refuses tensors that share memory
        self._storages[storage] = path
        name = path
        while name in self.tensors:
            name += "'"
        self.tensors[name] = plain
        return name


def _joined(path: str, key: object) -> str:
    return f"{path}.{key}" if path else str(key)
