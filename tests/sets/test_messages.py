"""What sets say about wrong arguments and shapes that do not fit: layer, rule, shape, way out."""

import pytest
import torch
from torch import nn

from slrprune.errors import ArgumentError, ShapeError
from slrprune.sets import NM, Block, Channel, Column, Global, KernelPattern, Unstructured

ARGUMENTS = [
    (lambda: Unstructured(90), r"Unstructured\(sparsity=90\): sparsity must be in \[0, 1\)\. .* 0\.9 keeps one"),
    (lambda: NM(4, 2), r"NM\(n=4\): n must be at most m=2\. NM\(n, m\) keeps n of every m"),
    (lambda: NM(0, 4), r"NM\(n=0\): n must be a whole number of at least 1"),
    (lambda: NM(2, 4.0), r"NM\(m=4\.0\): m must be a whole number"),
    (lambda: NM(2, 4, fraction=1.1), r"NM\(fraction=1\.1\): fraction must be in \[0, 1\]"),
    (lambda: Block((), 0.5), r"Block\(shape=\(\)\): shape must be whole numbers of at least 1, as in \(4, 1\)"),
    (lambda: Block(4, 0.5), r"Block\(shape=4\): shape must be whole numbers of at least 1, as in \(4, 1\)"),
    (lambda: Block((4, 0), 0.5), r"Block\(shape=\(4, 0\)\): shape must be whole numbers"),
    (lambda: NM(2, 4, dim="x"), r"NM\(dim='x'\): dim must be a whole number"),
    (lambda: NM(2, 4, dim=1.0), r"NM\(dim=1\.0\): dim must be a whole number"),
    (lambda: Channel(0.5, dim=None), r"Channel\(dim=None\): dim must be a whole number"),
    (lambda: Channel(0.5, dim=True), r"Channel\(dim=True\): dim must be a whole number"),
    (lambda: Column(0.5, dim=1.0), r"Column\(dim=1\.0\): dim must be a whole number"),
    (lambda: Column(0.5, dim=2), r"Column\(dim=2\): dim must be 0 or 1"),
    (lambda: KernelPattern(patterns=()), r"patterns must be matrices of one shape, with at least one True each"),
    (lambda: KernelPattern(patterns=(((1, 0),), ((1,),))), r"patterns must be matrices of one shape"),
    (lambda: KernelPattern(patterns=(((1, 0), (1,)),)), r"patterns must be matrices of one shape"),
    (lambda: KernelPattern(patterns=(((0, 0),),)), r"with at least one True each"),
    (lambda: KernelPattern(connectivity=1.0), r"KernelPattern\(connectivity=1\.0\): connectivity must be in \[0, 1\)"),
    (lambda: KernelPattern(fraction=-0.1), r"KernelPattern\(fraction=-0\.1\): fraction must be in \[0, 1\]"),
    (lambda: KernelPattern(connectivity=0.5, fraction=0.5), r"fraction must be 1 where connectivity is not 0"),
    (lambda: Global(), r"Global\(budget=\[\]\): budget must be exactly one of sparsity, params, macs, bytes"),
    (lambda: Global(0.9, params=5), r"Global\(budget=\['sparsity', 'params'\]\): budget must be exactly one of"),
    (lambda: Global(params=0.5), r"Global\(params=0\.5\): params must be a whole number of at least 1"),
    (lambda: Global(bytes=0), r"Global\(bytes=0\): bytes must be a whole number of at least 1"),
    (lambda: Global(0.5, allocation="lmap"), r"must be one of \['magnitude', .*\]\. Did you mean 'lamp'\?"),
    (lambda: Global(0.5, allocation="LAMP"), r"Did you mean 'lamp'\?"),
    (lambda: Global(0.5, allocation="fair"), r"must be one of \['magnitude', .*\]\.$"),
    (lambda: Global(0.5, floor=1.5), r"Magnitude\(floor=1\.5\): floor must be in \[0, 1\]"),
    (lambda: Global(0.5, allocation="erk", floor=0.1), r"Global\(floor=0\.1\): floor must go with .*'magnitude'"),
    (lambda: Global(macs=10**6), r"example_input must be given with macs, and only then"),
    (lambda: Global(0.5, example_input=torch.ones(1)), r"example_input must be given with macs, and only then"),
    (
        lambda: Global(macs=9, example_input=(1,), allocation="erk"),
        r"allocation must be 'magnitude' for a budget in macs",
    ),
    (lambda: Global(0.5, progress=2), r"Global\(progress=2\): progress must be in \[0, 1\]"),
]


@pytest.mark.parametrize(("make", "message"), ARGUMENTS)
def test_wrong_arguments(make, message):
    with pytest.raises(ArgumentError, match=message):
        make()


@pytest.mark.parametrize("other", [3, "NM(2, 4)", None, NM])
def test_what_is_no_set_does_not_meet_one(other):
    for meet in (lambda: Channel(0.5) & other, lambda: other & Channel(0.5)):
        with pytest.raises(TypeError, match="unsupported operand type"):
            meet()


SHAPES = [
    (
        NM(2, 4),
        (64, 3, 7, 8),
        r"conv1\.weight: NM\(2, 4\) needs shape\[1\] divisible by 4, .*\. Use dim=0, or leave conv1",
    ),
    (NM(2, 4), (3, 3), r"NM\(2, 4\) needs shape\[1\] divisible by 4, got shape \(3, 3\)\. Leave conv1\.weight out"),
    (NM(2, 4), (8,), r"NM\(2, 4\) along dim 1 needs that dimension, got shape \(8,\)"),
    (NM(2, 4, dim=-3), (8, 4), r"NM\(2, 4\) along dim -3 needs that dimension"),
    (Block((4, 1), 0.5), (6, 2), r"Block\(\(4, 1\)\) needs shape\[0\] divisible by 4, got shape \(6, 2\)"),
    (Block((4, 1), 0.5), (8,), r"Block\(\(4, 1\)\) needs at least 2 dimensions, got shape \(8,\)"),
    (Channel(0.5, dim=1), (8,), r"Channel along dim 1 needs that dimension, got shape \(8,\)"),
    (Column(0.5), (8,), r"Column needs a weight of at least 2 dimensions, got shape \(8,\)"),
    (
        KernelPattern(),
        (8, 8, 1, 1),
        r"KernelPattern needs a weight of shape \(out, in, 3, 3\), got shape \(8, 8, 1, 1\)",
    ),
    (
        KernelPattern(),
        (3, 3),
        r"KernelPattern needs .*\. Use patterns of its kernel's shape, or leave conv1\.weight out",
    ),
    (Channel(0.5) & NM(2, 4), (8, 3), r"NM\(2, 4\) needs shape\[1\] divisible by 4"),
    (Channel(0.5, dim=2) & NM(2, 4), (8, 4), r"Channel along dim 2 needs that dimension"),
]


@pytest.mark.parametrize(("constraint", "shape", "message"), SHAPES, ids=str)
def test_shapes_that_do_not_fit(constraint, shape, message):
    with pytest.raises(ShapeError, match=r"^conv1\.weight: .*" + message.removeprefix(r"conv1\.weight: ")):
        constraint.check("conv1.weight", shape)
    with pytest.raises(ShapeError, match=r"^conv1\.weight: "):
        constraint.bind(nn.Identity(), {"conv1.weight": torch.ones(shape)})
    with pytest.raises(ShapeError, match=r"^weight: "):
        constraint.mask(torch.ones(shape))


@pytest.mark.parametrize("constraint", [NM(2, 4, dim=-1), Channel(0.5, dim=-1)], ids=repr)
def test_dimension_from_the_end_has_no_transposed_twin(constraint):
    with pytest.raises(ArgumentError, match="dim must count from 0 where weights are stored transposed"):
        constraint.transposed()


def test_reprs_show_what_was_asked():
    assert repr(Global(0.9)) == "Global(sparsity=0.9)"
    assert repr(Global(params=5, allocation="lamp").at(0.5)) == "Global(params=5, allocation='lamp', progress=0.5)"
    assert repr(KernelPattern(connectivity=0.25)) == "KernelPattern(connectivity=0.25)"
    assert repr(KernelPattern().at(0.5)) == "KernelPattern(connectivity=0.0, fraction=0.5)"
