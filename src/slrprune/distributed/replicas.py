"""Every rank holds all weights, as under `DistributedDataParallel`."""

import torch.distributed as dist
from torch import Tensor

from slrprune.distributed.collectives import differing, summed
from slrprune.distributed.world import Whole


class Replicas(Whole):
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

    def total(self, values: Tensor) -> Tensor:
        """See `World`."""
        return summed(values, self._group, self.traffic)

    def differ(self, values: Tensor) -> Tensor:
        """See `World`."""
        return differing(values, self._group, self.traffic)
