"""Ranks that are threads of one process: what a world must do, without any network."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from slrprune.distributed.slices import Slice, rows_per_rank
from slrprune.distributed.world import World


class Threads(World):
    """One of several threads that hold a copy of the weights together."""

    def __init__(self, rank: int, board: list[Any], barrier: threading.Barrier) -> None:
        super().__init__()
        self._rank, self._board, self._barrier = rank, board, barrier

    @property
    def size(self) -> int:
        return len(self._board)

    @property
    def ranks(self) -> int:
        return len(self._board)

    @property
    def rank(self) -> int:
        return self._rank

    def gather(self, values: Tensor) -> Tensor:
        self._board[self._rank] = values
        self._barrier.wait()
        found = torch.stack(list(self._board))
        self._barrier.wait()
        return found

    def sum(self, values: Tensor) -> Tensor:
        return self.gather(values).sum(0)

    def total(self, values: Tensor) -> Tensor:
        return self.sum(values)

    def differ(self, values: Tensor) -> Tensor:
        return (self.gather(values) != values).any(0)

    def copies_differ(self, values: Tensor) -> Tensor:
        return torch.zeros_like(values, dtype=torch.bool)


def together(ranks: int, work: Callable[[Threads], Any]) -> list[Any]:
    """What `work` returns on each of `ranks` threads."""
    board, results = [None] * ranks, [None] * ranks
    barrier = threading.Barrier(ranks, timeout=60)
    errors: list[BaseException] = []

    def run(rank: int) -> None:
        try:
            results[rank] = work(Threads(rank, board, barrier))
        except BaseException as error:
            errors.append(error)
            barrier.abort()

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(ranks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise next((e for e in errors if not isinstance(e, threading.BrokenBarrierError)), errors[0])
    return results


def cut(weights: Sequence[Tensor], world: World) -> list[Slice]:
    """This rank's rows of each weight, as DTensor's `Shard(0)` deals them out."""
    slices = []
    for weight in weights:
        rows = rows_per_rank(len(weight), world.ranks)
        start = min(world.rank * rows, len(weight))
        slices.append(Slice(weight[start : start + rows], tuple(weight.shape)))
    return slices


def joined(parts: Sequence[Sequence[Tensor]]) -> list[Tensor]:
    """The whole tensors from the rows of all ranks, in their order."""
    return [torch.cat(rows) for rows in zip(*parts, strict=True)]
