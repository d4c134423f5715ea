"""The size of the sparse file, tensor by tensor, without writing it."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from slrprune.deploy.sparse_file.container import to_bytes
from slrprune.deploy.sparse_file.save import encode_state
from slrprune.deploy.sparse_file.state import state_of
from slrprune.rules import canonical_name


@dataclass(frozen=True)
class Sizes:
    """Bytes of a model in the sparse file.

    Attributes:
        file: of the whole file.
        dense: of all tensors as they are in memory, shared ones once.
        tensors: of each tensor's data in the file, by its canonical names.
    """

    file: int
    dense: int
    tensors: Mapping[str, int]


def sizes(model: nn.Module) -> Sizes:
    """What `save_sparse` would write for `model`."""
    rows, data = encode_state(state_of(model))
    tensors = {canonical_name(name): len(coded) for row, coded in zip(rows, data, strict=True) for name in row.names}
    dense = sum(row.nbytes for row in rows)
    return Sizes(len(to_bytes(rows, data)), dense, tensors)
