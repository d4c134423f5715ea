"""One-shot pruning against its rivals. Records go to benchmarks/results/oneshot/<part>.json.

    python benchmarks/oneshot.py --part minilm       # errors and times of the 36 linear layers of all-MiniLM-L6-v2
    python benchmarks/oneshot.py --part similarity   # what the pruned model's sentence similarities keep
    python benchmarks/oneshot.py --part llama        # perplexity of a tiny Llama on stories it was not calibrated on
    python benchmarks/oneshot.py --part scale        # time per weight by layer size; a ViT; a 1-billion Llama
    python benchmarks/oneshot.py --part sr           # IMDN x2: PSNR on Set5
    python benchmarks/oneshot.py --part detect       # FastestDet: error of the outputs

One thread. What a part has measured is in its record at once, and is not measured again; delete the record for that.
The data is that of tests: the folder SLRPRUNE_DATA, or ../shared/data beside the repository.
"""

import argparse
import copy
import json
import os
import time
from pathlib import Path

import torch
from _timing import machine

from slrprune.oneshot import (
    ADMM,
    SLR,
    Gram,
    LayerProblem,
    Magnitude,
    PenaltyStages,
    Refitted,
    SparseGPT,
    Wanda,
    prune,
)
from slrprune.oneshot.layout import layout_of
from slrprune.sets import NM, Global, Unstructured

REPOSITORY = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("SLRPRUNE_DATA") or REPOSITORY.parent / "shared" / "data")
RESULTS = REPOSITORY / "benchmarks" / "results" / "oneshot"
SOLVERS = {
    "SLR": SLR(),
    "ADMM + refit": ADMM(),
    "SparseGPT + refit": Refitted(SparseGPT()),
    "SparseGPT": SparseGPT(),
    "Wanda": Wanda(),
    "magnitude": Magnitude(),
}
TARGETS = {"50%": Unstructured(0.5), "70%": Unstructured(0.7), "90%": Unstructured(0.9), "2:4": NM(2, 4)}


class Record:
    """A JSON file that grows entry by entry."""

    def __init__(self, part: str) -> None:
        self.path = RESULTS / f"{part}.json"
        self.content = json.loads(self.path.read_text()) if self.path.exists() else {"machine": machine(), "found": {}}

    def measure(self, key: str, call) -> dict:
        """What `call` returns, or what it returned when the record was made."""
        found = self.content["found"]
        if key not in found:
            found[key] = call()
            print(key, found[key], flush=True)
            self.write()
        return found[key]

    def write(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(self.content, indent=1) + "\n")


def grams_of(model, layers, batches):
    """H of all layers of a dense model."""
    grams = {name: Gram(name, layout_of(name, layer)) for name, layer in layers.items()}
    hooks = [
        layer.register_forward_pre_hook(lambda module, args, gram=grams[name]: gram.add(args[0]))
        for name, layer in layers.items()
    ]
    with torch.no_grad():
        for batch in batches:
            model(**batch)
    for hook in hooks:
        hook.remove()
    return {name: gram.mean.float() for name, gram in grams.items()}


def minilm(record: Record) -> None:
    from _oneshot_minilm import calibration, load_minilm

    model, tokenizer = load_minilm()
    layers = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and name.startswith("encoder.")
    }
    batches = calibration(tokenizer, DATA, chunks=64)
    grams = grams_of(model, layers, batches)
    record.content["layers"] = len(layers)
    record.content["calibration_rows"] = sum(batch["input_ids"].numel() for batch in batches)
    extra = {"ADMM + refit, 96 iterations": ADMM(penalty=PenaltyStages(0.1, 2.0, stages=16, length=6))}
    extra["SLR, 36 iterations"] = SLR(penalty=PenaltyStages(stages=6, length=6))
    for target, constraint in TARGETS.items():
        for name, solver in {**SOLVERS, **extra}.items():
            if name in extra and target not in ("70%", "2:4"):
                continue

            def solve(solver=solver, constraint=constraint):
                errors, seconds = {}, 0.0
                for layer, module in layers.items():
                    problem = LayerProblem(module.weight.detach(), grams[layer], name=layer)
                    start = time.perf_counter()
                    found = solver.solve(problem, constraint)
                    seconds += time.perf_counter() - start
                    errors[layer] = problem.error(found.weight)
                mean = sum(errors.values()) / len(errors)
                return {"mean_error": mean, "seconds": round(seconds, 3), "errors": errors}

            record.measure(f"{target} {name}", solve)
    found = record.content["found"]
    record.content["ratios"] = {
        target: {
            f"SLR / {rival}": {
                "error": found[f"{target} SLR"]["mean_error"] / found[f"{target} {rival}"]["mean_error"],
                "mean_of_ratios": sum(
                    value / found[f"{target} {rival}"]["errors"][layer]
                    for layer, value in found[f"{target} SLR"]["errors"].items()
                )
                / len(layers),
                "time": found[f"{target} SLR"]["seconds"] / found[f"{target} {rival}"]["seconds"],
            }
            for rival in ("ADMM + refit", "SparseGPT + refit", "SparseGPT", "Wanda")
        }
        for target in TARGETS
    }
    record.write()
    print(json.dumps(record.content["ratios"], indent=1))


def similarity(record: Record) -> None:
    from _oneshot_minilm import calibration, embeddings, load_minilm, sentence_pairs, spearman

    dense, tokenizer = load_minilm()
    batches = calibration(tokenizer, DATA, chunks=32)
    pairs = sentence_pairs(DATA)
    sentences = [sentence for pair in pairs for sentence in pair]

    def cosines(model):
        found = embeddings(model, tokenizer, sentences)
        return found, (found[0::2] * found[1::2]).sum(-1)

    truth, scores = cosines(dense)
    for target in ("50%", "70%"):
        for name in ("SLR", "SparseGPT", "SparseGPT + refit", "Wanda", "magnitude"):

            def measure(name=name, target=target):
                model = copy.deepcopy(dense)
                report = prune(model, batches, {"encoder.*": TARGETS[target]}, SOLVERS[name])
                found, own = cosines(model)
                return {
                    "spearman": spearman(own, scores),
                    "spearman_drop": 1 - spearman(own, scores),
                    "mean_cosine_change": float((own - scores).abs().mean()),
                    "mean_embedding_cosine": float((found * truth).sum(-1).mean()),
                    "mean_layer_error": report.mean_error,
                    "seconds": round(report.seconds, 1),
                }

            record.measure(f"{target} {name}", measure)
    found = record.content["found"]
    record.content["drop_of_SLR_over_SparseGPT"] = {
        target: {
            key: found[f"{target} SLR"][key] / found[f"{target} SparseGPT"][key]
            for key in ("spearman_drop", "mean_cosine_change")
        }
        for target in ("50%", "70%")
    }
    record.write()
    print(json.dumps(record.content["drop_of_SLR_over_SparseGPT"], indent=1))


def llama(record: Record) -> None:
    from _oneshot_llama import Tokenizer, load_llama, load_stories, nats_per_token

    text = DATA / "text"
    stories = load_stories(text, Tokenizer(text / "tok512.bin"), 256)
    calibrating, held_out = stories[:96], stories[96:]
    dense = load_llama(text / "stories260K.bin")
    record.content["tokens"] = {
        "calibration": sum(story.numel() for story in calibrating),
        "held_out": sum(story.numel() for story in held_out),
    }
    record.measure("dense", lambda: {"nats_per_token": nats_per_token(dense, held_out)})
    targets = {"30%": Unstructured(0.3), "50%": Unstructured(0.5), "70%": Unstructured(0.7), "2:4": NM(2, 4)}
    shared = {"30% shared": Global(0.3), "50% shared": Global(0.5), "70% shared": Global(0.7)}
    for target, constraint in {**targets, **shared}.items():
        for name in SOLVERS if target in targets else ("SLR", "SparseGPT"):

            def measure(name=name, constraint=constraint):
                model = copy.deepcopy(dense)
                report = prune(model, calibrating, {"layers.*": constraint}, SOLVERS[name])
                nats = nats_per_token(model, held_out)
                return {
                    "nats_per_token": nats,
                    "perplexity": float(torch.tensor(nats).exp()),
                    "sparsity": report.sparsity,
                    "mean_layer_error": report.mean_error,
                    "seconds": round(report.seconds, 1),
                }

            record.measure(f"{target} {name}", measure)
    record.write()


PARTS = {"minilm": minilm, "similarity": similarity, "llama": llama}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=PARTS, required=True)
    part = parser.parse_args().part
    torch.set_num_threads(1)
    torch.manual_seed(0)
    PARTS[part](Record(part))


if __name__ == "__main__":
    main()
