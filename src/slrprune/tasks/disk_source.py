"""Examples that stay on disk until their batch is due, loaded in this process or by workers."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, get_worker_info

from slrprune.errors import DataError, SlrpruneError
from slrprune.tasks.base import Batch, epoch_generator
from slrprune.tasks.complaints import Complaints
from slrprune.tasks.tally import Tally

Example = TypeVar("Example")


class DiskSource(ABC, Generic[Example]):
    """One split of a data set on disk. It can be pickled: workers get a copy.

    Args:
        owner: the task's class, for messages.
        strict: refuse bad input instead of skipping it.
    """

    def __init__(self, owner: str, strict: bool) -> None:
        self.owner = owner
        self.strict = strict

    @abstractmethod
    def __len__(self) -> int:
        """Number of examples."""

    @abstractmethod
    def load(self, index: int, rng: np.random.Generator | None, complaints: Complaints) -> Example | None:
        """One example.

        Args:
            index: in [0, len(self)).
            rng: for augmentation; None leaves the example unchanged, as evaluation needs it.
            complaints: hears of all that is wrong.

        Returns:
            None for an example that cannot be used; `complaints` has heard why.
        """

    @abstractmethod
    def collate(self, examples: list[Example]) -> Batch:
        """A batch of CPU tensors, made of one or more examples."""

    def check(self) -> None:
        """Loads every example once.

        Raises:
            DataError: the source is strict and something is wrong.
        """
        for index in range(len(self)):
            self.load(index, None, Complaints(self.owner, self.strict))


def training_batches(
    source: DiskSource[Any], *, size: int, epoch: int, seed: int, workers: int, device: torch.device, tally: Tally
) -> Iterator[Batch]:
    """One shuffled pass; batches are a function of (seed, epoch) alone, whatever the number of workers.

    In the place of an example that cannot be used comes the next one of the split that can, so that all batches have
    one size.

    Args:
        source: the training split.
        size: of a batch; examples that do not fill a last batch are left out.
        epoch: at least 0.
        seed: at least 0.
        workers: processes that load ahead; 0 loads in this one.
        device: where the batches go.
        tally: hears of what was skipped.
    """
    order = torch.randperm(len(source), generator=epoch_generator(seed, epoch)).tolist()
    groups = [order[start : start + size] for start in range(0, len(order) - size + 1, size)]
    return _stream(_Batches(source, groups, (seed, epoch)), workers, device, tally)


def ordered_batches(
    source: DiskSource[Any], *, size: int, workers: int, device: torch.device, tally: Tally
) -> Iterator[Batch]:
    """One pass in the source's order, nothing augmented; examples that cannot be used are left out.

    Args: as for `training_batches`; the last batch may be smaller.
    """
    indices = list(range(len(source)))
    groups = [indices[start : start + size] for start in range(0, len(indices), size)]
    return _stream(_Batches(source, groups, None), workers, device, tally)


class Loaded(NamedTuple):
    """What a loader hands over, from a worker process or from this one.

    Attributes:
        batch: None where no example of it can be used.
        found: what was wrong with its examples.
        failure: text of the error that ends the pass; errors themselves are rebuilt from one argument, which ours are
            not made of.
    """

    batch: Batch | None
    found: list[tuple[str, str]]
    failure: str | None = None


class _Batches(Dataset[Loaded]):
    """The batches of one pass by number, each with what was wrong with its examples."""

    def __init__(
        self, source: DiskSource[Any], groups: Sequence[list[int]], drawn_from: tuple[int, int] | None
    ) -> None:
        self.source = source
        self.groups = groups
        self.drawn_from = drawn_from

    def __len__(self) -> int:
        return len(self.groups)

    def __getitem__(self, number: int) -> Loaded:
        if get_worker_info() is None:
            return self._loaded(number)
        try:
            return self._loaded(number)
        except SlrpruneError as error:
            return Loaded(None, [], str(error))

    def _loaded(self, number: int) -> Loaded:
        complaints = Complaints(self.source.owner, self.source.strict)
        if self.drawn_from is None:
            loaded = [self.source.load(index, None, complaints) for index in self.groups[number]]
            examples = [example for example in loaded if example is not None]
        else:
            examples = [self._usable(index, complaints) for index in self.groups[number]]
        return Loaded(self.source.collate(examples) if examples else None, complaints.found)

    def _usable(self, index: int, complaints: Complaints) -> Any:
        """The example of that index, or the first usable one after it, augmented by numbers of its own."""
        for step in range(len(self.source)):
            chosen = (index + step) % len(self.source)
            assert self.drawn_from is not None
            rng = np.random.default_rng((*self.drawn_from, index))
            example = self.source.load(chosen, rng, complaints)
            if example is not None:
                return example
        reason, name = complaints.found[0]
        raise DataError(self.source.owner, f"not one example of the training split can be used; {name}: {reason}")


def _stream(batches: _Batches, workers: int, device: torch.device, tally: Tally) -> Iterator[Batch]:
    loaded: Any = (batches[number] for number in range(len(batches)))
    if workers:
        pinned = device.type == "cuda"
        # The generator seeds the workers' own RNGs, which nothing reads; without it torch's global one would move.
        rng = torch.Generator()
        loaded = DataLoader(
            batches, batch_size=None, collate_fn=as_is, num_workers=workers, pin_memory=pinned, generator=rng
        )
    yield from received(loaded, device, tally)


def received(loaded: Iterable[Loaded], device: torch.device, tally: Tally) -> Iterator[Batch]:
    """The batches on their device; `tally` hears of what was wrong.

    Raises:
        SlrpruneError: what ended the pass in a worker.
    """
    for batch, found, failure in loaded:
        if failure is not None:
            raise SlrpruneError(failure)
        for reason, name in found:
            tally.add(reason, name)
        if batch is not None:
            yield _moved(batch, device)


def as_is(loaded: Any) -> Any:
    """What a worker made is a batch already."""
    return loaded


def _moved(part: Any, device: torch.device) -> Any:
    """Tensors, and named tuples of them, on the device."""
    if isinstance(part, Tensor):
        return part.to(device, non_blocking=True)
    moved = [_moved(entry, device) for entry in part]
    # A loader with workers, and one that pins memory, make lists of plain tuples.
    return tuple(moved) if type(part) in (tuple, list) else type(part)(*moved)
