"""Average precision at 40 recall points on hand-made boxes; every expected value is worked out in the test."""

import math

import numpy as np
import pytest

from slrprune.tasks.kitti.boxes import boxes_from_labels
from slrprune.tasks.kitti.calibration import Calibration
from slrprune.tasks.kitti.detect import Detections
from slrprune.tasks.kitti.evaluation import average_precisions, judge, precision_of
from slrprune.tasks.kitti.folder import Frame
from slrprune.tasks.kitti.labels import Label
from slrprune.tasks.kitti.precision import DIFFICULTIES, sampled_scores

CALIBRATION = Calibration(np.eye(3, 4), np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0]]))


def label(place, kind="Car", *, height=50.0, occlusion=0, truncation=0.0):
    """An object 10 m apart from the others, in the image 100 pixels apart."""
    box = (100.0 * place, 100.0, 100.0 * place + 60, 100.0 + height)
    return Label(kind, truncation, occlusion, box, (1.5, 1.6, 3.9), (10.0 * place, 1.5, 20.0), 0.1)


def frame(*labels):
    return Frame("000000", None, labels, CALIBRATION, (10_000, 375))


def found(*entries, kind=0, height=50.0):
    """Detections: (place, score) or (place, score, offset in meters along the car)."""
    labels = [label(place, height=height) for place, *_ in entries]
    boxes = boxes_from_labels(labels, CALIBRATION)
    for row, (_, _, *offset) in enumerate(entries):
        distance = offset[0] if offset else 0.0
        boxes[row, :2] += distance * np.array([math.cos(boxes[row, 6]), math.sin(boxes[row, 6])])
    pixels = np.array([entry.image_box for entry in labels]).reshape(-1, 4)
    kinds = np.full(len(labels), kind)
    return Detections(kinds, np.array([entry[1] for entry in entries], dtype=float), boxes, pixels)


def precision(*pairs, overlap="space", difficulty="moderate", classes=("Car",), kind="Car"):
    level = next(entry for entry in DIFFICULTIES if entry.name == difficulty)
    return precision_of([judge(*pair) for pair in pairs], classes.index(kind), kind, overlap, level)


def test_every_object_found_first():
    # 80 objects: recall k/40 is reached at the 2k-th, so all 41 points are sampled with a precision of 1.
    everything = range(80)
    pair = frame(*map(label, everything)), found(*((place, 1 - place / 100) for place in everything))
    for overlap in ("image", "above", "space"):
        assert precision(pair, overlap=overlap) == 100


def test_half_of_the_objects_found():
    # 40 of 80 objects: 20 of the 40 recall points beyond 0 are reached, all with precision 1.
    pair = frame(*map(label, range(80))), found(*((place, 1 - place / 100) for place in range(40)))
    assert precision(pair) == 50


def test_half_of_the_detections_wrong():
    # In pairs of equal score come a right one and a wrong one, so that precision is 1/2 at every threshold.
    right = [(place, 1 - place / 100) for place in range(80)]
    wrong = [(place + 200, score) for place, score in right]
    assert precision((frame(*map(label, range(80))), found(*right, *wrong))) == 50


def test_a_wrong_detection_at_the_top_lowers_precision_by_its_share():
    # One wrong detection before all others: precision n / (n + 1) rises with n, and the largest further on counts.
    right = [(place, 0.9 - place / 100) for place in range(80)]
    assert precision((frame(*map(label, range(80))), found((300, 1.0), *right))) == pytest.approx(100 * 80 / 81)


def test_few_objects_cannot_reach_100():
    # With n objects there are n samples, and the first belongs to recall 0: 2 found objects fill 1 of 40 places.
    pair = frame(label(0), label(1)), found((0, 0.9), (1, 0.8))
    assert precision(pair) == pytest.approx(100 / 40)


def test_frames_are_counted_together():
    pairs = [(frame(label(0)), found((0, 1 - n / 100))) for n in range(80)]
    assert precision(*pairs) == 100


@pytest.mark.parametrize(("offset", "hit"), [(0.66, True), (0.72, False)])
def test_a_match_needs_an_overlap_above_seven_tenths(offset, hit):
    # Shifted by d along its length of 3.9, a car overlaps its label by (3.9 - d) / (3.9 + d): 0.7 at 0.688 m.
    pair = frame(*map(label, range(80))), found(*((place, 1 - place / 100, offset) for place in range(80)))
    assert precision(pair) == (100 if hit else 0)
    assert precision(pair, overlap="above") == (100 if hit else 0)


def test_difficulties_choose_objects():
    # Of 80 objects 40 are easy, 20 more moderate (height, occlusion), 20 more hard (occlusion, truncation).
    objects = [label(place) for place in range(40)]
    objects += [label(place, height=30, occlusion=1) for place in range(40, 60)]
    objects += [label(place, occlusion=2, truncation=0.5) for place in range(60, 80)]
    detections = found(*((place, 1 - place / 100) for place in range(80)))
    pair = frame(*objects), detections
    # Objects that are too hard are ignored, and finding them is no mistake. Easy: 40 objects fill 39 of the 40 places.
    assert precision(pair, difficulty="easy") == pytest.approx(97.5)
    assert precision(pair, difficulty="moderate") == 100
    assert precision(pair, difficulty="hard") == 100
    # Where they are not found, easy stays as it was; 40 of 60 and 40 of 80 objects are found otherwise.
    fewer = frame(*objects), found(*((place, 1 - place / 100) for place in range(40)))
    assert precision(fewer, difficulty="easy") == pytest.approx(97.5)
    assert precision(fewer, difficulty="hard") == 50


@pytest.mark.parametrize(("height", "difficulty"), [(25, "moderate"), (25, "hard"), (40, "easy")])
def test_an_object_of_exactly_the_least_height_is_ignored(height, difficulty):
    # 80 high cars are found. 80 of the least height are not: the kit ignores them, since they do not exceed it.
    high, right = [label(place) for place in range(80)], found(*((place, 1 - place / 100) for place in range(80)))
    least = [label(place, height=height) for place in range(80, 160)]
    assert precision((frame(*high, *least), right), difficulty=difficulty) == 100
    # A hundredth of a pixel more, and they count: 80 of 160 are found.
    higher = [label(place, height=height + 0.01) for place in range(80, 160)]
    assert precision((frame(*high, *higher), right), difficulty=difficulty) == 50


def test_similar_classes_are_ignored_and_others_are_mistakes():
    objects = [label(place) for place in range(80)]
    van, truck = label(100, "Van"), label(101, "Truck")
    right = [(place, 0.9 - place / 100) for place in range(80)]
    assert precision((frame(*objects, van, truck), found((100, 1.0), *right))) == 100
    assert precision((frame(*objects, van, truck), found((101, 1.0), *right))) == pytest.approx(100 * 80 / 81)


def test_low_detections_are_ignored():
    objects = [label(place) for place in range(80)]
    right = found(*((place, 0.9 - place / 100) for place in range(80)))
    low = found((300, 1.0), height=24.9)
    both = Detections(*(np.concatenate(parts) for parts in zip(vars(low).values(), vars(right).values(), strict=True)))
    assert precision((frame(*objects), both)) == 100
    # At 25 pixels it counts, and for "easy" it needs 40.
    high = found((300, 1.0), height=25.9)
    both = Detections(*(np.concatenate(parts) for parts in zip(vars(high).values(), vars(right).values(), strict=True)))
    assert precision((frame(*objects), both)) == pytest.approx(100 * 80 / 81)
    assert precision((frame(*objects), both), difficulty="easy") == 100


def test_regions_that_do_not_matter_excuse_in_the_image_alone():
    objects = [label(place) for place in range(80)]
    region = Label("DontCare", -1, -1, (29_000.0, 0.0, 31_000.0, 300.0), (-1, -1, -1), (-1000, -1000, -1000), -10)
    detections = found((300, 1.0), *((place, 0.9 - place / 100) for place in range(80)))
    assert precision((frame(*objects, region), detections), overlap="image") == 100
    assert precision((frame(*objects, region), detections)) == pytest.approx(100 * 80 / 81)
    assert precision((frame(*objects), detections), overlap="image") == pytest.approx(100 * 80 / 81)


def test_an_object_found_twice_is_a_mistake_once():
    objects = [label(place) for place in range(80)]
    twice = found(*((place, 0.9 - place / 100) for place in range(80)), (0, 0.95))
    assert precision((frame(*objects), twice)) == pytest.approx(100 * 80 / 81)


def test_classes_are_judged_apart():
    people = [label(place, "Pedestrian") for place in range(80)]
    pair = frame(*people), found(*((place, 1 - place / 100) for place in range(80)), kind=1)
    assert precision(pair, classes=("Car", "Pedestrian"), kind="Pedestrian") == 100
    assert math.isnan(precision(pair, classes=("Car", "Pedestrian"), kind="Car"))


def test_without_detections_precision_is_0():
    assert precision((frame(label(0)), found())) == 0


def test_scores_are_sampled_where_recall_comes_nearest_to_multiples_of_one_fortieth():
    scores = [1 - number / 1000 for number in range(400)]
    # 400 of 400 found: recall 0 is nearest at the first, then every tenth one.
    expected = [scores[0], *(scores[10 * k - 1] for k in range(1, 41))]
    assert sampled_scores(scores[::-1], 400) == expected


def kit_thresholds(scores, objects):
    """The development kit's loop, line by line."""
    scores = sorted(scores, reverse=True)
    thresholds, recall = [], 0.0
    for i in range(len(scores)):
        left = (i + 1) / objects
        right = (i + 2) / objects if i < len(scores) - 1 else left
        if right - recall < recall - left and i < len(scores) - 1:
            continue
        thresholds.append(scores[i])
        recall += 1.0 / (41 - 1.0)
    return thresholds


@pytest.mark.parametrize("objects", [1, 39, 40, 41, 60, 80, 100, 200, 1000])
@pytest.mark.parametrize("found_share", [1.0, 0.7])
def test_ties_between_scores_are_broken_as_the_kit_does(objects, found_share):
    scores = np.linspace(1, 0, max(1, int(found_share * objects))).tolist()
    samples = sampled_scores(scores[::-1], objects)
    assert samples == kit_thresholds(scores, objects)
    assert len(samples) <= 41


def test_the_first_tie_of_60_objects_goes_to_the_later_score():
    # 60 objects. Recall 3/40 = 4.5/60 is a tie of the 4th and the 5th score; 1/40 added up three times exceeds it.
    assert sum([1 / 40] * 3) > 3 / 40
    samples = sampled_scores([1 - number / 100 for number in range(60)], 60)
    assert samples[3] == 1 - 4 / 100


def test_the_table_holds_every_class_overlap_and_difficulty():
    pair = frame(label(0), label(1)), found((0, 0.9), (1, 0.8))
    table = average_precisions([judge(*pair)], ["Car", "Pedestrian"])
    assert len(table) == 18
    assert table["Car", "above", "hard"] == pytest.approx(2.5)
    assert math.isnan(table["Pedestrian", "image", "easy"])
