"""All that the page shows of one run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from slrprune.report import layers
from slrprune.report.chart import Absent, Chart
from slrprune.report.convergence import convergence
from slrprune.report.headline import Figure, facts, headline, sentence
from slrprune.report.mask_image import MaskImage, mask_image
from slrprune.report.notes import Note, banner, run_notes
from slrprune.report.run_folder import RunFolder
from slrprune.report.values import text

IMAGE_BUDGET = 2_400_000
"""Characters that the images of all layers may take together, so that a page stays below 6 MB."""
_SIDES = (128, 96, 64, 48, 32, 24, 16)


@dataclass(frozen=True)
class Panel:
    """One run, ready to be shown; the fields are what the template reads."""

    key: str
    name: str
    sentence: str
    banner: str
    figures: tuple[Figure, ...]
    facts: tuple[tuple[str, str], ...]
    charts: tuple[Chart | Absent, ...]
    header: tuple[str, ...]
    rows: tuple[tuple[layers.Cell, ...], ...]
    measures: tuple[layers.Measure, ...]
    details: Sequence[Mapping[str, Any]]
    skipped: tuple[tuple[str, str], ...]
    config: str | None
    command: str
    environment: tuple[tuple[str, str], ...]
    seed: str
    notes: tuple[Note, ...]

    @property
    def warnings(self) -> int:
        """Serious notes beside the banner, which says itself."""
        return sum(note.is_serious for note in self.notes) - bool(self.banner)

    def payload(self) -> dict[str, Any]:
        """For the page's script."""
        return {
            "key": self.key,
            "measures": [measure.payload() for measure in self.measures],
            "layers": list(self.details),
        }


def panel(run: RunFolder, name: str, key: str, buckets: int, images: Sequence[MaskImage | None], side: int) -> Panel:
    """Brings together what is shown of one run.

    Args:
        run: what was read.
        name: how it is called on the page.
        key: unique within the page.
        buckets: columns to which the updates are thinned.
        images: of the layers.
        side: largest height and width of these images.
    """
    environment = run.environment or {}
    notes = run_notes(run)
    unknown = layers.unknown_measures(run) if run.layers else ()
    if unknown:
        notes.append(Note(f"Not measured for any layer: {', '.join(unknown)}."))
    if run.layers and side < _SIDES[0]:
        notes.append(Note(f"To keep this page small, masks are shown on at most {side} x {side} tiles."))
    return Panel(
        key=key,
        name=name,
        sentence=sentence(run),
        banner=banner(run),
        figures=headline(run),
        facts=facts(run),
        charts=tuple(convergence(run, key, buckets)),
        header=layers.HEADER,
        rows=layers.rows(run),
        measures=layers.measures(run),
        details=layers.details(run, images),
        skipped=run.skipped,
        config=run.config,
        command=text(run.headline.get("command") or environment.get("command")),
        environment=tuple(_flat(environment or {"machine": run.headline.get("machine")}, "")),
        seed=text(run.headline.get("seed")),
        notes=tuple(notes),
    )


def images_within_budget(runs: Sequence[RunFolder]) -> tuple[list[list[MaskImage | None]], int]:
    """The mask of every layer of every run, as large as the budget allows, and their largest side."""
    found: list[list[MaskImage | None]] = []
    for side in _SIDES:
        found = [[mask_image(layer.get("mask_image"), side) for layer in run.layers or ()] for run in runs]
        if sum(len(image.uri) for images in found for image in images if image is not None) <= IMAGE_BUDGET:
            return found, side
    return found, _SIDES[-1]


def _flat(content: Any, name: str) -> list[tuple[str, str]]:
    """Nested values as lines with dotted names."""
    if isinstance(content, Mapping):
        return [line for key, value in content.items() for line in _flat(value, f"{name}.{key}" if name else str(key))]
    if isinstance(content, list) and any(isinstance(entry, Mapping | list) for entry in content):
        return [line for index, value in enumerate(content) for line in _flat(value, f"{name}.{index}")]
    shown = ", ".join(map(text, content)) if isinstance(content, list) else text(content)
    return [(name, shown)] if shown else []
