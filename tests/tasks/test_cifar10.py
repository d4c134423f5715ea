"""The CIFAR-10 task: on made-up data everything but accuracy, on the real data the accuracy of public checkpoints."""

import pickle

import numpy as np
import pytest
import torch

from slrprune.errors import ArgumentError, StateError, UsageError
from slrprune.tasks import Cifar10
from slrprune.tasks.cifar10 import MEAN, STD
from slrprune.tasks.recipe import AdamWRecipe, SGDRecipe
from slrprune.tasks.resnet_cifar import ResNetCifar

CHECKPOINTS = {20: "resnet20-12fca82f.th", 56: "resnet56-4bfd9763.th"}


@pytest.fixture
def tiny(tiny_cifar10, monkeypatch):
    """Makes the task on made-up data."""
    monkeypatch.setattr("slrprune.tasks.cifar10.read_cifar10", lambda data, split: tiny_cifar10[split])
    return lambda **options: Cifar10(**({"holdout": 20, "batch_size": 10} | options))


def test_validation_images_are_held_out_of_training(tiny, tiny_cifar10):
    task = tiny()
    images = {split: [image.numpy().tobytes() for image in task.examples(split).inputs] for split in ("train", "val")}
    assert (len(images["train"]), len(images["val"])) == (40, 20)
    assert not set(images["train"]) & set(images["val"])
    everything = [image.numpy().tobytes() for image in tiny_cifar10["train"].inputs]
    assert sorted(images["train"] + images["val"]) == sorted(everything)
    assert task.examples("val").targets.bincount().tolist() == [2] * 10
    assert torch.equal(task.examples("val").inputs, tiny(batch_size=5).examples("val").inputs)
    assert torch.equal(task.examples("test").inputs, tiny_cifar10["test"].inputs)


def test_without_holdout_there_is_no_validation(tiny):
    task = tiny(holdout=0)
    assert len(task.examples("train").targets) == 60
    with pytest.raises(UsageError, match=r"cifar10: there is no 'val' split\."):
        task.evaluate(task.build_model(), "val")


@pytest.mark.parametrize("holdout", [-1, 60])
def test_an_impossible_holdout_is_refused(tiny, holdout):
    with pytest.raises(ArgumentError, match=rf"Cifar10\(holdout={holdout}\): holdout must be in \[0, 60\)\."):
        tiny(holdout=holdout)


def test_inputs_are_normalized_and_channels_last(tiny, tiny_cifar10):
    inputs, _ = next(tiny().batches("test"))
    pixels = tiny_cifar10["test"].inputs.numpy().astype(np.float64)
    expected = (pixels / 255 - np.reshape(MEAN, (3, 1, 1))) / np.reshape(STD, (3, 1, 1))
    np.testing.assert_allclose(inputs.numpy(), expected, atol=1e-5)
    assert inputs.dtype == torch.float32
    assert inputs.is_contiguous(memory_format=torch.channels_last)
    assert tiny().build_model().layer1[0].conv1.weight.is_contiguous(memory_format=torch.channels_last)


def test_training_leaves_the_stored_images_alone(tiny, tiny_cifar10):
    task = tiny(holdout=0)
    before = task.examples("train").inputs.clone()
    assert len(list(task.batches("train"))) == task.steps_per_epoch == 6
    assert torch.equal(task.examples("train").inputs, before)


def test_the_border_of_a_crop_is_black(tiny):
    inputs = torch.cat([inputs for inputs, _ in tiny().batches("train")])
    black = -torch.tensor(MEAN) / torch.tensor(STD)
    corners = inputs[:, :, [0, 0, -1, -1], [0, -1, 0, -1]]
    share = (corners - black[:, None]).abs().amax(dim=1).lt(1e-5).float().mean()
    assert 0.4 < share < 0.9  # of 9 x 9 places, 1 - (5/9)^2 show black in a given corner: 0.69


def test_model_by_depth(tiny):
    task = tiny(depth=32)
    assert task.model_name == "resnet32"
    assert sum(parameter.numel() for parameter in task.build_model().parameters()) == 464_154


@pytest.mark.parametrize(
    ("model", "optimizer", "kinds"),
    [
        (None, None, (SGDRecipe, SGDRecipe)),
        (None, "adamw", (AdamWRecipe, AdamWRecipe)),
        ("vgg16", "adamw", (AdamWRecipe, AdamWRecipe)),
        ("mixer_s4", "sgd", (SGDRecipe, SGDRecipe)),
    ],
)
def test_the_optimizer_can_be_chosen_and_lengths_stay(tiny, model, optimizer, kinds):
    own, task = tiny(model=model), tiny(model=model, optimizer=optimizer)
    assert (type(task.dense_recipe), type(task.pruning_recipe)) == kinds
    lengths = [(t.dense_recipe.epochs, t.pruning_recipe.epochs) for t in (own, task)]
    assert lengths[0] == lengths[1]


def test_the_optimizer_that_a_network_has_changes_nothing(tiny):
    own, task = tiny(model="mixer_s4"), tiny(model="mixer_s4", optimizer="adamw")
    assert (task.dense_recipe, task.pruning_recipe) == (own.dense_recipe, own.pruning_recipe)


def test_an_unknown_optimizer_is_refused(tiny):
    with pytest.raises(
        ArgumentError, match=r"Cifar10\(optimizer='adam'\): optimizer must be one of sgd, adamw, or None\."
    ):
        tiny(optimizer="adam")


def test_pretrained_takes_the_checkpoint_and_no_random_numbers(tiny, tmp_path):
    assert tiny().pretrained() is None
    trained = ResNetCifar(20)
    torch.save({"state_dict": trained.state_dict()}, tmp_path / "model.th")
    before = torch.get_rng_state()
    model = tiny(checkpoint=tmp_path / "model.th").pretrained()
    assert torch.equal(torch.get_rng_state(), before)
    assert all(map(torch.equal, model.parameters(), trained.parameters()))


def test_a_checkpoint_of_another_model_is_refused(tiny, tmp_path):
    torch.save(ResNetCifar(32).state_dict(), tmp_path / "model.th")
    with pytest.raises(StateError, match=r"Cifar10\(depth=20\): .*model\.th belongs to another model\."):
        tiny(checkpoint=tmp_path / "model.th").pretrained()


def test_it_can_be_pickled(tiny):
    task = tiny()
    twin = pickle.loads(pickle.dumps(task))
    for (inputs, _), (expected, _) in zip(twin.batches("train"), task.batches("train"), strict=True):
        assert torch.equal(inputs, expected)


def test_the_real_data_are_all_there(cifar10_dir):
    task = Cifar10(cifar10_dir)
    counts = {split: task.examples(split).targets.bincount().tolist() for split in ("train", "val", "test")}
    assert counts == {"train": [4500] * 10, "val": [500] * 10, "test": [1000] * 10}
    assert task.steps_per_epoch == 351


@pytest.mark.parametrize(("depth", "accuracy"), [(20, 91.73), pytest.param(56, 93.39, marks=pytest.mark.slow)])
def test_public_checkpoints_reach_their_published_accuracy(cifar10_dir, data_dir, depth, accuracy):
    checkpoint = data_dir / "cifar10_ckpt" / CHECKPOINTS[depth]
    if not checkpoint.is_file():
        pytest.skip(f"needs {checkpoint}")
    task = Cifar10(cifar10_dir, depth=depth, checkpoint=checkpoint, holdout=0)
    assert task.evaluate(task.pretrained(), "test") == pytest.approx(accuracy, abs=0.005)
