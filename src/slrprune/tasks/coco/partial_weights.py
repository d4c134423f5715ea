"""Weights of a network whose head knows other categories."""

from collections.abc import Mapping

from torch import Tensor, nn


def load_fitting(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Takes the weights whose shapes are the model's; the others stay as they are in the model.

    BatchNorm's counters of batches may be missing or left over: torchvision trains some of its detectors with a frozen
    BatchNorm, which counts nothing, and the number matters only without a momentum.

    Args:
        model: changed in place.
        state: with all other names of the model and no others.

    Raises:
        RuntimeError: other names, or not even half of the numbers fit, so that it is another network.
    """
    own = model.state_dict()
    fitting = {name: tensor for name, tensor in state.items() if name in own and tensor.shape == own[name].shape}
    taken, wanted = (sum(tensor.numel() for tensor in tensors.values()) for tensors in (fitting, own))
    if _without_counters(state) != _without_counters(own) or 2 * taken < wanted:
        raise RuntimeError(f"{taken:,} of {wanted:,} numbers fit")
    model.load_state_dict(fitting, strict=False)


def _without_counters(state: Mapping[str, Tensor]) -> set[str]:
    return {name for name in state if name.rpartition(".")[2] != "num_batches_tracked"}
