"""Bad input counted for the report."""

from slrprune.compare.identity import fingerprint
from slrprune.tasks import Digits, Tally


def test_sentences_count_by_reason_and_name_the_first_few():
    tally = Tally()
    for number in range(5):
        tally.add("the image cannot be read", f"{number}.png")
    tally.add("the label is out of range", "a.txt")
    assert tally.sentences() == (
        "Skipped 5, since the image cannot be read: 0.png, 1.png, 2.png and 2 more.",
        "Skipped 1, since the label is out of range: a.txt.",
    )
    assert len(tally) == 6


def test_the_same_thing_met_again_counts_once():
    tally = Tally()
    tally.add("the image cannot be read", "0.png")
    tally.add("the image cannot be read", "0.png")
    assert len(tally) == 1


def test_the_sentences_do_not_depend_on_what_was_met_first():
    """The tables of a comparison tell equal sentences once; seeds and workers meet the same files in other orders."""
    names = [f"{number}.png" for number in range(5)]
    said = []
    for order in (names, names[::-1]):
        tally = Tally()
        for name in order:
            tally.add("the image cannot be read", name)
        said.append(tally.sentences())
    assert said[0] == said[1]


def test_a_tally_is_no_part_of_a_fingerprint():
    tally = Tally()
    before = fingerprint({"tally": tally})
    tally.add("the image cannot be read", "0.png")
    assert fingerprint({"tally": tally}) == before


def test_a_task_without_bad_input_has_no_warnings():
    assert Digits().warnings() == ()
