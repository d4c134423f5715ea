"""How a support is lost under one global budget: entries let in by each update, with every unit trusted and without.

    python benchmarks/avalanche.py --seeds 0 --out benchmarks/results/avalanche.json --into docs/ablation.md

Digits, 98 %, 20 epochs, from a dense net of benchmarks/condition.py. The first seed alone.
"""

from collections.abc import Mapping, Sequence

import torch
from _digits_runs import dense_starts, keep, prune_copy, read_arguments

import slrprune as slr
from slrprune.tasks import Digits

SPARSITY, EPOCHS, SPAN = 0.98, 20, 30
METHODS: dict[str, slr.SLR] = {"dpf": slr.SLR(sigma=1.0, trust=None, garrote=None), "`SLR()`": slr.SLR()}

Traces = Mapping[str, Sequence[Mapping[str, float]]]
"""For each method and span of updates: `until` (number of the last update), `kept`, `let_in` (largest fraction of the
support that one update let in) and `loss` at its end."""


def trace(records: Sequence[slr.UpdateRecord], numel: int) -> list[dict[str, float]]:
    """One entry for every SPAN updates."""
    rows, before = [], numel
    spans = [records[start : start + SPAN] for start in range(0, len(records), SPAN)]
    for span in spans:
        let_in = []
        for record in span:
            kept = round((1 - record.sparsity) * numel)
            # Those that enter and those that leave are the changes; their difference is that of the counts.
            let_in.append((record.mask_changes + kept - before) / 2 / kept)
            before = kept
        last = span[-1]
        rows.append(
            {
                "until": last.iteration,
                "kept": before,
                "let_in": round(max(let_in), 4),
                "loss": round(last.loss, 3),
            }
        )
    return rows


def table(traces: Traces) -> str:
    """A row for every span in which something happens, the methods side by side."""
    names = list(traces)
    heads = [f"{name}: let in at once | loss" for name in names]
    lines = [f"| updates | kept | {' | '.join(heads)} |", f"| --- | ---: |{' ---: | ---: |' * len(names)}"]
    for rows in zip(*traces.values(), strict=True):
        if all(row["let_in"] == 0 for row in rows):
            continue
        cells = [f"{row['let_in']:.1%} | {row['loss']:.3f}" for row in rows]
        until = int(rows[0]["until"])
        lines.append(f"| to {until} | {rows[0]['kept']:g} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Measures, records, writes the table."""
    arguments = read_arguments(__doc__)
    torch.set_num_threads(1)
    task = Digits()
    (seed,) = arguments.seeds[:1]
    (dense,) = dense_starts(task, [seed]).values()
    traces = {}
    for name, method in METHODS.items():
        pruner = prune_copy(task, dense, seed, slr.Global(SPARSITY), method, EPOCHS)
        numel = sum(mask.numel() for mask in pruner.masks().values())
        traces[name] = trace(pruner.records(), numel)
    keep({"seed": seed, "runs": traces}, table(traces), "avalanche", arguments)


if __name__ == "__main__":
    main()
