"""Tables for README and docs, generated from records between two comments."""

import re
from collections.abc import Sequence

from slrprune.compare.block import Block
from slrprune.compare.text import all_notes, cells, header, title
from slrprune.errors import DataError


def to_markdown(blocks: Sequence[Block]) -> str:
    """A title and a table for every block, and at the end what all of them have to note, each once."""
    notes = [f"{_escaped(note)}\n" for note in all_notes(blocks)]
    return "\n".join([*map(_block, blocks), *notes])


def insert(text: str, marker: str, content: str, where: str) -> str:
    r"""`text` with `content` between `<!-- marker:begin -->` and `<!-- marker:end -->`, in place of what was there.

    Args:
        text: a Markdown document.
        marker: for example "demo-table".
        content: Markdown.
        where: name of the document, for the message.

    Raises:
        DataError: the two comments are not there exactly once, in this order.

    Examples:
        >>> insert("<!-- t:begin -->old<!-- t:end -->", "t", "new", "a.md")
        '<!-- t:begin -->\n\nnew\n\n<!-- t:end -->'
    """
    begin, end = f"<!-- {marker}:begin -->", f"<!-- {marker}:end -->"
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise DataError(where, f"must hold {begin} and {end} once each, in this order")
    pattern = re.compile(f"{re.escape(begin)}.*{re.escape(end)}", re.DOTALL)
    return pattern.sub(lambda _: f"{begin}\n\n{content.strip()}\n\n{end}", text)


def _block(block: Block) -> str:
    names = header(block)
    lines = [f"**{title(block)}**", "", _line(names), _line(["---", *["---:"] * (len(names) - 1)])]
    lines += [_line(cells(block, row)) for row in block.rows]
    return "\n".join(lines) + "\n"


def _line(entries: Sequence[str]) -> str:
    escaped = [entry.replace("|", "\\|") for entry in entries]
    return f"| {' | '.join(escaped)} |"


def _escaped(text: str) -> str:
    """Names of files and reasons, as they are: no emphasis by stars or underscores, no HTML."""
    return re.sub(r"([\\`*_<>\[\]])", r"\\\1", text)
