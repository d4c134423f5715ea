"""The layers that shrink can cut: how their inputs meet their outputs, and which sizes they keep as attributes."""

from typing import TypeGuard

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.modules.instancenorm import _InstanceNorm

Weighted = _ConvNd | nn.Linear
"""A layer in which every output is a weighted sum of inputs, plus a bias."""

_PLAIN_FORWARDS = (
    nn.Conv1d.forward,
    nn.Conv2d.forward,
    nn.Conv3d.forward,
    nn.ConvTranspose1d.forward,
    nn.ConvTranspose2d.forward,
    nn.ConvTranspose3d.forward,
    nn.Linear.forward,
    nn.Embedding.forward,
)
_PLAIN_CONVOLUTIONS: tuple[object, ...] = (nn.Conv1d._conv_forward, nn.Conv2d._conv_forward, nn.Conv3d._conv_forward)


def is_weighted(module: object) -> TypeGuard[Weighted]:
    """Whether `module` is a convolution or linear layer that computes just what torch's own does with its weight.

    A subclass with another forward pass (standardized weights, say) may read a weight of zeros as something else.
    """
    if not isinstance(module, (_ConvNd, nn.Linear)) or not _is_plain(module):
        return False
    if isinstance(module, _ConvTransposeNd):
        # There the groups lie along the other dimension; only depthwise ones are worth the trouble.
        return module.groups == 1 or is_depthwise(module)
    return isinstance(module, nn.Linear) or type(module)._conv_forward in _PLAIN_CONVOLUTIONS


def is_plain_embedding(module: object) -> TypeGuard[nn.Embedding]:
    """Whether `module` is an embedding that looks rows up and changes nothing (no `max_norm`)."""
    return isinstance(module, nn.Embedding) and module.max_norm is None and _is_plain(module)


def is_depthwise(module: object) -> bool:
    """Whether `module` is a convolution that treats every channel alone: one filter for one input each."""
    return isinstance(module, _ConvNd) and module.groups == module.in_channels == module.out_channels > 1


def is_per_channel(module: object) -> TypeGuard[_BatchNorm | _InstanceNorm | nn.PReLU]:
    """Whether `module` has values per channel and mixes none: BatchNorm, InstanceNorm without statistics, PReLU."""
    if isinstance(module, _InstanceNorm):
        return not module.track_running_stats
    return isinstance(module, (_BatchNorm, nn.PReLU))


def is_stateless_norm(module: object) -> TypeGuard[_BatchNorm | _InstanceNorm]:
    """Whether `module` is a norm per channel that has no tensors at all, so that nothing but a number says its size."""
    return isinstance(module, (_BatchNorm, _InstanceNorm)) and not module.affine and module.running_mean is None


def blocks(module: nn.Module) -> int:
    """Into how many blocks of equal size the channels are divided: the groups of a grouped convolution, else 1."""
    return module.groups if isinstance(module, _ConvNd) and not is_depthwise(module) else 1


def width(module: nn.Module, of_outputs: bool) -> int:
    """How many channels a layer that can be cut writes, or reads; 0 for any other module."""
    if is_weighted(module):
        if isinstance(module, _ConvNd):
            return module.out_channels if of_outputs else module.in_channels
        return module.out_features if of_outputs else module.in_features
    if is_plain_embedding(module):
        return module.embedding_dim if of_outputs else 0
    if is_per_channel(module) and of_outputs:
        return module.num_parameters if isinstance(module, nn.PReLU) else module.num_features
    return 0


def channel_dim(layer: Weighted) -> int:
    """The dimension of the channels in what the layer reads and writes, from the end."""
    return -1 - len(layer.kernel_size) if isinstance(layer, _ConvNd) else -1


def connections(layer: Weighted, weight: Tensor) -> Tensor:
    """The entries of `weight` summed over the kernel.

    Args:
        layer: says how the dimensions are laid out.
        weight: the layer's weight, or its magnitudes.

    Returns:
        Shape (outputs, inputs), dtype of `weight`, with zeros where groups keep inputs and outputs apart.
    """
    summed = weight.flatten(2).sum(2) if weight.ndim > 2 else weight
    if isinstance(layer, _ConvTransposeNd):
        return torch.diag(summed[:, 0]) if is_depthwise(layer) else summed.T
    return torch.block_diag(*summed.chunk(layer.groups)) if isinstance(layer, _ConvNd) and layer.groups > 1 else summed


def live_connections(layer: Weighted) -> Tensor:
    """Which output reads which input by at least one weight that is not zero; bool, shape (outputs, inputs)."""
    return connections(layer, layer.weight.detach().abs()) != 0


def breaks_constants(layer: Weighted) -> bool:
    """Whether a constant input does not give a constant output: zeros padded around it, or a stride spread out."""
    if not isinstance(layer, _ConvNd):
        return False
    if layer.transposed:
        return True
    if isinstance(layer.padding, str):
        padded = layer.padding == "same" and any(size > 1 for size in layer.kernel_size)
    else:
        padded = any(layer.padding)
    return padded and layer.padding_mode == "zeros"


def fit_attributes(module: nn.Module) -> None:
    """Sets the sizes that a layer keeps beside its tensors (`in_channels`, `num_features`, ...) after their shapes."""
    if isinstance(module, _ConvNd):
        first, second = module.weight.shape[:2]
        # Groups stay, but a grouped convolution left with one channel in each group is a depthwise one from then on.
        if is_depthwise(module) or (second == 1 and first < module.groups):
            module.groups = module.in_channels = module.out_channels = first
        elif module.transposed:
            module.in_channels, module.out_channels = first, second * module.groups
        else:
            module.in_channels, module.out_channels = second * module.groups, first
    elif isinstance(module, nn.Linear):
        module.out_features, module.in_features = module.weight.shape
    elif isinstance(module, nn.Embedding):
        module.num_embeddings, module.embedding_dim = module.weight.shape
    elif isinstance(module, nn.PReLU):
        module.num_parameters = module.weight.numel()
    elif isinstance(module, (_BatchNorm, _InstanceNorm)):
        per_channel = module.weight if module.affine else module.running_mean
        if per_channel is not None:
            module.num_features = per_channel.numel()


def _is_plain(module: nn.Module) -> bool:
    return (
        type(module).forward in _PLAIN_FORWARDS
        and "forward" not in vars(module)
        and isinstance(module._parameters.get("weight"), nn.Parameter)
    )
