"""The settings that benchmarks/ablation.py compares: the default now or before, or a rival, with one thing changed."""

from typing import Any

from _ablation_tried import (
    BoundedSLR,
    GarroteSLR,
    HalvedSLR,
    HeldMaskSLR,
    InertSLR,
    ReturningSLR,
    ShortenedSLR,
    TogetherSLR,
)

from slrprune import SLR, CosineStepsize, CubicRamp, DecayingStepsize, Global, GradualMagnitude, RelaxedPath
from slrprune.methods.base import Method


def _at_03(**changes: Any) -> SLR:
    """SLR as the default was when most of this was measured: sigma 0.3, steps shortened by the loss's excess."""
    return ShortenedSLR(**{"sigma": 0.3, **changes})


def _free(**changes: Any) -> SLR:
    """SLR with sigma 0.3, without a condition."""
    return SLR(**{"sigma": 0.3, "trust": None, "garrote": None, **changes})


def _jumping(**changes: Any) -> SLR:
    """SLR as the default was just before: weights that enter and leave jump."""
    return SLR(garrote=None, **changes)


_PATH = RelaxedPath()

VARIANTS: dict[str, tuple[str, Method]] = {
    "slr_sigma_05": ("as `jumping`, sigma 0.5", _jumping(sigma=0.5)),
    "slr_sigma_03": ("as `jumping`, sigma 0.3", _jumping(sigma=0.3)),
    "slr_sigma_cosine": ("as `jumping`, sigma from 1 to 0.1 by a cosine", _jumping(sigma=CosineStepsize(1.0, 0.1))),
    "slr_interval_10": ("as `jumping`, the mask every 10 steps", _jumping(interval=10)),
    "slr_path": ("as `jumping`, the relaxed path in place of the sparsity ramp", _jumping(ramp=_PATH)),
    "slr_path_short": ("the same over 30% of the run", _jumping(ramp=RelaxedPath(end=0.3))),
    "slr_end_30": ("as `jumping`, ramp over 30% of the run", _jumping(ramp=CubicRamp(end=0.3))),
    "slr_end_70": ("as `jumping`, ramp over 70% of the run", _jumping(ramp=CubicRamp(end=0.7))),
    "slr_held_75": (
        "as `jumping`, the mask held from 75% of the run on",
        HeldMaskSLR(sigma=1.0, trust=3.0, tolerance=None, held_from=0.75),
    ),
    "slr_weight_decay": (
        "as `jumping`, weight decay on the memory, too (learning rate times 0.0005 at each update)",
        _jumping(decay=0.05 * 5e-4),
    ),
    "slr_decay_001": ("as `jumping`, 0.1% of the memory forgotten at each update", _jumping(decay=0.001)),
    "slr_decay_01": ("as `jumping`, 1% of the memory forgotten at each update", _jumping(decay=0.01)),
    "jumping": ("no garrote: weights that enter and leave jump", _jumping()),
    **{
        f"garrote_{n}": (f"the default with {n} in place of 20,000 for the garrote", SLR(garrote=float(n)))
        for n in (5_000, 10_000, 40_000)
    },
    "returning": ("units that are gone may come back", ReturningSLR()),
    "trust_2": ("as `jumping`, trust 2", _jumping(trust=2.0)),
    "trust_10": ("as `jumping`, trust 10", _jumping(trust=10.0)),
    "tolerance_05": ("as `jumping`, with the condition, tolerance 0.05", _jumping(tolerance=0.05)),
    "halved": ("sigma 0.5, the condition with tolerance 0.02, every unit trusted", HalvedSLR()),
    "refused": ("steps refused by the entries of all weights, tolerance 0.01", TogetherSLR()),
    "together_003": ("the same with tolerance 0.003, halved when refused", TogetherSLR(tolerance=0.003, halves=True)),
    "free_05": ("sigma 0.5, no condition, every unit trusted", SLR(sigma=0.5, trust=None, garrote=None)),
    "bounded_05": ("the same, its multipliers bounded", BoundedSLR(sigma=0.5)),
    "bounded_1": ("the same with sigma 1", BoundedSLR(sigma=1.0)),
    "sigma_05": ("sigma 0.5, steps shortened", ShortenedSLR(sigma=0.5)),
    "sigma_1_tolerant": ("sigma 1, steps shortened", ShortenedSLR(sigma=1.0)),
    "cubic_tolerant": ("sigma 0.3, steps shortened", _at_03()),
    "cubic": ("without the condition, sigma 0.3", _free()),
    "cubic_conditional": ("the multipliers wait for condition 1 (tolerance 0)", _at_03(tolerance=0.0)),
    **{
        f"end_{end}": (f"ramp over {end}% of the run", _at_03(ramp=CubicRamp(end=end / 100)))
        for end in (10, 20, 30, 40, 70)
    },
    **{
        f"held_{at}": (f"the mask held from {at}% of the run on", HeldMaskSLR(sigma=0.3, held_from=at / 100))
        for at in (60, 75, 90)
    },
    "inert_50": ("a kept weight counts 1.5 times", InertSLR(sigma=0.3, mu=0.5)),
    "garrote": ("kept weights shrunk by the garrote", GarroteSLR(sigma=0.3)),
    "garrote_sigma_1": ("kept weights shrunk by the garrote, sigma 1", GarroteSLR(sigma=1.0)),
    "soft": ("kept weights shrunk by soft thresholding, sigma 1", GarroteSLR(sigma=1.0, power=1.0)),
    "interval_5": ("mask every 5 steps", _at_03(interval=5)),
    "interval_20": ("mask every 20 steps", _at_03(interval=20)),
    "decay_001": ("0.1% of the memory forgotten at each update", _at_03(decay=0.001)),
    "decay_01": ("1% of the memory forgotten at each update", _at_03(decay=0.01)),
    "path_tolerant": ("relaxed path in place of the sparsity ramp", _at_03(ramp=_PATH)),
    "cubic_late": ("no condition, ramp over 70% of the run", _free(ramp=CubicRamp(end=0.7))),
    "path": ("no condition, relaxed path", _free(ramp=_PATH)),
    "path_steered": (
        "as path; condition 1 holds it back, by a quarter of the run at most",
        _free(ramp=RelaxedPath(slack=0.25)),
    ),
    "path_conditional": ("as path; the multipliers wait for condition 1", _at_03(ramp=_PATH, tolerance=0.0)),
    "path_short": ("as path, over 30% of the run", _free(ramp=RelaxedPath(end=0.3))),
    "path_long": ("as path, over 70% of the run", _free(ramp=RelaxedPath(end=0.7))),
    "path_linear": ("as path, beta falls linearly", _free(ramp=RelaxedPath(power=1.0))),
    "path_cubic": ("as path, beta falls as a cube", _free(ramp=RelaxedPath(power=3.0))),
    "path_sigma_01": ("as path, sigma 0.1", _free(ramp=_PATH, sigma=0.1)),
    "path_sigma_1": ("as path, sigma 1", _free(ramp=_PATH, sigma=1.0)),
    "path_sigma_cosine": (
        "as path, sigma from 1 to 0.1 by a cosine",
        _free(ramp=_PATH, sigma=CosineStepsize(1.0, 0.1)),
    ),
    "path_sigma_alpha": ("as path, sigma by alpha_k from 1", _free(ramp=_PATH, sigma=DecayingStepsize())),
    "path_interval_5": ("as path, mask every 5 steps", _free(ramp=_PATH, interval=5)),
    "path_interval_20": ("as path, mask every 20 steps", _free(ramp=_PATH, interval=20)),
    "path_decay": ("as path, 0.1% of the memory forgotten at each update", _free(ramp=_PATH, decay=0.001)),
    **{
        f"gm_end_{end}": (
            f"gradual magnitude pruning, ramp over {end}% of the run",
            GradualMagnitude(ramp=CubicRamp(end=end / 100)),
        )
        for end in (10, 20, 30, 70)
    },
    **{
        f"dpf_end_{end}": (f"dpf, ramp over {end}% of the run", _free(sigma=1.0, ramp=CubicRamp(end=end / 100)))
        for end in (10, 20, 30, 70)
    },
}
"""Name, what it is, and the method. Others are those of `compare.find`, so `slr`, the default.

"Steps shortened" is the first form of the condition (`ShortenedSLR`). The settings of SLR from `cubic_conditional` on
have it, with sigma 0.3, and what they say is the one thing that is changed. Without a condition are those that say so,
those "as path" but `path_conditional`, and dpf's.
"""

ALLOCATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "lamp": ("one budget, shared out by LAMP", {"allocation": "lamp"}),
    "uniform": ("the same sparsity in every layer", {"allocation": "uniform"}),
    "floor_0": ("no floor", {"floor": 0.0}),
    "floor_30": ("every layer keeps 30% of its even share at least", {"floor": 0.3}),
}
"""Name, what it is, and settings of `Global` in place of its defaults: by magnitude, with a floor of 10%."""


def allocated(sparsity: float, name: str) -> Global:
    """The budget at `sparsity` under an allocation of `ALLOCATIONS`."""
    return Global(sparsity, **ALLOCATIONS[name][1])


PARTS: dict[str, tuple[str, ...]] = {
    "rivals": ("gradual_magnitude", "gm_end_20", "gm_end_30", "gm_end_70", "dpf", "dpf_end_20", "dpf_end_70"),
    "condition": (
        "slr",
        "trust_2",
        "trust_10",
        "tolerance_05",
        "halved",
        "refused",
        "together_003",
        "bounded_05",
        "sigma_05",
        "dpf",
        "gradual_magnitude",
    ),
    "sigma": ("slr", "slr_sigma_05", "slr_sigma_03"),
    "defaults": (
        "slr",
        "gradual_magnitude",
        "dpf",
        "slr_sigma_05",
        "slr_path",
        "slr_interval_10",
        "slr_end_30",
        "slr_held_75",
        "slr_weight_decay",
        "slr+distil",
        "slr_decay_001",
        "slr_sigma_cosine",
        "slr_end_70",
        "slr_sigma_03",
        "slr_path_short",
    ),
    "garrote": ("slr", "jumping", "gradual_magnitude", "dpf", "garrote_5000", "garrote_10000", "garrote_40000"),
    "before": ("sigma_05", "sigma_1_tolerant", "cubic_tolerant", "cubic", "cubic_conditional", "path_steered"),
    "ramp": ("end_10", "end_20", "end_30", "end_70", "path_tolerant"),
    "rest": ("interval_5", "interval_20", "decay_001", "decay_01"),
    "tried": ("held_75", "inert_50", "garrote", "garrote_sigma_1", "soft"),
    "distil": ("slr+distil", "gradual_magnitude+distil"),
    "path": ("path", "path_short", "path_long", "path_linear", "path_cubic", "path_sigma_01", "path_sigma_1"),
}
"""What is run together; any other settings go by their names."""
