"""The density of a weight's tiles as a small PNG: dark where everything was cut, bright where most is kept."""

import base64
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from slrprune.report.values import whole

LEVELS = 16
# Ends and middle of cividis, which reads the same with and without color vision (J. Nunez and others, PLOS ONE 2018).
_STOPS = np.array(
    [(0, 32, 77), (0, 60, 110), (87, 93, 109), (124, 123, 120), (166, 157, 117), (214, 194, 96), (255, 234, 70)]
)


@dataclass(frozen=True)
class MaskImage:
    """One image.

    Attributes:
        uri: the PNG as a data URI.
        rows, columns: its size in tiles.
        top: the density that the brightest color stands for, in [0, 1].
    """

    uri: str
    rows: int
    columns: int
    top: float


def mask_image(content: Any, side: int = 128) -> MaskImage | None:
    """The image of one layer; None where its numbers are missing or do not fit.

    Args:
        content: `mask_image` of a row of layers.json.
        side: largest height and width; neighbouring tiles are averaged to get there.
    """
    density = _grid(content)
    if density is None:
        return None
    density = _averaged(_averaged(density, side).T, side).T
    top = float(density.max()) or 1.0
    levels = np.ceil(density / top * (LEVELS - 1) - 1e-9).astype(np.uint8)  # upwards: what is kept is never black
    uri = "data:image/png;base64," + base64.b64encode(_png(levels)).decode("ascii")
    return MaskImage(uri, density.shape[0], density.shape[1], top)


def palette() -> "np.ndarray":
    """The 16 colors as an array of shape (16, 3), uint8."""
    at = np.linspace(0, len(_STOPS) - 1, LEVELS)
    channels = [np.interp(at, np.arange(len(_STOPS)), _STOPS[:, channel]) for channel in range(3)]
    colors: np.ndarray = np.stack(channels, axis=1).round().astype(np.uint8)
    return colors


def _grid(content: Any) -> "np.ndarray | None":
    if not isinstance(content, Mapping):
        return None
    rows, columns = whole(content.get("rows")), whole(content.get("columns"))
    try:
        density = np.asarray(content.get("density"), dtype=np.float64)
    except (TypeError, ValueError):
        return None
    if not rows or not columns or density.shape != (rows * columns,) or not np.isfinite(density).all():
        return None
    return density.reshape(rows, columns).clip(0, 1)


def _averaged(density: "np.ndarray", side: int) -> "np.ndarray":
    """Neighbouring rows averaged, so that at most `side` remain."""
    if len(density) <= side:
        return density
    return np.stack([part.mean(axis=0) for part in np.array_split(density, side)])


def _png(levels: "np.ndarray") -> bytes:
    """Four bits per pixel with a palette (PNG specification, third edition, 11.2)."""
    rows, columns = levels.shape
    even = np.pad(levels, ((0, 0), (0, columns % 2)))
    packed = (even[:, 0::2] << 4) | even[:, 1::2]
    lines = np.pad(packed, ((0, 0), (1, 0)))  # every line begins with its filter: none
    header = struct.pack(">IIBBBBB", columns, rows, 4, 3, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"PLTE", palette().tobytes()), (b"IDAT", _packed(lines.tobytes())), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, content) for name, content in chunks)


def _packed(content: bytes) -> bytes:
    """What is random compresses best with the strategy for filtered data."""
    packer = zlib.compressobj(6, zlib.DEFLATED, zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, zlib.Z_FILTERED)
    return packer.compress(content) + packer.flush()


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
