"""BatchNorm folded into the layer before it, ReLU left to the layer before it, where torch.fx can follow the model."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import fx, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from slrprune.deploy.accelerate.copying import shallow_copy
from slrprune.deploy.accelerate.layer import Call, Layer, find_layers, obstacle
from slrprune.deploy.shrink.example import described

_RELU_FUNCTIONS = (F.relu, F.relu_, torch.relu, torch.relu_)
_RELU_METHODS = ("relu", "relu_")
_FUSED_BY_TORCH = (nn.TransformerEncoderLayer, nn.MultiheadAttention)

Calls = Mapping[str, tuple[Call, ...]]
"""What each linear and convolution layer is called with."""


@dataclass(frozen=True)
class Fused:
    """A model whose layers can be replaced by name.

    Args:
        model: a graph where torch.fx can follow the model, otherwise the model.
        layers: those that can be replaced, without their calls.
        folded: how many BatchNorms went into the layer before them.
        kept_dense: name to reason, for the layers that cannot be replaced.
        untraced: why torch.fx cannot follow; empty where it can.
    """

    model: nn.Module
    layers: tuple[Layer, ...]
    folded: int
    kept_dense: dict[str, str]
    untraced: str = ""


def fuse(model: nn.Module, calls: Calls) -> Fused:
    """Folds and fuses what can be in a graph that shares the tensors of `model`.

    Args:
        model: a frozen copy.
        calls: what its linear and convolution layers are called with.

    Returns:
        The graph; where torch.fx cannot follow the model, the model as it is, for replacement layer by layer.
    """
    try:
        traced = fx.symbolic_trace(shallow_copy(model))
    except Exception as error:  # whatever a stranger's forward pass does with a proxy
        return unfused(model, calls, f"torch.fx cannot follow the forward pass ({described(error)})")
    names, kept_dense = _sort(model, calls)
    found = {name: calls[name] for name in names if not _is_read(traced, name)}
    folded = sum([_fold(traced, node, found) for node in list(traced.graph.nodes)])
    relus = [_take_relu(traced, node, found) for node in list(traced.graph.nodes)]
    traced.graph.lint()
    traced.recompile()
    traced.delete_all_unused_submodules()
    modules = dict(find_layers(traced))
    layers = tuple(Layer(name, modules[name], name in relus) for name in found)
    return Fused(traced, layers, folded, kept_dense)


def unfused(model: nn.Module, calls: Calls, why: str) -> Fused:
    """The model as it is."""
    found, kept_dense = _sort(model, calls)
    modules = dict(find_layers(model))
    return Fused(model, tuple(Layer(name, modules[name]) for name in found), 0, kept_dense, why)


def _sort(model: nn.Module, calls: Calls) -> tuple[list[str], dict[str, str]]:
    """The names of the layers that can be replaced, and why the others cannot."""
    found, kept_dense = [], {}
    names = Counter(id(module) for _, module in model.named_modules(remove_duplicate=False))
    fused = [f"{name}." for name, module in model.named_modules() if isinstance(module, _FUSED_BY_TORCH)]
    for name, module in find_layers(model):
        why = obstacle(module)
        if not why and name.startswith(tuple(fused)):
            why = "it is part of a module whose fast path in torch reads the weight directly"
        if not why and names[id(module)] > 1:
            why = "the model knows it under several names"
        if not why and not calls[name]:
            why = "the forward pass does not call it"
        if not why and not Layer(name, module, calls=calls[name]).is_called_alike:
            why = "it is called with several kinds of tensors"
        if why:
            kept_dense[name] = why
        else:
            found.append(name)
    return found, kept_dense


def _is_read(traced: fx.GraphModule, name: str) -> bool:
    """Whether the forward pass reads a tensor of this layer directly."""
    return any(node.op == "get_attr" and str(node.target).startswith(f"{name}.") for node in traced.graph.nodes)


def _layer_before(node: fx.Node, layers: Calls) -> fx.Node | None:
    """The layer whose output is all that this node reads, if nothing else reads it and it is called once."""
    before = node.args[0] if node.args else None
    if not isinstance(before, fx.Node) or before.op != "call_module" or len(before.users) != 1:
        return None
    return before if len(layers.get(str(before.target), ())) == 1 else None


def _fold(traced: fx.GraphModule, node: fx.Node, layers: Calls) -> bool:
    """Folds a BatchNorm into the layer before it; True if it did."""
    before = _layer_before(node, layers)
    if node.op != "call_module" or before is None or len(node.args) != 1 or node.kwargs:
        return False
    norm = traced.get_submodule(str(node.target))
    layer = traced.get_submodule(str(before.target))
    if not isinstance(norm, nn.modules.batchnorm._BatchNorm) or norm.running_mean is None or _has_hooks(norm):
        return False
    if isinstance(layer, nn.Conv2d):
        merged: nn.Module = fuse_conv_bn_eval(layer, norm)
    elif isinstance(layer, nn.Linear) and len(layers[str(before.target)][0].shape) == 2:
        merged = fuse_linear_bn_eval(layer, norm)
    else:
        return False
    traced.set_submodule(str(before.target), merged.requires_grad_(False))
    _drop(traced, node, before)
    return True


def _take_relu(traced: fx.GraphModule, node: fx.Node, layers: Calls) -> str:
    """Takes a ReLU out of the graph; the name of the layer before it, which must compute it now, or nothing."""
    before = _layer_before(node, layers)
    if before is None or not _is_relu(traced, node):
        return ""
    _drop(traced, node, before)
    return str(before.target)


def _is_relu(traced: fx.GraphModule, node: fx.Node) -> bool:
    if node.op == "call_module":
        module = traced.get_submodule(str(node.target))
        return isinstance(module, nn.ReLU) and not _has_hooks(module)
    return (node.op == "call_function" and node.target in _RELU_FUNCTIONS) or (
        node.op == "call_method" and node.target in _RELU_METHODS
    )


def _has_hooks(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks)


def _drop(traced: fx.GraphModule, node: fx.Node, before: fx.Node) -> None:
    node.replace_all_uses_with(before)
    traced.graph.erase_node(node)
