"""The pruner's saved state: a versioned dictionary of plain values and cloned tensors, keyed by parameter name."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from slrprune.distributed.dtensors import is_dtensor
from slrprune.errors import StateError
from slrprune.methods.base import MethodState, Problem
from slrprune.records import RecordBuffer
from slrprune.rules import canonical_name

VERSION = 1
_WHERE = "Pruner.load_state_dict"
_KEYS = (
    *("method", "total_steps", "steps", "sets", "shapes", "dtypes"),
    *("tensors", "scalars", "numbers", "iteration", "progress", "final_masks", "records"),
)


@dataclass(frozen=True)
class LoadedState:
    """A saved state, checked against a problem and brought to its devices."""

    state: MethodState
    final_masks: list[Tensor] | None
    steps: int
    records: RecordBuffer


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
        "sets": problem.constraints(),
        "shapes": {name: list(shape) for name, shape in zip(problem.names, problem.shapes, strict=True)},
        "dtypes": _dtypes(problem),
        "tensors": tensors,
        "scalars": {name: value.clone() for name, value in state.scalars.items()},
        "numbers": dict(state.numbers),
        "iteration": state.iteration,
        "progress": state.progress,
        "final_masks": None if final_masks is None else _named(problem, final_masks),
        "records": records.state(),
    }


def unpack(saved: Mapping[str, Any], problem: Problem, present: MethodState, header: Mapping[str, Any]) -> LoadedState:
    """Checks everything before anything is used, also against the pruner's present state; raises `StateError`."""
    _check_header(saved, header)
    shapes = {canonical_name(name): tuple(shape) for name, shape in saved["shapes"].items()}
    expected = dict(zip(problem.names, problem.shapes, strict=True))
    if shapes != expected:
        other = [name for name, shape in expected.items() if shapes.get(name, shape) != shape]
        if other:
            problem_text = f"the state belongs to another model, the shapes differ in {other[:3]}"
            raise StateError(_WHERE, problem_text, "Load it into a pruner on the model that it was saved from.")
        only = next(name for name in (*expected, *shapes) if name not in shapes or name not in expected)
        where = "here" if only in expected else "there"
        problem_text = f"the state prunes other weights, {only} is pruned {where} alone"
        raise StateError(_WHERE, problem_text, "Build the pruner on the same model, with the rules of the saved run.")
    for key, here, way_out in (
        ("sets", problem.constraints(), "Build the pruner with the rules of the saved run."),
        ("dtypes", _dtypes(problem), "Load it beside weights of the saved run's dtype."),
    ):
        there = {canonical_name(name): text for name, text in saved[key].items()}
        for name, text in here.items():
            if there.get(name) != text:
                problem_text = f"the {key} differ: {name} has {there.get(name)} there and {text} here"
                raise StateError(_WHERE, problem_text, way_out)
    tensors = {kind: _ordered(problem, values, kind) for kind, values in saved["tensors"].items()}
    masks = saved["final_masks"]
    _check_kinds(saved, present)
    state = MethodState(
        tensors=tensors,
        scalars={name: value.to(problem.device, copy=True) for name, value in saved["scalars"].items()},
        numbers=dict(saved["numbers"]),
        iteration=saved["iteration"],
        progress=saved["progress"],
    )
    final = None if masks is None else _ordered(problem, masks, "final_masks")
    records = RecordBuffer()
    records.load(saved["records"])
    return LoadedState(state, final, saved["steps"], records)


def _check_header(saved: Mapping[str, Any], header: Mapping[str, Any]) -> None:
    version = saved.get("version") if isinstance(saved, Mapping) else None
    if version is None:
        raise StateError(_WHERE, "this is not the state of a pruner", "Pass what Pruner.state_dict() returned.")
    if version != VERSION:
        raise StateError(_WHERE, f"the state has version {version}, this slrprune reads {VERSION}", "Update slrprune.")
    missing = [key for key in _KEYS if key not in saved]
    if missing:
        raise StateError(_WHERE, f"the state lacks {missing}", "The state is damaged.")
    for name, here in header.items():
        if saved.get(name) != here:
            raise StateError(_WHERE, f"{name} is {saved.get(name)} in the state and {here} here", "They must agree.")


def _check_kinds(saved: Mapping[str, Any], present: MethodState) -> None:
    """Raises `StateError` where tensors are missing: it was saved by a slrprune whose method had none of them."""
    missing = [kind for kind in present.tensors if kind not in saved["tensors"]]  # a finished pruner has none to ask
    if missing and saved["final_masks"] is None:  # nor has a finished run
        problem = f"the state lacks {missing}, which the method needs"
        raise StateError(_WHERE, problem, "It is damaged, or of an older slrprune: start the run anew.")


def _dtypes(problem: Problem) -> dict[str, str]:
    return {name: str(weight.dtype) for name, weight in zip(problem.names, problem.weights, strict=True)}


def _named(problem: Problem, values: list[Tensor]) -> dict[str, Tensor]:
    layers = zip(problem.names, values, problem.shapes, strict=True)
    return {name: problem.world.whole(value.clone(), shape) for name, value, shape in layers}


def _ordered(problem: Problem, values: Mapping[str, Tensor], kind: str) -> list[Tensor]:
    by_name = {canonical_name(name): value for name, value in values.items()}
    ordered = []
    for name, weight, shape in zip(problem.names, problem.weights, problem.shapes, strict=True):
        value = by_name.get(name)
        if value is None or tuple(value.shape) != shape:
            raise StateError(_WHERE, f"{kind} of {name} is missing or has another shape", "The state is damaged.")
        _refuse_other_layout(problem, name, value)
        ordered.append(problem.world.local(value.detach()).detach().to(weight.device, copy=True))
    return ordered


def _refuse_other_layout(problem: Problem, name: str, value: Tensor) -> None:
    """Raises `StateError` for a tensor cut over other ranks than the weights."""
    if not problem.world.holds(value):
        there = value.device_mesh.size() if is_dtensor(value) else 1  # type: ignore[attr-defined]
        text = f"{name} was saved by {there} processes and its weight is cut over {problem.world.size}"
        here = text if problem.world.ranks > 1 else f"{name} was saved by {there} processes, each with a part of it"
        raise StateError(_WHERE, here, "Save and load with torch.distributed.checkpoint, which cuts anew.")
