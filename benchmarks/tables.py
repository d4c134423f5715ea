"""Writes every generated table of README.md and docs/ from the committed records, each between its two markers.

    python benchmarks/tables.py                  # all of them; the same as: make tables
    python benchmarks/tables.py docs/tasks.md    # those of one document

A new table needs its markers in the document, <!-- NAME:begin --> and <!-- NAME:end -->, and a line in TABLES.
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import ablation
import allocation
import avalanche
import bccd
import breadth
import condition
import convergence
import core_table
import deploy_table
import gone_units
import tutorial

from slrprune.compare import Against, blocks, insert, load_records, to_markdown

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"


@dataclass(frozen=True)
class Table:
    """One generated table, or several between the same markers.

    Args:
        document: from the repository's root.
        marker: NAME of its markers.
        records: folder or file in benchmarks/results.
        make: Markdown from the path of the records.
    """

    document: str
    marker: str
    records: str
    make: Callable[[Path], str]

    def put_into(self, text: str) -> str:
        """The document's text with this table."""
        return insert(text, self.marker, self.make(RESULTS / self.records), self.document)


def compared(path: Path, *, against: str | None = None, without: tuple[str, ...] = ()) -> str:
    """As `slrprune table FOLDER --markdown` prints it, with its --against and --without."""
    return to_markdown(blocks(load_records(path), Against(against, without)))


def runs(table: Callable[..., str]) -> Callable[[Path], str]:
    """From the entry "runs" of one JSON file."""
    return lambda path: table(json.loads(path.read_text())["runs"])


TABLES = (
    Table("README.md", "demo-table", "demo", compared),
    Table("README.md", "core-table", "core", core_table.table),
    Table("README.md", "deploy-table", "deploy.json", deploy_table.table),
    Table("docs/ablation.md", "ablation", "ablation", lambda path: ablation.table(load_records(path))),
    Table("docs/ablation.md", "defaults", "ablation_defaults", lambda path: ablation.table(load_records(path))),
    Table("docs/ablation.md", "units", "ablation_units", lambda path: ablation.table(load_records(path))),
    Table("docs/ablation.md", "garrote", "ablation_garrote", lambda path: ablation.table(load_records(path))),
    Table("docs/ablation.md", "avalanche", "avalanche.json", runs(avalanche.table)),
    Table("docs/ablation.md", "gone-units", "gone_units.json", runs(gone_units.table)),
    Table("docs/ablation.md", "condition", "condition.json", runs(condition.table)),
    Table("docs/bccd.md", "bccd", "bccd", bccd.tables),
    Table("docs/measured.md", "core-summary", "core", core_table.table),
    Table("docs/measured.md", "core", "core", compared),
    Table("docs/measured.md", "core-float32", "core_float32", compared),
    Table("docs/measured.md", "resnet20-sets", "resnet20_sets", compared),
    Table("docs/measured.md", "resnet56", "resnet56", compared),
    Table("docs/measured.md", "mobilenetv2", "mobilenetv2", compared),
    Table("docs/measured.md", "adamw", "adamw", compared),
    Table("docs/measured.md", "breadth", "breadth.json", runs(breadth.table)),
    Table("docs/measured.md", "folds", "digits_folds", compared),
    Table("docs/measured.md", "digits-arms", "digits_arms", compared),
    Table("docs/how_to_choose.md", "allocation", "allocation.json", runs(allocation.table)),
    Table("docs/how_to_choose.md", "sets", "digits_sets", compared),
    Table("docs/tasks.md", "cora", "cora", compared),
    Table("docs/tasks.md", "llama", "llama", compared),
    Table(
        "docs/paper.md",
        "convergence",
        "convergence",
        lambda path: convergence.table(convergence.verdicts_of(load_records(path))),
    ),
    Table("docs/tutorial.md", "tutorial", "tutorial.json", runs(tutorial.table)),
)


def main() -> None:
    """Writes what has changed, and says where."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = list(dict.fromkeys(table.document for table in TABLES))
    parser.add_argument("documents", nargs="*", metavar="DOCUMENT", help=f"of {', '.join(names)} [all]")
    chosen = parser.parse_args().documents or names
    if unknown := [name for name in chosen if name not in names]:
        parser.error(f"no table of {', '.join(unknown)} is generated; there are {', '.join(names)}")
    for table in TABLES:
        if table.document in chosen:
            path = ROOT / table.document
            old = path.read_text(encoding="utf-8")
            new = table.put_into(old)
            if new != old:
                path.write_text(new, encoding="utf-8")
            print(f"{table.document}, {table.marker}: {'as it was' if new == old else 'written'}")


if __name__ == "__main__":
    main()
