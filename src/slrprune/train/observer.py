"""Who follows a run, for example to draw a progress bar."""

from typing import Protocol


class Observer(Protocol):
    """Follows one run."""

    def phase_began(self, phase: str, steps: int, made: int) -> None:
        """Told when "dense", "prune" or "retrain" begins: its steps, and how many were made before a resume."""

    def step_made(self, made: int) -> None:
        """Told after every optimizer step: how many the phase has made."""

    def epoch_ended(self, number: int, epochs: int, loss: float, accuracy: float | None) -> None:
        """Told at the end of every epoch, with the accuracy after a cut on a copy where it was measured."""

    def noted(self, event: str, text: str) -> None:
        """Told about everything that becomes an event in the history."""


class Silent:
    """An observer that does nothing."""

    def phase_began(self, phase: str, steps: int, made: int) -> None:
        """Nothing."""

    def step_made(self, made: int) -> None:
        """Nothing."""

    def epoch_ended(self, number: int, epochs: int, loss: float, accuracy: float | None) -> None:
        """Nothing."""

    def noted(self, event: str, text: str) -> None:
        """Nothing."""
