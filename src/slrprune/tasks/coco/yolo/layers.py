"""What all YOLOv3 networks are made of."""

from torch import Tensor, nn


class Unit(nn.Sequential):
    """Convolution without bias, BatchNorm, leaky ReLU of slope 0.1.

    Args:
        inputs: channels that come in.
        outputs: channels that go out.
        kernel: side of the kernel, odd.
        stride: of the convolution.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        nn.init.kaiming_normal_(convolution.weight, a=0.1, mode="fan_in", nonlinearity="leaky_relu")
        super().__init__(convolution, nn.BatchNorm2d(outputs), nn.LeakyReLU(0.1))


class Head(nn.Sequential):
    """A 3x3 unit and the convolution whose channels are the predictions.

    Args:
        inputs: channels that come in.
        hidden: channels between the two.
        outputs: channels that go out, for each anchor 4 of the box, 1 of the object, 1 for each category.
    """

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__(Unit(inputs, hidden, 3), nn.Conv2d(hidden, outputs, 1))


class Enlarge(nn.Module):
    """A 1x1 unit to half of the channels, then each pixel twice in both directions."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.unit = Unit(inputs, inputs // 2, 1)
        self.enlarge = nn.Upsample(scale_factor=2, mode="nearest")

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, h, w) gives (n, inputs / 2, 2 h, 2 w)."""
        return self.enlarge(self.unit(x))  # type: ignore[no-any-return]
