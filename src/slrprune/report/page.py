"""The page itself: templates, style, script, and Plotly, all in one file that needs no network."""

import base64
import gzip
import hashlib
import json
from collections.abc import Mapping
from functools import partial
from importlib import import_module
from importlib.resources import files
from typing import Any

from slrprune.errors import MissingExtraError

_EARLY = ("theme.js",)  # before the first paint, so that nothing flashes
_LATE = ("plotly.js", "colors.js", "figure.js", "charts.js", "table.js", "layers.js", "copy.js", "main.js")
_STYLES = ("base.css", "page.css", "tables.css", "layers.css")


def render(content: Mapping[str, Any], payload: Mapping[str, Any]) -> str:
    """The page as HTML.

    A content security policy forbids every connection, and every script but the three of the page, which it knows by
    their hashes; so a name in a run can neither call home nor run as code.

    Args:
        content: what the templates read.
        payload: what the page's script reads, plain values.

    Raises:
        MissingExtraError: Jinja2 or Plotly is not installed.
    """
    try:
        jinja2 = import_module("jinja2")
        plotly = _plotly()
    except ModuleNotFoundError as error:
        package = {"jinja2": "Jinja2", "plotly": "Plotly"}.get(error.name or "")
        if package is None:
            raise
        raise MissingExtraError("The run report", package, "report") from error
    early, late = _joined(_EARLY), _joined(_LATE)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("slrprune.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    to_text = partial(json.dumps, allow_nan=False, separators=(",", ":"))
    html: str = environment.get_template("page.html").render(
        **content,
        policy=_policy(early, late, plotly),
        style=environment.from_string("{{ text|safe }}").render(text=_joined(_STYLES)),
        early=early,
        late=late,
        plotly=base64.b64encode(gzip.compress(plotly.encode(), 6, mtime=0)).decode("ascii"),
        data=jinja2.utils.htmlsafe_json_dumps(payload, dumps=to_text),
    )
    return html


def _plotly() -> str:
    library: str = import_module("plotly.offline").get_plotlyjs()
    return library.replace("\r\n", "\n").replace("\r", "\n")


def _joined(names: tuple[str, ...]) -> str:
    folder = files("slrprune.report").joinpath("static")
    return "\n".join(folder.joinpath(name).read_text(encoding="utf-8").replace("\r\n", "\n") for name in names)


def _policy(*scripts: str) -> str:
    """A content security policy that lets in these scripts and nothing else (W3C, CSP Level 3)."""
    hashes = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{found}'" for found in hashes)
    others = "style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'"
    return f"default-src 'none'; script-src {allowed}; {others}"
