"""SIGINT and SIGTERM: the step under way is finished and saved first."""

import signal
import threading
from pathlib import Path
from types import FrameType, TracebackType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(Exception):  # noqa: N818  (a request, not an error)
    """The run was asked to stop, and has saved where it is.

    Attributes:
        signum: which signal asked.
        folder: of the run.
        exit_code: what a program ends with then: 130 after SIGINT, 143 after SIGTERM.
    """

    def __init__(self, signum: int, folder: Path) -> None:
        super().__init__(f"interrupted by {signal.Signals(signum).name}; resume {folder}")
        self.signum = signum
        self.folder = folder
        self.exit_code = 128 + signum


class Interruption:
    """Takes note of the first SIGINT or SIGTERM while it is used as a context; a second one ends the process at once.

    Outside the main thread, where Python delivers no signals, it does nothing.
    """

    def __init__(self) -> None:
        self.signum: int | None = None
        self._before: dict[int, object] = {}

    @property
    def is_requested(self) -> bool:
        """Whether a signal has come."""
        return self.signum is not None

    def __enter__(self) -> "Interruption":
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what signal.signal itself returned
        self._before = {}

    def _note(self, signum: int, frame: FrameType | None) -> None:
        if self.signum is not None:
            raise SystemExit(128 + signum)
        self.signum = signum
