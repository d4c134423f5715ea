"""The pruner's saved state: a versioned dictionary of plain values and cloned tensors, keyed by parameter name."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from slrprune.errors import StateError
from slrprune.methods.base import MethodState, Problem
from slrprune.records import RecordBuffer
from slrprune.rules import canonical_name

VERSION = 1
_WHERE = "Pruner.load_state_dict"


@dataclass(frozen=True)
class LoadedState:
    """A saved state, checked against a problem and brought to its devices."""

    state: MethodState
    final_masks: list[Tensor] | None
    steps: int
    records: dict[str, list[float]]


def pack(
    problem: Problem,
    state: MethodState,
    records: RecordBuffer,
    final_masks: list[Tensor] | None,
    header: Mapping[str, Any],
) -> dict[str, Any]:
    """The dictionary to save."""
    tensors = {kind: _named(problem, values) for kind, values in state.tensors.items()}
    return {
        "version": VERSION,
        **header,
        "sets": _sets(problem),
        "shapes": {name: list(weight.shape) for name, weight in zip(problem.names, problem.weights, strict=True)},
        "tensors": tensors,
        "scalars": {name: value.clone() for name, value in state.scalars.items()},
        "numbers": dict(state.numbers),
        "iteration": state.iteration,
        "progress": state.progress,
        "final_masks": None if final_masks is None else _named(problem, final_masks),
        "records": records.state(),
    }


def unpack(saved: Mapping[str, Any], problem: Problem, header: Mapping[str, Any]) -> LoadedState:
    """Checks everything before anything is used; raises `StateError`."""
    _check_header(saved, header)
    shapes = {canonical_name(name): tuple(shape) for name, shape in saved["shapes"].items()}
    expected = {name: tuple(weight.shape) for name, weight in zip(problem.names, problem.weights, strict=True)}
    if shapes != expected:
        differing = [name for name in (*expected, *shapes) if shapes.get(name) != expected.get(name)][:3]
        problem_text = f"the state belongs to another model, it differs in {differing}"
        raise StateError(_WHERE, problem_text, "Load it into a pruner on the model that it was saved from.")
    if dict(saved["sets"]) != _sets(problem):
        differing = [name for name, text in _sets(problem).items() if saved["sets"].get(name) != text][:1]
        texts = f"{saved['sets'].get(differing[0])} there, {_sets(problem)[differing[0]]} here" if differing else ""
        raise StateError(_WHERE, f"the sets differ: {texts}", "Build the pruner with the rules of the saved run.")
    tensors = {kind: _ordered(problem, values, kind) for kind, values in saved["tensors"].items()}
    masks = saved["final_masks"]
    state = MethodState(
        tensors=tensors,
        scalars={name: value.to(problem.device, copy=True) for name, value in saved["scalars"].items()},
        numbers=dict(saved["numbers"]),
        iteration=saved["iteration"],
        progress=saved["progress"],
    )
    final = None if masks is None else _ordered(problem, masks, "final_masks")
    return LoadedState(state, final, saved["steps"], saved["records"])


def _check_header(saved: Mapping[str, Any], header: Mapping[str, Any]) -> None:
    version = saved.get("version")
    if version is None:
        raise StateError(_WHERE, "this is not the state of a pruner", "Pass what Pruner.state_dict() returned.")
    if version != VERSION:
        raise StateError(_WHERE, f"the state has version {version}, this slrprune reads {VERSION}", "Update slrprune.")
    for name, here in header.items():
        if saved.get(name) != here:
            raise StateError(_WHERE, f"{name} is {saved.get(name)} in the state and {here} here", "They must agree.")


def _sets(problem: Problem) -> dict[str, str]:
    positions = {index: repr(constraint) for constraint, group in problem.groups for index in group}
    return {name: positions[index] for index, name in enumerate(problem.names)}


def _named(problem: Problem, values: list[Tensor]) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in zip(problem.names, values, strict=True)}


def _ordered(problem: Problem, values: Mapping[str, Tensor], kind: str) -> list[Tensor]:
    by_name = {canonical_name(name): value for name, value in values.items()}
    ordered = []
    for name, weight in zip(problem.names, problem.weights, strict=True):
        value = by_name.get(name)
        if value is None or value.shape != weight.shape:
            raise StateError(_WHERE, f"{kind} of {name} is missing or has another shape", "The state is damaged.")
        ordered.append(value.detach().to(weight.device, copy=True))
    return ordered
