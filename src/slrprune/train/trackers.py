"""Scalars for TensorBoard, wandb or MLflow, through Accelerate's trackers."""

import importlib.util
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from slrprune.errors import ArgumentError, MissingExtraError, UsageError, suggestion

if TYPE_CHECKING:
    from accelerate import Accelerator

TRACKERS = ("tensorboard", "wandb", "mlflow", "none")
_PROJECT = {"tensorboard": "tensorboard", "wandb": "slrprune", "mlflow": "slrprune"}
_SCALARS = {
    "loss": "loss/train",
    "accuracy_after_cut": "accuracy/after_cut",
    "dense_accuracy": "accuracy/dense",
    "lr": "lr",
    "sparsity": "sparsity/reached",
    "primal_residual": "residual/primal",
    "dual_residual": "residual/dual",
    "penalty": "multipliers/penalty",
    "stepsize": "multipliers/stepsize",
    "first_condition": "condition/first",
    "second_condition": "condition/second",
    "mask_changes": "mask/changes",
}
"""Fields of `history.jsonl` by the names under which trackers show them."""


class Tracker:
    """Passes the numbers of a line of the history on.

    Args:
        name: one of `TRACKERS`.

    Raises:
        ArgumentError: an unknown name; the message lists what there is.
        MissingExtraError, UsageError: the tracker's package is not installed.
    """

    def __init__(self, name: str) -> None:
        if name not in TRACKERS:
            rule = f"must be one of {', '.join(TRACKERS)}"
            raise ArgumentError("Tracker", "name", name, rule, suggestion(name, TRACKERS))
        self.name = name
        if name != "none" and importlib.util.find_spec(name) is None:
            if name == "tensorboard":
                raise MissingExtraError("The tracker tensorboard", "tensorboard", "train")
            raise UsageError(
                "Tracker", f"the package {name} is not installed", f"pip install {name}, or tracker: none."
            )
        self._accelerator: Accelerator | None = None

    @property
    def accelerate_name(self) -> str | None:
        """What Accelerate is told."""
        return None if self.name == "none" else self.name

    def start(self, accelerator: "Accelerator", config: Mapping[str, Any], step: int) -> None:
        """Opens the tracker.

        Args:
            accelerator: made with `log_with=self.accelerate_name`; TensorBoard writes into `tensorboard` in its folder.
            config: shown beside the curves, where the tracker has a place for it.
            step: where the run begins or goes on; TensorBoard drops what it has beyond.
        """
        if self.name == "none":
            return
        is_board = self.name == "tensorboard"
        accelerator.init_trackers(
            _PROJECT[self.name],
            config=None if is_board else dict(config),
            init_kwargs={"tensorboard": {"purge_step": step + 1}} if is_board and step else {},
        )
        self._accelerator = accelerator

    def log(self, step: int, fields: Mapping[str, Any]) -> None:
        """Logs the numbers among `fields` that have a name; NaN and None are left out."""
        if self._accelerator is None:
            return
        values = {
            _SCALARS[name]: float(value)
            for name, value in fields.items()
            if name in _SCALARS and isinstance(value, int | float) and value == value
        }
        if values:
            self._accelerator.log(values, step=step)
