"""Running a model on its example, and comparing what comes out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn

from slrprune.errors import ArgumentError


def run(model: nn.Module, inputs: object) -> object:
    """The model's output; a tuple is positional arguments, a mapping keyword arguments, anything else the only one."""
    if isinstance(inputs, Mapping):
        return model(**inputs)
    return model(*inputs) if isinstance(inputs, tuple) else model(inputs)


def tensors_in(output: object) -> list[Tensor]:
    """All tensors in nested mappings, sequences and dataclasses, in order; whatever else there is, is passed over."""
    if isinstance(output, Tensor):
        return [output]
    if isinstance(output, Mapping):
        return [tensor for value in output.values() for tensor in tensors_in(value)]
    if isinstance(output, Sequence) and not isinstance(output, (str, bytes)):
        return [tensor for value in output for tensor in tensors_in(value)]
    if is_dataclass(output) and not isinstance(output, type):
        return [tensor for field in fields(output) for tensor in tensors_in(getattr(output, field.name))]
    return []


def map_tensors(change: Callable[[Tensor], Tensor], inputs: Any) -> Any:
    """The same nesting of tuples, lists and mappings, with every tensor changed."""
    if isinstance(inputs, Tensor):
        return change(inputs)
    if isinstance(inputs, Mapping):
        return {name: map_tensors(change, value) for name, value in inputs.items()}
    if isinstance(inputs, tuple):
        return tuple(map_tensors(change, value) for value in inputs)
    if isinstance(inputs, list):
        return [map_tensors(change, value) for value in inputs]
    return inputs


def cast(inputs: Any, dtype: torch.dtype) -> Any:
    """The inputs with floating tensors in `dtype`."""
    return map_tensors(lambda tensor: tensor.to(dtype) if tensor.is_floating_point() else tensor, inputs)


def shuffled(inputs: Any) -> Any:
    """Other inputs of the same kind: floating values change places; integers are drawn from 0 to their maximum.

    What is drawn depends on nothing but the shapes and the maxima; the global generators stay as they are.
    """
    generator = torch.Generator().manual_seed(0)

    def shuffle(tensor: Tensor) -> Tensor:
        if not tensor.numel():
            return tensor
        if tensor.is_floating_point() or tensor.is_complex():
            order = torch.randperm(tensor.numel(), generator=generator).to(tensor.device)
            return tensor.flatten()[order].view_as(tensor)
        high = 1 if tensor.dtype == torch.bool else max(0, int(tensor.max()))
        return torch.randint(high + 1, tensor.shape, generator=generator).to(tensor)

    return map_tensors(shuffle, inputs)


def described(error: Exception) -> str:
    """The kind of an error that a forward pass raised, and the first line of its message."""
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or ['no message'])[0]}"


def refused_example(where: str, inputs: object, error: Exception) -> ArgumentError:
    """What to raise where the model does not take the example."""
    rule = f"must be what the model takes, on its device: {described(error)}"
    way_out = "A tuple is positional arguments, a dict keyword arguments."
    return ArgumentError(where, "example_inputs", type(inputs).__name__, rule, way_out)


def relative_difference(reference: Sequence[Tensor], outputs: Sequence[Tensor]) -> float:
    """The largest absolute difference over the largest absolute value, of the tensor where this is worst.

    Infinite where shapes, numbers of tensors, integers, or places of infinities and NaN differ.
    """
    if [tensor.shape for tensor in reference] != [tensor.shape for tensor in outputs]:
        return torch.inf
    return max((_relative_difference(a, b) for a, b in zip(reference, outputs, strict=True)), default=0.0)


def _relative_difference(reference: Tensor, output: Tensor) -> float:
    if not reference.is_floating_point():
        return 0.0 if torch.equal(reference, output) else torch.inf
    # On the CPU, since not every accelerator has float64.
    reference, output = reference.to("cpu", torch.float64), output.to("cpu", torch.float64)
    finite = reference.isfinite()
    if not torch.equal(finite, output.isfinite()) or not torch.equal(
        reference[~finite].nan_to_num(), output[~finite].nan_to_num()
    ):
        return torch.inf
    if not bool(finite.any()):
        return 0.0
    scale = float(reference[finite].abs().max())
    difference = float((reference[finite] - output[finite]).abs().max())
    return difference / scale if scale else difference
