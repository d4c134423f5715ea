"""Comparisons in the terminal: a table, the convergence, a verdict."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from slrprune.cli.tables import new_table
from slrprune.compare.block import Block
from slrprune.compare.chart import BARS, PLAIN, scale, sparkline, thinned
from slrprune.compare.text import all_notes, cells, header, metric, title, verdict

_WIDTH = 40  # characters of a curve: beside it the longest name of ours and the figures fit into 80 columns


def show_blocks(console: Console, blocks: Sequence[Block], method: str = "slr") -> None:
    """Prints every block with a sentence on how `method` did, then once what all of them have to note."""
    for block in blocks:
        console.print(_table(console, block))
        _show_chart(console, block)
        if sentence := verdict(block, method):
            console.print(sentence, markup=False, highlight=False)
            console.print()
    for note in all_notes(blocks):
        console.print(note, markup=False, highlight=False, soft_wrap=True)


def _table(console: Console, block: Block) -> Table:
    plain = console.options.ascii_only
    fitting = _in_ascii if plain else str
    table = new_table(console, header(block), fitting(title(block)))
    best = next((row.method for row in block.rows if row.prunes and row.accuracy), None)
    for row in block.rows:
        style = "bold" if row.method == best else None if row.prunes else "dim"
        table.add_row(*map(fitting, cells(block, row)), style=style)
    return table


def _in_ascii(text: str) -> str:
    return text.replace("±", "+-")


def _show_chart(console: Console, block: Block) -> None:
    """One line of bars per arm, all on one scale."""
    curves = {row.method: [accuracy for _, accuracy in row.curve] for row in block.rows if row.prunes and row.curve}
    if not curves:
        return
    low, high = scale(list(curves.values()))
    levels = PLAIN if console.options.ascii_only else BARS
    split = "validation" if block.curve_split == "val" else block.curve_split
    longest = max(map(len, curves.values()))
    every = "epoch by epoch" if longest <= _WIDTH else f"over {longest} epochs"
    what = f"{metric(block)} after the cut, {every}"
    console.print(f"{what} ({split} split, {low:.1f}% to {high:.1f}%)", highlight=False)
    width = max(len(method) for method in curves)
    for method, values in curves.items():
        curve = sparkline(thinned(values, _WIDTH), low, high, levels)
        line = f"  {method:<{width}}  {curve}  {values[0]:.1f} -> {values[-1]:.1f}"
        console.print(line, markup=False, highlight=False)
    console.print()
