"""Points into pillars, pillars into a picture from above."""

import numpy as np
import pytest
import torch

from slrprune.errors import ArgumentError
from slrprune.tasks.kitti.design import CAR, DESIGNS, PEOPLE, Anchor, Design
from slrprune.tasks.kitti.network import PillarFeatures, PointPillars
from slrprune.tasks.kitti.pillars import EMPTY, cell_numbers, pillars

TINY = Design(
    name="tiny",
    low=(0.0, -4.0, -1.0),
    high=(8.0, 4.0, 1.0),
    pillar=1.0,
    pillars=3,
    points=2,
    channels=4,
    layers=(0, 0, 0),
    anchors=(Anchor(kind="Car", size=(3.9, 1.6, 1.5), center=-1.0, matched=0.6, unmatched=0.45),),
)


def points(*rows):
    return np.array([(x, y, z, 0.5) for x, y, z in rows], dtype=np.float32).reshape(-1, 4)


def test_points_are_grouped_by_cell_in_the_order_of_their_first_points():
    scan = points(
        (5.5, 0.5, 0), (0.1, -3.9, 0.1), (5.6, 0.6, 0.2), (5.7, 0.7, 0.3), (2, 2, 0), (7, 3, 0), (0.2, -3.8, 0)
    )
    grouped = pillars(scan, TINY)
    assert grouped.shape == (3, 2, 4)
    np.testing.assert_array_equal(grouped[0], scan[[0, 2]])  # the third point of the pillar is one too many
    np.testing.assert_array_equal(grouped[1], scan[[1, 6]])
    np.testing.assert_array_equal(grouped[2, 0], scan[4])  # (7, 3) is in a fourth pillar, one too many
    assert grouped[2, 1].tolist() == [0, 0, 0, EMPTY]


def test_points_outside_the_range_are_left_out():
    scan = points((8.0, 0, 0), (-0.1, 0, 0), (1, 4.0, 0), (1, -4.1, 0), (1, 0, 1.0), (1, 0, -1.1))
    assert (pillars(scan, TINY)[..., 3] == EMPTY).all()


def test_no_points_make_no_pillars():
    assert (pillars(points(), TINY)[..., 3] == EMPTY).all()


def test_the_network_finds_the_cells_that_the_loader_sorted_by():
    rng = np.random.default_rng(0)
    low, high = np.array(CAR.low), np.array(CAR.high)
    scan = np.column_stack([rng.uniform(low, high - 1e-3, (4000, 3)), rng.random(4000)]).astype(np.float32)
    # Points on the borders of cells, where rounding decides.
    scan[:2000, :2] = (low[:2] + rng.integers(0, 300, (2000, 2)) * CAR.pillar).astype(np.float32)
    grouped = torch.from_numpy(pillars(scan, CAR))[None]
    valid = (grouped[..., 3:] >= 0).float()
    _, cells = PillarFeatures(CAR)._decorated(grouped, valid)
    used = valid[0, :, 0, 0] > 0
    assert len(cells[0, used].unique()) == used.sum() > 3000
    assert cells[0, used].tolist() == cell_numbers(grouped[0, used, 0].numpy(), CAR).tolist()
    assert (cells[0, ~used] == CAR.grid[0] * CAR.grid[1]).all()


def test_points_get_their_offsets():
    grouped = torch.from_numpy(pillars(points((5.25, 0.5, 0.25), (5.75, 0.75, 0.75)), TINY))[None]
    valid = (grouped[..., 3:] >= 0).float()
    decorated, cells = PillarFeatures(TINY)._decorated(grouped, valid)
    first = [5.25, 0.5, 0.25, 0.5, -0.25, -0.125, -0.25, -0.25, 0.0]
    assert decorated[0, 0, 0].tolist() == pytest.approx(first)
    assert (decorated[0, 1:] == 0).all()
    assert cells[0].tolist() == [4 * 8 + 5, 64, 64]


def test_the_picture_holds_the_strongest_point_and_is_zero_elsewhere():
    torch.manual_seed(1)
    layer = PillarFeatures(TINY).eval()
    scan = points((5.25, 0.5, 0.25), (5.75, 0.75, 0.75), (0.5, -3.5, 0))
    picture = layer(torch.from_numpy(pillars(scan, TINY))[None])
    assert picture.shape == (1, 4, 8, 8)
    one_by_one = [layer(torch.from_numpy(pillars(scan[[number]], TINY))[None]) for number in range(3)]
    assert (picture != 0).any(dim=1).nonzero().tolist() == [[0, 0, 0], [0, 4, 5]]
    torch.testing.assert_close(picture[..., 0, 0], one_by_one[2][..., 0, 0])


def test_empty_slots_never_win():
    layer = PillarFeatures(TINY).eval()
    with torch.no_grad():
        layer.norm.bias.fill_(10.0)  # a slot of zeros would come out at 10
        layer.linear.weight.fill_(-1.0)
        lone = layer(torch.from_numpy(pillars(points((5.5, 0.5, 0.5)), TINY))[None])
    expected = 10 - (5.5 + 0.5 + 0.5 + 0.5) / np.sqrt(1 + layer.norm.eps)
    assert lone[0, :, 4, 5].tolist() == pytest.approx([expected] * 4)
    assert lone.sum().item() == pytest.approx(4 * expected)


@pytest.mark.parametrize("design", DESIGNS.values(), ids=list(DESIGNS))
def test_outputs_fit_the_anchors(design):
    from slrprune.tasks.kitti.anchors import anchor_boxes

    with torch.device("meta"):
        model = PointPillars(design).eval()
        outputs = model(torch.empty(2, design.pillars, design.points, 4))
    anchors, classes = anchor_boxes(design)
    assert outputs.boxes.shape == (2, len(anchors), 7)
    assert outputs.logits.shape == (2, len(classes), len(design.classes))
    assert outputs.directions.shape == (2, len(anchors), 2)


def test_published_sizes():
    assert (CAR.grid, PEOPLE.grid) == ((496, 432), (248, 296))
    assert (CAR.pillars, CAR.points, CAR.channels) == (12_000, 100, 64)
    with torch.device("meta"):
        car, people = (sum(p.numel() for p in PointPillars(design).parameters()) for design in (CAR, PEOPLE))
    # By hand: pillars, blocks of 4, 6 and 6 convolutions with BatchNorm, three ups, 1x1 convolutions from 384 channels.
    features = 9 * 64 + 2 * 64
    blocks = 4 * (64 * 64 * 9 + 2 * 64)
    blocks += 64 * 128 * 9 + 5 * 128 * 128 * 9 + 6 * 2 * 128
    blocks += 128 * 256 * 9 + 5 * 256 * 256 * 9 + 6 * 2 * 256
    ups = 64 * 128 + 128 * 128 * 2**2 + 256 * 128 * 4**2 + 3 * 2 * 128
    assert car == features + blocks + ups + (384 + 1) * 2 * (1 + 7 + 2)
    assert people == features + blocks + ups + (384 + 1) * 4 * (2 + 7 + 2)


def test_a_range_that_does_not_divide_is_refused():
    with pytest.raises(ArgumentError, match=r"Design\(high=\(9\.0, .*must span a multiple of 8 pillars of 1\.0 m"):
        Design(**{**vars(TINY), "high": (9.0, 4.0, 1.0)})
