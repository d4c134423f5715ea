"""Budgets and allocations of `Global`, each against numbers found in another way."""

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import slrprune
from slrprune.budget import ERK, LAMP, Magnitude, Uniform, clipped, share
from slrprune.errors import ArgumentError, UsageError
from slrprune.sets import Global, Unstructured
from slrprune.sets.knapsack import Knapsack


def randn(*shapes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator) * (i + 1) for i, shape in enumerate(shapes)]


def counts(masks):
    return [int(m.sum()) for m in masks]


WEIGHTS = randn((8, 3, 3, 3), (16, 8, 3, 3), (10, 16), (40,))
TOTAL = sum(w.numel() for w in WEIGHTS)


@pytest.mark.parametrize(
    "allocation", ["magnitude", "lamp", "erk", "uniform", Magnitude(0.5), LAMP(), ERK(), Uniform()]
)
@pytest.mark.parametrize("sparsity", [0, 0.29, 0.5, 0.9, 0.99, 0.9999])
def test_counts_are_exact_and_every_tensor_keeps_one(allocation, sparsity):
    kept = counts(Global(sparsity, allocation=allocation).masks(WEIGHTS))
    assert sum(kept) == max(len(WEIGHTS), TOTAL - round(sparsity * TOTAL))
    assert min(kept) >= 1


def test_magnitude_without_floor_is_one_ball():
    masks = Global(0.9, floor=0).masks(WEIGHTS)
    flat = torch.cat([w.flatten() for w in WEIGHTS])
    assert torch.cat([m.flatten() for m in masks]).equal(Unstructured(0.9).mask(flat))


@pytest.mark.parametrize("on_device", [False, True])
def test_floor_protects_a_tensor_of_small_weights(on_device, monkeypatch):
    if on_device:  # the way of the accelerators: floors reserved without reading a count
        monkeypatch.setattr("slrprune.budget._is_cpu", lambda weight: False)
    weights = [torch.rand(100) + 1, torch.rand(50) / 100]
    assert counts(Global(0.8, floor=0).masks(weights)) == [29, 1]
    assert counts(Global(0.8).masks(weights)) == [29, 1]
    assert counts(Global(0.8, floor=0.5).masks(weights)) == [25, 5]
    assert counts(Global(0.8, floor=1).masks(weights)) == [20, 10]
    small = Global(0.8, floor=0.5).masks(weights)[1]
    assert small.equal(Unstructured(0.9).mask(weights[1]))


def test_lamp_counts_are_those_of_the_scores_of_the_paper():
    scores, owners = [], []
    for index, weight in enumerate(WEIGHTS):
        values = (weight.double() ** 2).flatten().sort().values.tolist()
        scores += [value / math.fsum(values[i:]) for i, value in enumerate(values)]
        owners += [index] * len(values)
    best = sorted(range(TOTAL), key=lambda i: -scores[i])[: TOTAL - round(0.7 * TOTAL)]
    masks = Global(0.7, allocation="lamp").masks(WEIGHTS)
    assert counts(masks) == [sum(owners[i] == index for i in best) for index in range(len(WEIGHTS))]
    for weight, mask in zip(WEIGHTS, masks, strict=True):
        assert weight[mask].abs().min() >= weight[~mask].abs().max()


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_lamp_does_not_depend_on_scale(scale):
    first = Global(0.8, allocation="lamp").masks(WEIGHTS)
    second = Global(0.8, allocation="lamp").masks([WEIGHTS[0] * scale, *WEIGHTS[1:]])
    assert counts(first) == counts(second)
    assert counts(Global(0.8, allocation="lamp").masks([torch.zeros(9), *WEIGHTS]))[0] == 1


def test_erk_by_hand():
    # sums of sizes 17 and 26 over 216 and 160 entries; e = 100 / 43
    assert ERK().shares(((8, 3, 3, 3), (10, 16)), 100) == pytest.approx([100 * 17 / 43, 100 * 26 / 43])
    # the second would get 300 * 26 / 43 = 181 of 160: it stays dense, and the first takes the rest
    assert ERK().shares(((8, 3, 3, 3), (10, 16)), 300) == pytest.approx([140, 160])
    assert ERK().counts(((8, 3, 3, 3), (10, 16)), 100) == [40, 60]


def test_clipping_is_repeated_until_nothing_exceeds():
    assert clipped(16, [1, 1, 6], [10, 4, 5]) == pytest.approx([7, 4, 5])


@given(st.data())
def test_share_sums_exactly_and_stays_near(data):
    capacities = data.draw(st.lists(st.integers(0, 50), min_size=1, max_size=6))
    total = data.draw(st.integers(sum(c > 0 for c in capacities), sum(capacities)))
    wanted = [total * c / max(1, sum(capacities)) for c in capacities]
    got = share(total, wanted, capacities)
    assert sum(got) == total
    assert all(min(1, c) <= n <= c for n, c in zip(got, capacities, strict=True))
    if all(w >= 1 or c == 0 for w, c in zip(wanted, capacities, strict=True)):
        assert all(abs(n - w) < 1 for n, w in zip(got, wanted, strict=True))


def test_share_says_what_cannot_be_reached():
    with pytest.raises(ArgumentError, match="total must be reachable with capacities"):
        share(7, [3.0, 4.0], [3, 3])


def test_budgets_in_other_units_are_counts():
    assert sum(counts(Global(params=123).masks(WEIGHTS))) == 123
    header = sum(math.ceil(w.numel() / 8) for w in WEIGHTS)
    assert sum(counts(Global(bytes=header + 4 * 100 + 3).masks(WEIGHTS))) == 100
    assert sum(counts(Global(bytes=header + 2 * 100).masks([w.bfloat16() for w in WEIGHTS]))) == 100
    assert Global(0.9).kept(WEIGHTS) == TOTAL - round(0.9 * TOTAL)


def test_path_of_a_budget_is_straight():
    budget = Global(params=200)
    assert [budget.at(p).kept(WEIGHTS) for p in (0, 0.5, 1)] == [TOTAL, (TOTAL + 200) // 2, 200]
    assert budget.at(0.5).at(0.5) == budget.at(0.25)


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        (Global(params=3), r"Global\(params=3\): params must be from 4 \(one weight of every tensor\) to 1568"),
        (Global(params=1569), r"params must be from 4 .* to 1568 \(all of them\)"),
        (Global(bytes=100), r"bytes must be from 212 .* to 6468"),
    ],
)
def test_unreachable_budgets_are_refused_when_bound(budget, message):
    with pytest.raises(ArgumentError, match=message):
        budget.bind(nn.Identity(), {str(i): w for i, w in enumerate(WEIGHTS)})


def test_macs_need_a_model():
    with pytest.raises(UsageError, match=r"Global\(macs=9\): a budget in MACs needs the model\. Use it in a Pruner"):
        Global(macs=9, example_input=torch.ones(1)).masks(WEIGHTS)


def best_kept(weights, costs, budget):
    """The exact knapsack by dynamic programming over the budget."""
    best = [0.0] * (budget + 1)
    for weight, cost in zip(weights, costs, strict=True):
        for value in (weight.double() ** 2).flatten().tolist():
            best = [max(b, best[i - cost] + value) if i >= cost else b for i, b in enumerate(best)]
    return best[-1]


@pytest.mark.parametrize("budget", [13, 14, 29, 50, 66])
def test_knapsack_is_within_one_entry_of_the_exact_answer(budget):
    weights = randn((3, 4), (5,), (2, 2))
    costs = (1, 7, 5)
    constraint = Knapsack(budget, costs, floor=0)
    masks = constraint.masks(weights)
    kept = sum(float((w.double() ** 2)[m].sum()) for w, m in zip(weights, masks, strict=True))
    exact = best_kept(weights, costs, budget)
    assert constraint.price(masks) <= budget < constraint.price(masks) + max(costs)
    assert exact - max(float(w.abs().max() ** 2) for w in weights) <= kept <= exact * (1 + 1e-12)
    assert min(counts(masks)) >= 1


def test_knapsack_takes_by_energy_per_price():
    weights = randn((30,), (20,), (10,))
    costs = (1, 7, 5)
    masks = Knapsack(60, costs, floor=0).masks(weights)
    entries = [
        (float(w[i]) ** 2 / cost, cost, bool(m[i]), i == int(w.abs().argmax()))
        for w, m, cost in zip(weights, masks, costs, strict=True)
        for i in range(len(w))
    ]
    left = 60 - sum(costs)  # one entry of each tensor is paid first
    for _, cost, is_kept, is_floor in sorted(entries, reverse=True):
        if is_floor:
            assert is_kept
            continue
        left -= cost
        assert is_kept == (left >= 0)


def test_knapsack_ties_keep_the_lowest_index():
    assert Knapsack(300, (2,)).mask(torch.ones(1000)).nonzero().max() == 149


def test_knapsack_floor_and_path():
    weights = [torch.rand(100) + 1, torch.rand(50) / 100]
    assert counts(Knapsack(100, (1, 4), floor=0).masks(weights)) == [96, 1]
    assert counts(Knapsack(100, (1, 4), floor=0.9).masks(weights))[1] == 1 + int(0.9 * 95 / 300 * 50)
    path = [Knapsack(100, (1, 4)).at(p) for p in (0, 0.5, 1)]
    assert [p.price(p.masks(weights)) <= b for p, b in zip(path, (300, 200, 100), strict=True)] == [True] * 3
    assert counts(path[0].masks(weights)) == [100, 50]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Knapsack(7, (4, 4)),
            r"Knapsack\(budget=7\): budget must pay for one entry of every tensor: at least 8",
        ),
        (lambda: Knapsack(7, (0, 4)), r"Knapsack\(costs=\(0, 4\)\): costs must be at least 1"),
        (lambda: Knapsack(9, (4, 4), floor=-1), r"Knapsack\(floor=-1\): floor must be in \[0, 1\]"),
    ],
)
def test_knapsack_messages(make, message):
    with pytest.raises(ArgumentError, match=message):
        make()


def test_knapsack_of_other_weights():
    with pytest.raises(UsageError, match=r"Knapsack: has prices for 2 tensors, got 1\. Bind the Global set"):
        Knapsack(9, (4, 4)).masks([torch.ones(3)])


def test_budget_may_be_imported_first():
    """It and `sets` build on each other's parts; in this process sets came first."""
    environment = {**os.environ, "PYTHONPATH": str(Path(slrprune.__file__).parents[1])}
    command = [sys.executable, "-c", "import slrprune.budget"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
