"""Pruning in a loop that uses Accelerate."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.optimizer import AcceleratedOptimizer
from torch import Tensor, nn

from slrprune.adapters.hosted import HostedPruning
from slrprune.adapters.state_file import read_state, write_state
from slrprune.errors import UsageError
from slrprune.methods.base import Method
from slrprune.records import SparsityReport
from slrprune.rules import Rules


class AcceleratePruning(HostedPruning):
    """Prunes in a loop of your own that uses Accelerate. Build it last, with what `accelerator.prepare` returned.

        with accelerator.accumulate(model):
            loss = criterion(model(x), y)
            accelerator.backward(loss)
            optimizer.step()
            pruning.step(loss)
            scheduler.step()
            optimizer.zero_grad()

    Call `step` after every micro-batch: it knows which were followed by a real step of the optimizer. The state is
    saved and loaded by `accelerator.save_state` and `load_state`.

    Args:
        accelerator, model, optimizer: as prepared; several optimizers as a sequence.
        rules, total_steps, method, probe, read_every: see `HostedPruning`; `total_steps` counts optimizer steps.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        model: nn.Module,
        optimizer: AcceleratedOptimizer | Sequence[AcceleratedOptimizer],
        rules: Rules,
        *,
        total_steps: int,
        method: Method | None = None,
        probe: Callable[[], Tensor] | None = None,
        read_every: int = 100,
    ) -> None:
        super().__init__(rules, method=method, probe=probe, read_every=read_every)
        optimizers = list(optimizer) if isinstance(optimizer, Sequence) else [optimizer]
        if not all(isinstance(entry, AcceleratedOptimizer) for entry in optimizers):
            raise UsageError("AcceleratePruning", "an optimizer is not prepared", "Pass what prepare() returned.")
        self._accelerator = accelerator
        self._losses: list[Tensor] = []
        self._start(model, [entry.optimizer for entry in optimizers], total_steps)
        self._handles.append(accelerator.register_save_state_pre_hook(self._save))
        self._handles.append(accelerator.register_load_state_pre_hook(self._load))

    def step(self, loss: Tensor) -> None:
        """Follows `optimizer.step()`; `loss` is that of the micro-batch, a 0-dim tensor, as given to `backward`."""
        self._losses.append(loss.detach())
        if self._accelerator.sync_gradients:
            self._follow(torch.stack(self._losses).mean())
            self._losses = []
            self._cut_when_due()

    def finalize(self) -> SparsityReport:
        """The hard cut, unless it has been made after `total_steps`; call it when training is over."""
        return self._finish()

    def _save(self, models: object, weights: object, folder: str) -> None:
        state = self.state_dict()
        if self._accelerator.is_main_process:
            write_state(Path(folder), state)

    def _load(self, models: object, folder: str) -> None:
        self.load_state_dict(read_state(Path(folder)))
        self._resume()
