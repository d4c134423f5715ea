"""Every rank holds all weights, as under `DistributedDataParallel`."""

import torch.distributed as dist
from torch import Tensor

from slrprune.distributed.collectives import differing, summed
from slrprune.distributed.world import World


class Replicas(World):
    """Ranks with the same weights and different data: losses are averaged, everything else is computed by each alone.

    Args:
        group: the process group; None is the default one.
    """

    def __init__(self, group: "dist.ProcessGroup | None" = None) -> None:
        super().__init__()
        self._group = dist.distributed_c10d._get_default_group() if group is None else group

    @property
    def size(self) -> int:
        """Ranks of the group."""
        return self._group.size()

    @property
    def ranks(self) -> int:
        """1: every rank holds all weights."""
        return 1

    @property
    def rank(self) -> int:
        """0."""
        return 0

    def total(self, values: Tensor) -> Tensor:
        """See `World`."""
        return summed(values, self._group, self.traffic)

    def sum(self, values: Tensor) -> Tensor:
        """The values: this rank has them all."""
        return values

    def gather(self, values: Tensor) -> Tensor:
        """The values as those of one rank."""
        return values.unsqueeze(0)

    def differ(self, values: Tensor) -> Tensor:
        """See `World`."""
        return differing(values, self._group, self.traffic)

    def copies_differ(self, values: Tensor) -> Tensor:
        """See `World`."""
        return differing(values, self._group, self.traffic)
