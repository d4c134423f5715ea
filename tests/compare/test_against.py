"""The difference to a rival that is named, and to the best when others are left out."""

import pytest

from slrprune.compare import Against, blocks, to_markdown
from slrprune.compare.text import cells, header, title, verdict
from slrprune.errors import ArgumentError


@pytest.fixture
def four_arms(record_of):
    """slr 91, 93, 95; dpf 92, 94, 96; gmp 90, 91, 92; dense, trained on, 96, 97, 98."""
    figures = {"slr": (91.0, 93.0, 95.0), "dpf": (92.0, 94.0, 96.0), "gmp": (90.0, 91.0, 92.0)}
    records = [record_of(name, seed, value) for name, values in figures.items() for seed, value in enumerate(values)]
    return [*records, *(record_of("dense", seed, 96.0 + seed, target="dense") for seed in range(3))]


def leads(block):
    """Mean lead and rival by arm."""
    return {row.method: row.lead and (row.lead.mean, row.rival) for row in block.rows}


def test_the_best_of_the_others_by_default(four_arms):
    (block,) = blocks(four_arms)
    assert leads(block) == {"dense": None, "dpf": (1.0, "slr"), "slr": (-1.0, "dpf"), "gmp": (-3.0, "dpf")}


def test_a_named_rival_takes_the_place_of_the_best(four_arms):
    (block,) = blocks(four_arms, Against("gmp"))
    assert leads(block) == {"dense": None, "dpf": (3.0, "gmp"), "slr": (2.0, "gmp"), "gmp": None}
    assert header(block)[-1] == "against gmp"
    assert [cells(block, row)[-1] for row in block.rows] == ["-", "+3.00 [+0.52, +5.48]", "+2.00 [-0.48, +4.48]", "-"]
    assert verdict(block, "slr").startswith("slr is 2.00 points ahead of gmp; the 95% interval contains 0")
    assert verdict(block, "gmp") == ""


def test_the_dense_arm_may_be_named(four_arms):
    (block,) = blocks(four_arms, Against("dense"))
    assert leads(block) == {"dense": None, "dpf": (-3.0, "dense"), "slr": (-4.0, "dense"), "gmp": (-6.0, "dense")}


def test_who_is_left_out_is_no_rival_and_no_row(four_arms):
    (block,) = blocks(four_arms, Against(without=("dpf",)))
    assert leads(block) == {"dense": None, "slr": (2.0, "gmp"), "gmp": (-2.0, "slr")}
    assert header(block)[-1] == "against the best rival"
    assert ", 3 seeds, without dpf, dense " in title(block)
    assert ", without dpf and dense, dense " in to_markdown(blocks(four_arms, Against(without=("dpf", "dense"))))
    (block,) = blocks(four_arms, Against("slr", ("dpf",)))
    assert leads(block) == {"dense": None, "slr": None, "gmp": (-2.0, "slr")}


def test_a_rival_that_a_block_lacks_is_nobodys(four_arms, record_of):
    first, second = blocks([*four_arms, record_of("slr", target="95%", sparsity=0.95)], Against("gmp"))
    assert (first.target, leads(first)["slr"]) == ("90%", (2.0, "gmp"))
    assert [cells(second, row)[-1] for row in second.rows] == ["-", "-"]


@pytest.mark.parametrize(
    ("against", "sentence"),
    [
        (Against("gpm"), r"table\(against='gpm'\): against must be one of slr, dpf, gmp, dense\. The closest is 'gmp'"),
        (Against(without=("slr", "dfp")), r"table\(without='dfp'\): without must be one of slr, dpf, gmp, dense\."),
        (Against(without=("slr", "dpf", "gmp", "dense")), "without must leave a method in the table"),
    ],
)
def test_a_slip_is_no_other_table(four_arms, against, sentence):
    with pytest.raises(ArgumentError, match=sentence):
        blocks(four_arms, against)


def test_a_rival_cannot_be_left_out():
    with pytest.raises(ArgumentError, match="rival must not be among those that are left out"):
        Against("slr: SLR(sigma=1.0)", ("slr",))


def test_one_of_several_settings_is_named_as_the_table_writes_it(record_of):
    records = [record_of("slr", 0, 90.0, method_settings="SLR()"), record_of("slr", 0, 92.0, method_settings="SLR(1)")]
    records.append(record_of("gmp", 0, 91.0))
    (block,) = blocks(records, Against("slr: SLR()"))
    assert leads(block) == {"slr: SLR(1)": (2.0, "slr: SLR()"), "gmp": (1.0, "slr: SLR()"), "slr: SLR()": None}
    with pytest.raises(ArgumentError, match=r"must name one of several settings: 'slr: SLR\(\)'; 'slr: SLR\(1\)'"):
        blocks(records, Against("slr"))


def test_settings_that_no_table_writes_are_a_slip_too(four_arms, record_of):
    with pytest.raises(ArgumentError, match=r"against must be one of 'dense'; .*'slr'.* only where a table holds sev"):
        blocks(four_arms, Against("slr: SLR()"))
    records = [record_of("slr", 0, 90.0 + i, method_settings=f"SLR({i})") for i in range(2)]
    with pytest.raises(ArgumentError, match=r"'slr: SLR\(2\)'\): against must be one of 'slr: SLR\(1\)'; 'slr: SLR"):
        blocks(records, Against("slr: SLR(2)"))
    assert blocks([*records, record_of("slr", target="95%", sparsity=0.95)], Against("slr: SLR(1)"))
