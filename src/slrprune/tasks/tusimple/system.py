"""What a way of finding lanes must know: its network, its targets, its loss, and how to read its outputs."""

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

Array = NDArray[np.float64]


class LaneSystem(ABC):
    """One way of finding lanes. It holds sizes only, and can be pickled.

    Args:
        name: in records.
        size: height and width of the network's input, pixels, divisible by 32.
        width: channels of the backbone's first stage.
    """

    def __init__(self, name: str, size: tuple[int, int], width: int) -> None:
        self.name = name
        self.size = size
        self.width = width

    @abstractmethod
    def network(self) -> nn.Module:
        """A new network, its weights drawn from torch's current RNG; its backbone is the child `backbone`."""

    @abstractmethod
    def target(self, lanes: Array, rows: Array, image_size: tuple[int, int]) -> NDArray[np.int64]:
        """What the network should say of an image: an array of one shape for all images.

        Args:
            lanes: x of each lane in each row, negative where it is not there, (n, r).
            rows: (r,), rising.
            image_size: width and height that both refer to.
        """

    @abstractmethod
    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The training loss, a float32 scalar; `targets` holds one of `target` for each image."""

    @abstractmethod
    def lanes(self, output: Array, rows: Array, image_size: tuple[int, int]) -> list[Array]:
        """The lanes that the output for one image means, at the rows asked for, in pixels; negative where absent."""
