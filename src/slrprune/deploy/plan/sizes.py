"""The size of the sparse file, tensor by tensor, without writing it."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from slrprune.deploy.sparse_file.container import to_bytes
from slrprune.deploy.sparse_file.encode import encode
from slrprune.deploy.sparse_file.state import file_dtype, names_by_tensor, state_of
from slrprune.deploy.sparse_file.words import words_of


@dataclass(frozen=True)
class Sizes:
    """Bytes of a model in the sparse file.

    Attributes:
        file: of the whole file.
        dense: of all tensors as they are in memory, shared ones once.
        tensors: of each tensor's data in the file, by its names.
    """

    file: int
    dense: int
    tensors: Mapping[str, int]


def sizes(model: nn.Module) -> Sizes:
    """What `save_sparse` would write for `model`."""
    state = state_of(model)
    rows, data, tensors, dense = [], [], {}, 0
    for names in names_by_tensor(state):
        tensor = state[names[0]]
        dtype = file_dtype(tensor)
        row, coded = encode(names, words_of(tensor, dtype), tensor.shape, dtype)
        rows.append(row)
        data.append(coded)
        tensors.update(dict.fromkeys(names, len(coded)))
        dense += tensor.numel() * tensor.itemsize
    return Sizes(len(to_bytes(rows, data)), dense, tensors)
