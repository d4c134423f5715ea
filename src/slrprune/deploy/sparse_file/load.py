"""`load_sparse`: the file back into tensors, or into a model."""

import os
from itertools import accumulate
from pathlib import Path

import torch
from torch import Tensor, nn

from slrprune.deploy.sparse_file.container import opened
from slrprune.deploy.sparse_file.decode import Dense, Sparse, check
from slrprune.deploy.sparse_file.errors import InvalidError
from slrprune.deploy.sparse_file.index import Row
from slrprune.deploy.sparse_file.parallel import map_threads
from slrprune.deploy.sparse_file.targets import find_targets
from slrprune.deploy.sparse_file.words import is_plain_memory, plain_words
from slrprune.errors import ArgumentError, DataError

_FREE = 64 << 20
_MOST_RATIO = 1000


def load_sparse(
    path: str | os.PathLike[str], model: nn.Module | None = None, max_bytes: int | None = None
) -> dict[str, Tensor]:
    """Reads a file that `save_sparse` wrote, bit for bit.

    The whole file is checked before the first tensor is touched: a damaged or hostile file, or one of another model,
    changes nothing.

    Args:
        path: the file.
        model: what to load into, on any device; names, shapes and dtypes must agree with the file, prefixes of
            wrappers aside. The values are written straight into its parameters and buffers: hooks of
            `load_state_dict` do not run. Without a model new tensors on the CPU are made.
        max_bytes: the size in memory of all tensors together that is accepted; a file that claims more is refused
            before anything is allocated for it. Default: with a model no limit, since the file must fit the model;
            else 64 MiB plus 1000 times the size of the file. Apart from the tensors, loading needs about the size of
            the file twice, and a few MiB.

    Returns:
        The tensors by the names in the file, tensors that shared memory sharing it again. With a model: the model's
        own parameters and buffers.

    Raises:
        DataError: no such file, a file that is damaged, of another format or version, or beyond `max_bytes`.
        StateError: the file does not fit the model.
        ArgumentError: `max_bytes` is not a number of bytes, or the arguments have changed places.
    """
    if max_bytes is not None and (type(max_bytes) is not int or max_bytes < 0):
        raise ArgumentError("load_sparse", "max_bytes", max_bytes, "must be a number of bytes, or None")
    if isinstance(path, nn.Module):
        raise ArgumentError(
            "load_sparse", "path", type(path).__name__, "must be a path", "The path comes first, then the model."
        )
    where = f"load_sparse({str(path)!r})"
    try:
        return _load(Path(path), model, max_bytes, where)
    except InvalidError as error:
        way_out = "The file is damaged, or of another kind; copy it again, or save it again."
        raise DataError(where, str(error), way_out) from error
    except OSError as error:
        raise DataError(where, f"cannot read: {error.strerror or error}", "Check the path.") from error


def _load(path: Path, model: nn.Module | None, max_bytes: int | None, where: str) -> dict[str, Tensor]:
    limit = _FREE + _MOST_RATIO * path.stat().st_size if max_bytes is None else max_bytes
    with opened(path, limit) as container:
        rows = container.rows
        targets = find_targets(model, rows, where) if model is not None else {}
        if model is None or max_bytes is not None:
            _check_claim(rows, limit, where)
        checked = _check_all(rows, container.read())
    if model is None:
        targets = _allocate(rows)
    _write_all(checked, targets)
    # Writing through numpy escapes autograd: tell it, so that a backward pass through old values is an error.
    torch.autograd.graph.increment_version([tensor for tensor in targets.values() if not tensor.is_inference()])
    return targets


def _check_claim(rows: list[Row], limit: int, where: str) -> None:
    claimed = sum(row.nbytes for row in rows)
    if claimed > limit:
        way_out = "If you trust the file, pass a larger max_bytes."
        raise DataError(where, f"the tensors take {claimed} bytes, max_bytes allows {limit}", way_out)


def _allocate(rows: list[Row]) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for row in rows:
        tensors |= dict.fromkeys(row.names, torch.empty(row.shape, dtype=row.dtype.torch_dtype))
    return tensors


def _check_all(rows: list[Row], data: memoryview) -> list[Dense | Sparse]:
    ends = list(accumulate(row.data_length for row in rows))
    pieces = [(row, data[end - row.data_length : end]) for row, end in zip(rows, ends, strict=True)]
    return map_threads(_check, pieces, [row.data_length for row in rows])


def _check(piece: tuple[Row, memoryview]) -> Dense | Sparse:
    row, data = piece
    try:
        return check(row, data)
    except InvalidError as error:
        raise InvalidError(f"{row.name!r}: {error}") from error


def _write_all(checked: list[Dense | Sparse], targets: dict[str, Tensor]) -> None:
    jobs = [(item, [targets[name] for name in item.row.names]) for item in checked]
    # What different rows write to must be apart from each other, for several threads to write it.
    storages = [{tensor.untyped_storage().data_ptr() for tensor in tensors if tensor.numel()} for _, tensors in jobs]
    are_apart = sum(map(len, storages)) == len(set().union(*storages))
    map_threads(_write, jobs, [item.row.nbytes for item in checked], threads=None if are_apart else 1)


def _write(job: tuple[Dense | Sparse, list[Tensor]]) -> None:
    """Writes one tensor to all its names; on other devices and in other memory formats by way of a copy."""
    checked, targets = job
    first = targets[0]
    plain = first if is_plain_memory(first) else torch.empty(first.shape, dtype=first.dtype)
    checked.write(plain_words(plain, checked.row.dtype))
    for target in targets:
        if target.data_ptr() != plain.data_ptr():
            with torch.inference_mode(target.is_inference()), torch.no_grad():  # modes do not reach other threads
                target.copy_(plain)
