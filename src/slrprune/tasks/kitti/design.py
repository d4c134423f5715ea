"""The sizes of a PointPillars network: what it looks at, and what it looks for.

A. H. Lang, S. Vora, H. Caesar, L. Zhou, J. Yang, O. Beijbom, "PointPillars: fast encoders for object detection from
point clouds", CVPR 2019, section 4, and the authors' configurations, whose ranges divide evenly by the strides.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from slrprune.errors import ArgumentError


@dataclass(frozen=True, kw_only=True)
class Anchor:
    """The prior box of one class; it stands at every place of the output, along x and along y.

    Attributes:
        kind: the class, one of `labels.KINDS`.
        size: length, width, height in meters.
        center: height of its middle over the scanner, meters.
        matched: overlap from which on an anchor answers for an object.
        unmatched: overlap below which it answers for background; what lies between is left out of the loss.
    """

    kind: str
    size: tuple[float, float, float]
    center: float
    matched: float
    unmatched: float


@dataclass(frozen=True, kw_only=True)
class Design:
    """One network.

    Args:
        name: in records.
        low: smallest x, y, z that is looked at, in meters.
        high: largest x, y, z.
        pillar: side of a pillar in meters; the range must be a whole number of pillars, divisible by all strides.
        pillars: most pillars of one scan, at least 1.
        points: most points of one pillar, at least 1.
        stride: of the first block, which sets the spacing of the anchors, 1 or 2.
        channels: of a pillar's features; the blocks have 1, 2 and 4 times as many.
        layers: convolutions of each block after its first.
        anchors: one for each class.
        momentum: of BatchNorm's running statistics, in (0, 1).

    Raises:
        ArgumentError: a range that does not divide.
    """

    name: str
    low: tuple[float, float, float]
    high: tuple[float, float, float]
    pillar: float = 0.16
    pillars: int = 12_000
    points: int = 100
    stride: int = 2
    channels: int = 64
    layers: tuple[int, int, int] = (3, 5, 5)
    anchors: tuple[Anchor, ...]
    momentum: float = 0.01

    def __post_init__(self) -> None:
        step = 4 * self.stride
        for axis in (0, 1):
            count = (self.high[axis] - self.low[axis]) / self.pillar
            if abs(count - round(count)) > 1e-4 or round(count) < step or round(count) % step:
                rule = f"must span a multiple of {step} pillars of {self.pillar} m along x and y"
                raise ArgumentError("Design", "high", self.high, rule)

    @property
    def grid(self) -> tuple[int, int]:
        """Pillars along y and x: rows and columns of the image that the backbone sees."""
        across, along = (round((self.high[axis] - self.low[axis]) / self.pillar) for axis in (1, 0))
        return across, along

    @property
    def classes(self) -> tuple[str, ...]:
        """What is looked for, in the order of the class numbers."""
        return tuple(anchor.kind for anchor in self.anchors)


_CAR = Anchor(kind="Car", size=(3.9, 1.6, 1.5), center=-1.0, matched=0.6, unmatched=0.45)
_PEDESTRIAN = Anchor(kind="Pedestrian", size=(0.8, 0.6, 1.73), center=-0.6, matched=0.5, unmatched=0.35)
_CYCLIST = Anchor(kind="Cyclist", size=(1.76, 0.6, 1.73), center=-0.6, matched=0.5, unmatched=0.35)

CAR = Design(name="car", low=(0.0, -39.68, -3.0), high=(69.12, 39.68, 1.0), anchors=(_CAR,))
"""The paper's network for cars."""

PEOPLE = Design(
    name="people", low=(0.0, -19.84, -2.5), high=(47.36, 19.84, 0.5), stride=1, anchors=(_PEDESTRIAN, _CYCLIST)
)
"""The paper's network for pedestrians and cyclists."""

REDUCED = Design(
    name="reduced",
    low=(0.0, -9.6, -3.0),
    high=(19.2, 9.6, 1.0),
    pillar=0.4,
    pillars=512,
    points=8,
    channels=16,
    layers=(1, 1, 1),
    anchors=(_CAR,),
    momentum=0.1,
)
"""A small network for cars nearby: for tests, and to see a pipeline run on a CPU."""

DESIGNS: Mapping[str, Design] = MappingProxyType({design.name: design for design in (CAR, PEOPLE, REDUCED)})


def design_named(name: str) -> Design:
    """The design of that name.

    Raises:
        ArgumentError: there is none.
    """
    if name not in DESIGNS:
        raise ArgumentError("Kitti", "design", name, f"must be one of {', '.join(DESIGNS)}")
    return DESIGNS[name]
