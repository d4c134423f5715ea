"""int8 after pruning: static quantization by torchao, with every zero still a zero."""

import importlib.util
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from slrprune.deploy.handover.example import as_arguments, reference
from slrprune.deploy.handover.quiet import quiet
from slrprune.deploy.shrink.example import described, relative_difference, run, tensors_in
from slrprune.errors import MissingExtraError, UsageError

_WHERE = "quantize_int8"


@dataclass(frozen=True)
class QuantizedWeight:
    """One weight in int8.

    Attributes:
        name: in the float model.
        numel: number of entries.
        zeros: entries that are zero in the float model; all of them are zero in int8 too.
        int8_zeros: zeros in int8: those, and values below half a step.
    """

    name: str
    numel: int
    zeros: int
    int8_zeros: int


@dataclass(frozen=True)
class Int8Report:
    """What `quantize_int8` did.

    Attributes:
        weights: the weights in int8, in the order in which they are used.
        left: names of weights of two or more dimensions that stayed in their dtype.
        nbytes_before: bytes of parameters and buffers of the float model.
        nbytes_after: the same of the quantized one, as dense tensors; `save_sparse` makes use of the zeros.
        relative_difference: the largest difference of the outputs on the example, relative to the largest output.
    """

    weights: tuple[QuantizedWeight, ...]
    left: tuple[str, ...]
    nbytes_before: int
    nbytes_after: int
    relative_difference: float

    def __str__(self) -> str:
        """A few lines for people."""
        zeros, numel = sum(weight.zeros for weight in self.weights), sum(weight.numel for weight in self.weights)
        headline = (
            f"{len(self.weights)} weights in int8, {self.nbytes_before:,} -> {self.nbytes_after:,} bytes; "
            f"all {zeros:,} zeros of {numel:,} entries kept; outputs differ by {self.relative_difference:.1e} relative"
        )
        return "\n".join([headline, *(f"  {name} stays in its dtype" for name in self.left)])


def quantize_int8(
    model: nn.Module, example_inputs: Any, calibration: Iterable[Any] = ()
) -> tuple[fx.GraphModule, Int8Report]:
    """The model with weights and activations in int8, and BatchNorm folded.

    The steps are torchao's (PT2E, with the quantizer for x86): weights get a scale per output channel and no offset, so
    that zero is exactly representable; activations get a scale and an offset from the ranges that `calibration` shows.
    Every zero of a pruned weight is looked up again in the result.

    Args:
        model: in eval mode, on the CPU; not changed.
        example_inputs: a tensor, a tuple of positional arguments, or a dict of keyword arguments.
        calibration: inputs of the same kind, a few hundred typical ones; the example alone where there are none.

    Returns:
        A graph that computes with int8 weights, for inputs of the example's shapes. As it is, it shows the rounding;
        `torch.compile` with inductor's freezing turns it into int8 kernels. And a report.

    Raises:
        MissingExtraError: torchao is not installed.
        UsageError: a model in training mode or on another device, one that torch cannot export, one in which nothing
            could be quantized, or a zero that was lost.

    Reference:
        Jacob et al., "Quantization and training of neural networks for efficient integer-arithmetic-only inference",
        CVPR 2018, equation 1, with zero point 0 for weights.
    """
    if importlib.util.find_spec("torchao") is None:
        raise MissingExtraError(_WHERE, "torchao", "int8")
    expected = reference(model, example_inputs, _WHERE)
    try:
        with quiet("torch", "torchao"), torch.no_grad():
            graph, names = _captured(model, example_inputs)
            converted = _converted(graph, [example_inputs, *calibration])
    except Exception as error:  # what torch.export and torchao stumble over has many kinds
        way_out = "Quantize the parts of the model that torch.export takes."
        raise UsageError(_WHERE, f"the model cannot be quantized ({described(error).rstrip('.')})", way_out) from error
    weights = _checked(model, converted, names)
    _drop_unused(converted)
    with torch.no_grad():
        outputs = tensors_in(run(converted, example_inputs))
    quantized = {weight.name for weight in weights}
    return converted, Int8Report(
        weights=weights,
        left=tuple(name for name, entry in model.named_parameters() if entry.dim() > 1 and name not in quantized),
        nbytes_before=_nbytes(model),
        nbytes_after=_nbytes(converted),
        relative_difference=relative_difference(expected, outputs),
    )


def _captured(model: nn.Module, example_inputs: Any) -> tuple[fx.GraphModule, dict[str, str]]:
    """The model as a graph, and the weight that each of its nodes reads: torchao keeps the names of these nodes."""
    args, kwargs = as_arguments(example_inputs)
    graph = torch.export.export(model, args, kwargs).module()
    assert isinstance(graph, fx.GraphModule)
    weights = ((node.name, _weight_node(node)) for node in graph.graph.nodes)
    return graph, {name: str(weight.target) for name, weight in weights if weight and weight.op == "get_attr"}


def _converted(graph: fx.GraphModule, examples: Iterable[Any]) -> fx.GraphModule:
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
    from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

    quantizer = x86.X86InductorQuantizer()
    quantizer.set_global(x86.get_default_x86_inductor_quantization_config())
    prepared = prepare_pt2e(graph, quantizer)
    for inputs in examples:
        run(prepared, inputs)
    converted: fx.GraphModule = convert_pt2e(prepared)
    return converted


def _checked(model: nn.Module, converted: fx.GraphModule, names: dict[str, str]) -> tuple[QuantizedWeight, ...]:
    """What became of every quantized weight; raises `UsageError` where a zero is none any more."""
    found = []
    for node in converted.graph.nodes:
        name, weight = names.get(node.name), _int8_weight(converted, node)
        if name is None or weight is None:
            continue
        pruned = model.get_parameter(name).detach() == 0
        lost = int(weight[pruned].count_nonzero())
        if lost:
            raise UsageError(_WHERE, f"{name}: {lost} zeros are no zeros in int8", "Leave this layer in float.")
        found.append(QuantizedWeight(name, weight.numel(), int(pruned.sum()), int((weight == 0).sum())))
    if not found:
        raise UsageError(_WHERE, "torchao found no convolution or linear layer to quantize", "Pass another model.")
    return tuple(found)


def _int8_weight(converted: fx.GraphModule, node: fx.Node) -> Tensor | None:
    """The int8 tensor behind the weight of a convolution or linear layer."""
    dequantize = _weight_node(node)
    if dequantize is None or not str(dequantize.target).startswith("quantized_decomposed.dequantize_per_channel"):
        return None
    stored = dequantize.args[0]
    tensor = getattr(converted, str(stored.target), None) if isinstance(stored, fx.Node) else None
    return tensor if isinstance(tensor, Tensor) and tensor.dtype == torch.int8 else None


def _weight_node(node: fx.Node) -> fx.Node | None:
    """What a node takes as its second argument, which is the weight in torch's convolutions and linear layers."""
    is_layer = node.op == "call_function" and len(node.args) > 1
    return node.args[1] if is_layer and isinstance(node.args[1], fx.Node) else None


def _drop_unused(converted: fx.GraphModule) -> None:
    """Deletes the float weights, which torchao leaves in the module."""
    used = {str(node.target) for node in converted.graph.nodes if node.op == "get_attr"}
    for name, _ in [*converted.named_parameters(), *converted.named_buffers()]:
        if name not in used:
            owner, _, attribute = name.rpartition(".")
            delattr(converted.get_submodule(owner), attribute)


def _nbytes(model: nn.Module) -> int:
    return sum(tensor.nbytes for tensor in (*model.parameters(), *model.buffers()))
