"""Exact overlaps of rotated boxes, against values known from geometry, a clipping of polygons, and counted points."""

import math

import numpy as np
import pytest

from slrprune.tasks.kitti.overlap import image_overlaps, intersection_areas, overlaps_from_above, overlaps_in_space
from slrprune.tasks.kitti.suppress import suppress


def box(x=0.0, y=0.0, z=0.0, length=4.0, width=2.0, height=1.5, heading=0.0):
    return [x, y, z, length, width, height, heading]


def clipped_area(first, second):
    """Sutherland and Hodgman: the corners of one rectangle cut by the four sides of the other."""

    def corners(rectangle):
        x, y, length, width, heading = rectangle
        u, v = np.array([1, 0]), np.array([0, 1])
        turn = np.array([[math.cos(heading), -math.sin(heading)], [math.sin(heading), math.cos(heading)]])
        signs = ((1, 1), (-1, 1), (-1, -1), (1, -1))
        return [np.array([x, y]) + turn @ (a * length / 2 * u + b * width / 2 * v) for a, b in signs]

    polygon, sides = corners(first), corners(second)
    for start, end in zip(sides, sides[1:] + sides[:1], strict=True):
        edge = end - start

        def height(point, start=start, edge=edge):
            return edge[0] * (point - start)[1] - edge[1] * (point - start)[0]

        cut = []
        for p, q in zip(polygon, polygon[1:] + polygon[:1], strict=True):
            if height(p) >= 0:
                cut.append(p)
            if height(p) * height(q) < 0:
                cut.append(p + (q - p) * height(p) / (height(p) - height(q)))
        polygon = cut
    pairs = zip(polygon, polygon[1:] + polygon[:1], strict=True)
    return abs(sum(p[0] * q[1] - p[1] * q[0] for p, q in pairs)) / 2


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (box(), 1.0),
        (box(heading=math.pi), 1.0),
        (box(x=2), 4 / 12),
        (box(heading=math.pi / 2), 4 / 12),
        (box(length=2, width=1, heading=0.3), 2 / 8),  # altogether inside
        (box(x=4), 0.0),  # they touch along a side
        (box(x=50, y=50), 0.0),
        # A square of side 2 at the middle, turned by 45 degrees: a strip of height 2 cuts off two corners, each a
        # triangle of height sqrt(2) - 1 and twice that base; the length of 4 cuts nothing.
        (box(length=2, width=2, heading=math.pi / 4), None),
    ],
)
def test_known_overlaps(other, expected):
    if expected is None:
        common = 4 - 2 * (math.sqrt(2) - 1) ** 2
        expected = common / (8 + 4 - common)
    found = overlaps_from_above(np.array([box()]), np.array([other]))
    assert found == pytest.approx(np.array([[expected]]), abs=1e-12)


def test_areas_equal_those_of_clipped_polygons():
    rng = np.random.default_rng(0)
    first, second = (
        np.column_stack([rng.uniform(-2, 2, (80, 2)), rng.uniform(0.2, 5, (80, 2)), rng.uniform(-7, 7, 80)])
        for _ in range(2)
    )
    expected = [clipped_area(a, b) for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(intersection_areas(first, second), expected, atol=1e-9)
    assert np.count_nonzero(expected) > 50


def test_coordinates_far_from_the_origin_lose_nothing():
    near = intersection_areas(np.array([[0, 0, 4, 2, 0.3]]), np.array([[1, 0.5, 4, 2, 1.1]]))
    far = intersection_areas(np.array([[1e5, 7e4, 4, 2, 0.3]]), np.array([[1e5 + 1, 7e4 + 0.5, 4, 2, 1.1]]))
    assert far == pytest.approx(near, rel=1e-9)


def test_volumes_overlap_where_footprints_and_heights_do():
    first = np.array([box(height=2)])
    second = np.array([box(z=1, height=2), box(z=2, height=2), box(x=2, z=1, height=2), box(height=1)])
    assert overlaps_in_space(first, second)[0] == pytest.approx([1 / 3, 0, 4 / 28, 1 / 2])


def test_overlaps_in_space_agree_with_counted_points():
    rng = np.random.default_rng(3)
    first, second = box(heading=0.4), box(x=0.8, y=0.3, z=0.4, length=3, width=1.8, height=1.2, heading=-0.5)
    points = rng.uniform(-3, 3, (200_000, 3))

    def inside(one):
        x, y = points[:, 0] - one[0], points[:, 1] - one[1]
        along = x * math.cos(one[6]) + y * math.sin(one[6])
        across = y * math.cos(one[6]) - x * math.sin(one[6])
        near = [np.abs(along) < one[3] / 2, np.abs(across) < one[4] / 2, np.abs(points[:, 2] - one[2]) < one[5] / 2]
        return np.logical_and.reduce(near)

    both, either = inside(first) & inside(second), inside(first) | inside(second)
    exact = overlaps_in_space(np.array([first]), np.array([second]))[0, 0]
    assert exact == pytest.approx(both.sum() / either.sum(), abs=0.01)
    assert 0.2 < exact < 0.6


def test_image_boxes():
    first = np.array([[0.0, 0, 10, 10]])
    second = np.array([[5.0, 0, 15, 10], [0, 0, 20, 20], [10, 10, 20, 20]])
    assert image_overlaps(first, second)[0] == pytest.approx([50 / 150, 100 / 400, 0])
    assert image_overlaps(first, second, of_first=True)[0] == pytest.approx([0.5, 1, 0])


def test_no_boxes_have_no_overlaps():
    assert overlaps_from_above(np.zeros((0, 7)), np.array([box()])).shape == (0, 1)
    assert overlaps_in_space(np.array([box()]), np.zeros((0, 7))).shape == (1, 0)


def test_suppression_keeps_the_best_of_those_that_overlap():
    boxes = np.array([box(), box(x=0.5), box(heading=math.pi / 2), box(x=10), box(x=1.6)])
    scores = np.array([0.6, 0.9, 0.5, 0.1, 0.8])
    # 1 covers 0 by 7/9 and 4 by 2.9/5.1, but 2 by a third only
    assert suppress(boxes, scores, threshold=0.5, most=10).tolist() == [1, 2, 3]
    assert suppress(boxes, scores, threshold=0.6, most=10).tolist() == [1, 4, 2, 3]
    assert suppress(boxes, scores, threshold=0.5, most=2).tolist() == [1, 2]
    assert suppress(boxes[:0], scores[:0], threshold=0.5, most=2).tolist() == []
