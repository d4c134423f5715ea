"""The metric: a case computed by hand, and pycocotools on its own files."""

import contextlib
import io
import json
import sys

import numpy as np
import pytest

pytest.importorskip("pycocotools")

from coco_scenes import found, photo, random_case

from slrprune.errors import MissingExtraError
from slrprune.tasks.coco.metric import judge


def test_a_case_computed_by_hand():
    # Two objects of category 0 and one of category 1. Best first in category 0: right, wrong, right. The precision is
    # 1 up to recall 1/2, that is at the 51 recalls 0, 0.01, ..., 0.5, and 2/3 at the 50 after them.
    objects = [photo([[0, 0, 100, 100], [100, 100, 200, 200], [0, 100, 50, 150]], [0, 0, 1])]
    answers = [
        found(
            [[0, 0, 100, 100], [50, 0, 150, 20], [100, 100, 200, 160], [0, 100, 50, 150]],
            [0.9, 0.8, 0.7, 0.4],
            [0, 0, 0, 1],
        )
    ]
    precisions = judge(objects, answers, 2).precisions()
    first = 100 * (51 + 50 * 2 / 3) / 101
    assert precisions.categories[:, 0] == pytest.approx([first, 100])
    assert precisions.at_half == pytest.approx((first + 100) / 2)
    # The third box covers 0.6 of its object: it is right at the overlaps 0.5, 0.55 and 0.6, and wrong at the other
    # seven, where recall ends at 1/2.
    without = 100 * 51 / 101
    assert precisions.at_all == pytest.approx(((3 * first + 7 * without) / 10 + 100) / 2)


def test_crowds_and_the_right_category():
    crowd = [photo([[0, 0, 100, 100], [0, 0, 40, 40]], [0, 0], [True, False])]
    # Found inside the crowd: neither right nor wrong.
    answers = [found([[50, 50, 80, 80], [0, 0, 40, 40]], [0.9, 0.8], [0, 0])]
    assert judge(crowd, answers, 1).precisions().at_half == pytest.approx(100)
    wrong = [found([[0, 0, 40, 40]], [0.9], [1])]
    assert judge([photo([[0, 0, 40, 40]], [0])], wrong, 2).precisions().at_half == 0


def test_categories_without_an_object_do_not_count():
    objects = [photo([[0, 0, 40, 40]], [1]), photo([], [])]
    precisions = judge(objects, [found([[0, 0, 40, 40]], [0.3], [1]), found([], [], [])], 3).precisions()
    assert (precisions.at_half, precisions.at_all) == (pytest.approx(100), pytest.approx(100))
    assert np.isnan(precisions.categories[[0, 2]]).all()
    nothing = judge([photo([], [])], [found([[0, 0, 4, 4]], [0.3], [0])], 1).precisions()
    assert np.isnan(nothing.at_half)
    assert np.isnan(nothing.at_all)


def test_nothing_found_at_all():
    assert judge([photo([[0, 0, 40, 40]], [0])], [found([], [], [])], 1).precisions().at_half == 0


def official(folder, objects, answers, categories):
    """pycocotools' first two figures from files, as its own demo takes them."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    annotations, results = [], []
    for number, (entry, answer) in enumerate(zip(objects, answers, strict=True)):
        for box, label, crowd in zip(entry.boxes.tolist(), entry.labels.tolist(), entry.crowd.tolist(), strict=True):
            sides = [box[0], box[1], box[2] - box[0], box[3] - box[1]]
            annotations.append({"id": len(annotations) + 1, "image_id": 1000 + number, "category_id": 5 * label + 2})
            annotations[-1] |= {"bbox": sides, "area": sides[2] * sides[3], "iscrowd": int(crowd)}
        for box, score, label in zip(
            answer.boxes.tolist(), answer.scores.tolist(), answer.labels.tolist(), strict=True
        ):
            sides = [box[0], box[1], box[2] - box[0], box[3] - box[1]]
            results.append({"image_id": 1000 + number, "category_id": 5 * label + 2, "bbox": sides, "score": score})
    document = {
        "images": [{"id": 1000 + number} for number in range(len(objects))],
        "categories": [{"id": 5 * place + 2} for place in range(categories)],
        "annotations": annotations,
    }
    (folder / "objects.json").write_text(json.dumps(document))
    (folder / "results.json").write_text(json.dumps(results))
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(folder / "objects.json"))
        evaluation = COCOeval(truth, truth.loadRes(str(folder / "results.json")), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return 100 * evaluation.stats[1], 100 * evaluation.stats[0]


@pytest.mark.parametrize("seed", range(4))
def test_as_pycocotools_from_its_own_files(tmp_path, capsys, seed):
    objects, answers = random_case(np.random.default_rng(seed))
    precisions = judge(objects, answers, 3).precisions()
    assert capsys.readouterr().out == ""
    expected = official(tmp_path, objects, answers, 3)
    assert 5 < expected[1] < expected[0] < 95
    assert (precisions.at_half, precisions.at_all) == pytest.approx(expected, rel=1e-12)


def test_without_pycocotools_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pycocotools.coco", None)
    with pytest.raises(MissingExtraError, match=r"COCO's metric needs pycocotools\..*slrprune\[detection\]"):
        judge([photo([], [])], [found([], [], [])], 1)
