"""The run report of 200 layers and 5,000 updates: time to build it, size of the file, time until a browser shows it.

    python benchmarks/report.py --out benchmarks/results/report.json

Goals: built in under 5 s, in a new process; under 6 MB; open in under 2 s, in headless Chromium from the disk. "Open"
is when the page has been parsed and its first chart drawn; the other charts are drawn one by one after that. Wall-clock
times are those of the machine as it is, its load included; beside them stands the processor time, of the whole process
or of the page's main thread.
"""

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from _timing import machine, write

SUPPORT = Path(__file__).resolve().parents[1] / "tests" / "support"
LAYERS, UPDATES, EPOCHS = 200, 5000, 100
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync"]


def made_up_run(folder: Path) -> Path:
    """The folder of a run of this size."""
    sys.path.insert(0, str(SUPPORT))
    from run_folders import MadeUpRun, many_layers

    return MadeUpRun(names=many_layers(LAYERS), updates=UPDATES, epochs=EPOCHS).write(folder)


def built(run: Path, page: Path) -> dict[str, float]:
    """One report by the command line, in a new process: wall-clock and processor time in seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    program = "from slrprune.cli import main; main()"
    subprocess.run(
        [sys.executable, "-c", program, "report", str(run), "--out", str(page)], check=True, stdout=subprocess.DEVNULL
    )
    wall = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {"wall_s": wall, "cpu_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime}


def opened(page: Path, rounds: int) -> list[dict[str, float]] | str:
    """Seconds from the navigation to the parsed page, the first chart, the last chart; why not, without a browser."""
    path = shutil.which("chromium")
    if path is None:
        return "not measured: no Chromium on this machine"
    from playwright.sync_api import sync_playwright

    found = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        for _ in range(rounds):
            tab = browser.new_page(viewport={"width": 1280, "height": 900})
            metrics = tab.context.new_cdp_session(tab)
            metrics.send("Performance.enable", {"timeDomain": "threadTicks"})
            tab.goto(page.as_uri(), wait_until="commit")
            first = processor_time(tab, metrics, "first-chart")
            last = processor_time(tab, metrics, "all-charts")
            marks = tab.evaluate(
                "Object.fromEntries(performance.getEntriesByType('mark').map(m => [m.name, m.startTime]))"
            )
            parsed = tab.evaluate("performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd")
            names = {"first_chart_s": marks["first-chart"], "all_charts_s": marks["all-charts"]}
            wall = {name: value / 1e3 for name, value in names.items()}
            found.append({"parsed_s": parsed / 1e3, **wall, "first_chart_cpu_s": first, "all_charts_cpu_s": last})
            tab.close()
        browser.close()
    return found


def processor_time(tab: Any, metrics: Any, mark: str) -> float:
    """Processor time of the page's main thread until the mark; looked at every 50 ms, so a little too much."""
    while not tab.evaluate(f"performance.getEntriesByName('{mark}').length"):
        tab.wait_for_timeout(50)
    return next(
        entry["value"] for entry in metrics.send("Performance.getMetrics")["metrics"] if entry["name"] == "TaskDuration"
    )


def medians(rounds: list[dict[str, float]]) -> dict[str, float]:
    """Of each figure over the rounds."""
    return {name: round(statistics.median(entry[name] for entry in rounds), 3) for name in rounds[0]}


def main() -> None:
    """Measures, prints, writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    at_start = machine()
    with tempfile.TemporaryDirectory() as folder:
        run, page = made_up_run(Path(folder) / "run"), Path(folder) / "page.html"
        building = [built(run, page) for _ in range(options.rounds)]
        opening = opened(page, options.rounds)
        result = {
            "what": f"{LAYERS} layers, {UPDATES} updates, {EPOCHS} epochs; medians of {options.rounds} rounds",
            "command": f"benchmarks/report.py --rounds {options.rounds}",
            "scheduler": ("other", "fifo", "round robin")[os.sched_getscheduler(0)],
            "cores_allowed": len(os.sched_getaffinity(0)),
            "machine": at_start,
            "file_bytes": page.stat().st_size,
            "goals": {"build_wall_s": 5, "file_bytes": 6_000_000, "first_chart_s": 2},
            "build": medians(building),
            "open": opening if isinstance(opening, str) else medians(opening),
        }
    write(result, options.out)


if __name__ == "__main__":
    main()
