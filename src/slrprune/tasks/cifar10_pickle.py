"""The python version of CIFAR-10, read without running anything that its pickles ask for.

A pickle names classes and functions that the reader then calls, so a downloaded one can do anything. Here every name
stands for a class of this file that only writes down what it was given; numpy sees nothing but the recorded bytes.
"""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slrprune.errors import DataError


def read_pickle(file: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images and labels of one batch file.

    Written by Python 2 or 3, with keys as bytes or text; the data are a numpy array, the labels a list or an array.

    Returns:
        Images uint8 of shape (n, 3072), labels int64 of shape (n,).

    Raises:
        DataError: the file is missing or damaged, names anything but a numpy array, or holds something else.
    """
    if not file.is_file():
        raise DataError("read_cifar10", f"{file} is missing")
    try:
        with file.open("rb") as stream:
            content = _InertUnpickler(stream, encoding="bytes").load()
        entries = {key.decode() if isinstance(key, bytes) else key: value for key, value in content.items()}
        return _pixels(entries["data"]), _labels(entries["labels"])
    except Exception as error:  # damaged pickles fail in a dozen ways, and all of them mean the same here
        problem = f"{file} is damaged, or no batch of CIFAR-10 ({type(error).__name__}: {error})"
        raise DataError("read_cifar10", problem, "Nothing in it was run.") from error


class _Array:
    """Stands for numpy's ndarray and for the function that makes an empty one; records shape, dtype and bytes."""

    def __init__(self, *_: object) -> None:
        self.shape: Any = None
        self.dtype: Any = None
        self.content: Any = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, self.shape, self.dtype, is_fortran, self.content = state
        if is_fortran:
            raise pickle.UnpicklingError("an array in column-major order")

    def numbers(self) -> NDArray[Any]:
        """The recorded array, read-only."""
        if not isinstance(self.dtype, _Dtype) or self.dtype.code not in ("u1", "i4", "i8"):
            raise pickle.UnpicklingError("an array of something else than u1, i4 or i8")
        numbers: NDArray[Any] = np.frombuffer(self.content, np.dtype(self.dtype.code)).reshape(self.shape)
        return numbers


class _ArrayFromBuffer(_Array):
    """Stands for the function that pickle protocol 5 uses: bytes, dtype, shape, order."""

    def __init__(self, content: object, dtype: object, shape: object, order: object) -> None:
        super().__init__()
        self.__setstate__((1, shape, dtype, order != "C", content))


class _Dtype:
    """Stands for numpy's dtype; records its code, such as "u1"."""

    def __init__(self, code: str | bytes, *_: object) -> None:
        self.code = code.decode() if isinstance(code, bytes) else code

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] not in ("|", "<", b"|", b"<"):
            raise pickle.UnpicklingError("big-endian numbers")


class _Encode:
    """Stands for `_codecs.encode`, by which Python 3 writes bytes in old pickle protocols."""

    def __new__(cls, text: str, encoding: str) -> bytes:  # type: ignore[misc]
        if encoding != "latin1":
            raise pickle.UnpicklingError(f"bytes in the encoding {encoding!r}")
        return text.encode("latin1")


_STAND_INS: dict[tuple[str, str], type] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy.core.numeric", "_frombuffer"): _ArrayFromBuffer,
    ("numpy._core.numeric", "_frombuffer"): _ArrayFromBuffer,
    ("_codecs", "encode"): _Encode,
}


class _InertUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> type:
        if (module, name) not in _STAND_INS:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no batch needs")
        # A copy, since a pickle can also write into the attributes of what it names.
        stand_in = _STAND_INS[module, name]
        return type(stand_in.__name__, (stand_in,), {})


def _pixels(recorded: object) -> NDArray[np.uint8]:
    numbers = recorded.numbers() if isinstance(recorded, _Array) else None
    if numbers is None or numbers.dtype != np.uint8:
        raise pickle.UnpicklingError("data that are no array of bytes")
    return numbers.reshape(-1, 3072)


def _labels(recorded: object) -> NDArray[np.int64]:
    if isinstance(recorded, _Array):
        return recorded.numbers().astype(np.int64).reshape(-1)
    if not isinstance(recorded, list) or not all(type(label) is int for label in recorded):
        raise pickle.UnpicklingError("labels that are no whole numbers")
    return np.array(recorded, np.int64)
