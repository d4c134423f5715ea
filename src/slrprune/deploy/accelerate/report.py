"""What accelerate chose for every layer, on which times, and what came of it in all."""

from collections.abc import Mapping
from dataclasses import dataclass

from slrprune.deploy.accelerate.choices import Choices
from slrprune.deploy.accelerate.columns import columns


@dataclass(frozen=True)
class LayerRow:
    """One linear or convolution layer.

    Attributes:
        name: its path in the model.
        kind: its class.
        shape: of its weight.
        sparsity: fraction of its weight that is zero, in [0, 1].
        relu: whether ReLU is computed with it.
        times: microseconds of all its calls in one forward pass, by candidate, conversions of the memory format
            included; empty where nothing was measured.
        refused: why the other candidates were not measured, by candidate.
        chosen: the name of a candidate; "dense" is torch.
        why: one sentence.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    sparsity: float
    relu: bool
    times: Mapping[str, float]
    refused: Mapping[str, str]
    chosen: str
    why: str

    @property
    def speedup(self) -> float:
        """Time of the dense layer over that of the chosen one; 1 where nothing was measured."""
        return self.times["dense"] / self.times[self.chosen] if self.times else 1.0


@dataclass(frozen=True)
class AccelerateReport:
    """What `accelerate` chose, why, and what came of it.

    Attributes:
        rows: one per linear and convolution layer, in the model's order.
        totals: microseconds of one forward pass over the example, by variant: "original" is the model as it was,
            "dense, ..." the same with BatchNorm folded in one memory format, "accelerated, ..." with the layers
            chosen; empty where saved choices were applied.
        chosen: the variant that was returned.
        choices: the same for another process: `accelerate(model, example, choices=...)` measures nothing.
        relative_difference: largest difference from the original's outputs on the example, over the largest output.
        tolerance: the greatest that was accepted.
        folded: how many BatchNorms were folded.
        inputs: shapes of the tensors in the example.
        threads: of torch, when it was measured.
        instruction_set: of the sparse kernels, empty without them.
        notes: what else there is to know, in sentences.
    """

    rows: tuple[LayerRow, ...]
    totals: Mapping[str, float]
    chosen: str
    choices: Choices
    relative_difference: float
    tolerance: float
    folded: int
    inputs: tuple[tuple[int, ...], ...]
    threads: int
    instruction_set: str
    notes: tuple[str, ...]

    @property
    def dense_time(self) -> float:
        """Microseconds of the fastest dense variant; NaN where nothing was measured."""
        return min((time for name, time in self.totals.items() if not name.startswith("accelerated")), default=NAN)

    @property
    def time(self) -> float:
        """Microseconds of what was returned; NaN where nothing was measured."""
        return self.totals.get(self.chosen, NAN)

    @property
    def speedup(self) -> float:
        """Time of the fastest dense variant over that of what was returned; NaN where nothing was measured."""
        return self.dense_time / self.time

    def __str__(self) -> str:
        """A table of the layers, then the totals."""
        return "\n".join([*_table(self.rows), "", *self._totals(), *self.notes])

    def _totals(self) -> list[str]:
        lines = [f"{name}: {time:,.0f} us" for name, time in self.totals.items()]
        if self.totals:
            lines.append(f"Returned: {self.chosen}, {self.speedup:.2f}x the fastest dense variant")
        else:
            lines.append(f"Returned: {self.chosen}, as chosen before")
        shapes = ", ".join(str(shape) for shape in self.inputs)
        lines.append(f"Measured for inputs {shapes}, {self.threads} thread(s); other sizes run too, untuned.")
        lines.append(f"Outputs differ by {self.relative_difference:.1e} relative (accepted: {self.tolerance:.0e}).")
        return lines


NAN = float("nan")


def _table(rows: tuple[LayerRow, ...]) -> list[str]:
    head = ("layer", "weight", "zeros", "dense us", "chosen us", "speedup", "chosen")
    right = (False, False, True, True, True, True, False)
    return columns([head, *map(_cells, rows)], right)


def _cells(row: LayerRow) -> tuple[str, ...]:
    dense, chosen, speedup = "", "", ""
    if row.times:
        dense, chosen = f"{row.times['dense']:,.1f}", f"{row.times[row.chosen]:,.1f}"
        speedup = f"{row.speedup:.2f}x"
    why = row.chosen if row.chosen != "dense" else f"dense: {row.why}"
    return row.name, "x".join(map(str, row.shape)), f"{row.sparsity:.1%}", dense, chosen, speedup, why
