"""The dtypes of the file. Their names are those of torch; numpy knows most of them too."""

from dataclasses import dataclass

import torch

from slrprune.deploy.sparse_file.errors import InvalidError


@dataclass(frozen=True)
class DType:
    """A dtype of the file: every entry is one word of 1, 2, 4 or 8 bytes."""

    name: str
    torch_dtype: torch.dtype
    width: int
    """Bytes in a word."""

    @property
    def has_minus_zero(self) -> bool:
        """Whether a word with nothing but its highest bit set is a zero."""
        return self.torch_dtype.is_floating_point and self.name not in _WITHOUT_MINUS_ZERO


_WITHOUT_MINUS_ZERO = ("float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu")
_NAMES = (
    *("bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"),
    *("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu"),
    *("float16", "bfloat16", "float32", "float64", "complex64"),
)
_BY_NAME = {name: DType(name, getattr(torch, name), getattr(torch, name).itemsize) for name in _NAMES}
_BY_TORCH = {dtype.torch_dtype: dtype for dtype in _BY_NAME.values()}


def from_torch(dtype: torch.dtype) -> DType | None:
    """The file's dtype for a torch dtype; None for one that the file cannot hold."""
    return _BY_TORCH.get(dtype)


def from_name(name: object) -> DType:
    """The dtype of this name; raises `InvalidError` for any other."""
    dtype = _BY_NAME.get(name) if isinstance(name, str) else None
    if dtype is None:
        raise InvalidError(f"the dtype must be one of {', '.join(_NAMES)}, got {str(name)[:40]!r}")
    return dtype
