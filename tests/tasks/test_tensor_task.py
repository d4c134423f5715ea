"""Batches, loss and metric of tensor tasks, on made-up examples whose answers are known."""

import copy
import pickle

import pytest
import torch
from torch import nn

from slrprune.errors import ArgumentError, UsageError
from slrprune.tasks import CropFlip, Labelled, SGDRecipe, TensorTask


class Blobs(TensorTask):
    """Two classes of points: what a user writes for data of their own."""

    name = "blobs"
    model_name = "linear"
    dense_recipe = SGDRecipe(epochs=2, lr=0.1)
    pruning_recipe = SGDRecipe(epochs=2, lr=0.1)

    def build_model(self):
        return nn.Linear(2, 2)


def numbered(count, start=0):
    """Examples that carry their own number, so that a batch tells who is in it."""
    numbers = torch.arange(start, start + count)
    return Labelled(torch.stack([numbers, numbers % 2 * 100], dim=1), numbers % 2)


@pytest.fixture
def task():
    splits = {"train": numbered(23), "val": numbered(7, 100), "test": numbered(1003, 200)}
    return Blobs(splits, batch_size=4)


@pytest.fixture
def images_task():
    inputs = torch.randint(0, 256, (30, 3, 8, 8), dtype=torch.uint8)
    examples = Labelled(inputs, torch.arange(30) % 2)
    return Blobs({"train": examples, "test": examples}, batch_size=10, augment=CropFlip(2))


def stacked(batches):
    return torch.cat([inputs for inputs, _ in batches])


def test_an_epoch_takes_every_example_at_most_once_in_full_batches(task):
    batches = list(task.batches("train"))
    assert [len(inputs) for inputs, _ in batches] == [4] * task.steps_per_epoch == [4] * 5
    numbers = stacked(batches)[:, 0].tolist()
    assert len(set(numbers)) == 20
    assert set(numbers) <= set(range(23))
    assert numbers != sorted(numbers)


def test_targets_belong_to_their_inputs(task):
    for split in ("train", "val", "test"):
        for inputs, targets in task.batches(split):
            assert torch.equal(inputs[:, 1], targets * 100.0)


@pytest.mark.parametrize("name", ["task", "images_task"])
def test_training_batches_depend_on_seed_and_epoch_alone(name, request):
    task = request.getfixturevalue(name)
    first = stacked(task.batches("train", epoch=3, seed=7))
    torch.manual_seed(1234)
    before = torch.get_rng_state()
    assert torch.equal(stacked(task.batches("train", epoch=3, seed=7)), first)
    assert torch.equal(torch.get_rng_state(), before)
    for epoch, seed in ((4, 7), (3, 8), (7, 3)):
        assert not torch.equal(stacked(task.batches("train", epoch, seed)), first)


def test_two_passes_at_the_same_time_do_not_disturb_each_other(task):
    expected = stacked(task.batches("train", 0, 0))
    pairs = list(zip(task.batches("train", 0, 0), task.batches("train", 1, 0), strict=True))
    assert torch.equal(stacked(first for first, _ in pairs), expected)


def test_other_splits_come_complete_and_in_order(task):
    for split, start, count in (("val", 100, 7), ("test", 200, 1003)):
        assert stacked(task.batches(split, epoch=5, seed=5))[:, 0].tolist() == list(range(start, start + count))


def test_only_training_images_are_augmented(images_task):
    stored = images_task.examples("test").inputs.float()
    assert torch.equal(stacked(images_task.batches("test")), stored)
    known = {image.numpy().tobytes() for image in stored}
    seen = [image.numpy().tobytes() in known for image in stacked(images_task.batches("train"))]
    assert sum(seen) < 10


def test_loss_is_the_mean_cross_entropy(task):
    model = nn.Linear(2, 2)
    batch = (torch.randn(4, 2), torch.tensor([0, 1, 1, 0]))
    log_probabilities = model(batch[0]).softmax(dim=1).log()
    expected = -(log_probabilities[0, 0] + log_probabilities[1, 1] + log_probabilities[2, 1] + log_probabilities[3, 0])
    loss = task.loss(model, batch)
    assert loss.item() == pytest.approx(expected.item() / 4)
    loss.backward()
    assert model.weight.grad is not None


class Parity(nn.Module):
    """Right for every example below `limit`, wrong from there on."""

    def __init__(self, limit):
        super().__init__()
        self.limit = limit

    def forward(self, inputs):
        odd = (inputs[:, 1] > 50) ^ (inputs[:, 0] >= self.limit)
        return torch.stack([~odd, odd], dim=1).float()


def test_accuracy_counts_every_example(task):
    assert task.evaluate(Parity(limit=200 + 1003), "test") == 100.0
    assert task.evaluate(Parity(limit=200 + 700), "test") == pytest.approx(100 * 700 / 1003)
    assert task.evaluate(Parity(limit=105), "val") == pytest.approx(100 * 5 / 7)
    assert task.evaluate(Parity(limit=22), "train") == pytest.approx(100 * 22 / 23)


class Modal(nn.Module):
    """Writes down in which mode it was called; one part is frozen in evaluation mode, as BatchNorm often is."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(2)
        self.head = nn.Linear(2, 2)
        self.norm.eval()
        self.seen = []

    def forward(self, inputs):
        self.seen.append((self.training, self.norm.training, torch.is_inference_mode_enabled()))
        return self.head(self.norm(inputs))


@pytest.mark.parametrize("training", [True, False])
def test_evaluate_leaves_every_module_in_its_mode(task, training):
    model = Modal()
    model.training = model.head.training = training
    before = copy.deepcopy(model.state_dict())
    task.evaluate(model, "val")
    assert model.seen == [(False, False, True)]
    assert (model.training, model.norm.training, model.head.training) == (training, False, training)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_evaluate_restores_the_mode_after_an_error(task):
    model = nn.Sequential(nn.Linear(3, 2))
    with pytest.raises(RuntimeError):
        task.evaluate(model, "val")
    assert model.training
    assert model[0].training


def test_bf16_runs_the_forward_pass_in_bfloat16_and_the_loss_in_float32():
    task = Blobs({"train": numbered(8)}, batch_size=4, bf16=True)
    seen = []

    class Probe(nn.Linear):
        def forward(self, inputs):
            outputs = super().forward(inputs)
            seen.append(outputs.dtype)
            return outputs

    loss = task.loss(Probe(2, 2), next(task.batches("train")))
    task.evaluate(Probe(2, 2), "train")
    assert seen == [torch.bfloat16, torch.bfloat16]
    assert loss.dtype == torch.float32


@pytest.mark.parametrize("copy_of", [copy.deepcopy, lambda task: pickle.loads(pickle.dumps(task))])
def test_a_copy_gives_the_same_batches(images_task, copy_of):
    twin = copy_of(images_task)
    assert torch.equal(stacked(twin.batches("train", 1, 2)), stacked(images_task.batches("train", 1, 2)))


def test_example_input_is_a_batch_of_one(task):
    assert torch.equal(task.example_input(), torch.tensor([[200.0, 0.0]]))


def test_no_pretrained_model_by_default(task):
    assert task.pretrained() is None


def test_a_missing_split_is_refused():
    task = Blobs({"train": numbered(8)}, batch_size=4)
    with pytest.raises(UsageError, match=r"blobs: there is no 'val' split\. Hold some training examples out for it\."):
        task.evaluate(nn.Linear(2, 2), "val")


def test_an_unknown_split_is_refused(task):
    with pytest.raises(ArgumentError, match=r"blobs\.batches\(split='dev'\): split must be one of 'train', 'val'"):
        task.batches("dev")


@pytest.mark.parametrize("size", [0, 9])
def test_an_impossible_batch_size_is_refused(size):
    with pytest.raises(ArgumentError, match=rf"Blobs\(batch_size={size}\): batch_size must be in \[1, 8\]\."):
        Blobs({"train": numbered(8)}, batch_size=size)


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ({"test": numbered(8)}, r"Blobs\(splits=\['test'\]\): splits must hold a 'train' split\."),
        ({"train": numbered(8), "val": numbered(0)}, r"'val': 0 inputs, 0 targets.* and at least one\."),
        (
            {"train": Labelled(torch.zeros(8, 2), torch.zeros(7))},
            r"'train': 8 inputs, 7 targets.* one target for every",
        ),
    ],
)
def test_splits_that_do_not_fit_are_refused(splits, message):
    with pytest.raises(ArgumentError, match=message):
        Blobs(splits, batch_size=4)


@pytest.mark.parametrize("argument", ["epoch", "seed"])
def test_negative_numbers_are_refused(task, argument):
    with pytest.raises(ArgumentError, match=rf"batches\({argument}=-1\): {argument} must be at least 0\."):
        next(task.batches("train", **{argument: -1}))


@pytest.mark.gpu
def test_the_gpu_sees_the_batches_of_the_cpu_and_does_not_wait():
    examples = Labelled(torch.randint(0, 256, (30, 3, 8, 8), dtype=torch.uint8), torch.arange(30) % 2)
    tasks = [
        Blobs({"train": examples}, batch_size=10, augment=CropFlip(2), device=device) for device in ("cpu", "cuda")
    ]
    expected = stacked(tasks[0].batches("train", 1, 2))
    batches = tasks[1].batches("train", 1, 2)
    first, _ = next(batches)
    torch.cuda.set_sync_debug_mode("error")
    try:
        rest = [inputs for inputs, _ in batches]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert torch.equal(torch.cat([first, *rest]).cpu(), expected)
