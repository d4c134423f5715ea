"""A tensor as a flat numpy vector of unsigned words: equal words mean equal bits, NaN payloads and -0.0 included."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from slrprune.deploy.sparse_file.dtypes import DType

Bytes = NDArray[np.uint8]
Words = NDArray[np.unsignedinteger[Any]]

_SAME_SIZE = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def words_of(tensor: Tensor, dtype: DType) -> Words:
    """The words of any tensor in logical (row-major) order.

    Args:
        tensor: of dtype `dtype.torch_dtype`, any device and memory format.
        dtype: its dtype.

    Returns:
        Vector of `numel` unsigned integers of `dtype.width` bytes, in the byte order of the machine. It may share the
        memory of the tensor.
    """
    tensor = tensor.detach()
    if not is_plain_memory(tensor):
        tensor = tensor.cpu().resolve_conj().resolve_neg().contiguous()
    return plain_words(tensor, dtype)


def plain_words(tensor: Tensor, dtype: DType) -> Words:
    """As `words_of`, for a tensor in plain memory: writing to the vector writes to the tensor."""
    words: Words = tensor.detach().view(_SAME_SIZE[dtype.width]).numpy().reshape(-1).view(f"u{dtype.width}")
    return words


def is_plain_memory(tensor: Tensor) -> bool:
    """Whether the entries lie on the CPU, one behind the other in logical order, as they are."""
    return tensor.is_cpu and tensor.is_contiguous() and not (tensor.is_conj() or tensor.is_neg())
