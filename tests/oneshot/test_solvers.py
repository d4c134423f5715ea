"""Every solver against brute force, against each other, and against what its set promises."""

import pytest
import torch
from torch import nn

from slrprune.errors import ArgumentError, NonFiniteError, ShapeError
from slrprune.oneshot import (
    ADMM,
    SLR,
    LayerProblem,
    Magnitude,
    PenaltyStages,
    PerRow,
    Refitted,
    SparseGPT,
    Wanda,
)
from slrprune.oneshot.layout import layout_of
from slrprune.sets import NM, Block, Channel, Column, Global, KernelPattern, Unstructured

SOLVERS = [SLR(), ADMM(), SparseGPT(blocksize=8), Wanda(), Magnitude(), Refitted(SparseGPT())]
SETS = [Unstructured(0.6), PerRow(0.5), NM(2, 4), Block((4, 2), 0.5), Channel(0.5), Channel(0.5, dim=1), Column(0.75)]
LONG = PenaltyStages(0.03, 3.0, stages=10, length=10)


@pytest.mark.parametrize("solver", SOLVERS, ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("constraint", SETS, ids=repr)
def test_the_answer_lies_in_the_set_and_the_mask_is_its_support(solver, constraint, problem):
    before = problem.weight.clone()
    found = solver.solve(problem, constraint)
    assert constraint.contains(found.weight)
    assert not (found.weight[~found.mask] != 0).any()
    assert int(found.mask.sum()) == int(constraint.mask(problem.weight).sum())
    assert found.weight.dtype == problem.weight.dtype
    assert found.weight.is_contiguous()
    assert torch.equal(problem.weight, before)
    assert 0 < problem.error(found.weight) < 1
    assert torch.equal(found.weight, solver.solve(problem, constraint).weight)


@pytest.mark.parametrize("solver", [SLR(penalty=LONG), ADMM(penalty=LONG)], ids=lambda s: type(s).__name__)
def test_the_splitting_comes_near_the_best_of_all_supports(solver, correlated, brute_force):
    ratios = []
    for seed in range(6):
        weight, gram = correlated(2, 6, seed=seed)
        problem = LayerProblem(weight, gram)
        found = solver.solve(problem, Unstructured(0.5))
        ratios.append(problem.error(found.weight) / brute_force(weight, gram, 6))
    assert min(ratios) > 1 - 1e-4  # nothing beats the best, up to the ridge of the refit
    assert sum(ratio < 1.001 for ratio in ratios) >= 3
    assert sum(ratios) / len(ratios) < 1.2


def test_the_order_of_the_solvers_on_correlated_inputs(correlated):
    means = {}
    for seed in range(3):
        weight, gram = correlated(40, 60, samples=400, seed=seed)
        problem = LayerProblem(weight, gram)
        for constraint in (Unstructured(0.7), NM(2, 4)):
            for solver in (SLR(), Refitted(SparseGPT()), SparseGPT(), Wanda(), Magnitude()):
                error = problem.error(solver.solve(problem, constraint).weight)
                means[type(solver).__name__] = means.get(type(solver).__name__, 0) + error
    order = sorted(means, key=means.__getitem__)
    assert order == ["SLR", "Refitted", "SparseGPT", "Wanda", "Magnitude"]


def test_uncorrelated_inputs_leave_nothing_to_gain_over_wanda():
    weight = torch.randn(6, 12, dtype=torch.float64)
    scales = torch.linspace(0.1, 2, 12, dtype=torch.float64)
    problem = LayerProblem(weight, torch.diag(scales**2))
    best = Wanda(per_row=False).solve(problem, Unstructured(0.5))
    for solver in (SLR(), ADMM()):
        found = solver.solve(problem, Unstructured(0.5))
        assert torch.equal(found.mask, best.mask)
        torch.testing.assert_close(found.weight, best.weight, rtol=1e-5, atol=1e-5)


def test_sparsegpt_equals_its_definition(correlated):
    """Optimal brain surgery column by column, from the explicit inverse of what is left of H."""
    weight, gram = correlated(5, 12)
    damped = gram + 0.01 * gram.diagonal().mean() * torch.eye(12, dtype=gram.dtype)
    expected, mask = weight.clone(), torch.zeros(5, 12, dtype=torch.bool)
    for j in range(12):
        inverse = torch.linalg.inv(damped[j:, j:])
        if j % 4 == 0:  # the mask of a 2:4 group, when the sweep reaches it
            scores = [expected[:, k] ** 2 / torch.linalg.inv(damped[k:, k:])[0, 0] for k in range(j, j + 4)]
            top = torch.stack(scores, 1).topk(2, dim=1).indices
            mask[:, j : j + 4] = torch.zeros(5, 4, dtype=torch.bool).scatter_(1, top, True)
        error = torch.where(mask[:, j], 0.0, expected[:, j]) / inverse[0, 0]
        expected[:, j:] -= error[:, None] * inverse[0]
        expected[~mask[:, j], j] = 0
    problem = LayerProblem(weight, gram)
    for blocksize in (4, 7, 128):
        found = SparseGPT(blocksize=blocksize).solve(problem, NM(2, 4))
        assert torch.equal(found.mask, mask)
        torch.testing.assert_close(found.weight, expected, rtol=1e-8, atol=1e-8)


def test_wanda_keeps_the_same_count_in_every_row_and_the_old_values(problem):
    found = Wanda().solve(problem, Unstructured(0.5))
    assert found.mask.sum(1).unique().tolist() == [16]
    assert torch.equal(found.weight, problem.weight * found.mask)
    expected = (problem.weight.abs() * problem.gram[0].diagonal().sqrt()).topk(16, dim=1).indices
    assert torch.equal(found.mask, torch.zeros_like(found.mask).scatter_(1, expected, True))
    odd = Wanda().solve(problem, Unstructured(0.51))
    assert int(odd.mask.sum()) == 24 * 32 - round(0.51 * 24 * 32)
    assert set(odd.mask.sum(1).tolist()) >= {15}
    assert odd.mask.sum(1).min() == 15
    few = Wanda().solve(problem, Unstructured(0.99))  # less than one per row
    assert int(few.mask.sum()) == 8


def test_a_joint_set_spends_its_budget_where_the_output_needs_it(correlated):
    problems = [LayerProblem(*correlated(8, 16, seed=seed), name=str(seed)) for seed in range(3)]
    # Scaling a layer changes neither its relative error nor its share.
    scaled = [LayerProblem(100 * problems[0].weight, problems[0].gram), *problems[1:]]
    for solver in (SLR(), ADMM(), Wanda(), SparseGPT()):
        found = solver.solve_together(problems, Global(0.5))
        assert sum(int(each.mask.sum()) for each in found) == 3 * 64
        again = solver.solve_together(scaled, Global(0.5))
        assert [int(a.mask.sum()) for a in found] == [int(a.mask.sum()) for a in again]
    total = sum(p.error(f.weight) for p, f in zip(problems, SLR().solve_together(problems, Global(0.7)), strict=True))
    even = sum(p.error(SLR().solve(p, Unstructured(0.7)).weight) for p in problems)
    assert total < even


def test_dead_inputs_lose_their_weights_first(correlated):
    weight, gram = correlated(6, 12)
    gram[3], gram[:, 3] = 0, 0
    problem = LayerProblem(weight, gram)
    for solver in (SLR(), ADMM(), SparseGPT(), Wanda()):
        found = solver.solve(problem, Unstructured(0.25))
        assert (found.weight[:, 3] == 0).all()
        assert found.weight.isfinite().all()
    nothing = LayerProblem(weight, torch.zeros(12, 12))
    assert nothing.error(SLR().solve(nothing, Unstructured(0.5)).weight) == 0


def test_an_h_that_rounding_has_made_indefinite_is_damped():
    x = torch.randn(300, 1) @ torch.randn(1, 24) + 1e-5 * torch.randn(300, 24)
    gram = x.mT @ x / 300
    gram = gram - 2e-6 * gram.diagonal().mean() * torch.eye(24)
    assert torch.linalg.eigvalsh(gram.double())[0] < 0
    problem = LayerProblem(torch.randn(8, 24), gram)
    for solver in (SLR(), ADMM(), SparseGPT(), Refitted(Wanda())):
        found = solver.solve(problem, Unstructured(0.5))
        assert found.weight.isfinite().all()
        assert problem.error(found.weight) < 1e-2


def test_grouped_and_depthwise_convolutions(correlated):
    conv = nn.Conv2d(8, 8, 3, groups=8)
    layout = layout_of("conv", conv)
    gram = torch.stack([correlated(1, 9, seed=seed)[1] for seed in range(8)])
    problem = LayerProblem(conv.weight.detach(), gram, layout)
    for constraint in (Unstructured(0.5), KernelPattern(), Channel(0.5)):
        wanda, slr = (problem.error(s.solve(problem, constraint).weight) for s in (Wanda(), SLR()))
        assert slr < wanda
        assert constraint.contains(SparseGPT().solve(problem, constraint).weight)


def test_sparsity_0_ends_at_once_with_the_weight_itself(problem):
    found = SLR().solve(problem, Unstructured(0.0))
    assert found.is_converged
    assert found.iterations == 4  # the condition is looked at after a stage
    torch.testing.assert_close(found.weight, problem.weight, rtol=1e-4, atol=1e-4)


def test_the_surrogate_condition_ends_a_run_whose_support_has_settled(problem):
    schedule = PenaltyStages(0.1, 100.0, stages=40, length=10)
    long = SLR(penalty=schedule).solve(problem, Unstructured(0.5))
    assert long.is_converged
    assert long.iterations < 400
    endless = SLR(penalty=PenaltyStages(0.1, 0.1, stages=1, length=2)).solve(problem, Unstructured(0.5))
    assert not endless.is_converged
    assert endless.iterations == 2


def test_half_precision_weights_are_solved_in_float32(correlated):
    weight, gram = correlated(8, 16)
    problem = LayerProblem(weight.bfloat16(), gram)
    found = SLR().solve(problem, NM(2, 4))
    assert found.weight.dtype == torch.bfloat16
    wide = LayerProblem(weight.bfloat16().float(), gram)
    assert torch.equal(found.mask, SLR().solve(wide, NM(2, 4)).mask)


def test_the_error_is_that_of_the_outputs(best_on):
    generator = torch.Generator().manual_seed(0)
    x, weight = torch.randn(50, 7, generator=generator), torch.randn(4, 7, generator=generator)
    problem = LayerProblem(weight, x.mT @ x / 50)
    other = weight + 0.1 * torch.randn(4, 7, generator=generator)
    expected = float((x @ (other - weight).t()).square().sum() / (x @ weight.t()).square().sum())
    assert problem.error(other) == pytest.approx(expected, rel=1e-4)
    kept = best_on(weight.double(), problem.gram[0].double(), torch.ones(4, 7, dtype=torch.bool))
    assert kept == pytest.approx(0, abs=1e-10)


def test_wrong_arguments_are_refused(problem):
    with pytest.raises(ArgumentError, match=r"SLR\(tolerance=-1\): tolerance must be in \[0, 1\)"):
        SLR(tolerance=-1)
    with pytest.raises(ArgumentError, match="sigma must be in"):
        SLR(sigma=2.0)
    with pytest.raises(ArgumentError, match=r"ADMM\(tolerance=1\): tolerance must be in"):
        ADMM(tolerance=1)
    with pytest.raises(ArgumentError, match="blocksize must be at least 1"):
        SparseGPT(blocksize=0)
    with pytest.raises(ArgumentError, match="damping must be above 0"):
        SparseGPT(damping=0)
    with pytest.raises(ArgumentError, match="first must be above 0"):
        PenaltyStages(first=0)
    with pytest.raises(ArgumentError, match="last must be at least `first`"):
        PenaltyStages(first=2.0, last=1.0)
    with pytest.raises(ArgumentError, match="stages must be at least 1"):
        PenaltyStages(stages=0)
    with pytest.raises(ShapeError, match=r"layer: NM\(3, 5\) needs shape\[1\] divisible by 5"):
        SLR().solve(problem, NM(3, 5))


def test_problems_that_make_no_sense_are_refused(correlated):
    weight, gram = correlated(4, 6)
    with pytest.raises(ShapeError, match=r"fc: H must have shape \(1, 6, 6\), got shape \(1, 5, 5\)"):
        LayerProblem(weight, gram[:5, :5], name="fc")
    with pytest.raises(NonFiniteError, match="fc: the weight is not finite"):
        LayerProblem(weight * torch.nan, gram, name="fc")
    with pytest.raises(NonFiniteError, match=r"fc: H = X\^T X is not finite. Look at the calibration"):
        LayerProblem(weight, gram / 0, name="fc")
