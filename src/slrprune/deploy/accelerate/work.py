"""The model made ready: a frozen copy, what it gives on the example, and its fused form."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from slrprune.deploy.accelerate.candidates import BY_NAME, DENSE
from slrprune.deploy.accelerate.choose import Choice, apply
from slrprune.deploy.accelerate.copying import frozen_copy
from slrprune.deploy.accelerate.fuse import Fused, fuse
from slrprune.deploy.accelerate.layer import Layer, Layout, find_layers, observe
from slrprune.deploy.accelerate.variants import Variant
from slrprune.deploy.shrink.example import described, relative_difference, run, tensors_in
from slrprune.errors import ArgumentError, UsageError


@dataclass(frozen=True, eq=False)
class Work:
    """What all variants are made from and compared with.

    Args:
        original: the frozen copy.
        inputs: the example.
        outputs: what the copy gives on it.
        fused: its fused form, whose layers know their calls.
        tolerance: greatest relative difference of outputs.
    """

    original: nn.Module
    inputs: object
    outputs: list[Tensor]
    fused: Fused
    tolerance: float

    @property
    def layouts(self) -> tuple[Layout, ...]:
        """The memory formats worth trying."""
        has_images = any(len(call.shape) == 4 for layer in self.fused.layers for call in layer.calls)
        return tuple(Layout) if has_images else (Layout.CONTIGUOUS,)

    def layers(self, layout: Layout, guess: Sequence[Choice] = ()) -> list[Layer]:
        """The layers that can be replaced, in this layout, with what they are called with there.

        Args:
            layout: of the images.
            guess: what the layers will probably be, as they were chosen in another layout; dense where nothing is said.
        """
        chosen = {choice.row.name: choice.row.chosen for choice in guess}
        layers = [replace(layer, layout=layout) for layer in self.fused.layers]
        likely = [apply(layer, BY_NAME[chosen.get(layer.name, DENSE.name)], "") for layer in layers]
        calls = observe(self.variant("", layout, likely).model, [layer.name for layer in layers], self.inputs)
        return [replace(layer, calls=calls[layer.name]) for layer in layers]

    def variant(self, name: str, layout: Layout, choices: Sequence[Choice]) -> Variant:
        """The fused model with these replacements."""
        return Variant(name, self.fused.model, True, layout, tuple(choices))

    def as_it_was(self, choices: Sequence[Choice]) -> Variant:
        """The copy with nothing replaced; the rows are those of `choices`."""
        variant = self.variant("original", Layout.CONTIGUOUS, choices).dense("original")
        return replace(variant, base=self.original, fused=False, is_original=True)


def prepare(model: nn.Module, inputs: object, tolerance: float) -> Work:
    """Copies the model, runs the copy on the example, and fuses it.

    Raises:
        ArgumentError: the model does not take the example, or the example is on another device.
        UsageError: the model is in training mode, cannot be copied, gives no tensor, or something else each time.
    """
    copied = frozen_copy(model)
    # A model that is one layer has no name to replace it by.
    original = nn.Sequential(copied).eval() if isinstance(copied, (nn.Linear, nn.Conv2d)) else copied
    _check_example(original, inputs)
    try:
        # Copies, since a model may return a tensor that it keeps and writes to.
        outputs = [tensor.clone() for tensor in tensors_in(run(original, inputs))]
        calls = observe(original, [name for name, _ in find_layers(original)], inputs)
        again = tensors_in(run(original, inputs))
    except Exception as error:  # a wrong example fails anywhere in the forward pass
        rule = f"must be what the model takes: {described(error)}"
        way_out = "A tuple is positional arguments, a dict keyword arguments."
        raise ArgumentError("accelerate", "example_inputs", type(inputs).__name__, rule, way_out) from error
    if not outputs:
        problem = "the model's output holds no tensor that could be compared"
        raise UsageError("accelerate", problem, "Wrap the model so that it returns tensors.")
    if relative_difference(outputs, again) > 0:
        problem = "two passes over the example give different outputs"
        raise UsageError("accelerate", problem, "Remove what is random, or keeps state, from the forward pass.")
    fused = fuse(original, calls, lambda fused: _problem(fused, inputs, outputs, tolerance))
    return Work(original, inputs, outputs, fused, tolerance)


def _check_example(model: nn.Module, inputs: object) -> None:
    device = next((tensor.device for tensor in (*model.parameters(), *model.buffers())), torch.device("cpu"))
    tensors = tensors_in(inputs)
    if not tensors:
        raise ArgumentError("accelerate", "example_inputs", type(inputs).__name__, "must hold a tensor")
    for tensor in tensors:
        if tensor.device != device:
            rule = f"must be on the model's device, {device}"
            raise ArgumentError("accelerate", "example_inputs", str(tensor.device), rule, f"Move it: .to('{device}').")


def _problem(fused: Fused, inputs: object, outputs: list[Tensor], tolerance: float) -> str:
    """Why the fused model is not the model; empty if it is, but for rounding."""
    choices = tuple(apply(layer, DENSE, "") for layer in fused.layers)  # they compute the ReLUs
    model = Variant("dense", fused.model, True, Layout.CONTIGUOUS, choices).model
    difference = relative_difference(outputs, tensors_in(run(model, inputs)))
    return "" if difference <= tolerance else f"the graph of torch.fx gives other outputs ({difference:.1e} relative)"
