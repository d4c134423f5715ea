"""The refit is the exact least-squares answer, whichever way it is computed."""

import pytest
import torch
from torch import nn

from slrprune.errors import ArgumentError, ShapeError
from slrprune.oneshot import LayerProblem, Refitted, Wanda, refit
from slrprune.oneshot.layout import layout_of
from slrprune.sets import Unstructured


@pytest.mark.parametrize("iterations", [0, 500])
def test_it_reaches_the_error_of_lstsq_row_by_row(iterations, monkeypatch, correlated, best_on):
    monkeypatch.setattr("slrprune.oneshot.least_squares._DIRECT", 0)
    weight, gram = correlated(8, 30)
    problem = LayerProblem(weight, gram)
    mask = Unstructured(0.6).mask(weight)
    mask[3] = False  # a row without any weight
    mask[4] = True
    found = refit(problem, mask, tolerance=1e-6, max_iterations=iterations)
    assert problem.error(found) == pytest.approx(best_on(weight, gram, mask), rel=1e-6)
    assert not (found[~mask] != 0).any()
    assert (found[3] == 0).all()


def test_direct_and_conjugate_gradients_agree_entry_by_entry(monkeypatch, correlated):
    weight, gram = correlated(6, 20)
    problem = LayerProblem(weight, gram)
    mask = Unstructured(0.5).mask(weight)
    direct = refit(problem, mask)
    monkeypatch.setattr("slrprune.oneshot.least_squares._DIRECT", 0)
    iterative = refit(problem, mask, tolerance=1e-7, max_iterations=200)
    torch.testing.assert_close(direct, iterative, rtol=1e-3, atol=1e-4)


def test_a_full_support_gives_the_weight_back(correlated):
    weight, gram = correlated(4, 10)
    found = refit(LayerProblem(weight, gram), torch.ones(4, 10, dtype=torch.bool))
    torch.testing.assert_close(found, weight, rtol=1e-4, atol=1e-4)


def test_fewer_samples_than_columns_have_an_answer_too():
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(5, 20, generator=generator)
    weight = torch.randn(3, 20, generator=generator)
    problem = LayerProblem(weight, x.mT @ x / 5)
    found = refit(problem, Unstructured(0.5).mask(weight))
    # Ten free weights per row fit five samples.
    assert problem.error(found) < 1e-4
    assert found.abs().max() < 100


def test_groups_of_a_convolution_are_refitted_by_themselves(correlated, best_on):
    conv = nn.Conv1d(4, 6, 3, groups=2).double()
    layout = layout_of("conv", conv)
    _, gram = correlated(1, 6)
    other = correlated(1, 6, seed=5)[1]
    weight = conv.weight.detach()
    problem = LayerProblem(weight, torch.stack([gram, other]), layout)
    mask = Unstructured(0.5).mask(weight)
    found = refit(problem, mask)
    for group, h in enumerate((gram, other)):
        rows = slice(3 * group, 3 * group + 3)
        part = LayerProblem(weight[rows].reshape(3, 6), h)
        error = part.error(found[rows].reshape(3, 6))
        assert error == pytest.approx(best_on(part.weight, h, mask[rows].reshape(3, 6)), rel=1e-4)


def test_refitted_keeps_the_support_and_lowers_the_error(problem):
    plain = Wanda().solve(problem, Unstructured(0.6))
    better = Refitted(Wanda()).solve(problem, Unstructured(0.6))
    assert torch.equal(plain.mask, better.mask)
    assert problem.error(better.weight) < 0.9 * problem.error(plain.weight)


def test_wrong_arguments_are_refused(problem):
    mask = torch.ones(24, 32, dtype=torch.bool)
    with pytest.raises(ArgumentError, match=r"refit\(tolerance=0\): tolerance must be in \(0, 1\)"):
        refit(problem, mask, tolerance=0)
    with pytest.raises(ArgumentError, match="max_iterations must be at least 0"):
        refit(problem, mask, max_iterations=-1)
    with pytest.raises(ShapeError, match=r"layer: the mask must have the shape \(24, 32\), got shape \(32, 24\)"):
        refit(problem, mask.t())
