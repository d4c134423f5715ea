"""ADMM for one layer, the nearest rival."""

from dataclasses import dataclass

from slrprune.oneshot.splitting import Splitting


@dataclass(frozen=True, kw_only=True)
class ADMM(Splitting):
    """The alternating direction method of multipliers, with the exact refit at the end.

    The multipliers move once per iteration, by the full residual (steps 1, 3 and 4 of `splitting` with sigma_2 = 1). In
    the manner of ALPS, whose penalty grows in the same way and whose values are refitted by conjugate gradients, too;
    the rule by which rho grows is ours.

    Args:
        penalty: rho over the iterations.
        tolerance: the run ends when the Z step lowers the Lagrangian by less than this, as a fraction of rho/2 ||W||^2
            in the scaled problem; in [0, 1).

    Raises:
        ArgumentError: a tolerance outside its range.

    Reference:
        X. Meng, K. Behdin, H. Wang, R. Mazumder, "ALPS: improved optimization for highly sparse one-shot pruning for
        large language models", NeurIPS 2024.
    """

    def stepsizes(self, iteration: int, before: float) -> tuple[float, float]:
        """No first multiplier step, a unit second one."""
        return 0.0, 1.0
