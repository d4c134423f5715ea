"""The one stateful object: it stands between the user's optimizer steps and holds what a method must remember."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from slrprune.binding import bind, present_weights, refuse_second_pruner, register
from slrprune.checks import (
    checked_loss,
    checked_method,
    checked_model,
    checked_optimizers,
    checked_steps,
    loss_and_health,
    owning_groups,
    refuse_non_finite,
)
from slrprune.counting import count
from slrprune.distributed.agreement import refuse_disagreement
from slrprune.distributed.detect import world_of
from slrprune.distributed.world import World
from slrprune.errors import ArgumentError, NonFiniteError, UsageError
from slrprune.masks import apply_masks_
from slrprune.methods.base import Method, Moment
from slrprune.methods.lagrangian import LagrangianMethod
from slrprune.methods.masked import keep_
from slrprune.methods.slr import SLR
from slrprune.records import RecordBuffer, SparsityReport, UpdateRecord
from slrprune.rules import Rules, targets_by_name
from slrprune.state import pack, unpack

_LAST = "Build the pruner last, after everything that replaces, moves, wraps or shards parameters."


class Pruner:
    """Prunes `model` while the user's own loop trains it.

    The loop stays as it is; one line follows the optimizer's step:

        optimizer.step()
        pruner.step(loss)

    Nothing is hooked, patched or renamed. All work happens inside `step`, on the weights' device and without a
    device-to-host copy on accelerators, except every `read_every` updates when the records are read out.

    Args:
        model: any module. Its parameters keep their names and their identity.
        optimizer: the optimizer that owns the weights to prune, or several of them.
        rules: one set for everything prunable, or a mapping from pattern to set or None; see `slrprune.rules`.
        total_steps: optimizer steps that the run is planned to take; schedules are fractions of it.
        method: how the weights are pushed into their sets.
        probe: returns f, a 0-dim tensor, at the model's present weights on fixed data; called without gradients once
            per update by methods whose surrogate condition asks for f. Its cost is the user's. Copies of the pruner
            call the same function.
        read_every: updates between two read-outs of the records; on accelerators NaN is noticed at a read-out. There
            several processes also compare their masks.
        world: the processes that train together (docs/scale.md). None asks the model: DTensor parameters, as
            `fully_shard` makes them, or a `DistributedDataParallel` around or inside it.

    Raises:
        RuleError: see `slrprune.rules.assign`; also a weight that no optimizer owns.
        ShapeError: a weight whose shape its set cannot take.
        ArgumentError: total_steps too short for the method's schedule.
        UsageError: an optimizer whose steps cannot be followed (LBFGS), or a weight that another pruner holds;
            several processes of which the model says nothing; a set that cannot be had for sharded weights.

    Examples:
        >>> model = nn.Linear(8, 4)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> from slrprune.sets import Unstructured
        >>> pruner = Pruner(model, optimizer, Unstructured(0.75), total_steps=4)
        >>> for _ in range(4):
        ...     loss = model(torch.ones(2, 8)).square().mean()
        ...     optimizer.zero_grad()
        ...     loss.backward()
        ...     optimizer.step()
        ...     pruner.step(loss)
        >>> pruner.finalize().nnz
        8
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer | Sequence[Optimizer],
        rules: Rules,
        *,
        total_steps: int,
        method: Method | None = None,
        probe: Callable[[], Tensor] | None = None,
        read_every: int = 100,
        world: World | None = None,
    ) -> None:
        self.method = SLR() if method is None else checked_method(method)
        self.model = checked_model(model)
        self.total_steps = checked_steps(total_steps, self.method)
        if isinstance(read_every, bool) or not isinstance(read_every, int) or read_every < 1:
            raise ArgumentError("Pruner", "read_every", read_every, "must be an integer of at least 1")
        self.read_every = read_every
        self.probe = probe
        optimizers = checked_optimizers(optimizer)
        self.world = world_of(model, world)
        bound = bind(model, rules, self.world)
        self._targets, self.skipped, self.problem = bound.targets, bound.skipped, bound.problem
        self._groups = owning_groups(self._targets, optimizers)
        refuse_second_pruner(self._targets, self)
        refuse_non_finite(self.problem)
        self._state = self.method.start(self.problem)
        self._dtypes = tuple(target.parameter.dtype for target in self._targets)
        self._records = RecordBuffer()
        self._healthy: Tensor | None = None
        self._steps = 0
        self._final_masks: list[Tensor] | None = None
        self._penalty_reached = False
        self._register()

    @property
    def steps(self) -> int:
        """Optimizer steps seen so far; skipped ones do not count."""
        return self._steps

    @property
    def is_finalized(self) -> bool:
        """Whether the hard cut has been made."""
        return self._final_masks is not None

    @torch.no_grad()
    def step(self, loss: Tensor | float, *, skipped: bool | Tensor = False) -> None:
        """Follows one optimizer step.

        Call it once after each `optimizer.step()`: with gradient accumulation not after a micro-step. A step that a
        gradient scaler skipped must not count; tell with `skipped`:

            scale = scaler.get_scale()
            scaler.step(optimizer); scaler.update()
            pruner.step(loss, skipped=scaler.get_scale() < scale)

        Forgotten calls do no harm beyond time: the weights trained on in between enter the next call as one longer
        step. Calls beyond `total_steps` keep the schedule at its end.

        Args:
            loss: the mini-batch's loss before that step, unscaled, without `penalty()`; a 0-dim tensor or a number. In
                distributed training this rank's own: the pruner takes the mean, so that every rank decides alike.
            skipped: True where the optimizer did not move, the same on all ranks; a tensor is read back to the host.

        Raises:
            NonFiniteError: loss or weights are NaN or infinite; the pruner's state stays the last good one. On
                accelerators it comes at the next read-out, and the state is protected until then.
            UsageError: after `finalize`, with replaced or moved parameters, or a coupled method without its penalty.
            RankError: processes that train together no longer agree; noticed at a read-out.
        """
        self._refuse_finalized("step")
        self._meet_weights()
        if bool(skipped):
            self._penalty_reached = False
            return
        moment = self._moment(loss)
        self._steps += 1
        if self._steps % self.method.interval == 0 or self._steps == self.total_steps:
            seen = self.method.update(self.problem, self._state, moment)
            self._records.add({"step": self._steps, "iteration": self._state.iteration, **seen.host}, seen.device)
            if self._records.pending >= self.read_every:
                self._read_out()
                self._compare_ranks()
        else:
            self.method.hold(self.problem, self._state, moment)

    def penalty(self) -> Tensor:
        """What the coupled form of a classic method adds to the loss, with a gradient in the weights; 0-dim.

        Where the weights are cut over ranks it is the part of this rank's rows, which has their gradient.

        Raises:
            UsageError: the method is decoupled, so that adding a penalty would apply it twice.
        """
        self._refuse_finalized("penalty")
        method = self.method
        if not isinstance(method, LagrangianMethod) or not method.is_coupled:
            reason = f"{type(method).__name__} applies its penalty in step()"
            raise UsageError("Pruner.penalty", reason, "Leave penalty() out, or build a classic method coupled=True.")
        problem = replace(self.problem, weights=present_weights(self._targets, self.world))
        value = method.penalty_value(problem, self._state, min(1.0, self._steps / self.total_steps))
        if value.requires_grad:
            value.register_hook(self._note_penalty)  # on the returned value, not on the model: backward got there
        return value

    @torch.no_grad()
    def finalize(self) -> SparsityReport:
        """The hard cut, in place: every pruned weight becomes the nearest point of its full set.

        The masks stay available; multipliers and memory are freed. May be called before `total_steps` have been made,
        and then still cuts to the full target; the report says so.

        Returns:
            Counts per layer and in total, what was left dense and why.

        Raises:
            UsageError: called twice, or before any step with a method that needs training.
            NonFiniteError: a weight is NaN or infinite; nothing has been changed.
        """
        self._refuse_finalized("finalize")
        self._meet_weights()
        if self._steps == 0 and self.method.needs_training:
            way_out = "Call pruner.step(loss) after each optimizer.step(), or take OneShot() to cut without training."
            raise UsageError("Pruner.finalize", "no step was made", way_out)
        self._read_out()
        refuse_non_finite(self.problem)
        masks = self._cut_(self.problem.weights)
        self._final_masks = [mask.clone() for mask in masks]
        self.world.settle(self.model)
        self._state.tensors = {}
        return self.report()

    @torch.no_grad()
    def preview(self) -> nn.Module:
        """A copy of the model as `finalize` would leave it now; model, optimizer and pruner stay as they are.

        Raises:
            UsageError: the weights are cut over ranks: FSDP2 models cannot be copied; use `cut`.
        """
        self._refuse_finalized("preview")
        if not self.problem.is_plain:
            raise UsageError("Pruner.preview", "a sharded model cannot be copied", "Write `with pruner.cut(): ...`.")
        self._meet_weights()
        copy = deepcopy(self.model)
        targets = targets_by_name(copy)
        self._cut_([targets[name].parameter for name in self.problem.names])
        return copy

    @contextmanager
    def cut(self) -> Iterator[nn.Module]:
        """Inside the `with` the model itself is as `finalize` would leave it now; afterwards it is as before.

        For evaluation without a second copy of the model, and of sharded models. Every bit of the weights comes back.

            with pruner.cut():
                accuracy = evaluate(model)
        """
        self._refuse_finalized("cut")
        self._meet_weights()
        with torch.no_grad():
            saved = [weight.detach().clone() for weight in self.problem.weights]
            self._cut_(self.problem.weights)
            self.world.settle(self.model)
        try:
            yield self.model
        finally:
            with torch.no_grad():
                for weight, value in zip(self.problem.weights, saved, strict=True):
                    weight.copy_(value)
                self.world.settle(self.model)

    def report(self) -> SparsityReport:
        """Counts of the weights as they are now; where they are cut over ranks, every rank must call it."""
        return count(self.problem, self.model, self.skipped, self.steps, self.total_steps, self.is_finalized)

    def masks(self) -> dict[str, Tensor]:
        """Masks by parameter name, True = kept: the final ones after `finalize`, before it those of the moment.

        Of sharded weights they are DTensors, laid out like the weights; every rank must call it.
        """
        with torch.no_grad():
            masks = self._final_masks
            found = self.method.masks(self.problem, self._state) if masks is None else masks
            layers = zip(self.problem.names, found, self.problem.shapes, strict=True)
            return {name: self.world.whole(mask.clone(), shape) for name, mask, shape in layers}

    def apply_masks_(self, model: nn.Module) -> None:
        """Writes the pruned zeros into another model with the same parameter names, for example an EMA copy."""
        apply_masks_(model, self.masks())

    def records(self) -> tuple[UpdateRecord, ...]:
        """One record per update so far; reads the pending ones from the device."""
        return self._records.read()

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on: plain values and clones of tensors, keyed by canonical parameter name.

        The weights are the model's to save. Loads with `torch.load(..., weights_only=True)`. Of sharded weights the
        tensors are DTensors, laid out like the weights, for `torch.distributed.checkpoint`.
        """
        header = {"method": repr(self.method), "total_steps": self.total_steps, "steps": self._steps}
        return pack(self.problem, self._state, self._records, self._final_masks, header)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes over a saved state, in whole or not at all; the model's weights must be loaded beside it.

        Raises:
            StateError: another model, method, set, dtype, run length, or a newer version.
            UsageError: another pruner has taken over a weight since this one was finalized.
        """
        header = {"method": repr(self.method), "total_steps": self.total_steps}
        loaded = unpack(state, self.problem, self._state, header)
        if loaded.final_masks is None:
            refuse_second_pruner(self._targets, self)
        self._state, self._final_masks, self._steps = loaded.state, loaded.final_masks, loaded.steps
        self._records, self._healthy, self._penalty_reached = loaded.records, None, False
        self._register()

    def __setstate__(self, state: dict[str, Any]) -> None:
        """After deepcopy or unpickling, the copy holds its own parameters."""
        self.__dict__.update(state)
        self._register()

    def _moment(self, loss: Tensor | float) -> Moment:
        device = self.problem.device
        detached = checked_loss(loss, device)
        if self.method.is_coupled and not self._penalty_reached:
            way_out = "Train on loss + pruner.penalty(), and pass the plain loss to step()."
            raise UsageError("Pruner.step", f"{type(self.method).__name__}(coupled=True) saw no penalty()", way_out)
        self._penalty_reached = False
        detached, usable = loss_and_health(self.problem, detached)
        is_usable: Tensor | None = usable
        if device.type == "cpu":
            if not bool(usable):
                raise self._divergence(self._steps + 1)
            is_usable = None
        else:
            self._healthy = usable if self._healthy is None else self._healthy & usable
        step = self._steps + 1
        lrs = tuple(optimizer.param_groups[index]["lr"] for optimizer, index in self._groups)
        probe = None if self.probe is None else self._probe_value
        return Moment(step, min(1.0, step / self.total_steps), detached, lrs, is_usable, probe)

    def _probe_value(self) -> Tensor:
        assert self.probe is not None
        value = self.probe().detach().to(device=self.problem.device, dtype=torch.float64).reshape(())
        return self.world.total(value) / self.world.size

    def _cut_(self, weights: Sequence[Tensor]) -> list[Tensor]:
        """Writes the points of the hard cut into `weights`; returns the masks."""
        points = self.method.final_points(self.problem, self._state)
        masks = self.method.final_masks(self.problem, self._state)
        for weight, point, mask in zip(weights, points, masks, strict=True):
            weight.copy_(point).add_(0.0)  # a kept -0.0 becomes +0.0
            keep_(weight, mask)
        return masks

    def _read_out(self) -> None:
        self._records.read()
        if self._healthy is not None and not bool(self._healthy):
            raise self._divergence(self._steps)

    def _divergence(self, step: int) -> NonFiniteError:
        way_out = "The pruner's state is that of the last good step; load the last checkpoint, or lower the rate."
        return NonFiniteError(f"Pruner.step, at or before step {step}", "the loss or a pruned weight", way_out)

    def _note_penalty(self, gradient: Tensor) -> None:
        self._penalty_reached = True

    def _register(self) -> None:
        if not self.is_finalized:
            register(self._targets, self)

    def _refuse_finalized(self, call: str) -> None:
        if self.is_finalized:
            way_out = "For masked retraining use MaskKeeper(model, optimizer); to prune further build a new Pruner."
            raise UsageError(f"Pruner.{call}", "the pruner has been finalized", way_out)

    def _meet_weights(self) -> None:
        """Refuses weights that were replaced or moved; takes up again what this rank holds of them."""
        self.world.settle(self.model)
        for target, device, dtype in zip(self._targets, self._devices(), self._dtypes, strict=True):
            if target.is_replaced:
                raise UsageError("Pruner", f"{target.name} was replaced after the pruner was built", _LAST)
            now = target.parameter
            if now.device != device or now.dtype != dtype:
                problem = f"{target.name} went from {dtype} on {device} to {now.dtype} on {now.device}"
                raise UsageError("Pruner", problem, _LAST)
        if not self.problem.is_plain:
            with torch.no_grad():
                self.problem = replace(self.problem, weights=present_weights(self._targets, self.world))

    def _compare_ranks(self) -> None:
        tensors = self._state.tensors
        masks = tensors["mask"] if "mask" in tensors else [z != 0 for z in tensors["auxiliary"]]
        where = f"Pruner.step, at step {self._steps}"
        refuse_disagreement(self.world, where, self.problem.names, masks, self._state.scalars)

    def _devices(self) -> list[torch.device]:
        kinds = next(iter(self._state.tensors.values()), [])
        return [tensor.device for tensor in kinds]
