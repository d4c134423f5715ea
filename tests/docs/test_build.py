"""The documentation builds with warnings as errors: dead links, unknown names and pages outside of the menu."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]

pytest.importorskip("mkdocs", reason="needs mkdocs, of the extra docs")
pytest.importorskip("mkdocstrings", reason="needs mkdocstrings, of the extra docs")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages, built into a temporary folder as `make docs` builds them into site/."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    quiet = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "NO_COLOR": "1"}
    done = subprocess.run(command, cwd=REPOSITORY, env=quiet, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_page_is_there(site: Path) -> None:
    sources = {
        path.relative_to(REPOSITORY / "docs").with_suffix(".html") for path in (REPOSITORY / "docs").rglob("*.md")
    }
    pages = {path.relative_to(site) for path in site.rglob("*.html")}
    assert sources <= pages
    assert len(sources) > 20


def test_nothing_is_loaded_from_a_network(site: Path) -> None:
    loads = re.compile(
        r'<(?:script|img|iframe)[^>]*\bsrc="(https?:)?//|<link[^>]*rel="(?:stylesheet|preconnect)[^>]*//'
    )
    assert [path.name for path in site.rglob("*.html") if loads.search(path.read_text(encoding="utf-8"))] == []


def test_what_only_the_tests_read_is_not_shown(site: Path) -> None:
    for path in site.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert "no-run" not in text, path.name
        assert "```" not in text, path.name


def test_tests_and_files_that_pages_name_exist() -> None:
    """The complaints page gives tests as proofs, others name scripts and records."""
    for page in (REPOSITORY / "docs").rglob("*.md"):
        text = page.read_text(encoding="utf-8")
        for path, name in re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", text):
            assert (REPOSITORY / path).is_file(), f"{page.name}: {path}"
            assert f"def {name}" in (REPOSITORY / path).read_text(encoding="utf-8"), f"{page.name}: {path}::{name}"
        for path in re.findall(r"`((?:examples|src|benchmarks|notebooks)/[\w/]+\.\w+)`", text):
            assert (REPOSITORY / path).is_file(), f"{page.name}: {path}"
