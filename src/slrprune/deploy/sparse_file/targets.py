"""Which tensor of a model takes which tensor of the file; everything that does not fit is refused before any write."""

from collections.abc import Iterable, Mapping, Sequence

from torch import Tensor, nn

from slrprune.deploy.sparse_file.index import Row
from slrprune.deploy.sparse_file.state import memory_of
from slrprune.errors import StateError, closest
from slrprune.rules import canonical_name

_SHOWN = 3


def find_targets(model: nn.Module, rows: Sequence[Row], where: str) -> dict[str, Tensor]:
    """The tensor of `model` for every name in the file.

    Names are compared without the prefixes of wrappers. A name that the file lacks is no problem where another name
    of the same memory is there.

    Raises:
        StateError: names, shapes or dtypes differ, or the model cannot be written to.
    """
    own = _own_tensors(model, where)
    in_file = {canonical_name(name): row for row in rows for name in row.names}
    names = [name for row in rows for name in row.names]
    if len(in_file) != len(names):
        raise StateError(where, "names in the file differ only by the prefixes of wrappers", "Load it without a model.")
    _check_names(own, in_file, where)
    problems = [text for name, row in in_file.items() for text in _differences(name, row, own[name])]
    problems += _contradictions(own, in_file)
    if problems:
        raise StateError(where, f"the file does not fit the model: {_list(problems)}", "Nothing was loaded.")
    return dict(zip(names, (own[name] for name in in_file), strict=True))


def _own_tensors(model: nn.Module, where: str) -> dict[str, Tensor]:
    """Parameters and persistent buffers by canonical name, checked to be what the model really computes with."""
    state = model.state_dict(keep_vars=True)
    own = {id(tensor) for tensor in (*model.parameters(), *model.buffers())}
    foreign = [name for name, tensor in state.items() if id(tensor) not in own]
    if foreign:
        problem = f"the model makes {_list(foreign)} of its state dict by code of its own"
        raise StateError(where, problem, "Use model.load_state_dict(load_sparse(path)).")
    named = {canonical_name(name): tensor for name, tensor in state.items()}
    if len(named) != len(state):
        raise StateError(where, "names in the model differ only by the prefixes of wrappers", "Load without a model.")
    for name, tensor in named.items():
        _check_writable(name, tensor, where)
    return named


def _check_writable(name: str, tensor: Tensor, where: str) -> None:
    if tensor.is_meta:
        problem, way_out = "is on the meta device", "Call model.to_empty(device=...) before."
    elif type(tensor) not in (Tensor, nn.Parameter):
        problem, way_out = f"is a {type(tensor).__name__}", "Use model.load_state_dict(load_sparse(path))."
    elif not tensor.is_contiguous() and 0 in tensor.stride():
        problem, way_out = "is an expanded tensor, whose entries share memory", "Replace it by its clone()."
    else:
        return
    raise StateError(where, f"{name} {problem}", way_out)


def _check_names(own: dict[str, Tensor], in_file: Mapping[str, Row], where: str) -> None:
    missing = [name for name in own if name not in in_file]
    if missing:
        covered = {memory_of(own[name]) for name in in_file if name in own}
        missing = [name for name in missing if memory_of(own[name]) not in covered]
    unexpected = [name for name in in_file if name not in own]
    problems = []
    if missing:
        problems.append(f"it lacks {_list(missing)}{_nearest(missing[0], in_file)}")
    if unexpected:
        problems.append(f"it has {_list(unexpected)}, which the model lacks{_nearest(unexpected[0], own)}")
    if problems:
        raise StateError(where, f"the file does not fit the model: {'; '.join(problems)}", "Nothing was loaded.")


def _differences(name: str, row: Row, tensor: Tensor) -> list[str]:
    if row.shape != tensor.shape:
        return [f"{name} has shape {row.shape} in the file and {tuple(tensor.shape)} in the model"]
    if row.dtype.torch_dtype != tensor.dtype:
        return [f"{name} is {row.dtype.torch_dtype} in the file and {tensor.dtype} in the model"]
    return []


def _contradictions(own: dict[str, Tensor], in_file: Mapping[str, Row]) -> Iterable[str]:
    """Names that share memory in the model, but not their values in the file."""
    first: dict[object, str] = {}
    for name, row in in_file.items():
        if own[name].numel():
            other = first.setdefault((own[name].data_ptr(), own[name].shape), name)
            if (row.checksum, row.coding) != (in_file[other].checksum, in_file[other].coding):
                yield f"{name} and {other} share memory in the model and differ in the file"


def _nearest(name: str, others: Iterable[str]) -> str:
    names = closest(name, others)
    return f" (closest to {name!r}: {', '.join(map(repr, names))})" if names else ""


def _list(texts: Sequence[str]) -> str:
    rest = len(texts) - _SHOWN
    return ", ".join(texts[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")
