"""What happens to an image before a network sees it: the transforms of timm, with random numbers of their own."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from slrprune.tasks.complaints import Complaints
from slrprune.tasks.decoding import as_rgb, decoded, pillow
from slrprune.tasks.timm_models import import_timm

Transform = Callable[[Any], Tensor]
"""From an RGB image of Pillow to float32 of shape (3, size, size)."""


def transforms_of(model: str, size: int | None) -> tuple[Transform, Transform, int]:
    """Transforms for training (random crop and flip) and for evaluation (resize and center crop) of a timm model.

    Mean, standard deviation, interpolation and crop are those that the model's published weights go with.

    Args:
        model: name of the model.
        size: side of the input in pixels; None takes the model's own.

    Returns:
        The two transforms, and the side of the input.

    Raises:
        MissingExtraError: timm is not installed.
    """
    timm = import_timm("Image transforms")
    published = timm.get_pretrained_cfg(model)
    config = timm.data.resolve_data_config({}, pretrained_cfg=published.to_dict() if published else {})
    if size is not None:
        config["input_size"] = (3, size, size)
    config.pop("crop_mode", None)
    train = timm.data.create_transform(**config, is_training=True, color_jitter=None)
    evaluation = timm.data.create_transform(**config)
    return train, evaluation, config["input_size"][-1]


def transformed(image: Any, transform: Transform, rng: np.random.Generator | None) -> Tensor:
    """The transformed image; random numbers, where there are any, come from `rng` alone."""
    if rng is None:
        return transform(image)
    with _drawn_from(int(rng.integers(2**32))):
        return transform(image)


def opened(source: Path | bytes, name: str, complaints: Complaints) -> Any | None:
    """An RGB image of Pillow, decoded to its last pixel; None where that cannot be done, and `complaints` hears of it.

    Raises:
        DataError: the task is strict.
        MissingExtraError: Pillow is not installed.
    """
    image = decoded(pillow("Reading images", "vision"), source, as_rgb)
    if image is None:
        is_missing = isinstance(source, Path) and not source.exists()
        complaints.add("images are missing" if is_missing else "images are truncated or cannot be read", name)
    return image


@contextmanager
def _drawn_from(seed: int) -> Iterator[None]:
    """Seeds the global generators that timm and torchvision draw from, and puts them back."""
    before = random.getstate()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        random.seed(seed)
        try:
            yield
        finally:
            random.setstate(before)
