"""Base class for tasks whose examples stay on disk."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Generic, TypeVar

import torch

from slrprune.errors import ArgumentError, DataError, UsageError
from slrprune.tasks.base import Batch, Split, Task, check_split
from slrprune.tasks.complaints import Complaints
from slrprune.tasks.disk_source import DiskSource, ordered_batches, training_batches
from slrprune.tasks.tally import Tally

Source = TypeVar("Source", bound=DiskSource[Any])


class DiskTask(Task, Generic[Source]):
    """A task over a `DiskSource` for each split; a subclass adds the model, the loss and the metric.

    Args:
        sources: a "train" split and any others.
        complaints: what was skipped while they were read, under the name of the task's class.
        batch_size: of training batches; evaluation batches have the same size.
        workers: processes that load examples ahead; 0 loads them in this one.
        device: where batches and models go.
        bf16: run forward passes under bfloat16 autocast.

    Raises:
        ArgumentError: `batch_size` or `workers` out of range.
        DataError: the complaints are strict, and an example cannot be used; every one is loaded once.
    """

    unit: ClassVar[str]
    """What the examples are, in the plural, for example "images"."""

    def __init__(
        self,
        sources: Mapping[Split, Source],
        complaints: Complaints,
        *,
        batch_size: int,
        workers: int = 0,
        device: str | torch.device = "cpu",
        bf16: bool = False,
    ) -> None:
        super().__init__(device=device, bf16=bf16)
        if workers < 0:
            raise ArgumentError(complaints.owner, "workers", workers, "must be at least 0")
        count = len(sources["train"])
        if not 1 <= batch_size <= count:
            rule = f"must be in [1, {count}], the number of training {self.unit}"
            raise ArgumentError(complaints.owner, "batch_size", batch_size, rule)
        self.batch_size, self.workers, self.strict = batch_size, workers, complaints.strict
        self.sources = dict(sources)
        self.tally = Tally()
        for reason, name in complaints.found:
            self.tally.add(reason, name)
        if self.strict:
            for source in self.sources.values():
                source.check()

    @property
    def steps_per_epoch(self) -> int:
        """Number of full batches in the training split."""
        return len(self.sources["train"]) // self.batch_size

    def source(self, split: Split) -> Source:
        """The examples of a split.

        Raises:
            ArgumentError: an unknown split.
            UsageError: the task has no such split.
        """
        check_split(f"{self.name}.batches", split)
        if split not in self.sources:
            raise UsageError(self.name, f"there is no {split!r} split", f"Hold some training {self.unit} out for it.")
        return self.sources[split]

    def batches(self, split: Split, epoch: int = 0, seed: int = 0) -> Iterator[Batch]:
        """Batches as the split's source collates them; see `Task.batches`. Raises as `in_order`."""
        source = self.source(split)
        if split != "train":
            return self.in_order(split)
        return training_batches(
            source,
            size=self.batch_size,
            epoch=epoch,
            seed=seed,
            workers=self.workers,
            device=self.device,
            tally=self.tally,
        )

    def in_order(self, split: Split) -> Iterator[Batch]:
        """One pass over any split in its own order, nothing augmented or stood in for.

        Raises:
            ArgumentError, UsageError: as `source`.
            DataError: at the end of a pass in which not one example could be used.
        """
        return self._pass(split, self.source(split))

    def _pass(self, split: Split, source: Source) -> Iterator[Batch]:
        heard, has_batch = _Heard(self.tally), False
        options: dict[str, Any] = {"size": self.batch_size, "workers": self.workers, "device": self.device}
        for batch in ordered_batches(source, **options, tally=heard):
            has_batch = True
            yield batch
        if not has_batch:
            reason = "" if heard.first is None else f"; {heard.first[1]}: {heard.first[0]}"
            problem = f"none of the {len(source):,} {self.unit} of {split!r} can be used{reason}"
            raise DataError(source.owner, problem, f"Mend the {self.unit}, or give a folder with others.")

    def warnings(self) -> tuple[str, ...]:
        """What was skipped so far, one sentence for each reason."""
        return self.tally.sentences()


class _Heard(Tally):
    """Hands on to the task's tally what one pass skips.

    Attributes:
        first: reason and name of the first thing skipped.
    """

    def __init__(self, whole: Tally) -> None:
        super().__init__()
        self.whole = whole
        self.first: tuple[str, str] | None = None

    def add(self, reason: str, name: str) -> None:
        self.first = self.first or (reason, name)
        self.whole.add(reason, name)
