"""BatchNorm folded into the layer before it, and which modules are ReLU."""

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from slrprune.deploy.accelerate.layer import Call


def folded(layer: nn.Module, norm: nn.Module, call: Call) -> nn.Module | None:
    """The layer with the BatchNorm behind it folded in, or None where this is not possible.

    Args:
        layer: a linear layer or a convolution.
        norm: any module behind it.
        call: what the layer is called with; behind a linear layer BatchNorm fits two dimensions only.
    """
    if not isinstance(norm, nn.modules.batchnorm._BatchNorm) or norm.running_mean is None or has_hooks(norm):
        return None
    if isinstance(layer, nn.Conv2d):
        return fuse_conv_bn_eval(layer, norm).requires_grad_(False)
    if isinstance(layer, nn.Linear) and len(call.shape) == 2:
        return fuse_linear_bn_eval(layer, norm).requires_grad_(False)
    return None


def is_relu(module: nn.Module) -> bool:
    """Whether a module does nothing but ReLU."""
    return isinstance(module, nn.ReLU) and not has_hooks(module)


def does_nothing(module: nn.Module) -> bool:
    """Whether a module in eval mode returns what it gets."""
    return isinstance(module, (nn.Identity, nn.modules.dropout._DropoutNd)) and not has_hooks(module)


def has_hooks(module: nn.Module) -> bool:
    """Whether calling the module has other effects than its forward."""
    return bool(module._forward_hooks or module._forward_pre_hooks)
