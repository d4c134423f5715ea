"""Every rank holds some rows of each weight, as under FSDP2 (`torch.distributed.fsdp.fully_shard`)."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from slrprune.distributed.collectives import differing, gathered, summed
from slrprune.distributed.dtensors import is_dtensor
from slrprune.distributed.slices import rows_per_rank
from slrprune.distributed.world import World
from slrprune.errors import UsageError

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh
    from torch.distributed.tensor.placement_types import Placement


class Shards(World):
    """Ranks of a device mesh that hold the weights as DTensors, cut along dimension 0 over one dimension of the mesh.

    In a mesh of two dimensions the other one holds copies (hybrid sharding, "HSDP").

    Args:
        mesh: of the parameters.
        placements: of the parameters: one `Shard(0)`, all others `Replicate()`.

    Raises:
        UsageError: other placements.
    """

    def __init__(self, mesh: "DeviceMesh", placements: Sequence["Placement"]) -> None:
        super().__init__()
        self.mesh, self.placements = mesh, tuple(placements)
        cuts = [dim for dim, placement in enumerate(self.placements) if not placement.is_replicate()]
        if len(cuts) != 1 or not _is_cut_by_rows(self.placements[cuts[0]]):
            problem = f"the parameters are placed as {self.placements}, which is not one Shard(0) beside Replicate()"
            way_out = "Shard with fully_shard alone, over a mesh of one dimension, or of two for hybrid sharding."
            raise UsageError("Pruner", problem, way_out)
        self._cut = cuts[0]
        self._groups = [mesh.get_group(dim) for dim in range(mesh.ndim)]

    @property
    def size(self) -> int:
        """Ranks of the mesh."""
        return self.mesh.size()

    @property
    def ranks(self) -> int:
        """Ranks along the dimension of the mesh that cuts the weights."""
        return self.mesh.size(self._cut)

    @property
    def rank(self) -> int:
        """This rank's place along that dimension."""
        return self._groups[self._cut].rank()

    def total(self, values: Tensor) -> Tensor:
        """See `World`."""
        for group in self._groups:
            values = summed(values, group, self.traffic)
        return values

    def sum(self, values: Tensor) -> Tensor:
        """See `World`."""
        return summed(values, self._groups[self._cut], self.traffic)

    def gather(self, values: Tensor) -> Tensor:
        """See `World`."""
        return gathered(values, self._groups[self._cut], self.traffic)

    def differ(self, values: Tensor) -> Tensor:
        """See `World`."""
        return self._differ(values, range(len(self._groups)))

    def copies_differ(self, values: Tensor) -> Tensor:
        """See `World`."""
        found = self._differ(values, [dim for dim in range(len(self._groups)) if dim != self._cut])
        return self.total(found.long()) > 0  # every rank must learn of it

    def _differ(self, values: Tensor, dims: Sequence[int]) -> Tensor:
        found = torch.zeros_like(values, dtype=torch.bool)
        for dim in dims:
            found = found | differing(values, self._groups[dim], self.traffic)
        return self.total(found.long()) > 0 if len(dims) > 1 else found

    def holds(self, tensor: Tensor) -> bool:
        """Whether this is a DTensor on the same ranks, cut in the same way; on a single rank also a plain tensor."""
        if not is_dtensor(tensor):
            return self.size == 1
        mesh = tensor.device_mesh  # type: ignore[attr-defined]
        return mesh.mesh.tolist() == self.mesh.mesh.tolist() and tuple(tensor.placements) == self.placements  # type: ignore[attr-defined]

    def local(self, tensor: Tensor) -> Tensor:
        """The rows that this rank holds of a DTensor; in grad mode with a gradient for the DTensor."""
        return tensor.to_local() if is_dtensor(tensor) else tensor  # type: ignore[attr-defined]

    def whole(self, local: Tensor, shape: Sequence[int]) -> Tensor:
        """A DTensor placed as the parameters are."""
        from torch.distributed.tensor import DTensor

        stride = torch.empty(tuple(shape), device="meta").stride()
        return DTensor.from_local(
            local.contiguous(), self.mesh, self.placements, run_check=False, shape=torch.Size(shape), stride=stride
        )

    def rows(self, whole: Tensor) -> Tensor:
        """This rank's rows of a plain tensor that has them all; a view."""
        size = rows_per_rank(whole.shape[0], self.ranks)
        start = min(self.rank * size, whole.shape[0])
        return whole[start : start + size]

    def settle(self, model: nn.Module) -> None:
        """See `reshard`."""
        reshard(model)


def _is_cut_by_rows(placement: "Placement") -> bool:
    from torch.distributed.tensor import Shard  # not its strided kin, whose rows lie in another order

    return type(placement) is Shard and placement.dim == 0


def shards_of(tensor: Tensor) -> Shards:
    """The world of a DTensor."""
    return Shards(tensor.device_mesh, tensor.placements)  # type: ignore[attr-defined]


def reshard(model: nn.Module) -> None:
    """Frees gathered parameters: after an evaluation the root of an FSDP2 model keeps them, and they would go stale."""
    if "torch.distributed.fsdp" not in sys.modules:
        return
    from torch.distributed.fsdp import FSDPModule

    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()
