"""The official metric on hand-made lanes; every expected value is worked out in the test."""

import json
import math

import numpy as np
import pytest

from slrprune.tasks.tusimple import LaneScores, score
from slrprune.tasks.tusimple.metric import angle

ROWS = np.arange(240.0, 440.0, 10.0)  # twenty rows


def lane(x, lean=0.0):
    """A straight lane; `lean` is dx / dy."""
    return x + lean * (ROWS - ROWS[0])


def scores(predicted, labelled):
    found = score(predicted, labelled, ROWS)
    return found.accuracy, found.false_positives, found.false_negatives


def test_lanes_found_exactly():
    lanes = [lane(100), lane(400), lane(700), lane(1000)]
    assert scores(lanes[::-1], lanes) == (1, 0, 0)


@pytest.mark.parametrize(("distance", "expected"), [(19.9, 1.0), (20.0, 0.0)])
def test_a_point_may_miss_by_less_than_20_pixels(distance, expected):
    assert scores([lane(100 + distance)], [lane(100)]) == (expected, 1 - expected, 1 - expected)


@pytest.mark.parametrize(("distance", "expected"), [(28.2, 1.0), (28.3, 0.0)])
def test_a_leaning_lane_gives_more_room(distance, expected):
    # At 45 degrees 20 / cos(45 degrees) = 28.28 pixels along the row are 20 across the lane.
    assert angle(lane(100, 1.0), ROWS) == pytest.approx(math.pi / 4)
    assert scores([lane(100 + distance, 1.0)], [lane(100, 1.0)])[0] == expected


def test_the_angle_is_that_of_the_line_through_the_points_that_are_there():
    bent = lane(100, 0.5)
    bent[:5] = -2
    assert angle(bent, ROWS) == pytest.approx(math.atan(0.5))
    assert angle(np.full(20, -2.0), ROWS) == 0
    only = np.full(20, -2.0)
    only[3] = 100
    assert angle(only, ROWS) == 0


def test_absent_points_are_right_where_both_are_absent():
    label, guess = lane(100), lane(100)
    label[:4] = -2
    guess[:2] = -2
    # Absent in both: 2 of 20; absent in the label alone: 2 wrong; the other 16 are right.
    assert scores([guess], [label]) == (18 / 20, 0, 0)


@pytest.mark.parametrize(("wrong", "missed"), [(3, 0), (4, 1)])
def test_a_lane_is_found_from_85_percent_on(wrong, missed):
    guess = lane(100)
    guess[:wrong] += 100
    assert scores([guess], [lane(100)]) == ((20 - wrong) / 20, missed, missed)


def test_false_positives_and_negatives():
    labelled = [lane(100), lane(400), lane(700), lane(1000)]
    predicted = [lane(100), lane(400), lane(550), lane(550), lane(850)]
    # Two of four are found; of five predictions three match nothing; 700 and 1000 have no right point.
    assert scores(predicted, labelled) == (2 / 4, 3 / 5, 2 / 4)


def test_no_prediction():
    assert scores([], [lane(100), lane(400)]) == (0, 0, 1)


def test_no_label():
    # One expected lane stands in for none, as the script divides.
    assert scores([lane(100)], []) == (0, 1, 0)
    assert scores([], []) == (0, 0, 0)


def test_up_to_two_lanes_too_many():
    labelled = [lane(100)]
    predicted = [lane(100), lane(400), lane(700)]
    assert scores(predicted, labelled) == (1, 2 / 3, 0)
    assert scores([*predicted, lane(1000)], labelled) == (0, 0, 1)


def test_with_five_labels_the_worst_is_left_out_and_one_miss_forgiven():
    labelled = [lane(x) for x in (100, 300, 500, 700, 900)]
    half = lane(500)
    half[:10] += 100
    # 300 is found in full, 500 by half, 900 not at all: that one is left out.
    assert scores([lane(100), lane(300), half, lane(700)], labelled) == (3.5 / 4, 1 / 4, 1 / 4)
    assert scores([lane(100), lane(300), lane(500), lane(700)], labelled) == (1, 0, 0)
    # All five found: the mean is over four.
    assert scores(labelled, labelled) == (1, 0, 0)


def test_one_prediction_may_answer_for_two_labels():
    found = score([lane(110)], [lane(100), lane(120)], ROWS)
    assert (found.accuracy, found.false_positives, found.false_negatives) == (1, -1, 0)


def test_scores_are_averaged_over_images():
    mean = LaneScores.mean([LaneScores(1.0, 0.0, 0.0), LaneScores(0.5, 0.25, 1.0)])
    assert mean == LaneScores(0.75, 0.125, 0.5)
    assert math.isnan(LaneScores.mean([]).accuracy)


def test_the_benchmarks_own_example():
    # The first points of the first lane in the benchmark's readme; it leans by about 7.7 pixels for each 10.
    x = "632 625 617 609 601 594 586 578 570 563 555 547 539 532 524 516 508 501 493 485"
    label = np.array(x.split(" "), dtype=float)
    k = np.polyfit(ROWS, label, 1)[0]
    limit = 20 / math.cos(math.atan(k))
    assert 24 < limit < 26
    assert score([label + limit - 0.01], [label], ROWS).accuracy == 1
    assert score([label + limit + 0.01], [label], ROWS).accuracy == 0


def test_a_submission_is_written_as_the_script_reads_it(lane_task):
    found = lane_task.detect(lane_task.build_model(), "test")[0]
    entry = json.loads(found.line(run_time=12.5))
    assert entry["raw_file"] == found.image.name
    assert entry["run_time"] == 12.5
    assert all(len(lane) == len(entry["h_samples"]) for lane in entry["lanes"])
