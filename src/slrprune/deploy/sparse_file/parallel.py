"""The same work on many tensors, shared among threads: zlib and numpy let go of Python's lock for most of it."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")

_WORTH_A_THREAD = 4 << 20
"""Bytes for each thread; below, threads take longer to start than the work does."""


def map_threads(
    work: Callable[[Item], Result], items: Sequence[Item], costs: Sequence[int], *, threads: int | None = None
) -> list[Result]:
    """`[work(item) for item in items]`, by up to as many threads as torch uses.

    Args:
        work: must not depend on the order of the calls, nor on what a thread has set, such as `torch.no_grad`.
        items: what to work on.
        costs: bytes behind each item. The dearest begins, so that the threads end together.
        threads: at most so many; None takes `torch.get_num_threads()`.

    Returns:
        The results in the order of the items. Of several exceptions, the one of the first item is raised.
    """
    count = min(torch.get_num_threads() if threads is None else threads, sum(costs) // _WORTH_A_THREAD, len(items))
    if count <= 1:
        return [work(item) for item in items]
    by_cost = sorted(range(len(items)), key=lambda position: -costs[position])
    with ThreadPoolExecutor(count, "slrprune-load") as pool:
        futures = {position: pool.submit(work, items[position]) for position in by_cost}
    return [futures[position].result() for position in range(len(items))]
