"""What a chart shows, apart from how it is drawn; the page's own script turns it into a Plotly figure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from slrprune.report.values import rounded


@dataclass(frozen=True)
class Table:
    """The numbers behind a chart, as text.

    Attributes:
        header: names of the columns; the first heads the rows.
        rows: as many entries as the header has.
        note: what the reader must know of the choice of rows.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


@dataclass(frozen=True)
class Series:
    """One line, or one set of points.

    Attributes:
        name: for the legend.
        x, y: values, of equal length.
        spread: half the length of the error bars; None for none.
        labels: what to say of each point beside its numbers.
        has_markers: whether points are marked.
        has_line: whether they are connected.
        slot: position in the palette, which also chooses dash and marker; the position in the chart where None.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float | None]
    spread: Sequence[float | None] | None = None
    labels: Sequence[str] | None = None
    has_markers: bool = False
    has_line: bool = True
    slot: int | None = None

    def payload(self, position: int) -> dict[str, Any]:
        """For the page's script."""
        found: dict[str, Any] = {
            "name": self.name,
            "x": [rounded(value) for value in self.x],
            "y": [rounded(value) for value in self.y],
            "markers": self.has_markers,
            "line": self.has_line,
            "slot": position if self.slot is None else self.slot,
        }
        if self.spread is not None:
            found["spread"] = [rounded(value) for value in self.spread]
        if self.labels is not None:
            found["labels"] = list(self.labels)
        return found


@dataclass(frozen=True)
class Chart:
    """One chart with what belongs to it.

    Attributes:
        key: unique within the page; letters, digits and hyphens.
        title: what is shown.
        hint: one or two sentences that say what it means.
        x_title, y_title: of the axes, with units.
        series: what is drawn.
        table: the numbers behind it.
        is_log: whether the vertical axis is logarithmic.
        levels: horizontal lines, (value, text).
        marks: vertical lines, (value, text).
        is_strip: whether each series is a row of shares in [0, 1], drawn as a strip.
        is_dots: whether each series is one point, and only its y counts.
        suffix: unit behind every value on the vertical axis.
    """

    key: str
    title: str
    hint: str
    x_title: str
    y_title: str
    series: tuple[Series, ...]
    table: Table
    is_log: bool = False
    levels: tuple[tuple[float, str], ...] = ()
    marks: tuple[tuple[float, str], ...] = ()
    is_strip: bool = False
    is_dots: bool = False
    suffix: str = ""

    def payload(self) -> dict[str, Any]:
        """For the page's script."""
        return {
            "xTitle": self.x_title,
            "yTitle": self.y_title,
            "log": self.is_log,
            "strip": self.is_strip,
            "dots": self.is_dots,
            "suffix": self.suffix,
            "levels": [[rounded(value), said] for value, said in self.levels],
            "marks": [[rounded(value), said] for value, said in self.marks],
            "series": [entry.payload(position) for position, entry in enumerate(self.series)],
        }


@dataclass(frozen=True)
class Absent:
    """A chart for which there are no numbers, and why."""

    title: str
    reason: str


def suits_log(values: Sequence[float | None]) -> bool:
    """Whether a logarithmic axis serves: all positive, and more than a factor of 30 apart."""
    known = [value for value in values if value is not None]
    return bool(known) and min(known) > 0 and max(known) > 30 * min(known)
