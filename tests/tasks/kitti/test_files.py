"""Reading KITTI's files, whole and damaged."""

import math
import re

import numpy as np
import pytest
from kitti_data import CAR, GROUND, PROJECTION, TO_CAMERA, calibration_text, image_box, png

from slrprune.errors import DataError
from slrprune.tasks.complaints import Complaints
from slrprune.tasks.kitti.boxes import boxes_from_labels, camera_boxes, corners, image_boxes
from slrprune.tasks.kitti.calibration import Calibration, read_calibration
from slrprune.tasks.kitti.labels import Label, read_labels
from slrprune.tasks.kitti.png import png_size
from slrprune.tasks.kitti.points import read_points, seen_points

GOOD = "Car 0.10 1 -1.57 100.00 150.00 200.00 250.00 1.50 1.60 3.90 2.00 1.60 15.00 -1.50"
SIZE = (1242, 375)


@pytest.fixture
def complaints():
    return Complaints("Kitti", strict=False)


@pytest.fixture
def calibration(tmp_path, complaints):
    file = tmp_path / "calib.txt"
    file.write_text(calibration_text())
    return read_calibration(file, "calib.txt", complaints)


def labels_of(tmp_path, text, complaints):
    file = tmp_path / "label.txt"
    file.write_text(text)
    return read_labels(file, "label_2/000000.txt", SIZE, complaints)


def test_a_label_line_is_read_field_by_field(tmp_path, complaints):
    expected = Label("Car", 0.1, 1, (100, 150, 200, 250), (1.5, 1.6, 3.9), (2, 1.6, 15), -1.5)
    assert labels_of(tmp_path, GOOD + "\n\n", complaints) == (expected,)
    assert complaints.found == []


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (GOOD + " 0.9", "labels have another number of fields than 15"),
        ("Car 0.1", "labels have another number of fields than 15"),
        (GOOD.replace("Car", "Boat"), "labels name no class of KITTI"),
        (GOOD.replace("Car", "7"), "labels name no class of KITTI"),
        (GOOD.replace("3.90", "long"), "labels hold something other than numbers"),
        (GOOD.replace("3.90", "nan"), "labels hold numbers that are not finite"),
        (GOOD.replace("3.90", "-3.90"), "boxes have no volume"),
        (GOOD.replace("3.90", "1e30"), "boxes measure 100 m or more"),
        (GOOD.replace("15.00", "-1e300"), "boxes are 1000 m away or more"),
        (GOOD.replace("-1.50", "50"), "rotations exceed half a turn"),
        (GOOD.replace("-1.50", "-10"), "rotations exceed half a turn"),
        (GOOD.replace("0.10", "7.00"), "truncations are not in [0, 1]"),
        (GOOD.replace("0.10", "-0.50"), "truncations are not in [0, 1]"),
        (GOOD.replace("0.10 1", "0.10 4"), "occlusions are none of KITTI's levels"),
        (GOOD.replace("0.10 1", "0.10 1e300"), "occlusions are none of KITTI's levels"),
        (GOOD.replace("0.10 1", "0.10 1.5"), "occlusions are none of KITTI's levels"),
        (GOOD.replace("200.00", "90.00"), "boxes have no area in the image"),
        (GOOD.replace("100.00", "1300.00").replace("200.00", "1400.00"), "boxes lie outside the image"),
    ],
)
def test_a_bad_line_is_skipped_or_refused_by_its_place(tmp_path, complaints, line, reason):
    assert len(labels_of(tmp_path, f"{GOOD}\n{line}\n{GOOD}\n", complaints)) == 2
    assert complaints.found == [(reason, "label_2/000000.txt, line 2")]
    message = re.escape(f"Kitti(strict=True): label_2/000000.txt, line 2: {reason}. Mend the file")
    with pytest.raises(DataError, match=message):
        labels_of(tmp_path, f"{GOOD}\n{line}\n", Complaints("Kitti", strict=True))


@pytest.mark.parametrize(
    "line",
    [
        GOOD.replace("0.10 1", "-1 -1"),
        GOOD.replace("0.10 1", "1.00 3"),
        GOOD.replace("-1.50", "-3.15"),
        GOOD.replace("3.90", "35.24").replace("Car", "Tram"),
    ],
)
def test_unknown_and_large_values_are_no_mistakes(tmp_path, line):
    assert len(labels_of(tmp_path, line, Complaints("Kitti", strict=True))) == 1


REGION = "DontCare -1 -1 -10 503.89 169.71 590.61 190.13 -1 -1 -1 -1000 -1000 -1000 -10"


@pytest.mark.parametrize("text", ["Boat 1 2 3\n", f"{REGION}\n{GOOD.replace('1.60', '-1.60')}\n"])
def test_a_file_that_loses_all_its_objects_is_of_no_use(tmp_path, complaints, text):
    assert labels_of(tmp_path, text, complaints) is None
    assert complaints.found[-1] == ("label files have no usable object left", "label_2/000000.txt")
    assert len(complaints.found) == 2
    with pytest.raises(DataError, match=r"Kitti\(strict=True\): label_2/000000\.txt, line"):
        labels_of(tmp_path, text, Complaints("Kitti", strict=True))


def test_a_file_without_objects_is_of_use(tmp_path, complaints):
    outside = REGION.replace("503.89", "1503.89").replace("590.61", "1590.61")
    assert len(labels_of(tmp_path, f"{REGION}\n{outside}\n", complaints)) == 1
    assert labels_of(tmp_path, outside, complaints) == ()
    assert [reason for reason, _ in complaints.found] == ["boxes lie outside the image"] * 2


def test_an_empty_label_file_is_of_no_use(tmp_path, complaints):
    assert labels_of(tmp_path, "\n", complaints) is None
    assert complaints.found == [("label files are empty", "label_2/000000.txt")]


def test_a_region_that_does_not_matter_needs_no_size(tmp_path, complaints):
    (label,) = labels_of(tmp_path, REGION, complaints)
    assert label.is_dont_care
    assert complaints.found == []


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("Tr_velo_to_cam", "Tr_velo_cam", "lack one of P2, R0_rect, Tr_velo_to_cam"),
        ("P2: 7.2", "P2: x 7.2", "lack one of"),
        ("P2: 7.2", "P2: nan 7.2", "lack one of"),
        ("R0_rect: 1.000000000000e+00", "R0_rect: nan", "lack one of"),
        ("R0_rect: 1.000000000000e+00", "R0_rect: 3.0", "hold no rotation"),
    ],
)
def test_a_wrong_calibration_is_of_no_use(tmp_path, complaints, old, new, reason):
    file = tmp_path / "calib.txt"
    assert old in calibration_text()
    file.write_text(calibration_text().replace(old, new))
    assert read_calibration(file, "calib/000000.txt", complaints) is None
    ((found, name),) = complaints.found
    assert reason in found
    assert name == "calib/000000.txt"


def written(tmp_path, **changes):
    """A calibration file with other matrices."""
    matrices = {"P2": PROJECTION, "R0_rect": np.eye(3), "Tr_velo_to_cam": TO_CAMERA} | changes
    file = tmp_path / "calib.txt"
    file.write_text("\n".join(f"{key}: " + " ".join(f"{x:.6e}" for x in np.ravel(m)) for key, m in matrices.items()))
    return file


ROTATION, AXES = "hold no rotation", "do not turn the scanner's axes to the camera's"
VIEW = "hold no camera's projection"


@pytest.mark.parametrize(
    ("key", "matrix", "reason"),
    [
        ("R0_rect", np.diag([2, 0.5, 1]), ROTATION),
        ("R0_rect", np.diag([1e300, 1e-300, 1]), ROTATION),
        ("R0_rect", np.full((3, 3), 1e308), ROTATION),
        ("R0_rect", np.diag([-1, 1, 1]), AXES),
        ("Tr_velo_to_cam", np.eye(3, 4), AXES),
        ("Tr_velo_to_cam", [[0, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0]], AXES),
        ("Tr_velo_to_cam", [[0, 1, 0, 0], [0, 0, -1, 0], [-1, 0, 0, 0]], AXES),
        ("Tr_velo_to_cam", TO_CAMERA + [[0, 0, 0, 1e300]] * 3, "have scanner and camera more than 100 m apart"),
        ("P2", [[700, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]], VIEW),
        ("P2", PROJECTION * [[1], [1], [0]], VIEW),
        ("P2", PROJECTION * [[1], [-1], [1]], VIEW),
        ("P2", np.diag([1e300, 1e300, 1, 0])[:3], VIEW),
        ("P2", np.eye(3, 4), VIEW),
    ],
)
def test_a_calibration_of_other_sensors_is_of_no_use(tmp_path, complaints, key, matrix, reason):
    file = written(tmp_path, **{key: matrix})
    assert read_calibration(file, "calib/000000.txt", complaints) is None
    assert complaints.found == [(f"calibration files {reason}", "calib/000000.txt")]
    with pytest.raises(DataError, match=rf"Kitti\(strict=True\): calib/000000\.txt: calibration files {reason}\. Mend"):
        read_calibration(file, "calib/000000.txt", Complaints("Kitti", strict=True))


@pytest.mark.parametrize("degrees", [-10, -1.5, 1.5, 10])
def test_sensors_need_not_be_mounted_straight(tmp_path, degrees):
    # KITTI's own are turned by up to 1.5 degrees; files hold six digits.
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    turns = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]), np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    view = PROJECTION + np.outer([44.9, 0.2, 0.003], [0, 0, 0, 1])
    file = written(tmp_path, P2=view, R0_rect=turns[0], Tr_velo_to_cam=turns[1] @ TO_CAMERA)
    read = read_calibration(file, "calib/000000.txt", Complaints("Kitti", strict=True))
    np.testing.assert_allclose(read.to_camera, turns[0] @ turns[1] @ TO_CAMERA, atol=1e-5)


def test_points_go_to_the_camera_and_back(calibration):
    points = np.array([[10.0, 2.0, -1.0], [30.0, -4.0, 0.5]])
    expected = (TO_CAMERA @ np.column_stack([points, np.ones(2)]).T).T
    np.testing.assert_allclose(calibration.camera(points), expected)
    np.testing.assert_allclose(calibration.scanner(calibration.camera(points)), points, atol=1e-12)


def test_a_label_becomes_a_box_of_the_scanner(calibration):
    # A car 10 m ahead and 2 m to the right that drives away from us: the camera's rotation is -pi/2, the heading 0.
    label = Label("Car", 0, 0, (0, 0, 9, 9), (1.5, 1.6, 3.9), (2.0, 1.65, 9.73), -math.pi / 2)
    boxes = boxes_from_labels([label], calibration)
    np.testing.assert_allclose(boxes, [[10.0, -2.0, -1.73 + 0.75, 3.9, 1.6, 1.5, 0.0]], atol=1e-9)
    back = camera_boxes(boxes, calibration)
    np.testing.assert_allclose(back, [[2.0, 1.65, 9.73, 1.5, 1.6, 3.9, -math.pi / 2]], atol=1e-9)


def test_corners_and_what_they_cover_in_the_image(calibration):
    box = (12.0, 1.0, GROUND + CAR[2] / 2, *CAR, 0.3)
    hull, seen = image_boxes(np.array([box]), calibration, SIZE)
    np.testing.assert_allclose(hull[0], image_box(box), atol=1e-6)
    assert seen.tolist() == [True]
    assert np.ptp(corners(np.array([[0, 0, 0, 4, 2, 1, 0.0]]))[0], axis=0).tolist() == [4, 2, 1]
    behind = np.array([[-12.0, 1.0, -1.0, *CAR, 0.3], [5.0, 50.0, -1.0, *CAR, 0.3]])
    assert image_boxes(behind, calibration, SIZE)[1].tolist() == [False, False]


def test_points_are_read_as_they_were_written(tmp_path, complaints):
    points = np.array([[1, 2, 3, 0.5], [4, 5, 6, 1.7], [np.nan, 0, 0, 0.1], [7, np.inf, 9, 0.2]], dtype="<f4")
    points.tofile(tmp_path / "scan.bin")
    read = read_points(tmp_path / "scan.bin", "velodyne/000000.bin", complaints)
    np.testing.assert_array_equal(read, np.array([[1, 2, 3, 0.5], [4, 5, 6, 1.0]], dtype=np.float32))
    assert complaints.found == [("points are not finite", "velodyne/000000.bin (2 points)")]


@pytest.mark.parametrize("content", [b"", b"\0" * 17])
def test_a_truncated_scan_is_of_no_use(tmp_path, complaints, content):
    (tmp_path / "scan.bin").write_bytes(content)
    assert read_points(tmp_path / "scan.bin", "velodyne/000000.bin", complaints) is None
    assert complaints.found == [("scans are empty or truncated", "velodyne/000000.bin")]


def test_a_scan_without_a_finite_point_is_of_no_use(tmp_path, complaints):
    np.full((50, 4), np.nan, dtype="<f4").tofile(tmp_path / "scan.bin")
    assert read_points(tmp_path / "scan.bin", "velodyne/000000.bin", complaints) is None
    assert complaints.found == [("scans hold no finite point", "velodyne/000000.bin")]


def test_only_points_in_the_image_are_seen():
    calibration = Calibration(np.array([[100.0, 0, 50, 0], [0, 100, 20, 0], [0, 0, 1, 0]]), TO_CAMERA)
    places = np.array([[10.27, 0, -0.08], [10.27, 5.1, -0.08], [10.27, -4.9, -0.08], [-10, 0, 0]])
    points = np.column_stack([places, np.ones(4)]).astype(np.float32)
    seen = seen_points(points, calibration, (100, 40))
    np.testing.assert_array_equal(seen, points[[0, 2]])


def test_the_size_of_a_png_image(tmp_path):
    file = tmp_path / "image.png"
    content = png(37, 11)
    file.write_bytes(content)
    assert png_size(file) == (37, 11)
    for damaged in (content[:-4], content[:20], b"", b"JFIF" + content[4:], content[:-30]):
        file.write_bytes(damaged)
        assert png_size(file) is None
