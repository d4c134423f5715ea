"""Surrogate Lagrangian relaxation for one layer."""

from dataclasses import dataclass, field

from slrprune.methods.stepsize import DecayingStepsize, RelativeStepsize, as_stepsize, check_stepsize
from slrprune.oneshot.splitting import Splitting


@dataclass(frozen=True, kw_only=True)
class SLR(Splitting):
    """Surrogate Lagrangian relaxation, with exact steps and an exact refit at the end.

    Both half-steps of an iteration move the multipliers, by sigma_k = alpha_k sigma_{k-1} relative to rho: once towards
    the old Z and once towards the new one (steps 2 and 4 of `splitting`). At the same number of products with H that
    finds better supports than ADMM's single unit step (benchmarks/oneshot.py).

    Step 1 is an exact minimum, so the first surrogate condition holds until nothing moves; the second, that the Z step
    lowers the Lagrangian, is the stop rule: the run ends in the iteration in which it fails, up to `tolerance`.

    Args:
        sigma: stepsize of each half-step relative to rho, in (0, 1], or a rule. By default alpha_k with M = 300, r =
            0.1 from 0.5: both half-steps together begin with ADMM's unit step.
        penalty: rho over the iterations.
        tolerance: of the surrogate condition: the least decrease of the Lagrangian by the Z step, as a fraction of
            rho/2 ||W||^2 in the scaled problem; in [0, 1). 0 asks for the condition itself.

    Raises:
        ArgumentError: a sigma or a tolerance outside its range.

    Examples:
        >>> import torch
        >>> from slrprune.oneshot import LayerProblem
        >>> from slrprune.sets import Unstructured
        >>> problem = LayerProblem(torch.tensor([[2.0, 1.0]]), gram=torch.tensor([[1.0, 0.5], [0.5, 1.0]]))
        >>> SLR().solve(problem, Unstructured(0.5)).weight
        tensor([[2.5000, 0.0000]])

    Reference:
        Gurevin et al., IJCAI 2021, and Zhou et al., arXiv 2304.04120 (the two half-steps, the surrogate conditions).
        Bragin et al., JOTA 164 (2015) (alpha_k).
    """

    sigma: RelativeStepsize | float = field(default_factory=lambda: DecayingStepsize(0.5, M=300.0, r=0.1))

    def __post_init__(self) -> None:
        super().__post_init__()
        check_stepsize("SLR", self.sigma)

    def stepsizes(self, iteration: int, before: float) -> tuple[float, float]:
        """The same sigma twice; the rule gets sigma_0 at k = 1."""
        rule = as_stepsize(self.sigma)
        fraction = min(1.0, iteration / (self.penalty.stages * self.penalty.length))
        sigma = rule.next(rule.first if iteration == 1 else before, iteration, fraction)
        return sigma, sigma
