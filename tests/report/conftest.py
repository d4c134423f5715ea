"""Made-up runs, and a report's page with its parts taken out."""

import base64
import gzip
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from run_folders import MadeUpRun

from slrprune.report import write_report

SMALL = MadeUpRun(updates=40, epochs=4)


class Page:
    """A report as text, with the data that its script draws from."""

    def __init__(self, path: Path) -> None:
        self.html = path.read_text(encoding="utf-8")
        self.data = json.loads(self.between('<script type="application/json" id="data">', "</script>"))
        packed = self.between('<script type="text/plain" id="plotly-library">', "</script>")
        self.library = gzip.decompress(base64.b64decode(packed)).decode()
        self.text = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", self.html.partition("<main")[2])).replace("\u00a0", " ")

    def between(self, before: str, after: str) -> str:
        """What stands between two texts."""
        return self.html.partition(before)[2].partition(after)[0]


@pytest.fixture
def make_run(tmp_path):
    """Writes a small made-up run, with changed settings, and returns its folder."""

    def make(name="run", **changes):
        return replace(SMALL, **changes).write(tmp_path / name)

    return make


@pytest.fixture
def make_page(tmp_path):
    """Reports on folders, and reads the page."""
    return lambda *folders: Page(write_report(folders, tmp_path / "page.html"))
