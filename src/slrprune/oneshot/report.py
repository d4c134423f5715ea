"""What one-shot pruning did, layer by layer."""

import sys
from dataclasses import asdict, dataclass
from typing import Any

import torch

from slrprune.rules import Skipped


@dataclass(frozen=True)
class LayerRecord:
    """One pruned layer.

    Args:
        name: of the weight.
        shape: of the weight.
        nnz: weights that stay.
        error: relative error of the layer's outputs on the calibration inputs, tr(D H D^T) / tr(W H W^T).
        samples: rows of inputs that H was made of.
        iterations: of the solver.
        is_converged: whether the solver's stop rule ended it.
        seconds: time of the solver, without calibration.
    """

    name: str
    shape: tuple[int, ...]
    nnz: int
    error: float
    samples: int
    iterations: int
    is_converged: bool
    seconds: float

    @property
    def numel(self) -> int:
        """Entries of the weight."""
        return torch.Size(self.shape).numel()

    @property
    def sparsity(self) -> float:
        """Fraction of zeros."""
        return 1 - self.nnz / max(1, self.numel)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> "LayerRecord":
        """The record that `to_dict` gave."""
        return cls(**{**content, "shape": tuple(content["shape"])})


@dataclass(frozen=True)
class Progress:
    """A finished stage of the walk: a block, or a single layer.

    Args:
        stage: its name.
        number: counted from 1.
        total: number of stages.
        layers: records of its layers; empty where nothing in it was selected.
        is_restored: whether it was taken from an earlier run.
    """

    stage: str
    number: int
    total: int
    layers: tuple[LayerRecord, ...]
    is_restored: bool


@dataclass(frozen=True)
class OneShotReport:
    """The result of `prune`.

    Args:
        layers: records, in the order of pruning.
        skipped: parameters that stay dense, with the reason.
        notes: what the user should know, one sentence each.
        seconds: of the whole call.
        peak_bytes: greatest memory of the process so far (of the CUDA device, where the model is on one); None where
            the system does not tell.
    """

    layers: tuple[LayerRecord, ...]
    skipped: tuple[Skipped, ...]
    notes: tuple[str, ...]
    seconds: float
    peak_bytes: int | None

    @property
    def sparsity(self) -> float:
        """Fraction of zeros over the pruned weights."""
        return 1 - sum(layer.nnz for layer in self.layers) / max(1, sum(layer.numel for layer in self.layers))

    @property
    def mean_error(self) -> float:
        """Mean of the layers' relative errors."""
        return sum(layer.error for layer in self.layers) / max(1, len(self.layers))

    def __str__(self) -> str:
        lines = [f"{'layer':<48} {'shape':>16} {'sparsity':>8} {'error':>9}"]
        for layer in self.layers:
            shape = "x".join(map(str, layer.shape))
            lines.append(f"{layer.name:<48} {shape:>16} {layer.sparsity:>8.2%} {layer.error:>9.2e}")
        memory = "" if self.peak_bytes is None else f", peak memory {self.peak_bytes / 2**20:.0f} MiB"
        lines.append(
            f"{len(self.layers)} layers, {self.sparsity:.2%} zeros, mean relative error {self.mean_error:.2e}, "
            f"{self.seconds:.1f} s{memory}"
        )
        return "\n".join([*lines, *self.notes])


def peak_memory(device: torch.device) -> int | None:
    """Bytes: of the CUDA device, else the greatest resident size of this process; None where nobody tells."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if sys.platform == "win32":
        return None
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
