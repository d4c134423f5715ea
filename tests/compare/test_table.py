"""Tables against figures computed by hand."""

import math

import pytest

from slrprune.compare import Status, blocks, insert, to_markdown
from slrprune.compare.chart import BARS, PLAIN, scale, sparkline
from slrprune.compare.text import cells, title, verdict
from slrprune.errors import DataError


@pytest.fixture
def three_arms(record_of):
    """slr 91, 93, 95; gmp 90, 91, 92; admm 80, 99 and one divergence; dense starts 95, 96, 97."""

    def make(method, *accuracies, **fields):
        return [
            record_of(method, seed, accuracy, dense_accuracy=95.0 + seed, **fields)
            if accuracy is not None
            else record_of(method, seed, None, dense_accuracy=95.0 + seed, status=Status.DIVERGED, reason="NaN.")
            for seed, accuracy in enumerate(accuracies)
        ]

    dense = make("dense", 96.0, 97.0, 98.0, target="dense", sparsity=0.0, sparsity_reached=0.0, compression=1.0)
    return [*make("admm", 80.0, 99.0, None), *make("gmp", 90.0, 91.0, 92.0), *make("slr", 91.0, 93.0, 95.0), *dense]


def row_of(block, method):
    return next(row for row in block.rows if row.method == method)


def test_rows_by_hand(three_arms):
    (block,) = blocks(three_arms)
    assert [row.method for row in block.rows] == ["dense", "slr", "gmp", "admm"]
    assert (block.dense.mean, block.dense.std, block.dense.count) == (96.0, 1.0, 3)
    slr = row_of(block, "slr")
    assert (slr.accuracy.mean, slr.accuracy.std) == (93.0, 2.0)
    assert (slr.drop.mean, slr.drop.std) == (3.0, 1.0)  # 4, 3, 2
    assert (slr.sparsity, slr.compression, slr.runs, slr.diverged) == (0.9, 10.0, 3, 0)
    # admm on its two seeds is 2.5 points behind slr on the same two, gmp 2 points on three: gmp is the best rival.
    assert slr.rival == "gmp"
    assert slr.lead.mean == pytest.approx(2.0)  # 1, 2, 3
    assert slr.lead.high == pytest.approx(2.0 + 4.3027 / math.sqrt(3))
    gmp, admm = row_of(block, "gmp"), row_of(block, "admm")
    assert (gmp.rival, gmp.lead.mean) == ("slr", -2.0)
    assert (admm.rival, admm.lead.mean, admm.lead.count) == ("slr", pytest.approx(-2.5), 2)
    assert (admm.diverged, admm.runs, admm.accuracy.count) == (1, 3, 2)


def test_the_dense_arm_competes_with_nobody(three_arms):
    (block,) = blocks(three_arms)
    dense = row_of(block, "dense")
    assert (dense.prunes, dense.rival, dense.lead) == (False, None, None)
    assert dense.drop.mean == -1.0
    assert all(row.rival != "dense" for row in block.rows)


def test_cells(three_arms):
    (block,) = blocks(three_arms)
    assert title(block) == "digits, cnn, 90%, 2 epochs, 3 seeds, dense 96.00 ± 1.00"
    assert cells(row_of(block, "slr")) == (
        "slr",
        "93.00 ± 2.00",
        "3.00 ± 1.00",
        "90.00%",
        "10.0x",
        "+2.00 [-0.48, +4.48] gmp",
    )
    assert cells(row_of(block, "admm"))[0] == "admm (1 of 3 diverged)"


def test_an_arm_that_always_diverges_comes_last(record_of):
    nothing = {"status": Status.DIVERGED, "sparsity_reached": None, "compression": None}
    wild = [record_of("wild", seed, None, **nothing) for seed in (0, 1)]
    (block,) = blocks([*wild, record_of("slr", 0), record_of("slr", 1)])
    assert [row.method for row in block.rows] == ["slr", "wild"]
    assert cells(block.rows[1]) == ("wild (2 of 2 diverged)", "-", "-", "-", "-", "-")
    assert row_of(block, "slr").rival is None


def test_a_rival_below_the_target_is_marked(record_of):
    (block,) = blocks([record_of("lazy", sparsity_reached=0.88, compression=8.3), record_of("slr")])
    lazy = row_of(block, "lazy")
    assert lazy.falls_short
    assert not row_of(block, "slr").falls_short
    assert cells(lazy)[3] == "88.00% (too little)"


def test_different_questions_are_different_blocks(record_of):
    records = [
        record_of("slr", target="95%", sparsity=0.95, sparsity_reached=0.95),
        record_of("slr"),
        record_of("slr", epochs=1),
        record_of("slr", conditions="another learning rate"),
        record_of("slr", task="cifar10"),
    ]
    found = [(block.task, block.epochs, block.target) for block in blocks(records)]
    assert found == [
        ("cifar10", 2, "90%"),
        ("digits", 1, "90%"),
        ("digits", 2, "90%"),
        ("digits", 2, "90%"),
        ("digits", 2, "95%"),
    ]


def test_two_settings_of_one_arm_are_two_rows(record_of):
    (block,) = blocks([record_of(method_settings="SLR(sigma=1.0)"), record_of(accuracy=91.0, method_settings="SLR()")])
    assert [row.method for row in block.rows] == ["slr: SLR()", "slr: SLR(sigma=1.0)"]


def test_dense_runs_alone_make_a_block(record_of):
    (block,) = blocks([record_of("dense", target="dense", sparsity=0.0)])
    assert [row.method for row in block.rows] == ["dense"]


def test_curves_are_averaged_where_all_seeds_have_them(record_of):
    first = record_of(seed=0, curve=((1, 50.0), (2, 70.0)), curve_split="val")
    second = record_of(seed=1, curve=((1, 60.0), (2, 72.0)), curve_split="val")
    (block,) = blocks([first, second])
    assert block.rows[0].curve == ((1, 55.0), (2, 71.0))
    assert block.curve_split == "val"
    (block,) = blocks([first, record_of(seed=1)])
    assert block.rows[0].curve == ((1, 50.0), (2, 70.0))


@pytest.mark.parametrize(
    ("ours", "theirs", "sentence"),
    [
        (
            (91.0, 93.0),
            (90.0, 91.9),
            "slr is 1.05 points ahead of gmp, the best of the others; the 95% interval does not",
        ),
        (
            (91.0, 95.0),
            (90.0, 91.0),
            "slr is 2.50 points ahead of gmp, the best of the others; the 95% interval contains 0",
        ),
        (
            (90.0, 91.0),
            (91.0, 92.0),
            "slr is 1.00 points behind gmp, the best of the others; the 95% interval does not",
        ),
        (
            (90.0,),
            (90.0,),
            "slr is level with gmp, the best of the others; one seed says nothing about chance.",
        ),
    ],
)
def test_the_verdict_says_no_more_than_the_interval(ours, theirs, sentence, record_of):
    records = [record_of("slr", seed, value) for seed, value in enumerate(ours)]
    records += [record_of("gmp", seed, value) for seed, value in enumerate(theirs)]
    (block,) = blocks(records)
    assert verdict(block, "slr").startswith(sentence)
    assert verdict(block, "absent") == ""


def test_markdown(three_arms):
    (block,) = blocks(three_arms)
    lines = to_markdown([block]).splitlines()
    assert lines[0] == "**digits, cnn, 90%, 2 epochs, 3 seeds, dense 96.00 ± 1.00**"
    assert lines[2].startswith("| method | test accuracy after the cut | drop |")
    assert lines[3] == "| --- | ---: | ---: | ---: | ---: | ---: |"
    assert lines[5] == "| slr | 93.00 ± 2.00 | 3.00 ± 1.00 | 90.00% | 10.0x | +2.00 [-0.48, +4.48] gmp |"
    assert lines[-1].startswith("| admm (1 of 3 diverged) | 89.50 ± 13.44 |")


def test_a_table_is_put_between_its_markers():
    text = "a\n<!-- t:begin -->\nold \\1\n<!-- t:end -->\nb <!-- u:begin --><!-- u:end -->"
    once = insert(text, "t", "new \\1", "README.md")
    assert once == "a\n<!-- t:begin -->\n\nnew \\1\n\n<!-- t:end -->\nb <!-- u:begin --><!-- u:end -->"
    assert insert(once, "t", "new \\1", "README.md") == once
    for broken in ("no markers", text + "<!-- t:begin -->", "<!-- t:end --><!-- t:begin -->"):
        with pytest.raises(DataError, match=r"README\.md: must hold <!-- t:begin --> and <!-- t:end --> once each"):
            insert(broken, "t", "new", "README.md")


def test_a_sparkline_rises_with_its_values():
    assert sparkline([0, 14, 29, 43, 57, 71, 86, 100], 0, 100) == BARS
    assert sparkline([-5, 105], 0, 100) == BARS[0] + BARS[-1]
    assert sparkline([0, 100], 0, 100, PLAIN) == "_@"
    assert sparkline([3.0, 3.0], 3.0, 3.0) == BARS[-1] * 2
    assert scale([[3.0, 1.0], [2.0, 9.0]]) == (1.0, 9.0)
    assert scale([]) == (0.0, 100.0)
