"""Calibration batches: what they are, how a model takes them, how two runs can tell that they have the same."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from slrprune.errors import ArgumentError, DataError, SlrpruneError

Batch = Tensor | Sequence[object] | Mapping[str, object]
"""One call of the model: its argument, its positional arguments, or its keyword arguments."""


def checked_batches(calibration: Iterable[Batch]) -> list[Batch]:
    """All batches.

    Raises:
        ArgumentError: one tensor in place of batches.
        DataError: none at all, or one without rows.
    """
    if isinstance(calibration, Tensor):
        shape, way_out = tuple(calibration.shape), "Put a single batch into a list."
        raise ArgumentError("prune", "calibration", shape, "must be an iterable of batches, not one tensor", way_out)
    batches = list(calibration)
    if not batches:
        raise DataError("prune(calibration)", "holds no batch", "Give at least one; some hundred rows do for a layer.")
    for number, batch in enumerate(batches):
        if not any(tensor.numel() for tensor in _tensors(batch)):
            raise DataError("prune(calibration)", f"batch {number} holds no rows", "Leave it out.")
    return batches


def run_model(model: nn.Module, batch: Batch) -> object:
    """The model's output for one batch.

    The model gets copies of the batch's tensors: one that works in place would change the data of all later passes.
    """
    if isinstance(batch, Tensor):
        return model(batch.clone())
    if isinstance(batch, Mapping):
        return model(**{name: _copied(value) for name, value in batch.items()})
    return model(*map(_copied, batch))


def try_model(model: nn.Module, batch: Batch) -> None:
    """A first pass.

    Raises:
        DataError: the model does not take the batch.
    """
    try:
        run_model(model, batch)
    except SlrpruneError:
        raise
    except Exception as error:  # a wrong batch fails anywhere in the forward pass
        from slrprune.deploy.shrink.example import described

        problem = f"holds what the model does not take ({described(error)})"
        way_out = "A tensor is one argument, a tuple or list positional arguments, a dict keyword arguments: no labels."
        raise DataError("prune(calibration)", problem, way_out) from error


def digest(batches: Sequence[Batch]) -> str:
    """A SHA-256 of all tensors of the batches."""
    found = hashlib.sha256()
    for batch in batches:
        for tensor in _tensors(batch):
            found.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
            found.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def _copied(value: object) -> object:
    return value.clone() if isinstance(value, Tensor) else value


def _tensors(batch: Batch) -> list[Tensor]:
    if isinstance(batch, Tensor):
        return [batch]
    values = batch.values() if isinstance(batch, Mapping) else batch
    return [value for value in values if isinstance(value, Tensor)]
