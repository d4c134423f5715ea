"""How long `slrprune --help` takes, over `python -c "import typer"`, which it cannot do without.

    python benchmarks/startup.py --out benchmarks/results/startup.json

Goal: a ratio of at most 3 for `slrprune --help` and for `slrprune` alone. Whole processes, taking turns, medians.
"""

import argparse
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from _timing import interleaved, machine, write

GOAL = 3.0
PYTHON = Path(sys.executable)


def process(*command: str) -> Callable[[], object]:
    """A call that runs a command to its end."""
    return lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    slrprune = shutil.which("slrprune", path=str(PYTHON.parent))
    if slrprune is None:
        sys.exit(f"There is no slrprune beside {PYTHON}; install it there.")
    times = interleaved(
        {
            "import typer": process(str(PYTHON), "-c", "import typer"),
            "slrprune --help": process(slrprune, "--help"),
            "slrprune": process(slrprune),
            "slrprune compare --help": process(slrprune, "compare", "--help"),
        },
        rounds=args.rounds,
    )
    ratios = {name: round(time / times["import typer"], 2) for name, time in times.items() if name != "import typer"}
    write({"machine": machine(), "goal": GOAL, "milliseconds": times, "over import typer": ratios}, args.out)


if __name__ == "__main__":
    main()
