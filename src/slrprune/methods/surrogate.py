"""Surrogate condition 1 of the feasible-start form: is the subproblem being improved? All on the device."""

from typing import TypeGuard

import torch
from torch import Tensor

from slrprune.methods.base import MethodState, Moment
from slrprune.methods.schedule import Ramp, RelaxedPath

_FAST, _SLOW = 0.05, 0.005  # weights of the newest mini-batch in the two loss averages: about 20 and 200 steps


def start_scalars(device: torch.device) -> dict[str, Tensor]:
    """What the condition remembers, 0-dim float64: two averages of the loss, and the clock of a relaxed path."""
    nan = torch.full((), float("nan"), dtype=torch.float64, device=device)
    return {"fast": nan, "slow": nan.clone(), "clock": torch.zeros_like(nan)}


def observe_loss(state: MethodState, moment: Moment) -> None:
    """Takes one mini-batch loss into both averages; one that is not finite leaves them as they were."""
    for name, share in (("fast", _FAST), ("slow", _SLOW)):
        old = state.scalars[name]
        moved = torch.where(old.isnan(), moment.loss, old.lerp(moment.loss, share))
        state.scalars[name] = moved if moment.is_usable is None else torch.where(moment.is_usable, moved, old)


def holds(state: MethodState) -> Tensor:
    """Condition 1, a 0-dim bool: the loss of the last 20 or so steps is below that of the last 200 or so."""
    return state.scalars["fast"] < state.scalars["slow"]


def next_relaxation(ramp: Ramp, state: MethodState, moment: Moment) -> float | Tensor:
    """beta from this update on; moves the path's clock.

    With slack, beta is known on the device alone until the path has surely ended: `state.numbers["relaxation"]` is then
    no more than a mark that entries off the support may still take part.

    Args:
        ramp: of the method.
        state: with the scalar `clock` and, on the host, `time`, that of the last update; both are moved.
        moment: of this update.
    """
    if not _has_slack(ramp):
        state.numbers["relaxation"] = ramp.relaxation(moment.time)
        return state.numbers["relaxation"]
    state.numbers["relaxation"] = float(moment.time < ramp.end + ramp.slack)
    passed, state.numbers["time"] = moment.time - state.numbers["time"], moment.time
    moved = torch.where(holds(state), state.scalars["clock"] + passed, state.scalars["clock"])
    state.scalars["clock"] = moved.clamp(min=moment.time - ramp.slack)
    return present_relaxation(ramp, state)


def present_relaxation(ramp: Ramp, state: MethodState) -> float | Tensor:
    """beta since the last update."""
    if _has_slack(ramp) and state.numbers["relaxation"]:
        return ramp.relaxation_at(state.scalars["clock"])
    return state.numbers["relaxation"]


def _has_slack(ramp: Ramp) -> TypeGuard[RelaxedPath]:
    return isinstance(ramp, RelaxedPath) and ramp.slack > 0
