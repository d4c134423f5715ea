"""What PyTorch offers around a model keeps working: copies, pickles, compilation, export, averages, wrappers."""

import copy
import io
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper
from torch.utils.checkpoint import checkpoint

from slrprune import ADMM, SLR, Channel, ClassicSLR, Global, GradualMagnitude, MaskKeeper, Method, Pruner, Unstructured
from slrprune.errors import UsageError

METHODS = [SLR(), ClassicSLR(interval=2), ADMM(interval=2), GradualMagnitude(interval=2)]
every_method = pytest.mark.parametrize("method", METHODS, ids=lambda method: type(method).__name__)


class Net(nn.Module):
    """A convolution, a BatchNorm and two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(2, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.hidden = nn.Linear(4, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, images: Tensor) -> Tensor:
        features = torch.relu(self.norm(self.conv(images))).mean((2, 3))
        return self.head(torch.relu(self.hidden(features)))


KEPT = 32  # a quarter of the 72 + 32 + 24 weights


def _images(step: int) -> Tensor:
    return torch.randn(4, 2, 5, 5, generator=torch.Generator().manual_seed(step))


def _train(model: nn.Module, optimizer: torch.optim.Optimizer, pruner: Pruner | None, steps: range) -> None:
    for step in steps:
        loss = model(_images(step)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if pruner is not None:
            pruner.step(loss)


def _started(
    model: nn.Module, method: Method | None = None, steps: int = 0, total_steps: int = 8
) -> tuple[torch.optim.Optimizer, Pruner]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    pruner = Pruner(model, optimizer, Global(0.75), total_steps=total_steps, method=method)
    _train(model, optimizer, pruner, range(steps))
    return optimizer, pruner


def _weights(model: nn.Module) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in model.parameters()]


def _same(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@every_method
@pytest.mark.parametrize("how", ["deepcopy", "pickle"])
def test_copies_of_model_optimizer_and_pruner_run_on_alone(method: Method, how: str) -> None:
    model = Net()
    optimizer, pruner = _started(model, method, steps=3)
    together = (model, optimizer, pruner)
    twins = copy.deepcopy(together) if how == "deepcopy" else pickle.loads(pickle.dumps(together))
    assert twins[2].model is twins[0]
    before = (_weights(model), str(pruner.state_dict()))
    _train(*twins, range(3, 8))
    assert _same(before[0], _weights(model)), "the original stays where it was"
    assert str(pruner.state_dict()) == before[1]
    _train(*together, range(3, 8))
    assert _same(_weights(model), _weights(twins[0]))
    assert twins[2].finalize().nnz == pruner.finalize().nnz == KEPT
    with pytest.raises(UsageError, match="the pruner has been finalized"):
        pruner.step(1.0)


def test_the_copy_of_a_pruner_holds_its_own_weights() -> None:
    model = Net()
    optimizer, pruner = _started(model, steps=3)
    twin_model, twin_optimizer, twin = copy.deepcopy((model, optimizer, pruner))
    for some_model, some_optimizer in ((model, optimizer), (twin_model, twin_optimizer)):
        with pytest.raises(UsageError, match=r"conv\.weight is held by another pruner"):
            Pruner(some_model, some_optimizer, Global(0.5), total_steps=8)
    twin.finalize()
    Pruner(twin_model, twin_optimizer, Global(0.5), total_steps=8)
    _train(model, optimizer, pruner, range(3, 8))
    assert pruner.finalize().nnz == KEPT


def test_a_copy_of_the_model_alone_is_an_ordinary_model() -> None:
    model = Net()
    optimizer, pruner = _started(model, steps=3)
    twin = copy.deepcopy(model)
    assert type(twin) is Net
    assert list(twin.state_dict()) == list(Net().state_dict())
    pickle.loads(pickle.dumps(model))
    _train(model, optimizer, pruner, range(3, 8))
    assert pruner.finalize().nnz == KEPT


def test_the_state_dict_of_a_pruned_model_fits_the_dense_class() -> None:
    model = Net()
    _, pruner = _started(model, steps=8)
    pruner.finalize()
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    fresh = Net()
    fresh.load_state_dict(torch.load(file, weights_only=True))
    assert _same(_weights(fresh), _weights(model))


@every_method
@pytest.mark.parametrize("wrapped", [False, True])
def test_compile_without_a_graph_break(method: Method, wrapped: bool) -> None:
    """The compiled model trains as the plain one does: nothing in it knows of the pruner."""
    plain, model = Net(), Net()
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    optimizer, pruner = _started(compiled if wrapped else model, method)
    assert list(pruner.masks()) == ["conv.weight", "hidden.weight", "head.weight"]
    _train(compiled, optimizer, pruner, range(8))
    plain_optimizer, plain_pruner = _started(plain, method, steps=8)
    assert _same(_weights(plain), _weights(model))
    assert pruner.finalize().nnz == plain_pruner.finalize().nnz == KEPT
    assert torch.equal(compiled(_images(9)), plain(_images(9)))
    del plain_optimizer
    torch._dynamo.reset()


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # raised within inductor
@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_compiled_training_sees_the_weights_that_the_pruner_writes(backend: str) -> None:
    model = Net()
    compiled = torch.compile(model, backend=backend, fullgraph=True)
    optimizer, pruner = _started(model)
    _train(compiled, optimizer, pruner, range(8))
    assert pruner.finalize().nnz == KEPT
    model.eval()
    expected = copy.deepcopy(model)(_images(9))
    assert torch.allclose(torch.compile(model, backend=backend, fullgraph=True)(_images(9)), expected, atol=1e-6)
    torch._dynamo.reset()


@pytest.mark.parametrize("when", ["before", "after"])
def test_export_of_a_pruned_model(when: str) -> None:
    """Also before the cut: with `SLR` the model is sparse after every step."""
    model = Net()
    _, pruner = _started(model, steps=8)
    if when == "after":
        pruner.finalize()
    model.eval()
    program = torch.export.export(model, (_images(9),))
    assert torch.equal(program.module()(_images(9)), model(_images(9)))
    exported = {name: tensor for name, tensor in program.state_dict.items() if name in pruner.masks()}
    assert sum(int(tensor.count_nonzero()) for tensor in exported.values()) == KEPT
    assert sorted(program.state_dict) == sorted(model.state_dict())


@pytest.mark.parametrize(
    "wrap",
    [
        nn.DataParallel,
        lambda model: torch.compile(model, backend="eager"),
        checkpoint_wrapper,
        lambda model: nn.DataParallel(checkpoint_wrapper(model)),
    ],
    ids=["DataParallel", "compile", "checkpoint", "both"],
)
def test_wrapped_and_plain_runs_share_rules_state_and_masks(wrap: Callable[[nn.Module], nn.Module]) -> None:
    plain, inner = Net(), Net()
    wrapped = wrap(inner)
    rules = {"head": None, "*": Unstructured(0.75)}
    runs = []
    for model in (plain, wrapped):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        pruner = Pruner(model, optimizer, rules, total_steps=8)
        _train(model, optimizer, pruner, range(4))
        runs.append((model, optimizer, pruner))
    assert str(runs[0][2].state_dict()) == str(runs[1][2].state_dict())
    runs[1][2].load_state_dict(runs[0][2].state_dict())
    for run in runs:
        _train(*run, range(4, 8))
        run[2].finalize()
    assert _same(_weights(plain), _weights(inner))
    other = Net()
    runs[1][2].apply_masks_(other)
    runs[0][2].apply_masks_(wrap(Net()))
    assert all(not bool((parameter[~mask] != 0).any()) for (_, parameter), mask in _masked(other, runs[0][2]))
    torch._dynamo.reset()


def _masked(model: nn.Module, pruner: Pruner) -> Any:
    parameters = dict(model.named_parameters())
    return [((name, parameters[name]), mask) for name, mask in pruner.masks().items()]


def test_activation_checkpointing() -> None:
    """Activations are recomputed in backward, before the pruner writes: the gradients are those of one point."""
    runs = []
    for recompute in (False, True):
        model = Net()

        def forward(images: Tensor, model: nn.Module = model, recompute: bool = recompute) -> Tensor:
            return checkpoint(model, images, use_reentrant=False) if recompute else model(images)

        model.norm.eval()  # running statistics would be updated twice
        optimizer, pruner = _started(model)
        for step in range(8):
            loss = forward(_images(step)).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            pruner.step(loss)
        runs.append(_weights(model))
    assert _same(*runs)


def test_attention_and_transposed_convolutions_train_and_end_sparse() -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
            self.up = nn.ConvTranspose1d(8, 4, 3)

        def forward(self, tokens: Tensor) -> Tensor:
            return self.up(self.attention(tokens, tokens, tokens)[0].transpose(1, 2))

    model = Mixed()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    pruner = Pruner(model, optimizer, Channel(0.5), total_steps=6)
    for step in range(6):
        loss = model(torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(step))).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        pruner.step(loss)
    pruner.finalize()
    kept = {name: mask.flatten(1) for name, mask in pruner.masks().items()}
    assert list(kept) == ["attention.in_proj_weight", "attention.out_proj.weight", "up.weight"]
    assert int(kept["attention.in_proj_weight"].any(1).sum()) == 12  # rows: outputs
    outputs = pruner.masks()["up.weight"].transpose(0, 1).flatten(1)  # stored as (in, out, kernel)
    assert outputs.any(1).tolist() == outputs.all(1).tolist()
    assert int(outputs.any(1).sum()) == 2
    model.eval()
    assert torch.isfinite(model(torch.ones(1, 5, 8))).all()  # attention's fast path reads the same weights


def test_tied_weights_are_pruned_once_and_stay_tied() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(12, 8)
            self.decoder = nn.Linear(8, 12, bias=False)
            self.decoder.weight = self.embedding.weight

        def forward(self, tokens: Tensor) -> Tensor:
            return self.decoder(self.embedding(tokens))

    model = Tied()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    pruner = Pruner(model, optimizer, {"decoder.weight": Unstructured(0.75)}, total_steps=6)
    for _ in range(6):
        loss = nn.functional.cross_entropy(model(torch.arange(12)), torch.arange(12))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        pruner.step(loss)
    report = pruner.finalize()
    assert (report.nnz, report.numel, report.model_numel) == (24, 96, 96)
    assert model.decoder.weight is model.embedding.weight
    pruner.apply_masks_(copy.deepcopy(model))


def test_lazy_modules_after_their_first_batch() -> None:
    model = nn.Sequential(nn.LazyLinear(8), nn.ReLU(), nn.LazyLinear(4))
    model(torch.ones(1, 6))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    pruner = Pruner(model, optimizer, Global(0.75), total_steps=4)
    for _ in range(4):
        loss = model(torch.ones(2, 6)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        pruner.step(loss)
    assert pruner.finalize().nnz == 20


def test_weights_shared_with_other_processes_memory_stay_in_place() -> None:
    """In-place writes only: `share_memory` (as for Hogwild workers) and views of the weights keep pointing right."""
    model = Net().share_memory()
    pointers = [parameter.data_ptr() for parameter in model.parameters()]
    _, pruner = _started(model, steps=8)
    pruner.finalize()
    assert [parameter.data_ptr() for parameter in model.parameters()] == pointers
    assert all(parameter.is_shared() for parameter in model.parameters())


def test_prune_then_retrain_then_prune_further() -> None:
    """Masked retraining keeps the zeros; a new pruner may then go on from there."""
    model = Net()
    optimizer, pruner = _started(model, steps=8)
    pruner.finalize()
    keeper = MaskKeeper(model, optimizer)
    _train(model, optimizer, None, range(8, 12))
    assert sum(int(parameter.count_nonzero()) for (_, parameter), _ in _masked(model, pruner)) == KEPT
    keeper.remove()
    second = Pruner(model, optimizer, Global(0.9), total_steps=8)
    _train(model, optimizer, second, range(12, 20))
    assert second.finalize().nnz == 13
