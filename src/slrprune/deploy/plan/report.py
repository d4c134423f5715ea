"""What pruning would bring: bytes, multiply-accumulates, microseconds, and what to beware of."""

from dataclasses import dataclass

from slrprune.deploy.accelerate import AccelerateReport
from slrprune.deploy.accelerate.columns import columns

NAN = float("nan")


@dataclass(frozen=True)
class PlanRow:
    """One weight of a convolution, a linear layer or an attention projection.

    Attributes:
        name: of the parameter.
        shape: its shape.
        rule: the set that prunes it, or why it stays dense.
        is_pruned: whether a set prunes it.
        sparsity: fraction of zeros, in [0, 1).
        dense_bytes: in memory.
        file_bytes: predicted, in the sparse file.
        dense_macs: multiply-accumulates in one forward pass over the example, all weights counted.
        macs: the same, zeros left out.
        dense_time: microseconds under dense torch, measured; NaN where the layer cannot be replaced.
        time: microseconds under what is fastest here, measured.
        runs_on: what that is.
    """

    name: str
    shape: tuple[int, ...]
    rule: str
    is_pruned: bool
    sparsity: float
    dense_bytes: int
    file_bytes: int
    dense_macs: int
    macs: int
    dense_time: float
    time: float
    runs_on: str

    @property
    def speedup(self) -> float:
        """Dense time over time; NaN where nothing was measured."""
        return self.dense_time / self.time


@dataclass(frozen=True)
class ShrunkPlan:
    """What `shrink` would make of it.

    Attributes:
        parameters: left.
        macs: left, multiply-accumulates in one forward pass.
        time: microseconds of one forward pass under dense torch, measured.
        dense_time: the same for the model as it is.
    """

    parameters: int
    macs: int
    time: float
    dense_time: float

    @property
    def speedup(self) -> float:
        """Dense time over time."""
        return self.dense_time / self.time


@dataclass(frozen=True)
class PlanReport:
    """What pruning a model by these rules would bring, on this machine.

    Attributes:
        rows: one per weight, in the model's order.
        file_bytes: predicted size of the sparse file, everything in it.
        dense_bytes: size of all tensors in memory.
        acceleration: what `accelerate` chose for a model with such zeros, with all times.
        shrunk: what `shrink` would make of it, where whole channels go; None elsewhere.
        warnings: what to beware of, in sentences.
    """

    rows: tuple[PlanRow, ...]
    file_bytes: int
    dense_bytes: int
    acceleration: AccelerateReport
    shrunk: ShrunkPlan | None
    warnings: tuple[str, ...]

    @property
    def compression_ratio(self) -> float:
        """Dense bytes over file bytes, over the whole model."""
        return self.dense_bytes / self.file_bytes

    @property
    def dense_macs(self) -> int:
        """Multiply-accumulates of all rows, all weights counted."""
        return sum(row.dense_macs for row in self.rows)

    @property
    def macs(self) -> int:
        """The same, zeros left out."""
        return sum(row.macs for row in self.rows)

    @property
    def dense_time(self) -> float:
        """Microseconds of one forward pass over the example, on the fastest dense variant."""
        return self.acceleration.dense_time

    @property
    def time(self) -> float:
        """Microseconds of one forward pass after `accelerate`."""
        return self.acceleration.time

    @property
    def speedup(self) -> float:
        """Dense time over time."""
        return self.acceleration.speedup

    def __str__(self) -> str:
        """A table of the weights, the totals, the warnings."""
        lines = [*_table(self.rows), "", *self._totals()]
        return "\n".join([*lines, *(f"Warning: {warning}" for warning in self.warnings)])

    def _totals(self) -> list[str]:
        size = f"{self.dense_bytes:,} -> {self.file_bytes:,} bytes ({self.compression_ratio:.1f}x smaller)"
        work = f"{self.dense_macs:,} -> {self.macs:,} multiply-accumulates"
        time = f"{self.dense_time:,.0f} -> {self.time:,.0f} us ({self.speedup:.2f}x), {self.acceleration.chosen}"
        lines = [f"file: {size}", f"work: {work}", f"time on this machine: {time}"]
        if self.shrunk is not None:
            left = f"{self.shrunk.parameters:,} parameters, {self.shrunk.macs:,} multiply-accumulates"
            lines.append(f"after shrink: {left}, {self.shrunk.time:,.0f} us ({self.shrunk.speedup:.2f}x)")
        return lines


def _table(rows: tuple[PlanRow, ...]) -> list[str]:
    head = ("weight", "shape", "zeros", "file kB", "MMACs left", "dense us", "us", "runs on", "rule")
    right = (False, False, True, True, True, True, True, False, False)
    return columns([head, *map(_cells, rows)], right)


def _cells(row: PlanRow) -> tuple[str, ...]:
    measured = row.time == row.time
    times = (f"{row.dense_time:,.1f}", f"{row.time:,.1f}") if measured else ("", "")
    shape = "x".join(map(str, row.shape))
    amounts = f"{row.sparsity:.1%}", f"{row.file_bytes / 1e3:,.1f}", f"{row.macs / 1e6:,.2f}"
    return row.name, shape, *amounts, *times, row.runs_on, row.rule
