"""What the adapters share: the pruner is built last, resumed, told of real steps only, cut in time, the zeros held."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import torch.distributed as dist
from torch import Tensor, nn
from torch.optim import Optimizer

from slrprune.distributed import Replicas, World
from slrprune.distributed.dtensors import is_dtensor
from slrprune.errors import UsageError
from slrprune.masks import MaskKeeper, keeper_of
from slrprune.methods.base import Method
from slrprune.pruner import Pruner
from slrprune.records import SparsityReport
from slrprune.rules import Rules


class Removable(Protocol):
    """A hook, or whatever else can be taken off again."""

    def remove(self) -> None:
        """Takes it off."""


class HostedPruning:
    """One pruning run inside the training loop of another engine; an adapter tells it when, this class knows what.

    Args:
        rules: one set for everything prunable, or a mapping from pattern to set or None; see `slrprune.rules`.
        method: how the weights are pushed into their sets; `SLR()` by default.
        total_steps: optimizer steps after which the hard cut is made; by default all that the engine plans. With fewer,
            the rest of the training is masked retraining.
        probe, read_every: see `Pruner`.
    """

    def __init__(
        self,
        rules: Rules,
        *,
        method: Method | None = None,
        total_steps: int | None = None,
        probe: Callable[[], Tensor] | None = None,
        read_every: int = 100,
    ) -> None:
        self._rules, self._total_steps = rules, total_steps
        self._options: dict[str, Any] = {"method": method, "probe": probe, "read_every": read_every}
        self._is_over = False
        self._pruner: Pruner | None = None
        self._optimizers: tuple[Optimizer, ...] = ()
        self._saved: Mapping[str, Any] | None = None
        self._handles: list[Removable] = []
        self._keepers: list[MaskKeeper] = []
        self._overflow: bool | Tensor = True

    @property
    def pruner(self) -> Pruner:
        """The pruner at work; raises `UsageError` before training has begun."""
        if self._pruner is None:
            way_out = "The engine's weights and optimizer do not exist before."
            raise UsageError(type(self).__name__, "the pruner is built when training begins", way_out)
        return self._pruner

    @property
    def report(self) -> SparsityReport | None:
        """Counts of the weights as they are now; None before the hard cut."""
        return self._pruner.report() if self._pruner is not None and self._pruner.is_finalized else None

    def state_dict(self) -> dict[str, Any]:
        """The pruner's state (`Pruner.state_dict`); empty before training has begun."""
        return {} if self._pruner is None else self._pruner.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Keeps a saved state for the pruner that is built when training begins; an empty one is ignored."""
        self._saved = state or None

    def _start(self, model: nn.Module, optimizers: Sequence[Optimizer], planned_steps: int) -> None:
        """Call it once the engine has wrapped, moved and loaded everything."""
        if self._is_over:
            way_out = "Build another one for another run; to train on with the zeros fixed take MaskKeeper."
            raise UsageError(type(self).__name__, "its run is over", way_out)
        self._release()
        self._pruner = None  # one of an interrupted run would still hold the weights
        total_steps = planned_steps if self._total_steps is None else self._total_steps
        self._optimizers = tuple(optimizers)
        world = _world(model)
        self._pruner = Pruner(
            model, self._optimizers, self._rules, total_steps=total_steps, world=world, **self._options
        )
        self._handles += [optimizer.register_step_post_hook(self._note_step) for optimizer in self._optimizers]
        self._resume()

    def _resume(self) -> None:
        """Hands a saved state to the pruner, if there is one."""
        if self._saved is not None:
            self.pruner.load_state_dict(self._saved)
            self._saved = None
            self._let_go()  # keepers of a cut that the state knows nothing of, or of other zeros
            if self.pruner.is_finalized:
                self._hold()

    def _note_step(self, optimizer: Optimizer, args: object, kwargs: object) -> None:
        # A step skipped by GradScaler does not come here, unless the optimizer is a fused one: it gets the attribute
        # `found_inf` for the time of its step, and then decides by itself.
        self._overflow = vars(optimizer).get("found_inf", False)

    def _follow(self, loss: Tensor) -> None:
        """Follows the optimizer step just made, if one was made; `loss` is that of its whole batch on this rank."""
        skipped, self._overflow = self._overflow, True
        if not self.pruner.is_finalized:
            self.pruner.step(loss, skipped=skipped)

    def _cut_when_due(self) -> None:
        """The hard cut after the last step; not from within an optimizer's hook, since it adds another one."""
        if not self.pruner.is_finalized and self.pruner.steps >= self.pruner.total_steps:
            self.pruner.finalize()
            self._hold()

    def _finish(self) -> SparsityReport:
        """The hard cut, unless it has been made; nothing of this object stays on model and optimizer."""
        report = self.pruner.report() if self.pruner.is_finalized else self.pruner.finalize()
        self._release()
        self._is_over = True
        return report

    def _hold(self) -> None:
        masks = self.pruner.masks()
        keepers = (keeper_of(self.pruner.model, optimizer, masks) for optimizer in self._optimizers)
        self._keepers = [keeper for keeper in keepers if keeper is not None]

    def _let_go(self) -> None:
        for keeper in self._keepers:
            keeper.remove()
        self._keepers = []

    def _release(self) -> None:
        self._let_go()
        for handle in self._handles:
            handle.remove()
        self._handles = []


def _world(model: nn.Module) -> World | None:
    """Engines hand over the model without its wrapper, so that the pruner cannot see of itself that it is copied."""
    if not dist.is_available() or not dist.is_initialized() or dist.get_world_size() == 1:
        return None
    from torch.distributed.fsdp import FullyShardedDataParallel

    flattened = any(isinstance(module, FullyShardedDataParallel) for module in model.modules())
    if flattened or any(is_dtensor(parameter) for parameter in model.parameters()):
        way_out = "Call Pruner in a loop of your own and save with torch.distributed.checkpoint (docs/scale.md)."
        raise UsageError("slrprune.adapters", "sharded weights do not fit the engine's checkpoint", way_out)
    return Replicas()
