"""The page itself: templates, style, script, and Plotly, all in one file that needs no network."""

import base64
import gzip
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, partial
from importlib import import_module
from importlib.resources import files
from typing import Any

from slrprune.errors import MissingExtraError

_EARLY = ("theme.js",)  # before the first paint, so that nothing flashes
_LATE = ("plotly.js", "colors.js", "figure.js", "charts.js", "table.js", "layers.js", "copy.js", "main.js")
_STYLES = ("base.css", "page.css", "tables.css", "layers.css")


@dataclass(frozen=True)
class _Library:
    """Plotly.js: the hash of its text for the policy of the page, and the text compressed, in base64."""

    hash: str
    packed: str


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
        library = _library()
    except ModuleNotFoundError as error:
        package = {"jinja2": "Jinja2", "plotly": "Plotly"}.get((error.name or "").partition(".")[0])
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
        policy=_policy(_hash(early), _hash(late), library.hash),
        style=_joined(_STYLES),
        early=early,
        late=late,
        plotly=library.packed,
        data=jinja2.utils.htmlsafe_json_dumps(payload, dumps=to_text),
    )
    return html


@cache
def _library() -> _Library:
    """Read and packed once a process, which takes a good part of the time of a report."""
    script = import_module("plotly.offline").get_plotlyjs().replace("\r\n", "\n").replace("\r", "\n")
    packed = gzip.compress(script.encode(), 6, mtime=0)
    return _Library(_hash(script), base64.b64encode(packed).decode("ascii"))


def _joined(names: tuple[str, ...]) -> str:
    folder = files("slrprune.report").joinpath("static")
    return "\n".join(folder.joinpath(name).read_text(encoding="utf-8").replace("\r\n", "\n") for name in names)


def _hash(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _policy(*hashes: str) -> str:
    """A content security policy that lets in the scripts of these hashes and nothing else (W3C, CSP Level 3)."""
    allowed = " ".join(f"'sha256-{found}'" for found in hashes)
    others = "style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'"
    return f"default-src 'none'; script-src {allowed}; {others}"
