"""MkDocs' hook: small changes between the Markdown that the tests execute and the pages.

A block marked `python no-run` is Python to a reader, and the marks for the tests are nothing to see.
"""

import re
from typing import Any

_NOT_RUN = re.compile(r"^(```+)python no-run$", re.MULTILINE)
_MARKS = re.compile(r"^<!-- (new program|output|not run: [^\n]*) -->\n", re.MULTILINE)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The text of a page without what only the tests read."""
    return _MARKS.sub("", _NOT_RUN.sub(r"\1python", markdown))
