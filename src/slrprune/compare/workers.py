"""Pieces of work in this process or in several; what comes out is the same."""

import multiprocessing
import pickle
import signal
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import Enum, auto
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Protocol

import torch

from slrprune.errors import ArgumentError, SlrpruneError, UsageError


class Work(Protocol):
    """One piece of work. Among several workers it, its reports and its result must be picklable."""

    @property
    def label(self) -> str:
        """For messages."""

    def execute(self, shared: Any, report: Callable[..., None], /) -> object:
        """Does the work with what all pieces share; `report` passes its arguments on while the work lasts."""


class Listener(Protocol):
    """Is told in the calling process how the work goes on."""

    def reported(self, work: Work, *values: Any) -> None:
        """`report(*values)` was called."""

    def finished(self, work: Work, result: Any) -> None:
        """`execute` returned."""


class Crew(Protocol):
    """Does work."""

    def do(self, pieces: Sequence[Work], listener: Listener) -> None:
        """Does all pieces, begun in the order given, with one torch thread each.

        Raises:
            UsageError: among several workers: a piece failed or cannot be pickled, a process died. A single worker
                lets the piece's own exception through.
        """


@contextmanager
def crew(count: int, shared: object) -> Iterator[Crew]:
    """A crew for the length of the block; leaving it by an exception, KeyboardInterrupt too, ends all its processes.

    Args:
        count: 1 works in this process. More start processes anew ("spawn"), so that a calling script needs the usual
            `if __name__ == "__main__":`.
        shared: sent to every worker once.

    Raises:
        ArgumentError: count below 1.
        UsageError: `shared` cannot be pickled.
    """
    check_count(count)
    if count == 1:
        yield _Single(shared)
        return
    message = _pickled("the task", shared)
    processes: dict[Connection, BaseProcess] = {}
    try:
        processes.update(_started(message) for _ in range(count))
        yield _Several(processes)
    finally:
        for pipe, process in processes.items():
            pipe.close()
            process.terminate()
        for process in processes.values():
            process.join()


def check_count(count: int) -> None:
    """Raises `ArgumentError` unless `count` is an integer of at least 1."""
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ArgumentError("compare", "workers", count, "must be an integer of at least 1")


def check_sendable(pieces: Sequence[Work]) -> None:
    """Raises `UsageError` unless all pieces can be sent to a worker process: before hours of work, not after."""
    for piece in pieces:
        _pickled(piece.label, piece)


class _Single:
    """Works in this process."""

    def __init__(self, shared: object) -> None:
        self._shared = shared

    def do(self, pieces: Sequence[Work], listener: Listener) -> None:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            for piece in pieces:
                result = piece.execute(self._shared, lambda *values, piece=piece: listener.reported(piece, *values))
                listener.finished(piece, result)
        finally:
            torch.set_num_threads(threads)


class _Kind(Enum):
    """What a worker process sends."""

    REPORT = auto()
    RESULT = auto()
    FAILURE = auto()


class _Several:
    """Hands pieces to processes as they become free."""

    def __init__(self, processes: dict[Connection, BaseProcess]) -> None:
        self._processes = processes

    def do(self, pieces: Sequence[Work], listener: Listener) -> None:
        waiting = iter([(piece, _pickled(piece.label, piece)) for piece in pieces])
        busy: dict[Connection, Work] = {}
        for pipe, (piece, message) in zip(self._processes, waiting, strict=False):
            self._send(pipe, piece, message)
            busy[pipe] = piece
        while busy:
            ready = wait(list(busy))
            for pipe in [pipe for pipe in busy if pipe in ready]:
                kind, content = self._receive(pipe, busy[pipe])
                if kind is _Kind.REPORT:
                    listener.reported(busy[pipe], *content)
                    continue
                listener.finished(busy.pop(pipe), content)
                following = next(waiting, None)
                if following is not None:
                    busy[pipe], message = following
                    self._send(pipe, busy[pipe], message)

    def _send(self, pipe: Connection, piece: Work, message: bytes) -> None:
        try:
            pipe.send_bytes(message)
        except (BrokenPipeError, ConnectionResetError):
            raise self._death(pipe, piece) from None

    def _receive(self, pipe: Connection, piece: Work) -> tuple[_Kind, Any]:
        try:
            kind, content = pipe.recv()
        except (EOFError, ConnectionResetError):
            raise self._death(pipe, piece) from None
        if kind is _Kind.FAILURE:
            raise UsageError(f"compare, {piece.label}", str(content).strip().rstrip("."))
        return kind, content

    def _death(self, pipe: Connection, piece: Work) -> UsageError:
        process = self._processes[pipe]
        process.join()
        problem = f"the worker process died with exit code {process.exitcode}"
        way_out = "Was there memory enough? The same command goes on where this one stopped; try fewer workers."
        return UsageError(f"compare, {piece.label}", problem, way_out)


def _started(shared: bytes) -> tuple[Connection, BaseProcess]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process: BaseProcess = context.Process(target=_serve, args=(theirs, shared), daemon=True)
    process.start()
    theirs.close()  # so that the end of the process is the end of the pipe
    return ours, process


def _serve(pipe: Connection, shared: bytes) -> None:
    """A worker's life: one piece after the other until the pipe ends. All it unpickles comes from its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the caller ends the workers
    torch.set_num_threads(1)
    try:
        common = pickle.loads(shared)  # noqa: S301
        while True:
            piece = pickle.loads(pipe.recv_bytes())  # noqa: S301
            result = piece.execute(common, lambda *values: pipe.send((_Kind.REPORT, values)))
            pipe.send((_Kind.RESULT, result))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return
    except SlrpruneError as error:
        pipe.send((_Kind.FAILURE, str(error)))
    except Exception:  # whatever it is, the caller has to see it
        pipe.send((_Kind.FAILURE, traceback.format_exc()))


def _pickled(what: str, value: object) -> bytes:
    # Not by the pickler of pipes, into which torch puts tensors as shared memory: containers have little of that.
    try:
        return pickle.dumps(value)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        way_out = "Define functions and classes at the top level of a module, or take workers=1."
        raise UsageError("compare", f"{what} cannot be sent to a worker process ({error})", way_out) from None
