"""Crops and flips against a loop over images, in which every step is visible."""

import pytest
import torch

from slrprune.errors import ArgumentError
from slrprune.tasks import CropFlip


def slow_crop_flip(images, draws, padding):
    """Pad one image, crop it, mirror it; then the next."""
    height, width = images.shape[-2:]
    done = []
    for image, (top, left, mirrored) in zip(images, draws.tolist(), strict=True):
        padded = torch.zeros(image.shape[0], height + 2 * padding, width + 2 * padding, dtype=image.dtype)
        padded[:, padding : padding + height, padding : padding + width] = image
        crop = padded[:, top : top + height, left : left + width]
        done.append(crop.flip(-1) if mirrored else crop)
    return torch.stack(done)


@pytest.mark.parametrize("shape", [(40, 3, 32, 32), (7, 1, 8, 8), (5, 2, 6, 9), (1, 3, 4, 4)])
@pytest.mark.parametrize("padding", [0, 1, 4])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_equals_the_slow_reference(shape, padding, dtype):
    images = torch.randint(1, 256, shape).to(dtype)
    before = images.clone()
    augment = CropFlip(padding)
    draws = augment.draw(shape[0], torch.Generator().manual_seed(3))
    result = augment.apply(images, draws)
    assert result.dtype == dtype
    assert torch.equal(result, slow_crop_flip(images, draws, padding))
    assert torch.equal(images, before)


def test_takes_channels_last_images():
    images = torch.randint(0, 256, (6, 3, 8, 8), dtype=torch.uint8)
    draws = CropFlip(2).draw(6, torch.Generator().manual_seed(0))
    expected = CropFlip(2).apply(images, draws)
    assert torch.equal(CropFlip(2).apply(images.contiguous(memory_format=torch.channels_last), draws), expected)


def test_draws_use_every_place_and_both_directions():
    draws = CropFlip(2).draw(2000, torch.Generator().manual_seed(0))
    counts = [draws[:, column].bincount().tolist() for column in range(3)]
    assert [len(count) for count in counts] == [5, 5, 2]
    assert all(300 < count < 500 for count in counts[0] + counts[1])
    assert all(900 < count < 1100 for count in counts[2])


def test_draws_come_from_the_generator_alone():
    first = CropFlip().draw(10, torch.Generator().manual_seed(5))
    torch.manual_seed(99)
    before = torch.get_rng_state()
    assert torch.equal(CropFlip().draw(10, torch.Generator().manual_seed(5)), first)
    assert torch.equal(torch.get_rng_state(), before)


def test_without_flip_nothing_is_mirrored():
    assert not CropFlip(1, flip=False).draw(100, torch.Generator().manual_seed(0))[:, 2].any()


def test_negative_padding_is_refused():
    with pytest.raises(ArgumentError, match=r"CropFlip\(padding=-1\): padding must be at least 0\."):
        CropFlip(-1)
