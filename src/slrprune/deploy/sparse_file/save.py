"""`save_sparse`: a model into one small file."""

import os
from pathlib import Path

from torch import nn

from slrprune.deploy.sparse_file.container import to_bytes
from slrprune.deploy.sparse_file.encode import encode
from slrprune.deploy.sparse_file.index import Row
from slrprune.deploy.sparse_file.state import State, file_dtype, names_by_tensor, state_of
from slrprune.deploy.sparse_file.words import words_of
from slrprune.deploy.sparse_file.write import write_file


def save_sparse(model_or_state: nn.Module | State, path: str | os.PathLike[str]) -> int:
    """Writes all parameters and buffers into one safetensors file, bit for bit, as small as their zeros allow.

    Any model will do, however its zeros came about. For each tensor the best of several codings is taken: dense, a
    bitmask along the dimension where its pattern repeats (N:M groups, blocks, channels), or gaps, with the values in
    columns of bytes, all of it compressed where that helps. Among codings at most 3% larger than the smallest, the one
    that is read fastest wins. Tensors that share their memory are stored once. Equal tensors give equal files. The
    layout is in docs/file_format.md.

    A zero with a minus sign is kept too, and takes a bit per weight: `weight * mask`, and so `torch.nn.utils.prune`,
    leaves one wherever a negative weight was cut. Add 0.0 to the weights to be rid of them.

    What is in the state dict is saved: while masks of `torch.nn.utils.prune` are still attached, that is the weights
    without their zeros (`weight_orig`) and the masks. Call `torch.nn.utils.prune.remove` before.

    Args:
        model_or_state: a module, or a mapping from names to tensors of any device, memory format and shape. Dtypes:
            bool, all integers, float8, float16, bfloat16, float32, float64 and complex64.
        path: where to write. The file is complete or not there at all: it is written beside its place, flushed to
            the disk and renamed.

    Returns:
        The size of the file in bytes.

    Raises:
        ArgumentError: something that is no plain dense tensor.
        FileWriteError: the file cannot be written; one that was there is untouched.

    Example:
        >>> import tempfile, torch
        >>> from slrprune.deploy import load_sparse
        >>> weight = torch.where(torch.rand(512, 512) < 0.1, torch.randn(512, 512), 0)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     size = save_sparse({"weight": weight}, f"{folder}/model.safetensors")
        ...     restored = load_sparse(f"{folder}/model.safetensors")
        >>> size < weight.nbytes / 9, torch.equal(restored["weight"], weight)
        (True, True)
    """
    content = to_bytes(*encode_state(state_of(model_or_state)))
    write_file(Path(path), content)
    return len(content)


def encode_state(state: State) -> tuple[list[Row], list[bytes]]:
    """The file's rows, one for every tensor whatever its names, and the data of each."""
    rows: list[Row] = []
    data: list[bytes] = []
    for names in names_by_tensor(state):
        tensor = state[names[0]]
        dtype = file_dtype(tensor)
        row, coded = encode(names, words_of(tensor, dtype), tensor.shape, dtype)
        rows.append(row)
        data.append(coded)
    return rows, data
