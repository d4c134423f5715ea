"""Pruning as a callback of transformers.Trainer."""

import json
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from slrprune.adapters.hosted import HostedPruning
from slrprune.adapters.output_loss import OutputLoss
from slrprune.adapters.state_file import read_state, write_state
from slrprune.errors import StateError, UsageError


class TransformersPruning(HostedPruning, TrainerCallback):
    """Prunes while the Trainer trains: `Trainer(..., callbacks=[TransformersPruning(Global(0.9))])`.

    The Trainer tells callbacks no loss, so a forward hook reads it from the model's output while training lasts; where
    it is computed outside the model, hand it to `observe`. The pruner's state lies in the Trainer's checkpoints. The
    arguments are those of `slrprune.adapters.hosted.HostedPruning`.
    """

    def observe(self, loss: Tensor) -> None:
        """Takes what `Trainer.training_step` returned, instead of the loss in the model's output."""
        self._loss.tell(loss)

    def load(self, folder: str | Path) -> None:
        """Takes the state from a checkpoint outside `output_dir`; call it before `trainer.train`."""
        self.load_state_dict(read_state(Path(folder)))

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **now: Any) -> None:
        """By now everything has been wrapped, moved and loaded."""
        if args.load_best_model_at_end:
            problem = "load_best_model_at_end would bring back weights from before the full sparsity"
            raise UsageError(type(self).__name__, problem, "Keep the last model, or prune the best one afterwards.")
        if state.global_step and self._saved is None:
            self.load(_checkpoint(args, state))
        if self._saved is not None:
            if self._saved.get("log_history") != _log_history(state):
                way_out = "Call load(folder) with the folder of that checkpoint first."
                raise StateError(type(self).__name__, "its state is not of the checkpoint that is resumed", way_out)
            self.load_state_dict(self._saved["pruner"])
        self._start(now["model"], [now["optimizer"].optimizer], state.max_steps)
        self._loss = OutputLoss(now["model"], args.world_size if args.average_tokens_across_devices else 1)
        self._handles.append(self._loss)

    def on_optimizer_step(self, *args: Any, **now: Any) -> None:
        """Comes between the optimizer's step and the scheduler's."""
        self._follow(self._loss.take())
        self._cut_when_due()

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **now: Any) -> None:
        """Adds the pruner's state to the checkpoint that the Trainer has just written."""
        saved = {"pruner": self.state_dict(), "log_history": _log_history(state)}
        if args.should_save:
            write_state(_checkpoint(args, state), saved)

    def on_train_end(self, *args: Any, **now: Any) -> None:
        """The hard cut, where training ends before it was due."""
        self._finish()


def _checkpoint(args: TrainingArguments, state: TrainerState) -> Path:
    return Path(args.output_dir or ".", f"checkpoint-{state.global_step}")


def _log_history(state: TrainerState) -> str:
    return json.dumps(state.log_history, sort_keys=True)  # as the Trainer saves it
