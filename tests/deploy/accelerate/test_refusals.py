"""What accelerate and its module refuse: one sentence and a way out each."""

import copy
import dataclasses

import pytest
import torch
from torch import nn

from slrprune.deploy.accelerate import Choices, InterleavedTimer, Layout, accelerate
from slrprune.errors import ArgumentError, UsageError


@pytest.fixture
def model():
    return nn.Sequential(nn.Linear(8, 4), nn.ReLU()).eval()


@pytest.fixture
def fast(model, invented):
    return accelerate(model, torch.randn(2, 8), timer=invented())[0]


def test_training_mode(model):
    model[1].train()
    with pytest.raises(UsageError, match=r"the model is in training mode \(1\)\. Call model\.eval\(\) first"):
        accelerate(model, torch.randn(2, 8))


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_torchscript(model):
    with pytest.raises(UsageError, match=r"the model is TorchScript.*Pass the model before jit"):
        accelerate(torch.jit.trace(model, torch.randn(2, 8)), torch.randn(2, 8))


def test_a_model_on_meta():
    with pytest.raises(UsageError, match=r"on the device 'meta', without values\. Load its weights first"):
        accelerate(nn.Linear(8, 4, device="meta").eval(), torch.randn(2, 8))


def test_a_model_on_two_devices():
    model = nn.Sequential(nn.Linear(8, 4), nn.Linear(4, 4, device="meta")).eval()
    with pytest.raises(UsageError, match=r"the model lies on cpu, meta\. Move it to one device"):
        accelerate(model, torch.randn(2, 8))


def test_an_example_on_another_device(model):
    with pytest.raises(ArgumentError, match=r"must be on the model's device, cpu. Move it: \.to\('cpu'\)"):
        accelerate(model, torch.randn(2, 8, device="meta"))


def test_an_example_that_the_model_does_not_take(model):
    with pytest.raises(ArgumentError, match=r"example_inputs must be what the model takes: RuntimeError.*A tuple is"):
        accelerate(model, torch.randn(2, 9))


def test_an_example_without_a_tensor(model):
    with pytest.raises(ArgumentError, match=r"example_inputs='int'\): example_inputs must hold a tensor"):
        accelerate(model, 3)


@pytest.mark.parametrize("tolerance", [0, -1.0, float("nan")])
def test_a_tolerance_out_of_range(tolerance, model):
    with pytest.raises(ArgumentError, match=r"tolerance must be positive, or None"):
        accelerate(model, torch.randn(2, 8), tolerance=tolerance)


def test_outputs_beyond_the_tolerance(model):
    choices = Choices(True, Layout.CONTIGUOUS, {"0": "dense bf16"})
    with pytest.raises(UsageError, match=r"the outputs on the example differ by .* more than 1e-09\. Pass a larger"):
        accelerate(model, torch.randn(2, 8), choices=choices, allow_bf16=True, tolerance=1e-9)


def test_a_random_model():
    class Noisy(nn.Module):
        def forward(self, x):
            return x + torch.rand_like(x)

    with pytest.raises(UsageError, match=r"two passes over the example give different outputs\. Remove what is random"):
        accelerate(Noisy().eval(), torch.randn(2, 8))


@dataclasses.dataclass
class Output:
    scores: object


class Boxed(nn.Linear):
    """Returns something else than a tensor."""

    def forward(self, x):
        return Output(super().forward(x) + torch.rand(4))


class Mute(nn.Linear):
    """Returns nothing that could be compared."""

    def forward(self, x):
        return super().forward(x).tolist()


def test_outputs_in_a_dataclass_are_compared():
    with pytest.raises(UsageError, match=r"two passes over the example give different outputs"):
        accelerate(Boxed(8, 4).eval(), torch.randn(2, 8))


def test_a_model_that_gives_no_tensor():
    with pytest.raises(UsageError, match=r"the model's output holds no tensor.*Wrap the model so that it returns"):
        accelerate(Mute(8, 4).eval(), torch.randn(2, 8))


def test_autocast(model):
    with (
        torch.autocast("cpu", torch.bfloat16),
        pytest.raises(UsageError, match=r"autocast is on\. Call it outside"),
    ):
        accelerate(model, torch.randn(2, 8))


def test_a_model_that_cannot_be_copied(model):
    class Stubborn(nn.Linear):
        def __deepcopy__(self, memo):
            raise TypeError("never")

    with pytest.raises(UsageError, match=r"the model cannot be copied .TypeError: never"):
        accelerate(Stubborn(8, 4).eval(), torch.randn(2, 8))


def test_rounds_out_of_range():
    with pytest.raises(ArgumentError, match=r"rounds must be at least 1"):
        InterleavedTimer(0)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ((torch.randn(2, 8), torch.randn(2, 8)), r"it was tuned for 1 tensor\(s\) and got 2"),
        ((), r"it was tuned for 1 tensor\(s\) and got 0"),
        ((torch.randn(2, 8).double(),), "its input 0 must be torch.float32 as in the example, got torch.float64"),
        ((torch.randn(2, 8, device="meta"),), "its input 0 must be on cpu as in the example, got meta"),
        ((torch.randn(()),), r"its input 0 must have 2 dimensions as in the example, got shape \(\)"),
        ((torch.randn(2, 9),), r"its input 0 has a size that the model cannot take, got \(2, 9\), the example has"),
    ],
)
def test_inputs_unlike_the_example(inputs, message, fast):
    with pytest.raises(UsageError, match=f"accelerated model: {message}.*Call it as the example was"):
        fast(*inputs)


def test_other_sizes_just_work(fast, model):
    for shape in ((1, 8), (7, 8), (3, 5, 8)):
        x = torch.randn(shape)
        torch.testing.assert_close(fast(x), model(x))


def test_an_error_that_the_inputs_do_not_explain_is_passed_on():
    class Picky(nn.Module):
        def forward(self, x):
            assert x.sum() > 0, "only sunshine"
            return x

    fast, _ = accelerate(Picky().eval(), torch.ones(3))
    with pytest.raises(AssertionError, match=r"only sunshine"):
        fast(-torch.ones(3))


def test_it_cannot_be_trained(fast):
    assert fast.eval() is fast
    assert not any(parameter.requires_grad for parameter in fast.parameters())
    with pytest.raises(UsageError, match=r"it is for inference and cannot be trained\. Train the original"):
        fast.train()


def test_copies_compute_the_same(fast):
    x = torch.randn(2, 8)
    assert torch.equal(copy.deepcopy(fast)(x), fast(x))
