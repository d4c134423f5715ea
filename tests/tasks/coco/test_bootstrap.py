"""The bootstrap: counting images anew is what pycocotools finds when they are copied."""

import numpy as np
import pytest

pytest.importorskip("pycocotools")

from coco_scenes import random_case

from slrprune.errors import ArgumentError
from slrprune.tasks.coco.bootstrap import Counter, drop_interval
from slrprune.tasks.coco.metric import Found, judge


def copied(objects, answers, times):
    """The data set in which each image is there as often as it was drawn."""
    places = np.repeat(np.arange(len(objects)), times)
    return [objects[place] for place in places], [answers[place] for place in places]


@pytest.mark.parametrize("at_half", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_counting_is_copying(seed, at_half):
    rng = np.random.default_rng(seed)
    objects, answers = random_case(rng)
    counter = Counter(judge(objects, answers, 3), at_half=at_half)
    draws = [np.ones(12, dtype=np.int64)]
    draws += [np.bincount(rng.integers(12, size=12), minlength=12) for _ in range(3)]
    draws.append(np.eye(12, dtype=np.int64)[5] * 7)
    for times in draws:
        expected = judge(*copied(objects, answers, times), 3).precisions()
        value = expected.at_half if at_half else expected.at_all
        assert counter.precision(times) == pytest.approx(value, rel=1e-12, nan_ok=True)


def test_images_without_an_object_say_nothing():
    objects, answers = random_case(np.random.default_rng(0))
    empty = [number for number, photo in enumerate(objects) if not (~photo.crowd).sum()]
    counter = Counter(judge(objects, answers, 3), at_half=True)
    assert empty
    assert np.isnan(counter.precision(np.bincount(empty, minlength=12)))


def shaken(answers, amount, rng):
    """Worse detections: boxes moved by some pixels."""
    return [Found(entry.boxes + rng.normal(0, amount, entry.boxes.shape), *entry[1:]) for entry in answers]


def test_the_interval_is_that_of_the_drops_drawn_by_hand():
    rng = np.random.default_rng(3)
    objects, answers = random_case(rng, images=9)
    before, after = (judge(objects, found, 3) for found in (answers, shaken(answers, 6, rng)))
    drop = drop_interval(before, after, draws=40, level=0.9, seed=8)
    rng = np.random.default_rng(8)
    drops = []
    for _ in range(40):
        times = np.bincount(rng.integers(9, size=9), minlength=9)
        values = [
            judge(*copied(objects, found, times), 3).precisions().at_half
            for found in (answers, [_found(after, number) for number in range(9)])
        ]
        drops.append(values[0] - values[1])
    assert (drop.low, drop.high) == pytest.approx(tuple(np.quantile(drops, [0.05, 0.95])), abs=1e-9)
    assert drop.value == pytest.approx(before.precisions().at_half - after.precisions().at_half)
    assert drop.value == pytest.approx(drop.before - drop.after)
    assert drop.low < drop.value < drop.high


def _found(judged, number):
    """What was judged, taken back out of pycocotools."""
    entries = judged.evaluation.cocoDt.imgToAnns[number]
    boxes = np.array([entry["bbox"] for entry in entries])
    boxes[:, 2:] += boxes[:, :2]
    scores, labels = ([entry[key] for entry in entries] for key in ("score", "category_id"))
    return Found(boxes, np.array(scores), np.array(labels))


def test_a_model_against_itself_drops_nothing():
    judged = judge(*random_case(np.random.default_rng(1)), 3)
    drop = drop_interval(judged, judged, at_half=False, draws=50)
    assert (drop.value, drop.low, drop.high) == (0, 0, 0)


def test_pairing_narrows_the_interval():
    # The second model is the first one with one detection in ten lost: images vary far more than the drop does.
    rng = np.random.default_rng(5)
    objects, answers = random_case(rng, images=40)
    kept = [entry.scores > 0.1 for entry in answers]
    fewer = [Found(*(part[keep] for part in entry)) for entry, keep in zip(answers, kept, strict=True)]
    before, after = judge(objects, answers, 3), judge(objects, fewer, 3)
    paired = drop_interval(before, after, draws=200)
    counter = Counter(before, at_half=True)
    alone = [counter.precision(np.bincount(rng.integers(40, size=40), minlength=40)) for _ in range(200)]
    assert paired.high - paired.low < np.ptp(np.quantile(alone, [0.025, 0.975])) / 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"draws": 0}, r"drop_interval\(draws=0\): draws must be at least 1"),
        ({"level": 1.0}, r"drop_interval\(level=1\.0\): level must be in \(0, 1\)"),
    ],
)
def test_values_out_of_range_are_refused(options, message):
    judged = judge(*random_case(np.random.default_rng(1)), 3)
    with pytest.raises(ArgumentError, match=message):
        drop_interval(judged, judged, **options)


def test_other_images_are_refused():
    first, second = (judge(*random_case(np.random.default_rng(1), images=count), 3) for count in (4, 5))
    with pytest.raises(ArgumentError, match="must be judged on the same images as before"):
        drop_interval(first, second)
