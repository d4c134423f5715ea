"""What a way of detecting objects must know: its network, its loss, and how to read its outputs."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from torch import Tensor, nn


class Objects(NamedTuple):
    """The labelled objects of one image.

    Attributes:
        boxes: left, top, right, bottom in pixels of the network's input, float32 (n, 4), inside the image, each with an
            area; n may be 0.
        labels: place of each object's category in the task's list, int64 (n,), from 0.
    """

    boxes: Tensor
    labels: Tensor


class Detections(NamedTuple):
    """What a network found in one image, best first.

    Attributes:
        boxes: left, top, right, bottom in pixels of the network's input, float32 (n, 4).
        scores: in [0, 1], float32 (n,), falling.
        labels: place of each category in the task's list, int64 (n,).
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor


class DetectionSystem(ABC):
    """One way of detecting objects. It holds sizes only, no weights, and can be pickled.

    Args:
        name: in records, for example "yolov3_tiny".
        size: height and width of the network's input, pixels.
        classes: number of categories, at least 1.
    """

    def __init__(self, name: str, size: tuple[int, int], classes: int) -> None:
        self.name = name
        self.size = size
        self.classes = classes

    @abstractmethod
    def network(self) -> nn.Module:
        """A new network, its weights drawn from torch's current RNG."""

    def fitted(self, sizes: Tensor) -> "DetectionSystem":
        """This system, or one of its kind with anchors for boxes as they are in the training split.

        Args:
            sizes: widths and heights of all training boxes in pixels of the network's input, float32 (n, 2).
        """
        return self

    def load(self, model: nn.Module, state: Mapping[str, Tensor]) -> None:
        """Puts trained weights into one of `network`; a system may take those of another number of categories.

        Args:
            model: one of `network`.
            state: what its `state_dict` gave.

        Raises:
            RuntimeError: names or shapes that are not the network's.
        """
        model.load_state_dict(dict(state))

    @abstractmethod
    def loss(self, model: nn.Module, images: Tensor, objects: Sequence[Objects]) -> Tensor:
        """The training loss of one batch, a float32 scalar with a graph.

        Args:
            model: one of `network`, in training mode.
            images: RGB in [0, 1], float32 (n, 3, height, width).
            objects: what is in each image.
        """

    @abstractmethod
    def detect(self, model: nn.Module, images: Tensor) -> list[Detections]:
        """What the model finds in each image, at most 100 objects; needs no gradients.

        Args:
            model: one of `network`, in evaluation mode.
            images: RGB in [0, 1], float32 (n, 3, height, width).
        """
