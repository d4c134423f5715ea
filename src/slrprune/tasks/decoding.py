"""Decoding image files, whatever is wrong with them."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar

from slrprune.errors import MissingExtraError

T = TypeVar("T")


def pillow(feature: str, extra: str) -> Any:
    """Pillow's module `Image`.

    Args:
        feature: what needs it, for the message.
        extra: ours that installs it.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingExtraError(feature, "Pillow", extra) from error
    return Image


def decoded(image_module: Any, source: Path | bytes, read: Callable[[Any], T]) -> T | None:
    """What `read` makes of the image in a file; None where the file cannot be opened or decoded to its end.

    Args:
        image_module: of `pillow`.
        source: the file, or its content.
        read: from Pillow's opened image; it must decode all of it, as `convert` does.
    """
    try:
        with image_module.open(BytesIO(source) if isinstance(source, bytes) else source) as image:
            return read(image)
    # Decoders raise nearly anything for damaged files: RuntimeError (AVIF), NotImplementedError (DDS), struct.error ...
    except Exception:
        return None


def as_rgb(image: Any) -> Any:
    """The whole image in RGB."""
    return image.convert("RGB")
