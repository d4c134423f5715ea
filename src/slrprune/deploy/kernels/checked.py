"""A packed weight is checked once, before its first use; after that a call costs a comparison."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from slrprune.deploy.kernels import blob, native
from slrprune.errors import StateError

_ALIGN = 64  # bytes, for whole vectors


@dataclass(frozen=True)
class CheckedWeight:
    """A packed weight that the kernels can use without leaving its memory, as long as its tensor lives.

    Args:
        version: the tensor's version counter at the time of the check.
        address: that of the tensor then; `share_memory_` and their like move a tensor without a new version.
        pointer: address of the packed weight.
        copy: owner of that address where the tensor's own could not be used, otherwise None.
        rows: outputs.
        channels: inputs.
        kernel_size: (1, 1) for a linear layer.
    """

    version: int
    address: int
    pointer: int
    copy: Tensor | None
    rows: int
    channels: int
    kernel_size: tuple[int, int]

    def is_of(self, packed: Tensor) -> bool:
        """Whether the tensor that was checked is as it was then."""
        return self.version == packed._version and self.address == packed.data_ptr()


_seen = WeakTensorKeyDictionary()  # tensor to CheckedWeight, which therefore must not refer to the tensor


def check_once(packed: Tensor) -> CheckedWeight:
    """Check every index of a packed weight; remembered until the tensor is written to.

    An inference tensor does not count its changes, so it is copied and checked at every call.

    Raises:
        StateError: not a packed weight of this version, or damaged.
        UsageError: there is no library.
    """
    if packed.is_inference():
        return _check(packed, -1)
    known: CheckedWeight | None = _seen.get(packed)
    if known is None or not known.is_of(packed):
        known = _check(packed, packed._version)
        _seen[packed] = known
    return known


def _check(packed: Tensor, version: int) -> CheckedWeight:
    where = "sparse kernels"
    library = native.library()
    if packed.dtype is not torch.uint8 or packed.dim() != 1 or packed.device.type != "cpu":
        got = f"got {packed.dtype}, shape {tuple(packed.shape)}, on {packed.device}"
        raise StateError(where, f"a packed weight is a one-dimensional uint8 tensor on the CPU, {got}")
    if packed.numel() > packed.untyped_storage().nbytes() - packed.storage_offset():
        raise StateError(where, "the memory of the packed weight was given back", "Pack the weight again.")
    memory = packed
    if packed.is_inference() or not packed.is_contiguous() or packed.data_ptr() % _ALIGN:
        with torch.inference_mode(False):
            memory = packed.clone(memory_format=torch.contiguous_format)
    if not library.slrk_check(memory.data_ptr(), memory.numel()):
        raise StateError(where, "the packed weight is damaged, or of another version", "Pack the weight again.")
    header = blob.read_header(memory)
    return CheckedWeight(
        version=version,
        address=packed.data_ptr(),
        pointer=memory.data_ptr(),
        copy=None if memory is packed else memory,
        rows=header["rows"],
        channels=header["channels"],
        kernel_size=(header["kernel_h"], header["kernel_w"]),
    )
