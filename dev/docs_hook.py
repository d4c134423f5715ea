"""MkDocs' hook: small changes between the Markdown that the tests execute and the pages.

A block marked `python no-run` is Python to a reader, the marks for the tests are nothing to see, and the comment
<!-- source: PATH --> or <!-- source: PATH NAME --> becomes the source of a file, or of a class or function in it.
"""

import ast
import re
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
_NOT_RUN = re.compile(r"^(```+)python no-run$", re.MULTILINE)
_MARKS = re.compile(r"^<!-- (new program|output|not run: [^\n]*) -->\n", re.MULTILINE)
_SOURCE = re.compile(r"^<!-- source: (?P<path>\S+)(?: (?P<name>\w+))? -->$", re.MULTILINE)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The text of a page as readers see it."""
    return _SOURCE.sub(_shown, _MARKS.sub("", _NOT_RUN.sub(r"\1python", markdown)))


def _shown(match: "re.Match[str]") -> str:
    text = (REPOSITORY / match["path"]).read_text(encoding="utf-8")
    return f'```python title="{match["path"]}"\n{_part(text, match["name"]) if match["name"] else text.rstrip()}\n```'


def _part(text: str, name: str) -> str:
    """A class or function with its decorators; StopIteration where there is none ends the build."""
    nodes = (node for node in ast.parse(text).body if isinstance(node, ast.ClassDef | ast.FunctionDef))
    node = next(node for node in nodes if node.name == name)
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    return "\n".join(text.splitlines()[first - 1 : node.end_lineno])
