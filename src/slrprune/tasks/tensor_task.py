"""Classification of labelled tensors that fit into the device's memory."""

from collections.abc import Iterator, Mapping
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from slrprune.errors import ArgumentError, UsageError
from slrprune.tasks.augment import CropFlip
from slrprune.tasks.base import Batch, Split, Task, check_split, epoch_generator, evaluating


class Labelled(NamedTuple):
    """Examples: inputs of shape (n, ...) in any dtype, targets int64 of shape (n,), class numbers from 0."""

    inputs: Tensor
    targets: Tensor

    def where(self, chosen: Tensor) -> "Labelled":
        """The examples marked in the bool tensor `chosen` of shape (n,)."""
        return Labelled(self.inputs[chosen], self.targets[chosen])


class TensorTask(Task):
    """A classification task whose data are tensors on the device: no workers, no copies between host and device.

    A subclass gives names, recipes and `build_model`; it may override `prepare`, which turns stored inputs into what
    the model takes. The loss is cross-entropy, the metric top-1 accuracy.

    Args:
        splits: the examples of "train", and of "val" and "test" where there are any.
        batch_size: of training batches, in [1, number of training examples]. The examples that do not fill a last
            batch are left out of that epoch.
        augment: what happens to training inputs, None for nothing.
        device: where data and models live.
        bf16: run forward passes under bfloat16 autocast.

    Raises:
        ArgumentError: a batch size out of range, no "train" split, or a split with no examples or with another number
            of targets than of inputs.
    """

    metric = "accuracy"

    evaluation_batch_size: ClassVar[int] = 500
    """Batch size of "val" and "test": large enough to be fast, small enough for a laptop."""

    def __init__(
        self,
        splits: Mapping[Split, Labelled],
        *,
        batch_size: int = 128,
        augment: CropFlip | None = None,
        device: str | torch.device = "cpu",
        bf16: bool = False,
    ) -> None:
        super().__init__(device=device, bf16=bf16)
        _check_splits(type(self).__name__, splits)
        count = len(splits["train"].targets)
        if not 1 <= batch_size <= count:
            raise ArgumentError(type(self).__name__, "batch_size", batch_size, f"must be in [1, {count}]")
        self.batch_size = batch_size
        self.augment = augment
        self.splits = {
            split: Labelled(inputs.to(self.device), targets.to(self.device))
            for split, (inputs, targets) in splits.items()
        }

    @property
    def steps_per_epoch(self) -> int:
        """Number of full batches in the training split."""
        return len(self.splits["train"].targets) // self.batch_size

    def prepare(self, inputs: Tensor) -> Tensor:
        """Inputs as the model takes them; by default float32."""
        return inputs.float()

    def batches(self, split: Split, epoch: int = 0, seed: int = 0) -> Iterator[Batch]:
        """One pass over a split, see `Task.batches`; targets are int64 of shape (n,).

        Raises:
            ArgumentError: an unknown split.
            UsageError: the task has no such split.
        """
        examples = self.examples(split)
        return self._training_batches(examples, epoch, seed) if split == "train" else self._in_order(examples)

    def examples(self, split: Split) -> Labelled:
        """The stored examples of a split, neither augmented nor prepared. Raises as `batches`."""
        check_split(f"{self.name}.batches", split)
        if split not in self.splits:
            raise UsageError(self.name, f"there is no {split!r} split", "Hold some training examples out for it.")
        return self.splits[split]

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Mean cross-entropy of a batch."""
        inputs, targets = batch
        with self.autocast():
            logits = model(inputs)
        return F.cross_entropy(logits.float(), targets)

    def evaluate(self, model: nn.Module, split: Split) -> float:
        """Top-1 accuracy on a split, in percent. Raises as `batches`."""
        correct = torch.zeros((), dtype=torch.int64, device=self.device)
        batches = self.batches(split) if split != "train" else self._in_order(self.examples(split))
        with evaluating(model), self.autocast():
            for inputs, targets in batches:
                correct += (model(inputs).argmax(dim=1) == targets).sum()
        return 100 * correct.item() / len(self.examples(split).targets)

    def _training_batches(self, examples: Labelled, epoch: int, seed: int) -> Iterator[Batch]:
        generator = epoch_generator(seed, epoch)
        used = self.steps_per_epoch * self.batch_size
        # All random numbers of the epoch go to the device at once, so that no step waits for a copy.
        order = torch.randperm(len(examples.targets), generator=generator)[:used].to(self.device)
        draws = None if self.augment is None else self.augment.draw(used, generator).to(self.device)
        for start in range(0, used, self.batch_size):
            here = slice(start, start + self.batch_size)
            inputs = examples.inputs[order[here]]
            if self.augment is not None and draws is not None:
                inputs = self.augment.apply(inputs, draws[here])
            yield self.prepare(inputs), examples.targets[order[here]]

    def _in_order(self, examples: Labelled) -> Iterator[Batch]:
        size = self.evaluation_batch_size
        for inputs, targets in zip(examples.inputs.split(size), examples.targets.split(size), strict=True):
            yield self.prepare(inputs), targets


def _check_splits(owner: str, splits: Mapping[Split, Labelled]) -> None:
    if "train" not in splits:
        raise ArgumentError(owner, "splits", sorted(splits), "must hold a 'train' split")
    for split, (inputs, targets) in splits.items():
        if not len(targets) or len(inputs) != len(targets):
            got = f"{split!r}: {len(inputs)} inputs, {len(targets)} targets"
            raise ArgumentError(owner, "splits", got, "must hold one target for every input, and at least one")
