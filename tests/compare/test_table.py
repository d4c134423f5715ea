"""Tables against figures computed by hand."""

import math

import pytest

from slrprune.compare import Status, blocks, insert, to_markdown
from slrprune.compare.chart import BARS, PLAIN, scale, sparkline, thinned
from slrprune.compare.text import all_notes, cells, header, title, verdict
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


def test_other_rules_are_another_question_under_the_same_label(record_of):
    """Their runs share seeds, and must not take each other's places."""
    dense = record_of("dense", 0, 99.0, target="dense", sparsity=0.0, rules="")
    records = [record_of("slr", 0, 91.0), record_of("slr", 0, 50.0, rules="{'*': Unstructured(0.9)}"), dense]
    found = blocks(records)
    assert [row_of(block, "slr").accuracy.mean for block in found] == [91.0, 50.0]
    assert [block.target for block in found] == [f"90% by {record.rules}" for record in records[:2]]
    assert all(row_of(block, "dense").accuracy.mean == 99.0 for block in found)


def test_the_dense_arm_competes_with_nobody(three_arms):
    (block,) = blocks(three_arms)
    dense = row_of(block, "dense")
    assert (dense.prunes, dense.rival, dense.lead) == (False, None, None)
    assert dense.drop.mean == -1.0
    assert all(row.rival != "dense" for row in block.rows)


def test_cells(three_arms):
    (block,) = blocks(three_arms)
    assert title(block) == "digits, cnn, 90%, 2 epochs, 3 seeds, dense 96.00 ± 1.00"
    assert dict(zip(header(block), cells(block, row_of(block, "slr")), strict=True)) == {
        "method": "slr",
        "test accuracy after the cut": "93.00 ± 2.00",
        "drop": "3.00 ± 1.00",
        "sparsity": "90.00%",
        "compression": "10.0x",
        "training time": "2.0 s",
        "against the best rival": "+2.00 [-0.48, +4.48] gmp",
    }
    assert cells(block, row_of(block, "admm"))[0] == "admm (1 of 3 diverged)"


def test_the_training_time_is_the_mean_of_the_runs_that_ended(record_of):
    slr = [record_of("slr", seed, wall_time_s=seconds) for seed, seconds in enumerate((60.0, 90.0))]
    cut_short = record_of("slr", 2, None, wall_time_s=1.0, status=Status.DIVERGED)
    wild = [record_of("wild", seed, None, wall_time_s=9.0, status=Status.DIVERGED) for seed in range(3)]
    (block,) = blocks([*slr, cut_short, *wild])
    assert cells(block, row_of(block, "slr"))[-2] == "1 min 15 s"
    assert (row_of(block, "wild").seconds, cells(block, row_of(block, "wild"))[-2]) == (None, "-")


def test_where_arms_differ_in_their_seeds_each_says_how_many(record_of):
    even = [record_of(method, seed) for method in ("slr", "gmp") for seed in (0, 1)]
    (block,) = blocks(even)
    assert "seeds" not in header(block)
    (block,) = blocks([*even, record_of("dpf", 1)])
    assert header(block)[:2] == ("method", "seeds")
    shown = {cells(block, row)[0]: cells(block, row)[1:3] for row in block.rows}
    assert shown == {"slr": ("2", "90.00 ± 0.00"), "gmp": ("2", "90.00 ± 0.00"), "dpf": ("1", "90.00")}
    assert len(to_markdown([block]).splitlines()[3].split("|")) == 8 + 2
    (block,) = blocks([record_of("slr", 0), record_of("slr", 1), record_of("gmp", 1), record_of("gmp", 2)])
    assert [cells(block, row)[1] for row in block.rows] == ["2", "2"]  # of the three in the title
    (block,) = blocks([*even, record_of("dense", 0, target="dense")])
    assert [cells(block, row)[:2] for row in block.rows] == [("dense", "1"), ("slr", "2"), ("gmp", "2")]


def test_one_dense_net_for_all_seeds_has_no_spread(record_of):
    start = {"dense_accuracy": 91.73, "dense_start": "pretrained, fingerprint 0"}
    (block,) = blocks([record_of("slr", seed, **start) for seed in range(3)])
    assert title(block).endswith("3 seeds, dense 91.73")
    (block,) = blocks([record_of("slr", seed, **start | {"dense_start": "trained by SGD"}) for seed in range(3)])
    assert title(block).endswith("3 seeds, dense 91.73 ± 0.00")


def test_the_metric_is_in_the_heading(record_of):
    (block,) = blocks([record_of("slr", 0), record_of("slr", 1, metric="token_probability")])
    assert header(block)[1] == "test token probability after the cut"  # an older record does not tell it
    (block,) = blocks([record_of("slr")])
    assert header(block)[1] == "test accuracy after the cut"


def test_a_run_without_a_figure_stands_in_the_table_with_its_reason(record_of):
    nothing = {"status": Status.UNMEASURED, "reason": "The mAP@0.5 is nan.", "dense_accuracy": None}
    (block,) = blocks([record_of("slr", seed, None, **nothing) for seed in (0, 1)])
    assert title(block).endswith("2 seeds, dense -")
    assert cells(block, block.rows[0]) == ("slr (2 of 2 unmeasured)", "-", "-", "90.00%", "10.0x", "2.0 s", "-")
    assert block.notes == ("slr at 90%, seeds 0, 1: unmeasured. The mAP@0.5 is nan.",)
    mixed = [record_of("slr", 0, None, **nothing), record_of("slr", 1, None, status=Status.DIVERGED, reason="NaN.")]
    (block,) = blocks([*mixed, record_of("slr", 2)])
    assert cells(block, block.rows[0])[:2] == ("slr (1 of 3 diverged, 1 of 3 unmeasured)", "90.00")
    assert block.rows[0].drop.count == 1


def test_notes_are_told_once_below_all_tables(record_of):
    skipped = {"warnings": ("Skipped 1, since it is a_b: x|*.jpg.", "Skipped 2.")}
    gone = record_of("wild", 1, None, status=Status.DIVERGED, reason="train, step 3: NaN.", task_settings={"fold": 4})
    records = [record_of("slr", seed, target=target, **skipped) for seed in (0, 1) for target in ("80%", "90%")]
    found = blocks([*records, gone, record_of("slr", 3, reason="The accuracy of the dense start is nan.")])
    assert set(all_notes(found)) == {
        "Skipped 1, since it is a_b: x|*.jpg.",
        "Skipped 2.",
        "wild at 90%, seed 1 of fold 4: diverged. train, step 3: NaN.",
        "The accuracy of the dense start is nan.",
    }
    text = to_markdown(found)
    assert text.count("Skipped 1, since it is a\\_b: x|\\*.jpg.") == text.count("\n\nSkipped 2.\n") == 1
    assert text.index("| slr |") < text.index("Skipped")


def test_what_won_a_tuning_stands_once_below_the_tables(record_of):
    note = {"trials": 3, "epochs": 2, "seeds": [1000], "target": "90%", "accuracy": 80.0}
    won = {"tuning": note | {"task": "cifar10", "model": "resnet20"}, "method_settings": "ADMM(interval=5)"}
    records = [record_of("admm_ramp", seed, target=target, **won) for seed in (0, 1) for target in ("80%", "90%")]
    slr = record_of("slr", tuning=note | {"trials": 1, "epochs": 1})  # older notes do not tell the task
    found = blocks([*records, slr, record_of("dpf", tuning={}), record_of("one_shot")])
    assert set(all_notes(found)) == {
        "admm_ramp was tuned: ADMM(interval=5), best of 3 trials of 2 epochs at 90% on cifar10, resnet20.",
        "slr was tuned: slr(), best of 1 trial of 1 epoch at 90%.",
        "dpf was tuned: dpf().",
    }
    assert to_markdown(found).count("\nadmm\\_ramp was tuned: ADMM(interval=5), best of 3 trials") == 1


def test_runs_of_several_versions_are_told(record_of):
    """A finished run is not repeated after an upgrade, and what `SLR()` is may have changed."""
    made = [record_of("slr", 0, slrprune="0.2.0"), record_of("slr", 1, slrprune="0.1.0"), record_of("dpf", 0)]
    assert made[2].slrprune == ""
    (block,) = blocks(made)
    assert block.notes == (
        "These runs were made by slrprune 0.1.0 and 0.2.0: the same settings may mean another method.",
    )
    (block,) = blocks([record_of(name, 0, slrprune="0.1.0") for name in ("slr", "dpf")])
    assert block.notes == ()


def test_an_arm_that_always_diverges_comes_last(record_of):
    nothing = {"status": Status.DIVERGED, "sparsity_reached": None, "compression": None}
    wild = [record_of("wild", seed, None, **nothing) for seed in (0, 1)]
    (block,) = blocks([*wild, record_of("slr", 0), record_of("slr", 1)])
    assert [row.method for row in block.rows] == ["slr", "wild"]
    assert cells(block, block.rows[1]) == ("wild (2 of 2 diverged)", "-", "-", "-", "-", "-", "-")
    assert row_of(block, "slr").rival is None


def test_a_rival_below_the_target_is_marked(record_of):
    (block,) = blocks([record_of("lazy", sparsity_reached=0.88, compression=8.3), record_of("slr")])
    lazy = row_of(block, "lazy")
    assert lazy.falls_short
    assert not row_of(block, "slr").falls_short
    assert cells(block, lazy)[3] == "88.00% (too little)"


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
    assert lines[3] == "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    assert lines[5] == "| slr | 93.00 ± 2.00 | 3.00 ± 1.00 | 90.00% | 10.0x | 2.0 s | +2.00 [-0.48, +4.48] gmp |"
    assert lines[-3].startswith("| admm (1 of 3 diverged) | 89.50 ± 13.44 |")
    assert lines[-2:] == ["", "admm at 90%, seed 2: diverged. NaN."]


def test_a_table_is_put_between_its_markers():
    text = "a\n<!-- t:begin -->\nold \\1\n<!-- t:end -->\nb <!-- u:begin --><!-- u:end -->"
    once = insert(text, "t", "new \\1", "README.md")
    assert once == "a\n<!-- t:begin -->\n\nnew \\1\n\n<!-- t:end -->\nb <!-- u:begin --><!-- u:end -->"
    assert insert(once, "t", "new \\1", "README.md") == once
    for broken in ("no markers", text + "<!-- t:begin -->", "<!-- t:end --><!-- t:begin -->"):
        with pytest.raises(DataError, match=r"README\.md: must hold <!-- t:begin --> and <!-- t:end --> once each"):
            insert(broken, "t", "new", "README.md")


@pytest.mark.parametrize("count", [1, 2, 49, 50, 51, 200])
def test_a_long_curve_is_thinned_between_its_ends(count):
    values = [float(value) for value in range(count)]
    shown = thinned(values, 50)
    assert len(shown) == min(count, 50)
    assert (shown[0], shown[-1]) == (values[0], values[-1])
    assert shown == sorted(set(shown))


def test_a_sparkline_rises_with_its_values():
    assert sparkline([0, 14, 29, 43, 57, 71, 86, 100], 0, 100) == BARS
    assert sparkline([-5, 105], 0, 100) == BARS[0] + BARS[-1]
    assert sparkline([0, 100], 0, 100, PLAIN) == "_@"
    assert sparkline([3.0, 3.0], 3.0, 3.0) == BARS[-1] * 2
    assert scale([[3.0, 1.0], [2.0, 9.0]]) == (1.0, 9.0)
    assert scale([]) == (0.0, 100.0)
