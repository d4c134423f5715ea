"""Folding and fusing in a graph of torch.fx."""

import torch
from torch import fx
from torch.nn import functional as F

from slrprune.deploy.accelerate.fold import does_nothing, folded, is_relu
from slrprune.deploy.accelerate.layer import Calls

_RELU_FUNCTIONS = (F.relu, F.relu_, torch.relu, torch.relu_)
_RELU_METHODS = ("relu", "relu_")


def drop_identities_(traced: fx.GraphModule) -> None:
    """Takes out what does nothing at inference, and would stand between a layer and its BatchNorm or ReLU."""
    for node in list(traced.graph.nodes):
        if node.op == "call_module" and does_nothing(traced.get_submodule(str(node.target))):
            _drop(traced, node, node.args[0])


def fold_(traced: fx.GraphModule, layers: Calls) -> int:
    """Folds every BatchNorm that alone reads the output of one of these layers; how many."""
    return sum([_fold(traced, node, layers) for node in list(traced.graph.nodes)])


def take_relus_(traced: fx.GraphModule, layers: Calls) -> list[str]:
    """Takes every ReLU that alone reads the output of one of these layers out of the graph; the layers' names."""
    taken = [_take_relu(traced, node, layers) for node in list(traced.graph.nodes)]
    return [name for name in taken if name]


def is_read(traced: fx.GraphModule, name: str) -> bool:
    """Whether the forward pass reads a tensor of this layer directly."""
    return any(node.op == "get_attr" and str(node.target).startswith(f"{name}.") for node in traced.graph.nodes)


def _layer_before(node: fx.Node, layers: Calls) -> fx.Node | None:
    """The layer whose output is all that this node reads, if nothing else reads it and it is called once."""
    before = node.args[0] if node.args else None
    if not isinstance(before, fx.Node) or before.op != "call_module" or len(before.users) != 1:
        return None
    return before if len(layers.get(str(before.target), ())) == 1 else None


def _fold(traced: fx.GraphModule, node: fx.Node, layers: Calls) -> bool:
    before = _layer_before(node, layers)
    if node.op != "call_module" or before is None or len(node.args) != 1 or node.kwargs:
        return False
    name = str(before.target)
    merged = folded(traced.get_submodule(name), traced.get_submodule(str(node.target)), layers[name][0])
    if merged is None:
        return False
    traced.set_submodule(name, merged)
    _drop(traced, node, before)
    return True


def _take_relu(traced: fx.GraphModule, node: fx.Node, layers: Calls) -> str:
    before = _layer_before(node, layers)
    if before is None or not _is_relu(traced, node):
        return ""
    _drop(traced, node, before)
    return str(before.target)


def _is_relu(traced: fx.GraphModule, node: fx.Node) -> bool:
    if node.op == "call_module":
        return is_relu(traced.get_submodule(str(node.target)))
    return (node.op == "call_function" and node.target in _RELU_FUNCTIONS) or (
        node.op == "call_method" and node.target in _RELU_METHODS
    )


def _drop(traced: fx.GraphModule, node: fx.Node, before: fx.Node) -> None:
    node.replace_all_uses_with(before)
    traced.graph.erase_node(node)
