"""What `accelerate` returns: the model with its layers replaced, which explains inputs that it cannot take."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from slrprune.deploy.accelerate.fold import has_hooks
from slrprune.deploy.shrink.example import described, tensors_in
from slrprune.errors import UsageError


class Accelerated(nn.Module):
    """The model at inference, its layers computed by what was chosen.

    Takes what the model takes. Sizes other than the example's run too, untuned. It holds no state that a call would
    change, so threads may share it.

    Args:
        model: the model with its layers replaced; a graph of torch.fx where that could follow the original, otherwise
            a copy of the original with all its attributes.
        inputs: the example.

    Attributes:
        model: as above.
    """

    def __init__(self, model: nn.Module, inputs: object) -> None:
        super().__init__()
        self.model = model
        self.training = False
        # Straight to its forward where there are no hooks to run: the way there takes longer than a small layer.
        self._run: Callable[..., Any] = model.__call__ if has_hooks(model) else model.forward
        self._kinds = [_Kind(tensor) for tensor in tensors_in(inputs)]

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the model returns.

        Raises:
            UsageError: the call fails, and the inputs are not like the example: another number of tensors, another
                rank, dtype, device or size.
        """
        try:
            return self._run(*args, **kwargs)
        except Exception as error:
            problem = self._unlike(tensors_in((args, kwargs)))
            if not problem:
                raise
            way_out = "Call it as the example was, or accelerate the model again with an example like this input."
            raise UsageError("accelerated model", f"{problem} ({described(error)})", way_out) from error

    def train(self, mode: bool = True) -> "Accelerated":
        """Does nothing for `mode=False`.

        Raises:
            UsageError: training mode is asked for.
        """
        if mode:
            way_out = "Train the original model, and accelerate it again."
            raise UsageError("accelerated model", "it is for inference and cannot be trained", way_out)
        return self

    def _unlike(self, tensors: Sequence[Tensor]) -> str:
        """How these inputs differ from the example; empty if they do not."""
        if len(tensors) != len(self._kinds):
            return f"it was tuned for {len(self._kinds)} tensor(s) and got {len(tensors)}"
        for position, (tensor, kind) in enumerate(zip(tensors, self._kinds, strict=True)):
            if problem := kind.unlike(tensor):
                return f"its input {position} {problem}"
        return ""


class _Kind:
    """What one tensor of the example is like."""

    def __init__(self, tensor: Tensor) -> None:
        self.dtype, self.shape, self.device = tensor.dtype, tuple(tensor.shape), tensor.device

    def unlike(self, tensor: Tensor) -> str:
        if tensor.dtype is not self.dtype:
            return f"must be {self.dtype} as in the example, got {tensor.dtype}"
        if tensor.device != self.device:
            return f"must be on {self.device} as in the example, got {tensor.device}"
        if tensor.dim() != len(self.shape):
            return f"must have {len(self.shape)} dimensions as in the example, got shape {tuple(tensor.shape)}"
        if tuple(tensor.shape) != self.shape:
            return f"has a size that the model cannot take, got {tuple(tensor.shape)}, the example has {self.shape}"
        return ""
