"""The engine on Accelerate: its steps are those of plain torch, and what it brings besides."""

import copy
import re
import sys

import pytest
import torch
from torch import nn
from torch.optim import SGD
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR

from slrprune.errors import ArgumentError, MissingExtraError, StateError, UsageError
from slrprune.tasks import AdamRecipe, AdamWRecipe, SGDRecipe
from slrprune.train import Accelerated, DenseTrainer, Move, Plain
from slrprune.train.loop import DataOrder, Loop
from slrprune.train.trackers import Tracker

pytest.importorskip("accelerate", reason="the engine needs accelerate, of the extra train")
from accelerate.state import AcceleratorState, GradientState


@pytest.fixture
def engine():
    """Makes engines, and closes them; what another test of this process left of Accelerate's state goes first."""
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
    made = []

    def make(**settings):
        made.append(Accelerated(cpu=True, **settings))
        return made[-1]

    yield make
    for entry in made:
        entry.close()


def network():
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4))


def steps_of(engine, batches):
    """Parameters after these batches, and what became of each."""
    model = network()
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
    called, moves = engine.prepare(model, optimizer), []
    for index, inputs in enumerate(batches):
        with engine.micro_step(called, is_last=(index + 1) % engine.accumulation == 0):
            moves.append(engine.move(optimizer, called(inputs).square().mean()))
    return [parameter.detach().clone() for parameter in model.parameters()], moves


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


BATCHES = list(torch.randn(6, 5, 6, generator=torch.Generator().manual_seed(0)))


def test_its_steps_are_those_of_plain_torch(engine):
    ours, moves = steps_of(engine(), BATCHES)
    assert same(ours, steps_of(Plain(), BATCHES)[0])
    assert moves == [Move.MADE] * 6


def test_accumulated_batches_make_one_step(engine):
    ours, moves = steps_of(engine(accumulation=3), BATCHES)
    assert moves == [Move.GATHERED, Move.GATHERED, Move.MADE] * 2
    theirs, _ = steps_of(Plain(), [torch.cat(BATCHES[:3]), torch.cat(BATCHES[3:])])
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)


def test_gradients_are_clipped(engine):
    model = network()
    optimizer = SGD(model.parameters(), lr=1.0)
    clipping = engine(clip_norm=0.01)
    called = clipping.prepare(model, optimizer)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    with clipping.micro_step(called, is_last=True):
        clipping.move(optimizer, called(BATCHES[0]).square().sum())
    moved = torch.cat([(a - b).flatten() for a, b in zip(before, model.parameters(), strict=True)])
    assert float(moved.detach().norm()) == pytest.approx(0.01, rel=1e-3)


def test_bf16_is_autocast_and_weights_stay_float32(engine):
    model = network()
    optimizer = SGD(model.parameters(), lr=0.1)
    inside = []
    model[0].register_forward_hook(lambda module, inputs, output: inside.append(output.dtype))
    called = engine(precision="bf16").prepare(model, optimizer)
    assert called(BATCHES[0]).dtype is torch.float32
    assert inside == [torch.bfloat16]
    twin = copy.deepcopy(model)
    with torch.no_grad():
        twin[2].weight.zero_()
        twin[2].bias.zero_()
    assert not twin(BATCHES[0]).any()  # a copy computes with its own weights
    assert called(BATCHES[0]).any()


def test_fp16_is_refused_on_the_cpu():
    with pytest.raises(ArgumentError, match=r"precision='fp16'\): precision needs a GPU\. Take bf16"):
        Accelerated(precision="fp16", cpu=True)


def test_another_precision_in_the_same_process_is_told(engine):
    engine(precision="bf16")
    with pytest.raises(UsageError, match=r"in use in this process with other settings.*process of its own"):
        engine(precision="no")


def test_afterwards_the_process_is_free_for_another_precision(engine):
    first = engine(precision="bf16")
    first.close()
    assert engine(precision="no").accelerator.mixed_precision == "no"


def test_without_accelerate_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(MissingExtraError, match=r"needs accelerate\. Install it with: pip install 'slrprune\[train\]'"):
        Accelerated(cpu=True)


def test_an_unknown_tracker_lists_those_that_are_known():
    with pytest.raises(ArgumentError, match=r"one of tensorboard, wandb, mlflow, none\. The closest is 'wandb'"):
        Tracker("wand")


def test_a_tracker_that_is_not_installed_is_told(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="tracker tensorboard needs tensorboard"):
        Tracker("tensorboard")
    with pytest.raises(UsageError, match="the package wandb is not installed"):
        Tracker("wandb")


class Scheduled(SGDRecipe):
    """With a schedule of its own."""

    made = staticmethod(lambda optimizer, total_steps: None)

    def scheduler(self, optimizer, total_steps):
        return self.made(optimizer, total_steps)


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        (lambda o, n: OneCycleLR(o, 0.1, total_steps=n + 5), "makes a OneCycleLR of 17 steps, and the run has 12"),
        (lambda o, n: CosineAnnealingLR(o, T_max=2), "makes a CosineAnnealingLR of 2 steps, and the run has 12"),
    ],
)
def test_a_scheduler_of_another_length_is_refused(configured, made, sentence):
    import run_task

    task = run_task.blobs()
    Scheduled.made = staticmethod(made)
    with pytest.raises(ArgumentError, match=sentence):
        Loop(task.build_model(), task, Scheduled(epochs=2, lr=0.1), order=DataOrder())


def test_a_scheduler_of_the_right_length_is_taken(configured):
    import run_task

    task = run_task.blobs()
    Scheduled.made = staticmethod(lambda o, n: OneCycleLR(o, 0.1, total_steps=n))
    loop = Loop(task.build_model(), task, Scheduled(epochs=2, lr=0.1), order=DataOrder())
    loop.run()
    assert loop.at.steps == 12


def test_a_loop_of_another_length_takes_no_state(configured):
    import run_task

    task, states = run_task.blobs(), []
    loop = Loop(task.build_model(), task, SGDRecipe(epochs=2, lr=0.1), order=DataOrder(), trainer=DenseTrainer)
    loop.run(on_epoch=lambda loss: states.append(loop.state_dict()))
    longer = Loop(task.build_model(), task, SGDRecipe(epochs=3, lr=0.1), order=DataOrder())
    with pytest.raises(StateError, match="the state is of a run of 12 steps, this one has 18"):
        longer.load_state_dict(states[0])


def state_under(recipe):
    """Of a loop after its last epoch."""
    import run_task

    task, states = run_task.blobs(), []
    loop = Loop(task.build_model(), task, recipe, order=DataOrder())
    loop.run(on_epoch=lambda loss: states.append(loop.state_dict()))
    return states[-1]


def loop_under(recipe):
    import run_task

    task = run_task.blobs()
    return Loop(task.build_model(), task, recipe, order=DataOrder())


OTHERS = [(SGDRecipe, AdamWRecipe), (AdamRecipe, AdamWRecipe), (AdamWRecipe, AdamRecipe)]


@pytest.mark.parametrize(("begun", "other"), OTHERS)
def test_a_loop_with_another_optimizer_takes_no_state(configured, begun, other):
    state = state_under(begun(epochs=1, lr=0.1))
    names = [re.escape(state_under(kind(epochs=1, lr=0.1))["optimizer_class"]) for kind in (begun, other)]
    loop = loop_under(other(epochs=1, lr=0.1))
    with pytest.raises(StateError, match=r"of another optimizer, {}; this run has {}\. Resume it".format(*names)):
        loop.load_state_dict(state)
    assert loop.optimizer.state_dict()["state"] == {}
    loop_under(begun(epochs=1, lr=0.3)).load_state_dict(state)


def test_a_state_of_before_names_no_class_and_is_told_by_its_settings(configured):
    state = state_under(SGDRecipe(epochs=1, lr=0.1))
    assert state.pop("optimizer_class") == "torch.optim.sgd.SGD"
    with pytest.raises(StateError, match=r"of another optimizer, without .*betas.*; this run has .*AdamW\. Resume it"):
        loop_under(AdamWRecipe(epochs=1, lr=0.1)).load_state_dict(state)
    loop = loop_under(SGDRecipe(epochs=1, lr=0.1))
    loop.load_state_dict(state)
    assert loop.at.steps == 6
