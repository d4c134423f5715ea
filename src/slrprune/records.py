"""What a run leaves behind: one record per multiplier update, and a report of the sparsity reached."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

import torch
from torch import Tensor

from slrprune.errors import StateError
from slrprune.rules import Skipped


@dataclass(frozen=True)
class UpdateRecord:
    """One update of multipliers and masks. Norms are those of the vector stacked over all pruned weights.

    Attributes:
        step: optimizer steps seen so far, 1-based.
        iteration: k, updates made so far, 1-based.
        penalty: rho, the penalty coefficient; NaN for methods without one.
        stepsize: s_k of the multipliers (for `SLR` the mean over the weights of what was taken of sigma, 0 for one
            whose step was refused; units that stand still do not count); NaN for methods without multipliers.
        primal_residual: norm of W - Z, what the projection cuts off at this moment.
        dual_residual: norm of Z_k - Z_{k-1}, times rho where there is a rho.
        loss: what stands for f in the conditions; `loss_kind` of the method says what that is.
        first_condition: 1.0 where surrogate condition 1 holds, 0.0 where not, NaN where the method has none.
        second_condition: the same for surrogate condition 2.
        sparsity: fraction of zeros in Z, over the pruned weights.
        mask_changes: entries whose mask differs from that of the update before.
    """

    step: int
    iteration: int
    penalty: float
    stepsize: float
    primal_residual: float
    dual_residual: float
    loss: float
    first_condition: float
    second_condition: float
    sparsity: float
    mask_changes: int


_FIELDS = tuple(entry.name for entry in fields(UpdateRecord))
_INTEGERS = ("step", "iteration", "mask_changes")


class RecordBuffer:
    """Collects records on the device, so that an update costs no device-to-host copy; `read` makes one for all."""

    def __init__(self) -> None:
        self._pending: list[tuple[dict[str, float], tuple[str, ...], Tensor]] = []
        self._read: list[UpdateRecord] = []

    def __len__(self) -> int:
        return len(self._read) + len(self._pending)

    @property
    def pending(self) -> int:
        """How many records have not been read out yet."""
        return len(self._pending)

    def add(self, host: Mapping[str, float], device: Mapping[str, Tensor]) -> None:
        """Keeps one record; `host` holds Python numbers, `device` 0-dim tensors that all live on one device."""
        values = torch.stack([value.detach().to(torch.float64) for value in device.values()])
        self._pending.append((dict(host), tuple(device), values))

    def read(self) -> tuple[UpdateRecord, ...]:
        """All records so far, oldest first."""
        if self._pending:
            rows = torch.cat([values for _, _, values in self._pending]).tolist()
            for host, names, _ in self._pending:
                values = dict.fromkeys(_FIELDS, float("nan")) | host
                values |= zip(names, rows[: len(names)], strict=True)
                del rows[: len(names)]
                self._read.append(_record(values))
            self._pending = []
        return tuple(self._read)

    def state(self) -> dict[str, list[float]]:
        """Plain columns for a checkpoint."""
        records = self.read()
        return {name: [getattr(record, name) for record in records] for name in _FIELDS}

    def load(self, state: dict[str, list[float]]) -> None:
        """Replaces the content by that of `state()`; raises `StateError` where columns are missing or of odd length."""
        columns = [state[name] for name in _FIELDS if name in state]
        if len(columns) < len(_FIELDS) or len({len(column) for column in columns}) > 1:
            raise StateError("Pruner.load_state_dict", "the records are incomplete", "The state is damaged.")
        rows = zip(*columns, strict=True)
        self._pending = []
        self._read = [_record(dict(zip(_FIELDS, row, strict=True))) for row in rows]


def _record(values: Mapping[str, float]) -> UpdateRecord:
    integers = {name: int(values[name]) for name in _INTEGERS}
    return UpdateRecord(**{name: values[name] for name in _FIELDS} | integers)  # type: ignore[arg-type]


@dataclass(frozen=True)
class LayerSparsity:
    """Sparsity of one pruned tensor."""

    name: str
    shape: tuple[int, ...]
    numel: int
    nnz: int
    constraint: str

    @property
    def sparsity(self) -> float:
        """Fraction of zeros, in [0, 1]."""
        return 1 - self.nnz / max(1, self.numel)


@dataclass(frozen=True)
class SparsityReport:
    """Counts after the hard cut, each tensor counted once.

    Attributes:
        layers: one entry per pruned tensor, in registration order.
        skipped: every parameter left dense, with the reason.
        numel, nnz: entries and non-zeros of the pruned tensors.
        model_numel, model_nnz: the same over all parameters of the model.
        steps, total_steps: optimizer steps seen by the pruner, and planned.
    """

    layers: tuple[LayerSparsity, ...]
    skipped: tuple[Skipped, ...]
    model_numel: int
    model_nnz: int
    steps: int
    total_steps: int
    warnings: tuple[str, ...] = field(default=())

    @property
    def numel(self) -> int:
        """Entries of all pruned tensors."""
        return sum(layer.numel for layer in self.layers)

    @property
    def nnz(self) -> int:
        """Non-zeros of all pruned tensors."""
        return sum(layer.nnz for layer in self.layers)

    @property
    def sparsity(self) -> float:
        """Fraction of zeros over the pruned tensors, in [0, 1]."""
        return 1 - self.nnz / max(1, self.numel)

    @property
    def compression_ratio(self) -> float:
        """numel / nnz over the pruned tensors, at least 1."""
        return self.numel / max(1, self.nnz)

    @property
    def model_compression_ratio(self) -> float:
        """numel / nnz over all parameters of the model, at least 1."""
        return self.model_numel / max(1, self.model_nnz)

    def __str__(self) -> str:
        width = max(len(layer.name) for layer in self.layers)
        lines = [f"{'parameter':<{width}}  {'shape':>18}  {'nnz':>10}  {'numel':>10}  sparsity  set"]
        lines += [
            f"{layer.name:<{width}}  {'x'.join(map(str, layer.shape)):>18}  {layer.nnz:>10,}  {layer.numel:>10,}"
            f"  {layer.sparsity:>8.2%}  {layer.constraint}"
            for layer in self.layers
        ]
        lines.append(
            f"pruned tensors: {self.nnz:,} of {self.numel:,} weights kept, sparsity {self.sparsity:.2%},"
            f" compression {self.compression_ratio:.1f}x"
        )
        lines.append(
            f"whole model: {self.model_nnz:,} of {self.model_numel:,} parameters non-zero,"
            f" compression {self.model_compression_ratio:.1f}x"
        )
        lines.append(f"left dense: {len(self.skipped)} parameters ({_by_reason(self.skipped)})")
        lines.append(f"steps: {self.steps:,} of {self.total_steps:,} planned")
        lines += [f"warning: {warning}" for warning in self.warnings]
        return "\n".join(lines)


def _by_reason(skipped: tuple[Skipped, ...]) -> str:
    counts: dict[str, int] = {}
    for entry in skipped:
        counts[entry.reason] = counts.get(entry.reason, 0) + 1
    return "; ".join(f"{count} x {reason}" for reason, count in counts.items()) or "none"
