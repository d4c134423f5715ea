"""Scenarios under FSDP2, run by every rank of `ranks.run`: numbers and traffic are those of one process."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from sharded_net import STEPS, batch, counts, full, make, meshes, net, train

from slrprune import (
    ADMM,
    NM,
    SLR,
    Block,
    Channel,
    ClassicSLR,
    Column,
    Global,
    GradualMagnitude,
    KernelPattern,
    NoRamp,
    OneShot,
    Pruner,
    QuadraticPenalty,
    Unstructured,
)
from slrprune.distributed import Alone

SETS: dict[str, Callable[[], Any]] = {
    "global": lambda: Global(0.7),
    "global, floors bind": lambda: Global(0.9, floor=1.0),
    "global, some floors bind": lambda: Global(0.6, floor=0.8),
    "global, erk": lambda: Global(0.7, allocation="erk"),
    "global, uniform": lambda: Global(0.7, allocation="uniform"),
    "global, params": lambda: Global(params=100),
    "global, bytes": lambda: Global(bytes=2000),
    "unstructured": lambda: Unstructured(0.6),
    "two budgets": lambda: {"conv": Global(0.8), "*": Global(0.3)},
    "nm": lambda: {"conv": NM(2, 4)},
    "nm in part": lambda: {"conv": NM(2, 4, fraction=0.3)},
    "nm along the rows": lambda: {"conv": NM(1, 4, dim=0)},
    "blocks of rows": lambda: {"conv": Block((4, 1), 0.6)},
    "blocks in a row": lambda: {"conv": Block((1, 4), 0.6), "hidden": Block((1, 2), 0.5)},
    "filters": lambda: {"conv": Channel(0.5), "hidden": Channel(0.5)},
    "inputs": lambda: {"conv": Channel(0.5, dim=1), "hidden": Channel(0.5, dim=1)},
    "columns": lambda: {"conv": Column(0.5), "hidden": Column(0.5)},
    "patterns": lambda: {"conv": KernelPattern()},
    "patterns in part": lambda: {"conv": KernelPattern(fraction=0.5)},
    "patterns and kernels": lambda: {"conv": KernelPattern(connectivity=0.4)},
    "filters and nm": lambda: {"conv": Channel(0.5) & NM(2, 4)},
    "columns and nm": lambda: {"conv": Column(0.25) & NM(2, 4, dim=0)},
    "different dtypes of scores": lambda: {"conv": Channel(0.5), "*": Unstructured(0.5)},
}


FEW_SETS = ("global", "global, some floors bind", "columns")


def scenario_masks_are_those_of_one_process(folder: Path) -> None:
    for mesh_name, mesh in meshes().items():
        for name in FEW_SETS if mesh_name == "square" else SETS:
            rules = SETS[name]
            one, _ = make(None, rules(), OneShot())
            some, _ = make(mesh, rules(), OneShot())
            assert some.world.ranks == (4 if mesh_name == "four" else 2)
            assert counts(some.finalize()) == counts(one.finalize()), (mesh_name, name)
            for parameter, mask in some.masks().items():
                assert torch.equal(full(mask), one.masks()[parameter]), (mesh_name, name, parameter)
            for here, there in zip(some.model.parameters(), one.model.parameters(), strict=True):
                assert torch.equal(full(here), there), (mesh_name, name)


def scenario_other_dtypes(folder: Path) -> None:
    four = meshes()["four"]
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        masks = []
        for mesh in (None, four):
            model = net(mesh, dtype)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            options = {"world": Alone()} if mesh is None else {}
            pruner = Pruner(model, optimizer, Global(0.7), total_steps=4, method=SLR(), **options)
            for _ in range(3):
                pruner.step(1.0)  # weights as they are: what the ranks compute differs in no bit
            pruner.finalize()
            masks.append({name: full(mask) for name, mask in pruner.masks().items()})
        assert all(torch.equal(masks[0][name], masks[1][name]) for name in masks[0])


METHODS: dict[str, Callable[[], Any]] = {
    "SLR": SLR,
    "SLR, conditional": lambda: SLR(tolerance=0.0, interval=2),
    "SLR, distrustful": lambda: SLR(trust=0.8),
    "classic": lambda: ClassicSLR(interval=2),
    "classic, summed norms": lambda: ClassicSLR(interval=1, summed_norms=True),
    "classic, coupled": lambda: ClassicSLR(interval=2, coupled=True),
    "ADMM": lambda: ADMM(interval=2),
    "ADMM, coupled": lambda: ADMM(interval=2, coupled=True),
    "penalty": lambda: QuadraticPenalty(interval=2),
    "gradual": lambda: GradualMagnitude(interval=2),
}


def scenario_trajectories_are_those_of_one_process(folder: Path) -> None:
    for mesh_name, mesh in meshes().items():
        runs = [("global", name) for name in (METHODS if mesh_name == "four" else ("SLR", "classic"))]
        for rules, name in (*runs, ("nm", "SLR"), ("patterns", "SLR")):
            method = METHODS[name]
            one, one_optimizer = make(None, SETS[rules](), method())
            some, some_optimizer = make(mesh, SETS[rules](), method())
            train(one, one_optimizer, None, range(STEPS))
            train(some, some_optimizer, mesh, range(STEPS))
            for there, here in zip(one.records(), some.records(), strict=True):
                for field in vars(there):
                    a, b = getattr(there, field), getattr(here, field)
                    assert a == b or abs(a - b) <= 1e-9 * abs(a) or a != a, (mesh_name, rules, name, field, a, b)
            assert counts(some.finalize()) == counts(one.finalize()), (mesh_name, rules, name)
            for here, there in zip(some.model.parameters(), one.model.parameters(), strict=True):
                assert torch.allclose(full(here), there, rtol=1e-9, atol=1e-12), (mesh_name, rules, name)
                assert torch.equal(full(here) == 0, there == 0), (mesh_name, rules, name)


def scenario_a_step_that_crowds_is_refused_on_all_ranks(folder: Path) -> None:
    """The loss rises, so that condition 1 fails; the entries are those of all ranks, the bounds the largest of any."""
    for mesh in meshes().values():
        for rules in (SETS["global"], SETS["two budgets"]):
            pruners = []
            for place in (None, mesh):
                pruner, optimizer = make(place, rules(), SLR(tolerance=0.02, trust=None, ramp=NoRamp()))
                for step in range(STEPS):
                    optimizer.zero_grad()
                    (pruner.model(batch(step, place)) - 1).square().mean().backward()
                    optimizer.step()
                    pruner.step(float(step))
                pruners.append(pruner)
            one, some = pruners
            stepsizes = [record.stepsize for record in one.records()]
            assert [record.stepsize for record in some.records()] == stepsizes
            assert min(stepsizes) < 1 == max(stepsizes), stepsizes
            for name, value in one._state.scalars.items():
                assert torch.allclose(some._state.scalars[name], value, rtol=1e-9, atol=0), name


def selection(bags: int, tensors: int, bits: int) -> tuple[int, int, int]:
    """docs/scale.md: calls, bytes summed and bytes gathered of one selection."""
    width = 11 if bags == 1 else 8
    widths = [min(width, bits - shift) for shift in range(0, bits, width)]
    return len(widths) + 1, sum(8 * bags * 2**width for width in widths), 16 * tensors


def scenario_traffic_and_memory_are_those_of_the_formulas(folder: Path) -> None:
    tensors, bits = 3, 63
    for mesh_name, mesh in meshes().items():
        ranks = 4 if mesh_name == "four" else 2
        once, per_tensor = selection(1, tensors, bits), selection(tensors, tensors, bits)
        for rules, selections in (
            (Global(0.7, floor=0.0), [once]),
            (Global(0.9, floor=1.0), [once, per_tensor, once]),  # a floor binds
            (Unstructured(0.7), [per_tensor]),
        ):
            pruner, _ = make(mesh, rules, OneShot(), steps=4)
            traffic = pruner.world.traffic
            before = traffic.calls, traffic.payload, traffic.sent
            pruner.step(1.0)
            calls = sum(calls for calls, _, _ in selections) + 1  # and the counts of the record
            summed = sum(summed for _, summed, _ in selections) + 16
            gathered = sum(gathered for _, _, gathered in selections)
            steps = mesh.ndim  # loss and health, summed along each dimension of the mesh
            assert traffic.calls - before[0] == calls + steps
            assert traffic.payload - before[1] == summed + gathered + 16 * steps
            over_all = 16 * steps if mesh.ndim == 2 else 16  # both dimensions have 2 ranks
            sent = 2 * (ranks - 1) / ranks * (summed + over_all) + (ranks - 1) * gathered
            assert abs(traffic.sent - before[2] - sent) < 1e-6
        for tolerance, calls, payload in ((None, 0, 0), (0.05, 2, 8 + 16 * tensors)):  # bound, entries
            pruner, _ = make(mesh, Global(0.7, floor=0.0), SLR(tolerance=tolerance, ramp=NoRamp()), steps=4)
            before = pruner.world.traffic.calls, pruner.world.traffic.payload
            pruner.step(1.0)  # the averages are equal, so condition 1 fails
            calls, payload = calls + 3, payload + 32 + 8 * tensors  # norms, counts, thresholds
            assert pruner.world.traffic.calls - before[0] == once[0] + calls + mesh.ndim
            assert pruner.world.traffic.payload - before[1] == once[1] + once[2] + payload + 16 * mesh.ndim
        held = sum(tensor.nbytes for tensors in pruner._state.tensors.values() for tensor in tensors)
        here = sum(weight.numel() for weight in pruner.problem.weights)
        assert held == pruner.method.bytes_per_weight(torch.float64) * here
        everywhere: list[Any] = [None] * 4
        dist.all_gather_object(everywhere, here)
        assert sum(everywhere) == pruner.problem.numel * 4 // ranks
