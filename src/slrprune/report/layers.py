"""What became of each layer: the rows of the table, the bars, and what is shown of a chosen layer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from slrprune.report.history import History
from slrprune.report.mask_image import MaskImage
from slrprune.report.run_folder import RunFolder
from slrprune.report.thin import every
from slrprune.report.values import DASH, entries, milliseconds, number, rounded, share, short, size, text

HEADER = ("layer", "shape", "set", "sparsity", "weights kept", "size in file", "MACs left", "residual", "time")
_TRACK_POINTS = 60


@dataclass(frozen=True)
class Cell:
    """One entry of the table: its text, the value it is sorted by, and what stands small beside it."""

    text: str
    value: float | str | None
    beside: str = ""


@dataclass(frozen=True)
class Measure:
    """What the bars can show.

    Attributes:
        key, title: as the page's script and its reader know it.
        suffix: unit behind every number.
        values: one a layer.
        dense: what it was before, as longer, paler bars; None where that makes no sense.
    """

    key: str
    title: str
    suffix: str
    values: tuple[float | None, ...]
    dense: tuple[float | None, ...] | None = None

    @property
    def is_known(self) -> bool:
        """Whether any layer has a value."""
        return any(value is not None for value in self.values)

    def payload(self) -> dict[str, Any]:
        """For the page's script."""
        dense = None if self.dense is None else [rounded(value) for value in self.dense]
        values = [rounded(value) for value in self.values]
        return {"key": self.key, "title": self.title, "suffix": self.suffix, "values": values, "dense": dense}


def rows(run: RunFolder) -> tuple[tuple[Cell, ...], ...]:
    """The table, one row for each pruned layer, in the order of layers.json."""
    return tuple(_row(layer) for layer in run.layers or ())


def measures(run: RunFolder) -> tuple[Measure, ...]:
    """What there are bars of; a measure of which nothing is known is left out."""
    layers = run.layers or ()
    found = (
        Measure("sparsity", "Sparsity", " %", _column(layers, "sparsity", 100)),
        Measure(
            "size", "Size in file", " kB", _column(layers, "bytes_sparse", 1e-3), _column(layers, "bytes_dense", 1e-3)
        ),
        Measure("macs", "MACs", " k", _column(layers, "macs_left", 1e-3), _column(layers, "macs", 1e-3)),
        Measure("residual", "Residual before the cut", "", _column(layers, "primal_residual")),
        Measure("time", "Time", " µs", _column(layers, "seconds", 1e6)),
    )
    return tuple(measure for measure in found if measure.is_known)


def unknown_measures(run: RunFolder) -> tuple[str, ...]:
    """Titles of the measures of which nothing is known."""
    known = [measure.key for measure in measures(run)]
    titles = {"sparsity": "sparsity", "size": "size", "macs": "MACs", "residual": "residual", "time": "time"}
    return tuple(title for key, title in titles.items() if key not in known)


def details(run: RunFolder, images: Sequence[MaskImage | None]) -> list[dict[str, Any]]:
    """What is shown of each layer when it is chosen, for the page's script."""
    tracks = _tracks(run.history)
    return [
        {
            "name": text(layer.get("name")),
            "said": _said(layer),
            "image": None if image is None else vars(image),
            "histogram": _histogram(run.histograms.get(text(layer.get("name")))),
            "track": tracks.get(text(layer.get("name"))),
        }
        for layer, image in zip(run.layers or (), images, strict=True)
    ]


def _row(layer: Mapping[str, Any]) -> tuple[Cell, ...]:
    sparsity, nnz, numel = (number(layer.get(name)) for name in ("sparsity", "nnz", "numel"))
    stored, dense = number(layer.get("bytes_sparse")), number(layer.get("bytes_dense"))
    left, macs = number(layer.get("macs_left")), number(layer.get("macs"))
    residual, seconds = number(layer.get("primal_residual")), number(layer.get("seconds"))
    name, constraint = text(layer.get("name")), text(layer.get("constraint"))
    return (
        Cell(name, name),
        Cell(_shape(layer), numel),
        Cell(constraint, constraint),
        Cell(share(sparsity), sparsity),
        Cell(short(nnz), nnz, "" if numel is None else f"of {short(numel)}"),
        Cell(size(stored), stored, "" if dense is None else f"of {size(dense)}"),
        Cell(_count(left), left, "" if macs is None else f"of {_count(macs)}"),
        Cell(short(residual, 3), residual),
        Cell(milliseconds(None if seconds is None else 1000 * seconds), seconds),
    )


def _said(layer: Mapping[str, Any]) -> str:
    numel, nnz = number(layer.get("numel")), number(layer.get("nnz"))
    parts = [_shape(layer), text(layer.get("constraint"))]
    parts.append("" if nnz is None or numel is None else f"{short(nnz)} of {short(numel)} weights kept")
    sparsity = number(layer.get("sparsity"))
    parts.append("" if sparsity is None else f"{share(sparsity)} zeros")
    return " · ".join(part for part in parts if part)


def _shape(layer: Mapping[str, Any]) -> str:
    shape = layer.get("shape")
    return "x".join(map(str, shape)) if isinstance(shape, Sequence) and not isinstance(shape, str) else DASH


def _histogram(content: Any) -> dict[str, Any] | None:
    if not isinstance(content, Mapping):
        return None
    edges, before, after = (_numbers(content.get(name)) for name in ("edges", "before", "after"))
    if not before or len(edges) != len(before) + 1 or len(after) != len(before):
        return None
    return {
        "edges": [rounded(edge) for edge in edges],
        "before": before,
        "after": after,
        "zeros": number(content.get("zeros_after")),
    }


def _numbers(values: Any) -> list[float]:
    if not isinstance(values, Sequence) or isinstance(values, str):
        return []
    found = [number(value) for value in values]
    known = [int(value) if value == int(value) else value for value in found if value is not None]
    return known if len(known) == len(found) else []


def _tracks(history: History) -> dict[str, dict[str, Any]]:
    """Sparsity and residual of each layer over the epochs, thinned to what the small chart can show."""
    found: dict[str, dict[str, Any]] = {}
    for index in every(len(history.layers), _TRACK_POINTS):
        line = history.layers[index]
        for entry in entries(line.get("layers")):
            track = found.setdefault(text(entry.get("name")), {"epochs": [], "sparsity": [], "residual": []})
            track["epochs"].append(number(line.get("epoch")))
            track["sparsity"].append(rounded(_scaled(number(entry.get("sparsity")), 100)))
            track["residual"].append(rounded(number(entry.get("primal_residual"))))
    return found


def _column(layers: Sequence[Mapping[str, Any]], name: str, factor: float = 1.0) -> tuple[float | None, ...]:
    return tuple(_scaled(number(layer.get(name)), factor) for layer in layers)


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _count(value: float | None) -> str:
    """Multiply-adds in the unit that reads best."""
    if value is None:
        return DASH
    for unit, scale in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= scale:
            return f"{value / scale:.3g} {unit}"
    return f"{value:.0f}"
