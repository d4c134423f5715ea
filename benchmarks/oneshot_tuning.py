"""Equal tuning of SLR and ADMM in one-shot pruning: 16 iterations, the same grid of penalties for both.

    python benchmarks/oneshot_tuning.py --out benchmarks/results/oneshot/tuning.json

Every third linear layer of all-MiniLM-L6-v2, calibrated as in benchmarks/oneshot.py. H is taken from other
chunks of the same texts than the errors are judged on, so that the best setting is no artefact of the calibration rows.
"""

import argparse
from itertools import product
from pathlib import Path

import torch
from _oneshot_minilm import calibration, load_minilm
from _timing import machine, write
from oneshot import DATA, TARGETS, grams_of

from slrprune.oneshot import ADMM, SLR, LayerProblem, PenaltyStages

FIRST, LAST, SHAPES = (0.03, 0.1, 0.3), (0.5, 1.0, 3.0), ((4, 4), (8, 2))


def main() -> None:
    """Writes the mean held-out error of every setting."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    torch.set_num_threads(1)
    model, tokenizer = load_minilm()
    linear = [n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and n.startswith("encoder.")]
    layers = {name: model.get_submodule(name) for name in linear[::3]}
    batches = calibration(tokenizer, DATA, chunks=128)
    half = len(batches) // 2
    known, unseen = grams_of(model, layers, batches[:half]), grams_of(model, layers, batches[half:])
    found: dict[str, dict[str, float]] = {}
    for target, solver in product(("70%", "90%", "2:4"), (SLR, ADMM)):
        errors = found.setdefault(f"{target} {solver.__name__}", {})
        for first, last, (stages, length) in product(FIRST, LAST, SHAPES):
            penalty = PenaltyStages(first, last, stages=stages, length=length)
            total = 0.0
            for name, layer in layers.items():
                weight = layer.weight.detach()
                pruned = solver(penalty=penalty).solve(LayerProblem(weight, known[name], name=name), TARGETS[target])
                total += LayerProblem(weight, unseen[name], name=name).error(pruned.weight)
            errors[f"rho {first:g} to {last:g}, {stages} stages of {length}"] = total / len(layers)
    best = {key: min(errors.items(), key=lambda item: item[1]) for key, errors in found.items()}
    write({"machine": machine(), "layers": list(layers), "mean_held_out_error": found, "best": best}, out)


if __name__ == "__main__":
    main()
