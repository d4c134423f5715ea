"""Scenarios under FSDP2, run by every rank of `ranks.run`; the tests that read the outcome are in test_sharded.py.

Four ranks make three meshes: all four in a row, two pairs that each train for themselves, and a square whose rows hold
copies of what its columns cut (hybrid sharding).
"""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from ranks import refused
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import Shard

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
    MaskKeeper,
    OneShot,
    Pruner,
    QuadraticPenalty,
    SparsityReport,
    Unstructured,
    apply_masks_,
)
from slrprune.distributed import Alone, Shards
from slrprune.errors import NonFiniteError, ShapeError, StateError, UsageError

STEPS, BATCH = 6, 8


def meshes() -> dict[str, DeviceMesh]:
    square = init_device_mesh("cpu", (2, 2), mesh_dim_names=("copies", "cut"))
    return {"four": init_device_mesh("cpu", (4,)), "two": square["cut"], "square": square}


class Net(nn.Module):
    """Slices of 16 / 4, of 6 on 4 ranks (2, 2, 2, 0) and of a single row; ties on purpose."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.conv = nn.Conv2d(4, 16, 3)
        self.hidden = nn.Linear(16, 6)
        self.head = nn.Linear(6, 1)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_((parameter * 64).round() / 64)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.hidden(self.conv(images).relu().mean((2, 3))).tanh())


def net(mesh: DeviceMesh | None, dtype: torch.dtype = torch.float64) -> Net:
    model = Net().to(dtype)
    if mesh is not None:
        for layer in (model.conv, model.hidden, model.head):
            fully_shard(layer, mesh=mesh)
        fully_shard(model, mesh=mesh)
    return model


def batch(step: int, mesh: DeviceMesh | None, dtype: torch.dtype = torch.float64) -> Tensor:
    """This rank's share of a batch that one process sees as a whole."""
    images = torch.randn(BATCH, 4, 5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(step)).to(dtype)
    if mesh is None:
        return images
    place, size = mesh.get_rank(), mesh.size()
    place = mesh.mesh.flatten().tolist().index(place)
    return images.chunk(size)[place]


def train(pruner: Pruner, optimizer: torch.optim.Optimizer, mesh: DeviceMesh | None, steps: range) -> None:
    for step in steps:
        optimizer.zero_grad()
        loss = (pruner.model(batch(step, mesh)) - 1).square().mean()
        (loss + pruner.penalty() if pruner.method.is_coupled else loss).backward()
        optimizer.step()
        pruner.step(loss)


def make(mesh: DeviceMesh | None, rules: Any, method: Any = None, steps: int = STEPS, **options: Any) -> Any:
    model = net(mesh)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    if mesh is None:
        options["world"] = Alone()
    return Pruner(model, optimizer, rules, total_steps=steps, method=method, **options), optimizer


def counts(report: SparsityReport) -> Any:
    return report.layers, report.model_numel, report.model_nnz, report.steps


def full(tensor: Tensor) -> Tensor:
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


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
    "SLR, conditional": lambda: SLR(conditional=True, interval=2),
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
        for name in METHODS if mesh_name == "four" else ("SLR", "classic"):
            method = METHODS[name]
            one, one_optimizer = make(None, Global(0.7), method())
            some, some_optimizer = make(mesh, Global(0.7), method())
            train(one, one_optimizer, None, range(STEPS))
            train(some, some_optimizer, mesh, range(STEPS))
            for there, here in zip(one.records(), some.records(), strict=True):
                for field in vars(there):
                    a, b = getattr(there, field), getattr(here, field)
                    assert a == b or abs(a - b) <= 1e-9 * abs(a) or a != a, (mesh_name, name, field, a, b)
            assert counts(some.finalize()) == counts(one.finalize()), (mesh_name, name)
            for here, there in zip(some.model.parameters(), one.model.parameters(), strict=True):
                assert torch.allclose(full(here), there, rtol=1e-9, atol=1e-12), (mesh_name, name)
                assert torch.equal(full(here) == 0, there == 0), (mesh_name, name)


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
        pruner, _ = make(mesh, Global(0.7), SLR())
        held = sum(tensor.nbytes for tensors in pruner._state.tensors.values() for tensor in tensors)
        here = sum(weight.numel() for weight in pruner.problem.weights)
        assert held == pruner.method.bytes_per_weight(torch.float64) * here
        everywhere: list[Any] = [None] * 4
        dist.all_gather_object(everywhere, here)
        assert sum(everywhere) == pruner.problem.numel * 4 // ranks


def scenario_a_rank_of_its_own_opinion(folder: Path) -> None:
    """Losses differ by rank, wildly; the conditions are those of the mean, so all decide alike."""
    mesh = meshes()["four"]
    pruner, optimizer = make(mesh, Global(0.7), ClassicSLR(interval=1), read_every=2)
    for step in range(STEPS):
        optimizer.zero_grad()
        (pruner.model(batch(step, mesh)) - 1).square().mean().backward()
        optimizer.step()
        opinion = -4 if dist.get_rank() == 3 else dist.get_rank() + 1  # the sum of the four is 2
        pruner.step(opinion * (-10.0) ** step)
    first = [record.first_condition for record in pruner.records()]
    everywhere: list[Any] = [None] * 4
    dist.all_gather_object(everywhere, (first, [float(v) for v in pruner._state.scalars.values()]))
    assert all(one == everywhere[0] for one in everywhere)
    assert set(first) == {0.0, 1.0}


def scenario_nan_on_one_rank_is_noticed_by_all(folder: Path) -> None:
    mesh = meshes()["four"]
    pruner, _ = make(mesh, Global(0.7))
    pruner.step(1.0)
    with refused(NonFiniteError, "at or before step 2"):
        pruner.step(float("nan") if dist.get_rank() == 2 else 1.0)
    local = pruner.model.conv.weight.to_local()
    if dist.get_rank() == 1:
        with torch.no_grad():
            local[0] = torch.nan
    with refused(NonFiniteError, "at or before step 2"):
        pruner.step(1.0)
    with refused(NonFiniteError, "conv.weight"):
        pruner.finalize()


def scenario_after_an_evaluation(folder: Path) -> None:
    """FSDP2 keeps the root's parameters gathered after a forward pass without a backward pass."""
    mesh = meshes()["four"]
    model = Net().double()
    fully_shard(model, mesh=mesh)  # one group, all in the root
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with torch.no_grad():
        model(batch(0, mesh))
    pruner = Pruner(model, optimizer, Global(0.7), total_steps=4, method=ADMM(interval=1))
    train(pruner, optimizer, mesh, range(2))
    with torch.no_grad():
        before = model(batch(0, mesh))
        with pruner.cut() as cut:
            inside = cut(batch(0, mesh))
            report = pruner.report()
        after = model(batch(0, mesh))
    assert torch.equal(before, after)
    assert not torch.equal(before, inside)
    assert abs(report.sparsity - 0.7) < 0.01
    with refused(UsageError, "cannot be copied", "pruner.cut()"):
        pruner.preview()
    train(pruner, optimizer, mesh, range(2, 4))
    with torch.no_grad():
        model(batch(0, mesh))
        nnz = pruner.finalize().nnz
        final = model(batch(0, mesh))
    assert nnz == pruner.report().nnz == report.nnz
    reference = Net().double()
    with torch.no_grad():
        model.reshard()
        for here, there in zip(reference.parameters(), model.parameters(), strict=True):
            here.copy_(full(there))
    assert torch.allclose(final, reference(batch(0, mesh)))


def scenario_resumed_on_other_ranks(folder: Path) -> None:
    """Saved by two, resumed by four and by one, and back: the run goes on as if nothing had happened."""
    made = meshes()
    for method in (SLR, lambda: ClassicSLR(interval=1)):
        whole, whole_optimizer = make(None, Global(0.7), method())
        train(whole, whole_optimizer, None, range(STEPS))
        expected = [parameter.detach().clone() for parameter in whole.model.parameters()]
        first, first_optimizer = make(made["two"], Global(0.7), method())
        train(first, first_optimizer, made["two"], range(3))
        pair = dist.get_rank() // 2
        place = folder / f"{type(first.method).__name__}_{pair}"
        dcp.save(_saved(first, first_optimizer), checkpoint_id=place, process_group=made["two"].get_group())
        dist.barrier()
        for mesh in (made["four"], None, made["square"]):
            place = folder / f"{type(first.method).__name__}_0"
            pruner, optimizer = make(mesh, Global(0.7), method())
            _warm(pruner, optimizer)
            state = _saved(pruner, optimizer)
            if mesh is None:
                with warnings.catch_warnings():
                    warnings.filterwarnings("ignore", message="torch.distributed is disabled")
                    dcp.load(state, checkpoint_id=place, no_dist=True)
            else:
                dcp.load(state, checkpoint_id=place)
            pruner.model.load_state_dict(state["model"])
            optimizer.load_state_dict(state["optimizer"])
            pruner.load_state_dict(state["pruner"])
            assert pruner.steps == 3
            assert repr(pruner.records()) == repr(first.records())
            train(pruner, optimizer, mesh, range(3, STEPS))
            for here, there in zip(pruner.model.parameters(), expected, strict=True):
                assert torch.allclose(full(here), there, rtol=1e-9, atol=1e-12)
            dist.barrier()


def _saved(pruner: Pruner, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    return {
        "model": pruner.model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "pruner": pruner.state_dict(),
    }


def _warm(pruner: Pruner, optimizer: torch.optim.Optimizer) -> None:
    """Momentum buffers exist only after a step, and what is loaded must exist."""
    for parameter in pruner.model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    optimizer.zero_grad()


def scenario_a_state_of_other_ranks_is_refused(folder: Path) -> None:
    made = meshes()
    one, _ = make(None, Global(0.7))
    two, _ = make(made["two"], Global(0.7))
    four, _ = make(made["four"], Global(0.7))
    way_out = "torch.distributed.checkpoint"
    with refused(StateError, "saved by 1 processes", "cut over 4", way_out):
        four.load_state_dict(one.state_dict())
    with refused(StateError, "saved by 2 processes", "cut over 4", way_out):
        four.load_state_dict(two.state_dict())
    with refused(StateError, "saved by 4 processes", way_out):
        one.load_state_dict(four.state_dict())
    two.load_state_dict(two.state_dict())


def scenario_refusals(folder: Path) -> None:
    four = meshes()["four"]
    rest: dict[str, Any] = {"*": None}
    with refused(ShapeError, "hidden.weight", "Block((3, 1))", "slices of 2 rows on 4 ranks"):
        make(four, {"hidden": Block((3, 1), 0.5)})
    with refused(ShapeError, "hidden.weight", "NM(1, 3) along dim 0", "slices of 2 rows on 4 ranks"):
        make(four, {"hidden": NM(1, 3, dim=0), **rest})
    with refused(ShapeError, "hidden.weight", "along dim 0"):
        make(four, {"hidden": Column(0.5) & NM(1, 3, dim=0)})
    with refused(UsageError, "conv.weight", "LAMP()", "not available for weights cut over 4 ranks", "'magnitude'"):
        make(four, Global(0.5, allocation="lamp"))
    with refused(UsageError, "conv.weight", "Global(macs=2000)", "sparsity, params or bytes"):
        make(four, Global(macs=2000, example_input=torch.zeros(1, 4, 5, 5)))
    with refused(UsageError, "4 processes run", "Build the pruner last"):
        Pruner(net(None), torch.optim.SGD(net(None).parameters(), lr=0.1), Global(0.5), total_steps=4)
    model = net(None)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    pruner = Pruner(model, optimizer, Global(0.5), total_steps=4, world=Alone())
    fully_shard(model, mesh=four)
    with refused(UsageError, "was replaced", "Build the pruner last"):
        pruner.step(1.0)
    with refused(Exception, "Build the optimizer after fully_shard"):
        Pruner(model, optimizer, Global(0.5), total_steps=4)
    columns = nn.Linear(8, 8, bias=False)
    fully_shard(columns, mesh=four, shard_placement_fn=lambda parameter: Shard(1))
    with refused(UsageError, "which is not one Shard(0)"):
        Pruner(columns, torch.optim.SGD(columns.parameters(), lr=0.1), Global(0.5), total_steps=4)
    part = Net()
    fully_shard(part.conv, mesh=four)
    with refused(UsageError, "hidden.weight", "Shard the whole model with one mesh"):
        Pruner(part, torch.optim.SGD(part.parameters(), lr=0.1), Global(0.5), total_steps=4)


def scenario_masked_retraining(folder: Path) -> None:
    four = meshes()["four"]
    pruner, optimizer = make(four, Global(0.7))
    train(pruner, optimizer, four, range(STEPS))
    nnz = pruner.finalize().nnz
    masks = pruner.masks()
    for chosen in (None, masks, {name: full(mask) for name, mask in masks.items()}):
        keeper = MaskKeeper(pruner.model, optimizer, chosen)
        for step in range(2):
            optimizer.zero_grad()
            (pruner.model(batch(step, four)) - 1).square().mean().backward()
            optimizer.step()
        keeper.remove()
        assert pruner.report().nnz == nnz
    other, plain, dense = net(four), net(None), net(four)
    with torch.no_grad():
        for parameter in dense.parameters():
            parameter.fill_(1.0)
    pruner.apply_masks_(other)
    for name, parameter in other.named_parameters():
        if name in masks:
            assert not bool((full(parameter) != 0)[~full(masks[name])].any())
    with refused(UsageError, "cut over 4 ranks", "full_tensor"):
        pruner.apply_masks_(plain)
    with refused(UsageError, "no zeros to keep"):
        MaskKeeper(dense, optimizer)
    apply_masks_(plain, {name: full(mask) for name, mask in masks.items()})


def scenario_optimizers(folder: Path) -> None:
    four = meshes()["four"]
    for make_optimizer in (
        lambda p: torch.optim.AdamW(p, lr=0.01, foreach=True),
        lambda p: torch.optim.AdamW(p, lr=0.01, fused=True),
        lambda p: torch.optim.SGD(p, lr=0.01, foreach=False),
    ):
        model = net(four)
        optimizer = make_optimizer(model.parameters())
        pruner = Pruner(model, optimizer, Global(0.7), total_steps=3)
        assert isinstance(pruner.world, Shards)
        train(pruner, optimizer, four, range(3))
        assert abs(pruner.finalize().sparsity - 0.7) < 0.01
