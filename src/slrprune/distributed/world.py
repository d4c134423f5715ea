"""What a pruner asks of the other processes: sums, and nothing else that travels.

A world knows two circles of ranks. All `size` ranks train together: losses are averaged over them. Of these, `ranks`
ranks hold together one copy of the weights, each a slice: histograms, norms and counts are summed over them. A single
process is both circles, and every question is answered by the value itself.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from slrprune.distributed.dtensors import is_dtensor


@dataclass
class Traffic:
    """What this rank has handed to collective calls so far.

    Attributes:
        calls: collective calls.
        payload: bytes handed in, the sizes of the tensors.
        sent: bytes that a ring sends from this rank: 2 (n - 1) / n of the payload of a sum over n ranks, n - 1 times
            the payload of a gathering.
    """

    calls: int = 0
    payload: int = 0
    sent: float = 0.0

    def note_sum(self, values: Tensor, ranks: int) -> None:
        """Counts one sum of `values` over `ranks` ranks."""
        size = values.numel() * values.element_size()
        self._note(size, 2 * (ranks - 1) / ranks * size)

    def note_gathering(self, values: Tensor, ranks: int) -> None:
        """Counts one gathering of `values` of every rank."""
        size = values.numel() * values.element_size()
        self._note(size, (ranks - 1) * size)

    def _note(self, payload: int, sent: float) -> None:
        self.calls += 1
        self.payload += payload
        self.sent += sent


class World(ABC):
    """The processes that train one model together. Every method is called by all of them, in the same order."""

    def __init__(self) -> None:
        self.traffic = Traffic()

    def __deepcopy__(self, memo: dict[int, Any]) -> "World":
        """Itself: a copied pruner lives among the same processes."""
        return self

    @property
    @abstractmethod
    def size(self) -> int:
        """All ranks that train together."""

    @property
    @abstractmethod
    def ranks(self) -> int:
        """Ranks that together hold one copy of the weights; 1 where every rank holds them all."""

    @property
    @abstractmethod
    def rank(self) -> int:
        """This rank's place among `ranks`, in the order of their slices."""

    @abstractmethod
    def total(self, values: Tensor) -> Tensor:
        """Sum over all ranks, the same bits on each; a new tensor, or `values` itself in a single process."""

    @abstractmethod
    def sum(self, values: Tensor) -> Tensor:
        """Sum over the ranks that hold a copy of the weights together; otherwise as `total`."""

    @abstractmethod
    def gather(self, values: Tensor) -> Tensor:
        """The values of the ranks that hold a copy together, (ranks, *shape), in the order of their slices."""

    @abstractmethod
    def differ(self, values: Tensor) -> Tensor:
        """Where int64 values that all ranks must share are not the same; bool."""

    @abstractmethod
    def copies_differ(self, values: Tensor) -> Tensor:
        """Where int64 values that all holders of the same slice must share are not the same; bool."""

    def holds(self, tensor: Tensor) -> bool:
        """Whether `tensor` is laid out over the ranks as the weights of this world are."""
        return not is_dtensor(tensor)

    def local(self, tensor: Tensor) -> Tensor:
        """What this rank holds of a parameter, or of a tensor laid out like one; shares its memory."""
        return tensor

    def whole(self, local: Tensor, shape: Sequence[int]) -> Tensor:
        """The opposite of `local`: the tensor of this shape of which this rank holds `local`."""
        return local

    def settle(self, model: nn.Module) -> None:  # noqa: B027  (most worlds have nothing to do)
        """Brings the model into the state in which its parameters are what the optimizer moves."""


class Whole(World):
    """Worlds in which every rank holds all weights: what asks the holders of one copy together is answered alone."""

    @property
    def ranks(self) -> int:
        """1: every rank holds all weights."""
        return 1

    @property
    def rank(self) -> int:
        """0."""
        return 0

    def sum(self, values: Tensor) -> Tensor:
        """The values: this rank has them all."""
        return values

    def gather(self, values: Tensor) -> Tensor:
        """The values as those of one rank."""
        return values.unsqueeze(0)

    def copies_differ(self, values: Tensor) -> Tensor:
        """As `differ`: all ranks hold the same."""
        return self.differ(values)


class Alone(Whole):
    """One process, or one that shall decide for itself whatever the others do."""

    @property
    def size(self) -> int:
        """1."""
        return 1

    def total(self, values: Tensor) -> Tensor:
        """The values."""
        return values

    def differ(self, values: Tensor) -> Tensor:
        """False."""
        return torch.zeros_like(values, dtype=torch.bool)


ALONE = Alone()
"""The world of every problem that is not told of another."""
