"""Writes the table of README.md from the records of deployment: what was measured, beside what was aimed at.

python benchmarks/deploy_table.py --into README.md
"""

import argparse
import json
from pathlib import Path

from slrprune.compare import insert

RESULTS = Path(__file__).parent / "results"


def rows(deploy: dict) -> list[tuple[str, str, str, str]]:
    """Work, ratio, goal, against what; one thread."""
    found = []
    for work, record in deploy["layers"].items():
        for pattern in ("unstructured 90%", "4x1 90%"):
            if isinstance(record, dict) and "goal" in record.get(pattern, {}):
                one = record[pattern]
                found.append((f"{work}, {pattern}", one["times_faster"], one["goal"], f"torch {record['best_dense']}"))
    for name, record in deploy["end_to_end"].items():
        if isinstance(record, dict) and "times_faster_than_torch" in record:
            work = f"ResNet-18, 224x224, batch 1, {name}"
            found.append((work, record["times_faster_than_torch"], record["goal"], record["best_dense"]))
            goal = record["goal_against_runtimes"]
            found.append((work, record["times_faster_than_runtimes"], goal, record["best_runtime"]))
    filters = deploy["filters"]
    for runtime, record in filters["times_faster_than_torch"].items():
        work = f"the same, filters removed ({filters['parameters_left']:.1%} of the parameters left), in {runtime}"
        found.append((work, record["ratio"], record["goal"], filters["best_dense"]))
    worst = next(iter(deploy["never_slower"]["worst"].items()))
    found.append((f"the slowest case of all models and patterns ({worst[0]})", worst[1], 0.98, "torch eager"))
    return [(work, f"{ratio:.2f}x", f"{goal:g}x", against) for work, ratio, goal, against in found]


def table(path: Path) -> str:
    """Markdown from the file of the records."""
    deploy = json.loads(path.read_text())["threads"]["1"]
    lines = ["| work, 90% zeros unless told, one thread | times faster | goal | than |", "| --- | ---: | ---: | --- |"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows(deploy))])


def main() -> None:
    """Writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--into", type=Path, required=True)
    into = parser.parse_args().into
    into.write_text(insert(into.read_text(), "deploy-table", table(RESULTS / "deploy.json"), str(into)))


if __name__ == "__main__":
    main()
