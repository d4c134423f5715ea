"""Zeros that stay zero: masked retraining, and masks for other copies of a model."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from slrprune.distributed.dtensors import is_dtensor
from slrprune.distributed.shards import reshard, shards_of
from slrprune.errors import ArgumentError, RuleError, ShapeError, UsageError, closest
from slrprune.methods.masked import keep_
from slrprune.rules import Target, canonical_name, find_targets, targets_by_name


@torch.no_grad()
def apply_masks_(model: nn.Module, masks: Mapping[str, Tensor]) -> None:
    """Writes +0.0 into `model` wherever a mask is False; nothing is written unless every mask fits.

    Args:
        model: a model with the parameter names of `masks`; wrapper prefixes do not matter.
        masks: parameter name to bool tensor, True = kept. For a sharded parameter a DTensor laid out like it, or the
            whole mask.

    Raises:
        RuleError: a name that the model does not have.
        ShapeError: a mask of another shape.
        ArgumentError: a mask that is not bool.
        UsageError: a sharded mask for a parameter that is not.
    """
    reshard(model)
    for target, mask in _paired(model, masks):
        keep_(_local(target.parameter), mask)


class MaskKeeper:
    """Keeps the zeros of a pruned model at zero while it is retrained.

    After every `optimizer.step()` the masked entries are written back to zero, through PyTorch's public hook on
    optimizer steps; entries of momentum and other per-weight state are cleared once, so that nothing pushes against
    the mask. Works with every optimizer, whatever momentum it carries.

        keeper = MaskKeeper(model, optimizer)
        ...                                  # the usual loop, with no line added
        keeper.remove()

    Args:
        model: the pruned model.
        optimizer: the optimizer of the retraining.
        masks: parameter name to bool tensor, True = kept; by default the zeros that the weights selected by default
            (`slrprune.rules`) have now, whatever made them zero. Pass `pruner.masks()` where rules named others, such
            as an embedding, or where a layer starts from zeros and shall be trained.

    Raises:
        UsageError: no weight has a zero, so there is nothing to keep; later, by the optimizer's step: a weight was
            replaced.
        RuleError, ShapeError, ArgumentError: see `apply_masks_`.
    """

    def __init__(self, model: nn.Module, optimizer: Optimizer, masks: Mapping[str, Tensor] | None = None) -> None:
        reshard(model)
        masks = _present_masks(model) if masks is None else masks
        self._pairs = [(target, mask.clone()) for target, mask in _paired(model, masks)]
        if not _zeros(self._pairs):
            raise UsageError("MaskKeeper", "the model has no zeros to keep", "Prune it first, or pass masks.")
        self._clear_optimizer_state(optimizer)
        self.apply_()
        self._handle = optimizer.register_step_post_hook(lambda *_: self.apply_())

    @torch.no_grad()
    def apply_(self) -> None:
        """Writes the zeros now."""
        for target, mask in self._pairs:
            if target.is_replaced:
                way_out = "Build the keeper last, after everything that replaces, moves or wraps parameters."
                raise UsageError("MaskKeeper", f"{target.name} was replaced after the keeper was built", way_out)
            keep_(_local(target.parameter), mask)

    def remove(self) -> None:
        """Lets the weights go; the model and the optimizer are as if the keeper had never been."""
        self._handle.remove()

    @torch.no_grad()
    def _clear_optimizer_state(self, optimizer: Optimizer) -> None:
        for target, mask in self._pairs:
            for value in optimizer.state.get(target.parameter, {}).values():
                if isinstance(value, Tensor) and value.shape == target.parameter.shape:
                    keep_(_local(value), mask.to(value.device))


def keeper_of(model: nn.Module, optimizer: Optimizer, masks: Mapping[str, Tensor]) -> MaskKeeper | None:
    """A `MaskKeeper` for these masks; None where all entries are kept, as after a cut to sparsity 0.

    Raises:
        RuleError, ShapeError, ArgumentError: see `apply_masks_`.
    """
    return None if all(bool(mask.all()) for mask in masks.values()) else MaskKeeper(model, optimizer, masks)


def _present_masks(model: nn.Module) -> dict[str, Tensor]:
    targets = [target for target in find_targets(model) if target.is_default and not target.obstacle]
    return {target.name: target.parameter.detach() != 0 for target in targets}


def _paired(model: nn.Module, masks: Mapping[str, Tensor]) -> list[tuple[Target, Tensor]]:
    """Each mask beside what it covers: the rows of this rank, on the same device; raises before anything is written."""
    targets = targets_by_name(model)
    pairs = []
    for given, mask in masks.items():
        name = canonical_name(given)
        if name not in targets:
            raise RuleError(
                given, "the model has no such parameter", f"The closest names are {closest(name, targets)}."
            )
        parameter = targets[name].parameter
        if mask.dtype is not torch.bool:
            raise ArgumentError("masks", name, mask.dtype, "must be a bool tensor, True = kept")
        if mask.shape != parameter.shape:
            raise ShapeError(name, f"the mask has shape {tuple(mask.shape)}", parameter.shape)
        pairs.append((targets[name], _rows_for(name, mask, parameter).to(parameter.device)))
    return pairs


def _rows_for(name: str, mask: Tensor, parameter: Tensor) -> Tensor:
    """Of a mask the part that this rank needs for its part of the parameter."""
    if not is_dtensor(parameter):
        if is_dtensor(mask):
            problem = f"the mask is cut over {mask.device_mesh.size()} ranks and the parameter is not"  # type: ignore[attr-defined]
            raise UsageError(name, problem, "Pass mask.full_tensor(), called on all ranks.")
        return mask
    world = shards_of(parameter)
    return _local(mask) if world.holds(mask) else world.rows(mask)


def _zeros(pairs: Sequence[tuple[Target, Tensor]]) -> int:
    """Entries to keep at zero, those on other ranks included."""
    if not pairs:
        return 0
    zeros = torch.stack([(~mask).sum().cpu() for _, mask in pairs]).sum()
    parameter = pairs[0][0].parameter
    return int(shards_of(parameter).sum(zeros) if is_dtensor(parameter) else zeros)


@torch.no_grad()
def _local(tensor: Tensor) -> Tensor:
    return tensor.to_local() if is_dtensor(tensor) else tensor  # type: ignore[attr-defined]
