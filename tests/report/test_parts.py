"""The small parts: thinned lines, the image of a mask."""

import base64
import struct
import zlib

import numpy as np
import pytest

from slrprune.report.mask_image import MaskImage, mask_image, palette
from slrprune.report.thin import every, means, thin


def test_thinning_loses_no_extreme():
    rng = np.random.default_rng(0)
    y = rng.normal(size=5000)
    y[[17, 3210]] = 50, -60
    x, kept = thin(range(5000), y.tolist(), 100)
    assert len(kept) <= 400
    for part in np.array_split(np.arange(5000), 100):  # by hand: in every bucket the lowest and the highest are kept
        inside = [value for at, value in zip(x, kept, strict=True) if part[0] <= at <= part[-1]]
        assert (min(inside), max(inside)) == (y[part].min(), y[part].max())
        assert part[0] in x
        assert part[-1] in x
    assert [y[int(at)] for at in x] == kept


def test_few_points_stay_as_they_are():
    assert thin([1, 2, 3], [5.0, None, 7.0], 10) == ([1, 3], [5.0, 7.0])
    assert thin([], [], 10) == ([], [])
    assert thin([1], [None], 10) == ([], [])
    assert means([], [], 3) == ([], [])


def test_means_of_buckets_keep_the_sum():
    y = [float(i % 3 == 0) for i in range(90)]
    x, found = means(range(90), y, 9)
    assert found == [pytest.approx(sum(y[i : i + 10]) / 10) for i in range(0, 90, 10)]
    assert x == list(range(0, 90, 10))


@pytest.mark.parametrize(("count", "wanted"), [(5000, 40), (41, 40), (40, 40), (0, 40), (1, 2)])
def test_chosen_rows_have_the_first_and_the_last(count, wanted):
    found = every(count, wanted)
    assert len(found) == min(count, wanted)
    assert found == sorted(set(found))
    if count:
        assert (found[0], found[-1]) == (0, count - 1)


def decoded(image: MaskImage) -> np.ndarray:
    """The pixels of a PNG as indices of the palette, read by hand from the PNG specification."""
    data, chunks, at = base64.b64decode(image.uri.partition(",")[2]), {}, 8
    while at < len(data):
        (length,), name = struct.unpack(">I", data[at : at + 4]), data[at + 4 : at + 8]
        chunks[name] = data[at + 8 : at + 8 + length]
        assert struct.unpack(">I", data[at + 8 + length : at + 12 + length])[0] == zlib.crc32(name + chunks[name])
        at += 12 + length
    width, height, depth, kind = struct.unpack(">IIBB", chunks[b"IHDR"][:10])
    assert (height, width, depth, kind) == (image.rows, image.columns, 4, 3)
    assert chunks[b"PLTE"] == palette().tobytes()
    lines = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, -1)
    assert not lines[:, 0].any()
    return np.stack([lines[:, 1:] >> 4, lines[:, 1:] & 15], axis=2).reshape(height, -1)[:, :width]


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (16, 128)])
def test_the_image_is_a_png_of_the_densities(shape):
    density = np.random.default_rng(0).integers(0, 5, shape) / 8
    density.flat[0] = 0.5
    image = mask_image({"rows": shape[0], "columns": shape[1], "density": density.ravel().tolist()})
    assert image.top == 0.5
    np.testing.assert_array_equal(decoded(image), np.ceil(density / 0.5 * 15))


def test_a_large_image_is_averaged_to_the_side():
    density = np.zeros((128, 128))
    density[:64] = 1
    image = mask_image({"rows": 128, "columns": 128, "density": density.ravel().tolist()}, side=32)
    assert (image.rows, image.columns, image.top) == (32, 32, 1.0)
    assert decoded(image)[:16].min() == 15
    assert decoded(image)[16:].max() == 0


def test_what_was_kept_is_never_as_dark_as_what_was_cut():
    image = mask_image({"rows": 1, "columns": 3, "density": [0, 1e-4, 1]})
    assert decoded(image).tolist() == [[0, 1, 15]]


@pytest.mark.parametrize(
    "content", [None, {}, {"rows": 2, "columns": 2, "density": [0, 1]}, {"rows": 1, "columns": 1, "density": ["x"]}]
)
def test_numbers_that_do_not_fit_make_no_image(content):
    assert mask_image(content) is None
