"""Pruning as a callback of Lightning's Trainer."""

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.plugins import MixedPrecision
from torch import Tensor
from torch.optim import Optimizer

from slrprune.adapters.hosted import HostedPruning
from slrprune.errors import UsageError


class LightningPruning(HostedPruning, Callback):
    """Prunes while Lightning trains: `Trainer(..., callbacks=[LightningPruning(Global(0.9))])`.

    Works in automatic and in manual optimization (with `self.manual_backward`), for modules with one optimizer. The
    pruner's state lies in Lightning's checkpoints. The arguments are those of `slrprune.adapters.hosted.HostedPruning`.
    """

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """By now the strategy has wrapped and moved everything, and the checkpoint has been loaded."""
        if len(trainer.optimizers) != 1:
            problem = f"the module has {len(trainer.optimizers)} optimizers, and their steps are not one schedule"
            raise UsageError(type(self).__name__, problem, "Call Pruner.step in training_step, after the one meant.")
        precision = trainer.precision_plugin
        self._scaler = precision.scaler if isinstance(precision, MixedPrecision) else None
        self._losses: list[Tensor] = []
        self._start(pl_module, trainer.optimizers, trainer.estimated_stepping_batches)  # type: ignore[arg-type]
        self._handles.append(trainer.optimizers[0].register_step_post_hook(self._after_step))

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        """Lightning has divided the loss by the number of accumulated batches, and scaled it in float16."""
        loss = loss.detach()
        self._losses.append(loss if self._scaler is None else loss / self._scaler.scale(torch.ones_like(loss)))

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Also comes before a step that the scaler skips."""
        if not self._losses:
            raise UsageError(type(self).__name__, "a step without a loss", "Call self.manual_backward(loss) before it.")
        self._loss, self._losses = torch.stack(self._losses).sum(), []

    def _after_step(self, *args: object) -> None:
        self._follow(self._loss)  # a hook of the optimizer: Lightning's next one comes after the scheduler's step

    def on_train_batch_end(self, *args: Any, **kwargs: Any) -> None:
        """Before any checkpoint: Lightning calls ModelCheckpoint last."""
        self._cut_when_due()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The hard cut, where training ends before it was due."""
        self._finish()
