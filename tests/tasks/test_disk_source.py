"""Examples loaded from disk: order, skipping, and what stands in."""

import pytest
import torch

from slrprune.errors import DataError
from slrprune.tasks.complaints import Complaints
from slrprune.tasks.disk_source import DiskSource, ordered_batches, training_batches
from slrprune.tasks.tally import Tally

CPU = torch.device("cpu")


class Numbers(DiskSource):
    """The numbers from 0 on, some of which cannot be read; augmentation adds less than one."""

    def __init__(self, count, bad=(), strict=False):
        super().__init__("Numbers", strict)
        self.count, self.bad = count, bad

    def __len__(self):
        return self.count

    def load(self, index, rng, complaints):
        if index in self.bad:
            complaints.add("numbers are bad", f"number {index}")
            return None
        return index + (0.0 if rng is None else rng.random())

    def collate(self, examples):
        return torch.tensor(examples), torch.tensor(examples).floor()


def trained(source, size, epoch=0, seed=0, tally=None):
    tally = Tally() if tally is None else tally
    return list(training_batches(source, size=size, epoch=epoch, seed=seed, workers=0, device=CPU, tally=tally))


def ordered(source, size, tally=None):
    tally = Tally() if tally is None else tally
    return list(ordered_batches(source, size=size, workers=0, device=CPU, tally=tally))


def test_every_example_comes_once_and_the_rest_is_left_out():
    batches = trained(Numbers(10), 3)
    numbers = torch.cat([targets for _, targets in batches]).tolist()
    assert [len(inputs) for inputs, _ in batches] == [3, 3, 3]
    assert len(set(numbers)) == 9
    assert numbers != sorted(numbers)


def test_augmentation_follows_from_seed_epoch_and_example():
    first, again, other = (trained(Numbers(4), 4, epoch, 7)[0][0] for epoch in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first.sort().values, other.sort().values)
    assert first.frac().unique().numel() == 4


def test_the_next_usable_example_stands_in():
    tally = Tally()
    batches = trained(Numbers(6, bad=(2, 3)), 2, tally=tally)
    numbers = sorted(torch.cat([targets for _, targets in batches]).tolist())
    assert numbers == [0, 1, 4, 4, 4, 5]
    assert len(tally) == 2
    # Two epochs count nothing twice.
    trained(Numbers(6, bad=(2, 3)), 2, epoch=1, tally=tally)
    assert len(tally) == 2


def test_in_order_bad_examples_are_left_out():
    tally = Tally()
    batches = ordered(Numbers(7, bad=(1, 4, 5)), 2, tally)
    assert [inputs.tolist() for inputs, _ in batches] == [[0], [2, 3], [6]]
    assert len(tally) == 3


def test_without_a_usable_example_training_is_refused():
    with pytest.raises(DataError, match=r"Numbers: not one example .* can be used; number \d: numbers are bad\."):
        trained(Numbers(2, bad=(0, 1)), 1)


def test_a_strict_source_refuses():
    with pytest.raises(DataError, match=r"Numbers\(strict=True\): number 1: numbers are bad\. Mend the file"):
        Numbers(3, bad=(1,), strict=True).check()
    Numbers(3, bad=(1,)).check()
    complaints = Complaints("Numbers", strict=False)
    assert Numbers(3, bad=(1,)).load(1, None, complaints) is None
    assert complaints.found == [("numbers are bad", "number 1")]
