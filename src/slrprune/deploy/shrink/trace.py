"""Calling torch-pruning: its dependency graph of a model, and one thing that this graph gets wrong."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from slrprune.deploy.shrink.example import described, run, tensors_in
from slrprune.errors import MissingExtraError, UsageError


def trace(model: nn.Module, inputs: object) -> Any:
    """The `torch_pruning.DependencyGraph` of `model`, in eval mode, on an example.

    Raises:
        MissingExtraError: torch-pruning is not installed.
        UsageError: it cannot follow the forward pass.
    """
    try:
        import torch_pruning
    except ImportError as error:
        raise MissingExtraError("shrink", "torch-pruning", "shrink") from error
    graph = torch_pruning.DependencyGraph()
    # Torch-pruning follows gradients back from the outputs that have any.
    try:
        with torch.inference_mode(False), torch.enable_grad():
            graph.build_dependency(
                model,
                inputs,
                forward_fn=run,
                output_transform=lambda output: [tensor for tensor in tensors_in(output) if tensor.requires_grad],
                verbose=False,
            )
    except Exception as error:  # whatever goes wrong in tracing a stranger's forward pass
        problem = f"torch-pruning cannot follow the forward pass ({described(error)})"
        raise UsageError("shrink", problem, "Shrink the parts of the model that it can follow.") from error
    if not graph.module2node:
        problem = "no tensor in the model's output depends on its parameters by way of autograd"
        raise UsageError("shrink", problem, "Remove torch.no_grad or detach from the forward pass.")
    return graph


def all_groups(graph: Any) -> list[Any]:
    """Torch-pruning's groups of all layers that have weights to cut.

    Raises:
        UsageError: it fails.
    """
    try:
        return list(graph.get_all_groups(root_module_types=(nn.modules.conv._ConvNd, nn.Linear, nn.Embedding)))
    except Exception as error:  # its index mappings are not made for every model
        problem = f"torch-pruning cannot group the channels ({described(error)})"
        raise UsageError("shrink", problem, "Shrink the parts of the model that it can follow.") from error


def operation(node: Any) -> str:
    """The name of the autograd function that made a node's output."""
    return str(node.grad_fn.name()) if isinstance(node.grad_fn, torch.autograd.graph.Node) else ""


def map_pads(graph: Any) -> dict[int, tuple[int, int]]:
    """Teaches `graph` that padded channels are numbered anew, which torch-pruning does not know.

    Returns:
        For the id of each node that pads channels: where the old channels begin and end among the new.
    """
    pads = {}
    for node in graph.module2node.values():
        if pad := _channel_pad(node):
            pads[id(node)] = pad
            _map_pad(node, *pad)
    return pads


def _channel_pad(node: Any) -> tuple[int, int] | None:
    """Where the padded channels begin and end, for a node that pads channels (a shortcut of option A)."""
    if "ConstantPadNd" not in operation(node) or node.type.name != "ELEMENTWISE":
        return None
    shape, pad = node.grad_fn._input_metadata[0].shape, node.grad_fn._saved_pad
    position = 2 * (len(shape) - 2)  # the pads of dimension 1, counted from the last dimension
    before, after = pad[position : position + 2] if len(pad) > position >= 0 else (0, 0)
    return (before, shape[1] - after) if (before, after) != (0, 0) and min(before, after) >= 0 else None


def _map_pad(node: Any, before: int, end: int) -> None:
    """Channel i before the pad is channel i + `before` after it; torch-pruning takes them for the same number."""

    def enter(channels: Sequence[Any]) -> list[Any]:
        return [channel._replace(idx=channel.idx + before) for channel in channels]

    def leave(channels: Sequence[Any]) -> list[Any]:
        return [channel._replace(idx=channel.idx - before) for channel in channels if before <= channel.idx < end]

    for source in node.inputs:
        for owner, target, mapping in ((source, node, enter), (node, source, leave)):
            for dependency in owner.dependencies:
                if dependency.target is target:
                    dependency.index_mapping[0] = mapping
