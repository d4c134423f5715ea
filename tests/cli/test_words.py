"""Lists of words on a command line."""

import pytest

from slrprune.cli.words import written_out

LISTS, SINGLE = ("--methods", "--sparsity", "--option"), ("--seeds",)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("digits --methods slr dpf", "digits --methods slr --methods dpf"),
        ("--methods slr dpf digits", "--methods slr --methods dpf digits"),  # the missing argument comes last
        ("--methods slr digits --sparsity 0.5", "--methods slr digits --sparsity 0.5"),
        ("--methods=slr dpf digits", "--methods=slr --methods dpf digits"),
        ("digits --methods slr,dpf admm", "digits --methods slr,dpf --methods admm"),
        (
            "--sparsity 0.5 0.75 digits --methods slr dpf",
            "--sparsity 0.5 --sparsity 0.75 digits --methods slr --methods dpf",
        ),
        ("--sparsity 0.5,0.7 0.75 digits", "--sparsity 0.5,0.7 --sparsity 0.75 digits"),
        ("--option fold=1 shift=2 digits", "--option fold=1 --option shift=2 digits"),
        ("--seeds 3 digits", "--seeds 3 digits"),
        (
            "--sparsity 0.5 --seeds 3 0.75 digits",
            "--sparsity 0.5 --seeds 3 0.75 digits",
        ),  # an extra argument, as before
        ("digits --json --methods", "digits --json --methods"),
        ("digits --sparsity 0.5 -- --methods a", "digits --sparsity 0.5 -- --methods a"),
        ("", ""),
    ],
)
def test_a_list_goes_on_while_the_words_are_of_one_kind(line, expected):
    assert written_out(line.split(), LISTS, SINGLE, 1) == expected.split()


def test_without_a_required_argument_all_words_belong_to_the_list():
    assert written_out(["--methods", "slr", "dpf"], LISTS, SINGLE, 0) == ["--methods", "slr", "--methods", "dpf"]
