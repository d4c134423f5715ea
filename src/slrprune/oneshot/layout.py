"""How the weight of a layer becomes the matrix of its least-squares problem, and its inputs the rows of X."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from slrprune.errors import UsageError

_PIECE = 1 << 24  # numbers: 64 MB of float32 patches
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


class Layout(ABC):
    """A layer seen as Y = X V^T, independently in each of its groups."""

    groups: int

    @abstractmethod
    def matrix(self, stored: Tensor) -> Tensor:
        """A tensor of the weight's shape as (groups, outputs, inputs); a view where that is possible."""

    @abstractmethod
    def stored(self, matrix: Tensor, shape: Sequence[int]) -> Tensor:
        """The inverse of `matrix`, contiguous, in the weight's own `shape`."""

    @abstractmethod
    def rows(self, inputs: Tensor) -> Tensor:
        """What the layer receives in one call, as (groups, samples, inputs): one row per output position."""


@dataclass(frozen=True)
class LinearLayout(Layout):
    """`nn.Linear`: the weight is the matrix itself."""

    groups: int = 1

    def matrix(self, stored: Tensor) -> Tensor:
        """The weight with a leading dimension."""
        return stored.unsqueeze(0)

    def stored(self, matrix: Tensor, shape: Sequence[int]) -> Tensor:
        """The matrix without its leading dimension."""
        return matrix.reshape(tuple(shape)).contiguous()

    def rows(self, inputs: Tensor) -> Tensor:
        """All leading dimensions are samples."""
        return inputs.reshape(1, -1, inputs.shape[-1])


@dataclass(frozen=True)
class TransposedLayout(Layout):
    """transformers' `Conv1D`: a linear layer whose weight is stored as (inputs, outputs)."""

    groups: int = 1

    def matrix(self, stored: Tensor) -> Tensor:
        """The weight, transposed."""
        return stored.t().unsqueeze(0)

    def stored(self, matrix: Tensor, shape: Sequence[int]) -> Tensor:
        """The matrix, transposed back."""
        return matrix[0].t().reshape(tuple(shape)).contiguous()

    def rows(self, inputs: Tensor) -> Tensor:
        """All leading dimensions are samples."""
        return inputs.reshape(1, -1, inputs.shape[-1])


@dataclass(frozen=True)
class ConvolutionLayout(Layout):
    """A convolution as im2col sees it: every output position is a sample, every kernel cell an input.

    Args:
        groups: of the convolution; each has a problem of its own.
        kernel: sizes of the kernel, one per spatial dimension.
        stride: likewise.
        dilation: likewise.
        padding: as `torch.nn.functional.pad` takes it, last dimension first.
        padding_mode: of the module, "constant" in place of "zeros".
    """

    groups: int
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: tuple[int, ...]
    padding_mode: str

    def matrix(self, stored: Tensor) -> Tensor:
        """Filters of a group are rows; (input channel, kernel cell) in row-major order are columns."""
        return stored.reshape(self.groups, stored.shape[0] // self.groups, prod(stored.shape[1:]))

    def stored(self, matrix: Tensor, shape: Sequence[int]) -> Tensor:
        """The matrix in the filters' shape."""
        return matrix.reshape(tuple(shape)).contiguous()

    def rows(self, inputs: Tensor) -> Tensor:
        """The patches, of shape (groups, batch * positions, channels / groups * cells)."""
        spatial = len(self.kernel)
        batch = inputs.unsqueeze(0) if inputs.ndim == spatial + 1 else inputs
        patches = F.pad(batch, self.padding, self.padding_mode)
        for dim, (size, stride, dilation) in enumerate(zip(self.kernel, self.stride, self.dilation, strict=True), 2):
            patches = patches.unfold(dim, dilation * (size - 1) + 1, stride)[..., ::dilation]
        # (batch, channels, *positions, *cells), the channels split by group
        count, channels = patches.shape[:2]
        patches = patches.reshape(count, self.groups, channels // self.groups, *patches.shape[2:])
        positions = tuple(range(3, 3 + spatial))
        cells = tuple(range(3 + spatial, 3 + 2 * spatial))
        rows = patches.permute(1, 0, *positions, 2, *cells)
        return rows.reshape(self.groups, -1, channels // self.groups * prod(self.kernel))


def layout_of(name: str, module: nn.Module) -> Layout:
    """The layout of the weight of `module`.

    Raises:
        UsageError: a module that is none of nn.Linear, transformers' Conv1D and the convolutions.
    """
    if isinstance(module, nn.Linear):
        return LinearLayout()
    if isinstance(module, _CONVOLUTIONS):
        mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
        padding = tuple(module._reversed_padding_repeated_twice)
        sizes = (module.kernel_size, module.stride, module.dilation)
        kernel, stride, dilation = (tuple(int(entry) for entry in size) for size in sizes)
        return ConvolutionLayout(module.groups, kernel, stride, dilation, padding, mode)
    if type(module).__name__ == "Conv1D" and type(module).__module__.startswith("transformers."):
        return TransposedLayout()
    problem = f"one-shot pruning knows linear layers and convolutions, not {type(module).__name__}"
    raise UsageError(name, problem, f"Leave it out with the rule {name!r}: None, placed first.")


def rows_in_pieces(layout: Layout, inputs: Tensor) -> Iterator[Tensor]:
    """`layout.rows`, for a convolution of a few images at a time: patches take many times the memory of an image."""
    if not isinstance(layout, ConvolutionLayout) or inputs.ndim != len(layout.kernel) + 2:
        yield layout.rows(inputs)
        return
    per_image = max(1, inputs[0].numel() * prod(layout.kernel) // prod(layout.stride)) if len(inputs) else 1
    for piece in inputs.split(max(1, _PIECE // per_image)):
        yield layout.rows(piece)


def float_like(tensor: Tensor) -> torch.dtype:
    """The dtype in which a weight's problem is solved: float64 for float64, float32 for all others."""
    return torch.float64 if tensor.dtype == torch.float64 else torch.float32
