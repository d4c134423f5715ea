"""Compile the sparse CPU kernels: `python -m slrprune.deploy.kernels.build`, also run when a wheel is built.

The sources of `csrc` are compiled once per instruction set into one shared library beside this file. Only the standard
library is used, since the build hook (hatch_build.py) runs this file by its path, outside the package.
"""

import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
LIBRARY = FOLDER / "_slrk.so"

_PER_INSTRUCTION_SET = ("tiles.c", "lookup.c", "helpers.c")
_ONCE = ("api.c", "check.c", "conv.c", "linear.c", "panel.c", "pool.c", "unpack.c")
_FLAGS = ("-std=gnu11", "-O3", "-fPIC", "-pthread", "-fvisibility=hidden", "-Wall", "-Wextra")
_X86 = platform.machine().lower() in ("x86_64", "amd64")
_SETS: dict[str, tuple[str, ...]] = {"baseline": ()}  # on ARM that is NEON
if _X86:
    _SETS["avx2"] = ("-mavx2", "-mfma")
    _SETS["avx512"] = ("-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mfma", "-mprefer-vector-width=512")
_TIMEOUT = 300  # seconds for one compiler call; each takes about one


class BuildError(Exception):
    """The kernels cannot be compiled here; the message says why."""


def digest() -> str:
    """SHA-256 of the C sources and the flags; a library carries that of what it was built from."""
    sources = sorted((FOLDER / "csrc").glob("*.[ch]"))
    flags = repr((_FLAGS, _SETS)).encode()
    return hashlib.sha256(b"".join([flags, *(path.read_bytes() for path in sources)])).hexdigest()


def is_current(library: Path = LIBRARY) -> bool:
    """Whether the library exists and was built from the present sources; it is not loaded for that."""
    return library.exists() and digest().encode() in library.read_bytes()


def compiler() -> list[str]:
    """The C compiler's command: the environment variable CC, or without it the first of cc, gcc and clang.

    Raises:
        BuildError: on Windows, and where there is no compiler.
    """
    if sys.platform == "win32":
        raise BuildError("the kernels use vector extensions of GCC and Clang, and are not built on Windows")
    chosen = os.environ.get("CC", "")
    for candidate in (chosen,) if chosen else ("cc", "gcc", "clang"):
        command = shlex.split(candidate)
        if command and shutil.which(command[0]):
            return command
    raise BuildError(f"the C compiler that CC names was not found: {chosen}" if chosen else "no C compiler was found")


def build(output: Path = LIBRARY, extra_flags: tuple[str, ...] = ()) -> Path:
    """Compile the library, in some seconds.

    Args:
        output: file to write; it is replaced in one step, so that a process that uses the old one is not disturbed.
        extra_flags: more compiler flags, for example "-fsanitize=address".

    Returns:
        `output`.

    Raises:
        BuildError: no compiler, or it failed; the message ends with what it printed.
    """
    command = [*compiler(), *shlex.split(os.environ.get("CFLAGS", "")), *_FLAGS, *extra_flags]
    with tempfile.TemporaryDirectory() as folder:
        jobs = [
            (FOLDER / "csrc" / name, Path(folder) / f"{name}.{isa}.o", (*flags, f"-DSLRK_ISA={isa}"))
            for isa, flags in _SETS.items()
            for name in _PER_INSTRUCTION_SET
        ]
        once = (f'-DSLRK_SOURCES="{digest()}"', *(("-DSLRK_X86",) if _X86 else ()))
        jobs += [(FOLDER / "csrc" / name, Path(folder) / f"{name}.o", once) for name in _ONCE]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(lambda job: _run([*command, *job[2], "-c", str(job[0]), "-o", str(job[1])]), jobs))
        linked = Path(folder) / output.name
        _run([*command, "-shared", *(str(job[1]) for job in jobs), "-o", str(linked)])
        # Beside the output first: a rename replaces a file in one step only within one file system.
        beside = output.with_name(f"{output.name}.{os.getpid()}.new")
        shutil.copyfile(linked, beside)
        beside.replace(output)
    return output


def _run(command: list[str]) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=_TIMEOUT)  # noqa: S603  # own words
    except subprocess.CalledProcessError as error:
        raise BuildError(f"{shlex.join(command)} failed: {error.stderr[-2000:]}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildError(f"{shlex.join(command)} failed: {error}") from error


if __name__ == "__main__":
    try:
        sys.stdout.write(f"{build()}\n")
    except BuildError as error:
        sys.exit(f"slrprune kernels: {error}.")
