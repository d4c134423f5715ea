import pytest
import torch

from slrprune.errors import ArgumentError
from slrprune.sets import NM, Block, Channel, Column, Global, Intersection, KernelPattern, Unstructured

OTHER = (((1, 0, 0), (0, 1, 0), (0, 0, 1)),)


@pytest.mark.parametrize(
    ("looser", "tighter"),
    [
        (Unstructured(0.5), Unstructured(0.9)),
        (Channel(0.2, dim=1), Channel(0.3, dim=1)),
        (Column(0.2), Column(0.3)),
        (Block((4, 1), 0.2), Block((4, 1), 0.3)),
        (NM(2, 4), NM(1, 4)),
        (KernelPattern(), KernelPattern(connectivity=0.5)),
        (NM(2, 4), NM(2, 4)),
    ],
    ids=repr,
)
def test_nested_sets_give_the_tighter(looser, tighter):
    assert looser & tighter == tighter
    assert tighter & looser == tighter


def test_order_does_not_matter():
    assert NM(2, 4) & Channel(0.5) == Channel(0.5) & NM(2, 4) == Intersection(Channel(0.5), NM(2, 4))
    assert KernelPattern() & Channel(0.5, dim=1) == Intersection(Channel(0.5, dim=1), KernelPattern())


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (Unstructured(0.5), NM(2, 4), r"Unstructured & NM compete for the same entries"),
        (Channel(0.5), Unstructured(0.5), r"Channel & Unstructured compete for the same entries"),
        (Channel(0.5), Channel(0.5, dim=1), r"Channel & Channel are two sets of one class that are not nested"),
        (NM(2, 4), NM(2, 8), r"NM & NM are two sets of one class that are not nested"),
        (KernelPattern(), KernelPattern(patterns=OTHER), r"are two sets of one class that are not nested"),
        (Channel(0.5), Column(0.5), r"Channel & Column compete"),
        (Global(0.5), Channel(0.5), r"Channel & Global has a budget that several tensors share"),
        (Global(0.5), Global(0.9), r"Global & Global has a budget that several tensors share"),
        (Channel(0.5), NM(2, 4, dim=0), r"Channel & NM do not nest: a group of the second must lie within one unit"),
        (Channel(0.5), NM(2, 4, dim=-1), r"Channel & NM do not nest: .*\(dims from 0\)"),
        (Column(0.5), NM(2, 4), r"Column & NM do not nest"),
        (Column(0.5), KernelPattern(), r"Column & KernelPattern do not nest"),
        (Channel(0.5, dim=2), KernelPattern(), r"Channel & KernelPattern do not nest"),
        (Channel(0.5), KernelPattern(connectivity=0.1), r"Channel & KernelPattern count over the whole tensor"),
        (Channel(0.5), NM(2, 4).at(0.5), r"Channel & NM count over the whole tensor"),
        ((Channel(0.5) & NM(2, 4)), NM(1, 4), r"compete for the same entries"),
    ],
)
def test_what_is_not_known_is_refused_by_name(first, second, message):
    with pytest.raises(ArgumentError, match=message):
        first & second


def test_constructor_refuses_what_the_operator_would_simplify():
    with pytest.raises(ArgumentError, match="& returns the tighter one"):
        Intersection(Channel(0.5), Channel(0.6))


def test_path_grows_the_inner_set_first():
    both = Channel(0.5) & NM(2, 4)
    assert both.at(0.25) == NM(2, 4, fraction=0.5)
    assert both.at(0.5) == NM(2, 4)
    assert both.at(0.75) == Channel(0.25) & NM(2, 4)
    assert both.at(1) == both


def test_units_are_chosen_by_what_the_inner_set_leaves():
    weight = torch.tensor([[3.0, 3.0], [0.0, 4.0]])
    assert Channel(0.5).mask(weight)[0].all()
    assert (Channel(0.5) & NM(1, 2)).mask(weight).tolist() == [[False, False], [False, True]]


def test_transposed_turns_both():
    assert (Channel(0.5) & NM(2, 4)).transposed() == Channel(0.5, dim=1) & NM(2, 4, dim=0)
