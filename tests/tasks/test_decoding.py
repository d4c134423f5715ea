"""Damaged image files, as every task that reads images meets them."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image, features

from slrprune.errors import DataError
from slrprune.tasks import decoding
from slrprune.tasks.cifar10_folder import read_image_folder
from slrprune.tasks.coco import images as coco_images
from slrprune.tasks.complaints import Complaints
from slrprune.tasks.image_transforms import opened
from slrprune.tasks.tusimple import images as tusimple_images

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (32, 32, 3), np.uint8)


def encoded(kind):
    buffer = BytesIO()
    Image.fromarray(PIXELS).save(buffer, kind)
    return bytearray(buffer.getvalue())


def damaged_avif():
    content = encoded("AVIF")
    start = content.index(b"mdat") + 4
    content[start:] = bytes(len(content) - start)
    return bytes(content)


def damaged_dds():
    content = encoded("DDS")
    content[84:88] = b"NONE"  # the name of its compression
    content[80:84] = (4).to_bytes(4, "little")
    return bytes(content)


def raised_by(content):
    with pytest.raises(Exception) as caught, Image.open(BytesIO(content)) as image:  # noqa: PT011
        image.convert("RGB")
    return caught.type


DAMAGED = [
    pytest.param(
        damaged_avif, RuntimeError, marks=pytest.mark.skipif(not features.check("avif"), reason="Pillow without AVIF")
    ),
    (damaged_dds, NotImplementedError),
]


@pytest.mark.parametrize(("damaged", "error"), DAMAGED)
def test_damaged_contents_under_an_ordinary_name_are_an_image_that_cannot_be_read(tmp_path, damaged, error):
    content = damaged()
    assert issubclass(raised_by(content), error)
    for name in [str(number) for number in range(10)]:
        (tmp_path / name).mkdir()
        Image.fromarray(PIXELS).save(tmp_path / name / "0.png")
    file = tmp_path / "3" / "0.png"
    file.write_bytes(content)
    assert coco_images.open_image(file) is None
    assert tusimple_images.open_image(file) is None
    for source in (file, content):
        complaints = Complaints("ImageNet", strict=False)
        assert opened(source, "0.png", complaints) is None
        assert complaints.found == [("images are truncated or cannot be read", "0.png")]
        with pytest.raises(DataError, match=r"0\.png: images are truncated or cannot be read"):
            opened(source, "0.png", Complaints("ImageNet", strict=True))
    with pytest.raises(DataError, match=r"3.0\.png cannot be read as an image\."):
        read_image_folder(tmp_path)


def test_whole_images_are_decoded(tmp_path):
    assert np.array_equal(decoding.decoded(Image, bytes(encoded("PNG")), np.asarray), PIXELS)
    complaints = Complaints("ImageNet", strict=False)
    assert opened(tmp_path / "gone.png", "gone.png", complaints) is None
    assert complaints.found == [("images are missing", "gone.png")]
