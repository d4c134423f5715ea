"""Matching by the development kit's rules, against those rules written down as the plain loops that they are."""

import numpy as np
import pytest

from slrprune.tasks.kitti.matching import COUNTED, IGNORED, OTHER, Matcher, Scene

LEAST = 0.5


def plain_loops(scene, threshold=None):
    """Scores of the true positives without a threshold; with one, true and false positives."""
    assigned = [False] * len(scene.scores)
    hidden = [threshold is not None and score < threshold for score in scene.scores]
    scores = []
    for number, status in enumerate(scene.objects):
        if status == OTHER:
            continue
        chosen, best, ignored_chosen = None, -np.inf, False
        for entry, kind in enumerate(scene.detections):
            overlap = scene.overlaps[entry, number]
            if kind == OTHER or assigned[entry] or hidden[entry] or overlap <= LEAST:
                continue
            if threshold is None:
                if scene.scores[entry] > best:
                    chosen, best = entry, scene.scores[entry]
            elif kind == COUNTED and (overlap > best or ignored_chosen):
                chosen, best, ignored_chosen = entry, overlap, False
            elif kind == IGNORED and chosen is None:
                chosen, ignored_chosen = entry, True
        if chosen is None:
            continue
        assigned[chosen] = True
        if status == COUNTED and scene.detections[chosen] == COUNTED:
            scores.append(scene.scores[chosen])
    if threshold is None:
        return scores
    free = [
        not assigned[entry] and not hidden[entry] and kind == COUNTED and scene.excused[entry] <= LEAST
        for entry, kind in enumerate(scene.detections)
    ]
    return len(scores), sum(free)


@pytest.mark.parametrize("seed", range(40))
def test_matches_are_those_of_plain_loops(seed):
    rng = np.random.default_rng(seed)
    detections, objects = rng.integers(0, 9), rng.integers(0, 6)
    scene = Scene(
        rng.choice([COUNTED, COUNTED, IGNORED, OTHER], objects),
        rng.choice([COUNTED, COUNTED, IGNORED, OTHER], detections),
        rng.integers(0, 5, detections) / 5,  # with ties
        rng.integers(0, 10, (detections, objects)) / 10,
        rng.random(detections),
    )
    matcher = Matcher(scene, LEAST)
    assert matcher.found_scores() == plain_loops(scene)
    for threshold in (0.0, 0.2, 0.5, 0.8):
        counted = matcher.count(threshold)
        assert (counted.true_positives, counted.false_positives) == plain_loops(scene, threshold)
