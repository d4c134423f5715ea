"""What a task tells about a model beside its metric, as a run's summary holds it."""

from collections.abc import Mapping
from typing import Any

from slrprune.report.values import NOT_MEASURED, number, text

_STAGES = {"dense": "dense", "after_cut": "after the cut", "after_retraining": "after retraining"}


def further_figures(details: Any) -> tuple[tuple[str, str], ...]:
    """Each figure by name, with its values before and after the cut, and after retraining where there was some.

    Args:
        details: of `summary.json`; anything but an object of objects is left out.

    Examples:
        >>> further_figures({"dense": {"perplexity": 4.567}, "after_cut": {"perplexity": None}})
        (('Perplexity', '4.57 dense, not measured after the cut'),)
    """
    rows: dict[str, list[str]] = {}
    for stage, said in _STAGES.items():
        figures = details.get(stage) if isinstance(details, Mapping) else None
        for name, value in figures.items() if isinstance(figures, Mapping) else ():
            known = number(value)
            rows.setdefault(text(name), []).append(f"{NOT_MEASURED if known is None else f'{known:.2f}'} {said}")
    return tuple((name[:1].upper() + name[1:], ", ".join(values)) for name, values in rows.items())
