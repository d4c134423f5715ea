"""What every constraint set promises, tested for every set by one table.

A row gives a set, tiny shapes, and its *membership* written down a second time in numpy, on supports: all 2^numel of
them are tried, so the nearest point is known from the definition alone. Distances are compared in float64.
"""

import copy
import dataclasses
import math
import pickle
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from slrprune.errors import ArgumentError, NonFiniteError
from slrprune.sets import NM, Block, Channel, Column, ConstraintSet, Global, KernelPattern, Unstructured
from slrprune.sets.knapsack import Knapsack
from slrprune.sets.pattern import FOUR_OF_NINE

DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
Allowed = Callable[[list[np.ndarray]], np.ndarray]


def kept(numel, sparsity):
    return max(1, numel - round(sparsity * numel))


def at_most(sparsity, groups):
    """At most k groups in use; `groups` turns supports (many, *shape) into group use (many, groups)."""

    def allowed(supports):
        use = groups(supports[0]).reshape(len(supports[0]), -1)
        return use.sum(1) <= kept(use.shape[1], sparsity)

    return allowed


def obeys(n, m, axis, fraction=1.0):
    def allowed(supports):
        s = np.moveaxis(supports[0], axis + 1, -1)
        fine = (s.reshape(*s.shape[:-1], -1, m).sum(-1) <= n).reshape(len(s), -1)
        return fine.sum(1) >= round(fraction * fine.shape[1])

    return allowed


def fits(patterns, connectivity=0.0, fraction=1.0):
    def allowed(supports):
        kernels = supports[0].reshape(len(supports[0]), -1, np.size(patterns[0]))
        fine = np.zeros(kernels.shape[:2], dtype=bool)
        for pattern in patterns:
            fine |= ~(kernels & ~np.array(pattern, dtype=bool).ravel()).any(-1)
        used = kernels.any(-1).sum(1)
        return (fine.sum(1) >= round(fraction * fine.shape[1])) & (used <= kept(fine.shape[1], connectivity))

    return allowed


def slices(axis):
    """Which slices along `axis` are in use."""
    return lambda s: np.moveaxis(s, axis + 1, 1).reshape(len(s), s.shape[axis + 1], -1).any(2)


def blocks(s, rows, columns):
    return s.reshape(len(s), s.shape[1] // rows, rows, s.shape[2] // columns, columns, -1).any((2, 4))


def with_floor(k, floors):
    return lambda supports: sum(np.maximum(counts(s), f) for s, f in zip(supports, floors, strict=True)) <= k


def each_at_most(*limits):
    return lambda supports: np.all([counts(s) <= k for s, k in zip(supports, limits, strict=True)], axis=0)


def counts(s):
    return s.reshape(len(s), -1).sum(1)


def both(first, second):
    return lambda supports: first(supports) & second(supports)


@dataclass(frozen=True)
class Case:
    """One set on tiny shapes. `big` makes a fitting shape from three sizes from 1."""

    name: str
    set: ConstraintSet
    shapes: tuple[tuple[int, ...], ...]
    allowed: Allowed
    big: Callable[[int, int, int], tuple[int, ...]]
    first_wins: bool = True
    """Of several nearest supports that with the lowest indices; else by the index of the pattern, or of the column."""


def plain(a, b, c):
    return (a, b, c)


PAIR = (((True, True), (False, False)), ((True, False), (True, False)), ((False, False), (False, True)))
PATTERNS = KernelPattern(patterns=PAIR)
CASES = [
    Case("unstructured", Unstructured(0.6), ((3, 4),), at_most(0.6, lambda s: s), plain),
    Case("unstructured-0d", Unstructured(0.6), ((),), at_most(0.6, lambda s: s), plain),
    Case("nm-2-4", NM(2, 4), ((3, 4),), obeys(2, 4, 1), lambda a, b, c: (a, 4 * b, c)),
    Case("nm-dim0", NM(1, 3, dim=0), ((6, 2),), obeys(1, 3, 0), lambda a, b, c: (3 * a, b, c)),
    Case("nm-last", NM(1, 2, dim=-1), ((2, 3, 2),), obeys(1, 2, 2), lambda a, b, c: (a, b, 2 * c)),
    Case("nm-third", NM(1, 4).at(0.34), ((3, 4),), obeys(1, 4, 1, 0.34), lambda a, b, c: (a, 4 * b, c)),
    Case("nm-wide", NM(5, 17), ((1, 17),), obeys(5, 17, 1), lambda a, b, c: (a, 17 * b, c)),
    Case(
        "block", Block((2, 1), 0.5), ((4, 3),), at_most(0.5, lambda s: blocks(s, 2, 1)), lambda a, b, c: (2 * a, b, c)
    ),
    Case(
        "block-3d",
        Block((1, 2), 0.7),
        ((2, 2, 3),),
        at_most(0.7, lambda s: blocks(s, 1, 2)),
        lambda a, b, c: (a, 2 * b, c),
    ),
    Case("channel", Channel(0.5), ((4, 3),), at_most(0.5, slices(0)), plain),
    Case("channel-in", Channel(0.4, dim=1), ((2, 3, 2),), at_most(0.4, slices(1)), plain),
    Case("column", Column(0.5), ((2, 3, 2),), at_most(0.5, lambda s: s.any(1)), plain),
    Case("pattern", PATTERNS, ((3, 1, 2, 2),), fits(PAIR), lambda a, b, c: (a, b, 2, 2), False),
    Case("pattern-3x3", KernelPattern(), ((1, 1, 3, 3),), fits(FOUR_OF_NINE), lambda a, b, c: (a, b, 3, 3), False),
    Case(
        "pattern-some", PATTERNS.at(0.4), ((1, 3, 2, 2),), fits(PAIR, fraction=0.4), lambda a, b, c: (a, b, 2, 2), False
    ),
    Case(
        "pattern-connectivity",
        KernelPattern(patterns=PAIR, connectivity=0.4),
        ((3, 1, 2, 2),),
        fits(PAIR, 0.4),
        lambda a, b, c: (a, b, 2, 2),
        False,
    ),
    Case("global", Global(0.7), ((2, 3), (5,), (1,)), with_floor(4, [1, 1, 1]), plain),
    Case("global-floor", Global(0.5, floor=0.9), ((2, 4), (4,)), with_floor(6, [4, 2]), plain),
    Case("global-params", Global(params=5), ((2, 3), (6,)), with_floor(5, [1, 1]), plain),
    Case("global-erk", Global(0.5, allocation="erk"), ((2, 4), (4,)), each_at_most(4, 2), plain),
    Case("global-uniform", Global(0.7, allocation="uniform"), ((7,), (5,)), each_at_most(2, 2), plain),
    Case(
        "channel-nm",
        Channel(0.5) & NM(1, 2),
        ((3, 4),),
        both(at_most(0.5, slices(0)), obeys(1, 2, 1)),
        lambda a, b, c: (a, 2 * b, c),
    ),
    Case(
        "column-nm",
        Column(0.5) & NM(1, 2, dim=0),
        ((4, 3),),
        both(at_most(0.5, lambda s: s.any(1)), obeys(1, 2, 0)),
        lambda a, b, c: (2 * a, b, c),
        False,
    ),
    Case(
        "channel-pattern",
        Channel(0.5, dim=1) & PATTERNS,
        ((1, 3, 2, 2),),
        both(at_most(0.5, slices(1)), fits(PAIR)),
        lambda a, b, c: (a, b, 2, 2),
        False,
    ),
]
LAMP = Case("global-lamp", Global(0.7, allocation="lamp"), ((2, 3), (5,), (1,)), lambda s: None, plain)
KNAPSACK = Case("knapsack", Knapsack(14, (1, 3)), ((2, 3), (6,)), lambda s: None, plain)
EVERY = [
    *CASES,
    LAMP,
    KNAPSACK,
]  # these two have no membership by counts; their own tests follow below and in tests/sets

each_case = pytest.mark.parametrize("case", EVERY, ids=lambda c: c.name)
each_exact_case = pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
each_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)


def randn(shapes, seed, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator).to(dtype) for shape in shapes]


def project(constraint, weights):
    return [torch.where(m, w, torch.zeros_like(w)) for m, w in zip(constraint.masks(weights), weights, strict=True)]


def supports_of(shapes):
    """All supports of tensors of these shapes: a list of arrays (2^numel, *shape), lowest indices first."""
    sizes = [math.prod(shape) for shape in shapes]
    codes = np.arange(2 ** sum(sizes) - 1, -1, -1)
    bits = (codes[:, None] >> np.arange(sum(sizes) - 1, -1, -1)) & 1 == 1
    parts = np.split(bits, np.cumsum(sizes)[:-1], axis=1)
    return [part.reshape(-1, *shape) for part, shape in zip(parts, shapes, strict=True)]


def nearest_by_definition(case, weights):
    """The first support of the set of the most energy, and that energy."""
    supports = supports_of(case.shapes)
    energy = sum(
        s.reshape(len(s), -1) @ (w.double().numpy().ravel() ** 2) for s, w in zip(supports, weights, strict=True)
    )
    energy = np.where(case.allowed(supports), energy, -1.0)
    best = int(energy.argmax())
    return [np.asarray(s[best]) for s in supports], energy[best]


def energy_of(weights, masks):
    return sum(float((w.double() ** 2)[m].sum()) for w, m in zip(weights, masks, strict=True))


def is_member(case, masks):
    return bool(case.allowed([m.numpy()[None] for m in masks])[0])


def same(first, second):
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@each_exact_case
@each_dtype
def test_nearest_point_of_the_set(case, dtype):
    for seed in range(4):
        weights = randn(case.shapes, seed, dtype)
        masks = case.set.masks(weights)
        _, best = nearest_by_definition(case, weights)
        assert is_member(case, [m & (w != 0) for m, w in zip(masks, weights, strict=True)])
        assert energy_of(weights, masks) >= best * (1 - 1e-12)


@each_exact_case
@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_ties_keep_the_lowest_index(case, data):
    values = [data.draw(st.lists(st.integers(-2, 2), min_size=n, max_size=n)) for n in map(math.prod, case.shapes)]
    weights = [torch.tensor(v, dtype=torch.float32).view(s) for v, s in zip(values, case.shapes, strict=True)]
    masks = case.set.masks(weights)
    first, best = nearest_by_definition(case, weights)
    assert energy_of(weights, masks) == best
    if case.first_wins:
        assert [m.tolist() for m in masks] == [f.tolist() for f in first]


@each_case
@each_dtype
@pytest.mark.parametrize("device", DEVICES)
def test_projection_keeps_form_and_input(case, dtype, device):
    weights = [w.to(device) for w in randn(case.shapes, 0, dtype)]
    before = [w.clone() for w in weights]
    versions = [w._version for w in weights]
    masks, points = case.set.masks(weights), project(case.set, weights)
    assert same(weights, before)
    assert [w._version for w in weights] == versions
    for weight, mask, point in zip(weights, masks, points, strict=True):
        assert (mask.dtype, mask.shape, mask.device) == (torch.bool, weight.shape, weight.device)
        assert (point.dtype, point.shape, point.device) == (weight.dtype, weight.shape, weight.device)
        assert torch.equal(point[mask], weight[mask])
        assert not point[~mask].any()
        mask.logical_not_()  # a mask is memory of its own: writing to it must reach nothing else
    assert same(case.set.masks(weights), [~m for m in masks])


@each_case
@each_dtype
def test_projection_is_idempotent_and_deterministic(case, dtype):
    point = project(case.set, randn(case.shapes, 1, dtype))
    assert same(project(case.set, point), point)
    assert same(case.set.masks(point), case.set.masks([p.clone() for p in point]))
    if not case.set.is_joint:
        assert case.set.contains(point[0])
        assert torch.equal(case.set.project(point[0]), point[0])


@each_exact_case
@pytest.mark.parametrize("scale", [1.0, 1e-25, 1e30])
def test_member_stays_bit_for_bit(case, scale):
    supports = supports_of(case.shapes)
    members = np.flatnonzero(case.allowed(supports))
    for seed, index in enumerate(np.random.default_rng(0).choice(members, 20)):
        weights = [
            w * torch.from_numpy(np.asarray(s[index])) for w, s in zip(randn(case.shapes, seed), supports, strict=True)
        ]
        weights[0].view(-1)[-1:] *= scale  # one entry far from the others: no energy may vanish beside it
        assert same(project(case.set, weights), weights)


@each_case
def test_awkward_values(case):
    zeros = [torch.zeros(shape) for shape in case.shapes]
    assert same(project(case.set, zeros), zeros)
    ones = [torch.ones(shape) for shape in case.shapes]
    halves = [torch.full(shape, -0.1, dtype=torch.bfloat16) for shape in case.shapes]
    if case.first_wins and case in CASES:
        expected = [torch.from_numpy(f) for f in nearest_by_definition(case, ones)[0]]
        assert same(case.set.masks(ones), expected)
        assert same(case.set.masks(halves), expected)
    assert sum(int(m.sum()) for m in case.set.masks(zeros)) > 0


@each_case
def test_memory_format_does_not_matter(case):
    weights = randn(case.shapes, 2)
    expected = case.set.masks(weights)
    backwards = [tuple(reversed(range(w.ndim))) for w in weights]
    reversed_ = [w.permute(d).contiguous().permute(d) for w, d in zip(weights, backwards, strict=True)]
    strided = [torch.stack([w, w + 1], -1)[..., 0] for w in weights]
    as_parameters = [torch.nn.Parameter(w) for w in weights]
    assert not any(w.is_contiguous() for w in strided if w.numel() > 1)
    for variant in (reversed_, strided, as_parameters):
        masks = case.set.masks(variant)
        assert same(masks, expected)
        assert not any(m.requires_grad for m in masks)
    assert same(case.set.select(as_parameters), expected)
    if case.shapes[0] and len(case.shapes[0]) == 4:
        assert same(case.set.masks([w.to(memory_format=torch.channels_last) for w in weights]), expected)


@each_case
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_non_finite_is_refused(case, value):
    weights = randn(case.shapes, 3)
    weights[-1].view(-1)[-1] = value
    with pytest.raises(NonFiniteError, match="weight is not finite"):
        case.set.masks(weights)


@each_case
def test_integers_are_refused(case):
    with pytest.raises(ArgumentError, match="must be of a floating dtype"):
        case.set.masks([torch.ones(shape, dtype=torch.int32) for shape in case.shapes])


@each_case
def test_select_needs_no_value_on_the_host(case):
    """On the meta device there are no values: reading one, or a shape that depends on one, raises."""
    weights = [w.to("meta") for w in randn(case.shapes, 0)]
    masks = case.set.select(weights)
    assert [(m.shape, m.dtype, m.device) for m in masks] == [(w.shape, torch.bool, w.device) for w in weights]


@each_case
def test_path_from_dense(case):
    weights = randn(case.shapes, 4)
    assert all(m.all() for m in case.set.at(0).masks(weights))
    assert case.set.at(1) == case.set
    kept_on_the_way = [sum(int(m.sum()) for m in case.set.at(p / 10).masks(weights)) for p in range(11)]
    assert kept_on_the_way == sorted(kept_on_the_way, reverse=True)
    with pytest.raises(ArgumentError, match=r"progress must be in \[0, 1\]"):
        case.set.at(1.01)


@each_case
def test_set_is_a_frozen_value(case):
    assert pickle.loads(pickle.dumps(case.set)) == copy.deepcopy(case.set) == case.set
    assert hash(copy.deepcopy(case.set)) == hash(case.set)
    with pytest.raises(dataclasses.FrozenInstanceError):
        case.set.sparsity = 0.1


@each_exact_case
@given(sizes=st.tuples(*[st.integers(1, 7)] * 3), seed=st.integers(0, 99), dtype=st.sampled_from(DTYPES))
@settings(max_examples=15, deadline=None)
def test_made_up_shapes(case, sizes, seed, dtype):
    if case.set.is_joint:  # their memberships above hold for the tiny shapes only
        return
    (weight,) = randn([case.big(*sizes)], seed, dtype)
    mask = case.set.mask(weight)
    assert is_member(case, [mask & (weight != 0)])
    assert case.set.contains(case.set.project(weight))


@pytest.mark.parametrize(
    "case", [c for c in CASES if not c.set.is_joint and len(c.shapes[0]) > 1], ids=lambda c: c.name
)
def test_transposed_is_the_set_of_the_transposed_weight(case):
    if case.name == "nm-last":
        with pytest.raises(ArgumentError, match="dim must count from 0 where weights are stored transposed"):
            case.set.transposed()
        return
    weight = randn(case.shapes, 6)[0]
    assert case.set.transposed().mask(weight.transpose(0, 1)).equal(case.set.mask(weight).transpose(0, 1))
    assert case.set.transposed().transposed() == case.set


@each_case
def test_empty_tensors_have_empty_masks(case):
    shapes = [case.big(0, 2, 2)] * len(case.shapes)
    assert [m.shape for m in case.set.masks([torch.ones(shape) for shape in shapes])] == [torch.Size(s) for s in shapes]
