"""Calling torch-pruning: its dependency graph of a model, what that gets wrong, and searches that do not end."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from slrprune.deploy.shrink.example import described, run, tensors_in
from slrprune.errors import MissingExtraError, UsageError

SEARCH_LIMIT = 120.0
"""Seconds for one search of the dependency graph. Where torch-pruning's comes to an end, it takes a few."""


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
        UsageError: it fails, or does not come to an end.
    """
    with _searching(graph):
        return list(graph.get_all_groups(root_module_types=(nn.modules.conv._ConvNd, nn.Linear, nn.Embedding)))


def group_of(graph: Any, module: nn.Module, channels: Sequence[int]) -> Any:
    """Torch-pruning's group of these outputs of one layer.

    Raises:
        UsageError: it fails, or does not come to an end.
    """
    with _searching(graph):
        return graph.get_pruning_group(module, graph.get_pruner_of_module(module).prune_out_channels, list(channels))


@contextmanager
def _searching(graph: Any) -> Iterator[None]:
    """Turns what goes wrong in a search of the graph into an error of ours, also that it never ends.

    The search goes from node to node by way of their lists of dependencies, and where channels are repeated (attention
    with fewer heads of keys than of queries) it finds ever new sets of indices. So the lists look at the clock.
    """
    way_out = "Shrink the parts of the model that it can follow, or take save_sparse for a small file."
    deadline = time.monotonic() + SEARCH_LIMIT
    lists = [(node, node.dependencies) for node in graph.module2node.values()]
    for node, dependencies in lists:
        node.dependencies = _Timed(dependencies, deadline)
    try:
        yield
    except _OutOfTimeError:
        problem = f"torch-pruning did not find out within {SEARCH_LIMIT:g} s which channels belong together"
        raise UsageError("shrink", problem, way_out) from None
    except Exception as error:  # its index mappings are not made for every model
        problem = f"torch-pruning cannot group the channels ({described(error)})"
        raise UsageError("shrink", problem, way_out) from error
    finally:
        for node, dependencies in lists:
            node.dependencies = dependencies


class _OutOfTimeError(Exception):
    """A search has taken too long."""


class _Timed(list[Any]):
    """A list that cannot be walked after the deadline, by `time.monotonic`."""

    def __init__(self, items: Sequence[Any], deadline: float) -> None:
        super().__init__(items)
        self._deadline = deadline

    def __iter__(self) -> Iterator[Any]:
        if time.monotonic() > self._deadline:
            raise _OutOfTimeError
        return super().__iter__()


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
