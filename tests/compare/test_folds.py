"""Folds of a cross-validation: one table, paired by fold and seed."""

import math

import pytest

from slrprune.compare import blocks
from slrprune.compare.statistics import Trial, paired_difference
from slrprune.compare.text import title


@pytest.fixture
def of_fold(record_of):
    """A record of one fold, with conditions of its own."""

    def make(method, fold, seed, accuracy, **fields):
        known = {
            "task_settings": {"fold": fold, "batch_size": 64, "train": 1257 + fold},
            "conditions": f"c{fold}",
            "identity": f"{method}-{fold}-{seed}",
            "dense_accuracy": 95.0 + fold,
        }
        return record_of(method, seed, accuracy, **known | fields)

    return make


def test_the_interval_is_that_of_the_folds(of_fold):
    # slr minus gmp: fold 0: 1 and 3, fold 1: 4 and 4, fold 2: 6 (one seed of gmp is missing). Means 2, 4, 6.
    slr = [of_fold("slr", 0, 0, 91.0), of_fold("slr", 0, 1, 93.0), of_fold("slr", 1, 0, 94.0)]
    slr += [of_fold("slr", 1, 1, 94.0), of_fold("slr", 2, 0, 96.0), of_fold("slr", 2, 1, 80.0)]
    gmp = [of_fold("gmp", fold, seed, 90.0) for fold in range(3) for seed in range(2)][:-1]
    (block,) = blocks([*slr, *gmp])
    assert (block.folds, block.seeds, block.dense.count, block.dense.mean) == (3, 2, 6, 96.0)
    assert title(block) == "digits, cnn, 90%, 2 epochs, 3 folds, 2 seeds, dense 96.00 ± 0.89"
    row = next(row for row in block.rows if row.method == "slr")
    assert (row.runs, row.accuracy.count, row.lead.count) == (6, 6, 3)
    assert row.lead.mean == pytest.approx(4.0)
    assert row.lead.high - row.lead.mean == pytest.approx(4.3027 * 2 / math.sqrt(3))
    assert row.drop.mean == pytest.approx(sum([4, 2, 2, 2, 1, 17]) / 6)


def test_one_fold_is_paired_by_seed(of_fold):
    (block,) = blocks([of_fold(m, 3, seed, 90.0 + seed * (m == "slr")) for m in ("slr", "gmp") for seed in range(3)])
    assert block.folds == 0
    assert block.rows[0].lead.count == 3


def test_folds_of_different_settings_are_not_mixed(of_fold):
    one = [of_fold("slr", fold, 0, 90.0) for fold in range(2)]
    changes = [{"recipe": "AdamW"}, {"epochs": 3}, {"dense_start": "pretrained"}]
    changes.append({"task_settings": {"fold": 0, "batch_size": 32}})
    for change in changes:
        assert len(blocks([*one, of_fold("slr", 0, 0, 91.0, **change)])) == 2


def test_where_one_fold_has_two_conditions_nothing_is_joined(of_fold):
    records = [of_fold("slr", fold, 0, 90.0) for fold in range(2)]
    records.append(of_fold("slr", 1, 0, 91.0, conditions="other dense weights"))
    assert [block.folds for block in blocks(records)] == [0, 0, 0]


def test_pairs_need_fold_and_seed():
    first = {Trial(0, 0): 1.0, Trial(1, 1): 5.0}
    assert paired_difference(first, {Trial(0, 1): 0.0, Trial(1, 0): 0.0}) is None
    assert paired_difference(first, {Trial(1, 1): 2.0, Trial(0, 0): 0.0}).count == 2
