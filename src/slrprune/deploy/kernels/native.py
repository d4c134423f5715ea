"""The compiled library: whether it is there, why not, and its functions with their types.

The library is looked for once, at the first question; where there is none, the log says so once. `SLRPRUNE_KERNELS=off`
turns it off; the name of an instruction set (avx512, avx2, baseline) chooses that set instead of the fastest one.
"""

import ctypes
import logging
import os
import sys
import threading
from dataclasses import dataclass
from itertools import count, takewhile

from slrprune.errors import ArgumentError, UsageError

_log = logging.getLogger(__name__)
_VARIABLE = "SLRPRUNE_KERNELS"
_COMPILE = "With a C compiler, `python -m slrprune.deploy.kernels.build` compiles them."
_POINTER, _INT, _LONG = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64
_SIGNATURES: dict[str, tuple[object, list[object]]] = {
    "slrk_check": (_INT, [_POINTER, _LONG]),
    "slrk_linear": (_INT, [_POINTER, _POINTER, _POINTER, _LONG, _INT, _INT]),
    "slrk_conv2d": (_INT, [_POINTER, _POINTER, _POINTER, *[_LONG] * 9, _INT, _INT]),
    "slrk_isa_name": (ctypes.c_char_p, [_INT]),
    "slrk_current_isa_name": (ctypes.c_char_p, []),
    "slrk_expands": (_INT, []),
    "slrk_use_isa": (_INT, [ctypes.c_char_p]),
    "slrk_fma_probe": (_INT, [_LONG, _POINTER]),
    "slrk_unpack": (_INT, [_POINTER, _LONG, _INT, _POINTER, _LONG, _POINTER, _INT, _INT, _POINTER, _LONG]),
    "slrk_count_ones": (_LONG, [_POINTER, _LONG]),
    "slrk_join_bits": (None, [_POINTER, _LONG, _POINTER, _INT]),
    "slrk_read_probe": (None, [_POINTER, _LONG, _POINTER]),
}


@dataclass(frozen=True)
class _Found:
    library: ctypes.CDLL | None
    reason: str = ""  # why there is none
    way_out: str = _COMPILE


_lock = threading.Lock()
_found: _Found | None = None
_told = False


def is_available() -> bool:
    """True if the sparse kernels were built for this machine and can be used."""
    return _look().library is not None


def why_unavailable() -> str:
    """The reason why `is_available()` is False, without a full stop; empty if it is True."""
    return _look().reason


def library() -> ctypes.CDLL:
    """The library, its functions declared. Calls release Python's global lock.

    Raises:
        UsageError: there is none; says why.
    """
    found = _found or _look()
    if found.library is None:
        problem = f"the sparse kernels are not available: {found.reason}"
        raise UsageError("slrprune.deploy.kernels", problem, found.way_out)
    return found.library


def library_if_any() -> ctypes.CDLL | None:
    """As `library`, but None where there is none, and no word about it: for what does as well without."""
    with _lock:
        return _find().library


def instruction_sets() -> tuple[str, ...]:
    """The instruction sets that both the library and this machine have, fastest first; empty without a library."""
    if not is_available():
        return ()
    names = (library().slrk_isa_name(i) for i in count())
    return tuple(name.decode() for name in takewhile(bool, names))


def instruction_set() -> str:
    """The one in use."""
    name: bytes = library().slrk_current_isa_name()
    return name.decode()


def use_instruction_set(name: str) -> None:
    """Use this one from now on, in the whole process; for tests and comparisons.

    Raises:
        ArgumentError: unknown, or this machine does not have it.
    """
    if not library().slrk_use_isa(name.encode()):
        known = ", ".join(instruction_sets())
        raise ArgumentError("use_instruction_set", "name", name, f"must be one of this machine's: {known}")


def _look() -> _Found:
    global _told
    with _lock:
        found = _find()
        if found.library is None and not _told and os.environ.get(_VARIABLE) != "off":
            _told = True
            text = "Pruned layers run on dense torch: the sparse kernels are not available: %s. %s"
            _log.warning(text, found.reason, found.way_out)
        return found


def _find() -> _Found:
    global _found
    if _found is None:
        _found = _load()
    return _found


def _load() -> _Found:
    from slrprune.deploy.kernels import build  # not above: `python -m` warns of a module that is already imported

    wanted = os.environ.get(_VARIABLE, "")
    if wanted == "off":
        return _Found(None, f"{_VARIABLE}=off turns them off", f"Unset {_VARIABLE}.")
    if not build.LIBRARY.exists():
        if sys.platform == "win32":
            return _Found(None, "they are not built on Windows", "")
        return _Found(None, "they were not compiled when slrprune was installed")
    if not build.is_current():
        return _Found(None, "their sources have changed since they were compiled")
    try:
        library = ctypes.CDLL(str(build.LIBRARY))
        for name, (result, arguments) in _SIGNATURES.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError) as error:
        return _Found(None, f"the library cannot be loaded ({error})")
    if wanted and not library.slrk_use_isa(wanted.encode()):
        reason = f"{_VARIABLE}={wanted} asks for an instruction set that this machine does not have"
        return _Found(None, reason, f"Unset {_VARIABLE}, and the fastest one is used.")
    return _Found(library)
