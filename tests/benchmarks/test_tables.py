"""Every generated table stands in its document as benchmarks/tables.py writes it from the committed records."""

import json
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS = ROOT / "benchmarks"
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PLACES = [
    (path.relative_to(ROOT).as_posix(), marker)
    for path in DOCUMENTS
    for marker in re.findall(r"<!-- ([\w-]+):begin -->", path.read_text(encoding="utf-8"))
]


@pytest.fixture
def tables(monkeypatch):
    """The script as a module, and afterwards none of its neighbours under their short names."""
    monkeypatch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
    before = set(sys.modules)
    import tables

    yield tables
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(BENCHMARKS)):
            del sys.modules[name]


def test_every_pair_of_markers_has_its_line_and_every_line_its_markers(tables):
    assert sorted((table.document, table.marker) for table in tables.TABLES) == sorted(PLACES)


@pytest.mark.parametrize("place", PLACES, ids=" ".join)
def test_the_committed_table_is_what_the_command_writes(tables, place):
    (table,) = (table for table in tables.TABLES if (table.document, table.marker) == place)
    text = (ROOT / table.document).read_text(encoding="utf-8")
    assert table.put_into(text) == text, "run `make tables`"


def test_only_the_documents_that_are_named_are_written(tables, tmp_path, monkeypatch, capsys):
    for name in ("README.md", "docs/tasks.md"):
        page = tmp_path / name
        page.parent.mkdir(exist_ok=True)
        markers = [marker for document, marker in PLACES if document == name]
        page.write_text("".join(f"<!-- {marker}:begin -->old<!-- {marker}:end -->\n" for marker in markers))
    monkeypatch.setattr(tables, "ROOT", tmp_path)
    for expected in ("written", "as it was"):
        monkeypatch.setattr(sys, "argv", ["tables.py", "docs/tasks.md"])
        tables.main()
        assert capsys.readouterr().out == f"docs/tasks.md, cora: {expected}\ndocs/tasks.md, llama: {expected}\n"
    assert "**graph, gcn16-cora, 90%, " in (tmp_path / "docs/tasks.md").read_text()
    assert "old" in (tmp_path / "README.md").read_text()
    monkeypatch.setattr(sys, "argv", ["tables.py", "docs/nothing.md"])
    with pytest.raises(SystemExit):
        tables.main()
    assert "no table of docs/nothing.md is generated; there are README.md, " in capsys.readouterr().err


def test_a_table_may_name_its_rival(tables):
    found = tables.compared(tables.RESULTS / "digits_folds", without=("dpf", "torchao_pat"))
    assert ", without dpf and torchao_pat, dense " in found
    assert "| +0.24 [-0.19, +0.68] gradual_magnitude |" in found  # as docs/measured.md says in words
    assert "| against dpf |" in tables.compared(tables.RESULTS / "digits_folds", against="dpf")


def test_the_core_table_pairs_by_seed_and_leaves_dynamic_pruning_out_of_the_best(tables, tmp_path):
    source = next((ROOT / "benchmarks/results/core").glob("*-dpf-90pct-*.json"))
    accuracies = {
        "slr": (88.0, 89.0, 90.0),
        "dpf": (87.0, 88.0, 89.0),
        "gradual_magnitude": (86.0, 86.5, 88.5),
        "admm_ramp": (80.0, 80.0, 80.0),
        "classic_slr_ramp": (79.0,),
        "refused": (99.0, 99.0, 99.0),  # no arm of this table
    }
    for method, found in accuracies.items():
        for seed, accuracy in enumerate(found):
            fields = {"method": method, "seed": seed, "identity": f"{method}{seed}"}
            content = json.loads(source.read_text()) | fields | {"test_accuracy_after_cut": accuracy}
            (tmp_path / f"{method}{seed}.json").write_text(json.dumps(content))
    head, *_, row = tables.core_table.table(tmp_path).splitlines()
    assert "torchao" not in head  # nobody ran it
    means = ["89.00 ± 1.00", "88.00 ± 1.00", "87.00 ± 1.32", "80.00 ± 0.00", "79.00 (1 seed)"]
    assert [cell.strip() for cell in row.strip("|").split("|")][1:] == [
        *means,
        "+1.00 [+1.00, +1.00]",
        "+2.00 [+0.76, +3.24]",
    ]
