"""One-shot pruning against its rivals. Records go to benchmarks/results/oneshot/<part>.json.

    python benchmarks/oneshot.py --part minilm       # errors and times of the 36 linear layers of all-MiniLM-L6-v2
    python benchmarks/oneshot.py --part similarity   # what the pruned model's sentence similarities keep
    python benchmarks/oneshot.py --part llama        # perplexity of a tiny Llama on stories it was not calibrated on
    python benchmarks/oneshot.py --part layers       # time per weight by layer size
    python benchmarks/oneshot.py --part vit          # a vision transformer of full size
    python benchmarks/oneshot.py --part billion      # a Llama of 1.1 billion weights from the disk; run it twice
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
    from _oneshot_minilm import embeddings, load_minilm, sentence_batches, sentence_pairs, spearman

    dense, tokenizer = load_minilm()
    batches = sentence_batches(tokenizer, DATA, count=800)
    record.content["calibration_rows"] = sum(batch["input_ids"].numel() for batch in batches)
    pairs = sentence_pairs(DATA)
    sentences = [sentence for pair in pairs for sentence in pair]

    def cosines(model):
        found = embeddings(model, tokenizer, sentences)
        return found, (found[0::2] * found[1::2]).sum(-1)

    truth, scores = cosines(dense)
    everywhere = {target: TARGETS[target] for target in ("50%", "70%")}
    for target, constraint in {**everywhere, "50% shared": Global(0.5), "70% shared": Global(0.7)}.items():
        rivals = ("SparseGPT", "SparseGPT + refit", "Wanda", "magnitude") if target in everywhere else ()
        for name in ("SLR", *rivals):

            def measure(name=name, constraint=constraint):
                model = copy.deepcopy(dense)
                report = prune(model, batches, {"encoder.*": constraint}, SOLVERS[name])
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


def sr(record: Record) -> None:
    from _oneshot_images import cifar_patches, load_imdn, set5_psnr

    dense = load_imdn(DATA)
    batches = list(cifar_patches(DATA, 48).split(8))
    record.content["left_dense"] = "the attention's convolutions (*.cca.*), which see one position per image"
    record.measure("dense", lambda: {"psnr_db": set5_psnr(dense, DATA)})
    solvers = {**SOLVERS, "magnitude + refit": Refitted(Magnitude())}
    for target, constraint in {"70%": Unstructured(0.7), "70% shared": Global(0.7)}.items():
        for name in ("SLR", "SparseGPT", "magnitude + refit", "magnitude") if target == "70%" else ("SLR",):

            def measure(name=name, constraint=constraint):
                model = copy.deepcopy(dense)
                report = prune(model, batches, {"*.cca.*": None, "*": constraint}, solvers[name])
                return {
                    "psnr_db": set5_psnr(model, DATA),
                    "sparsity": report.sparsity,
                    "mean_layer_error": report.mean_error,
                    "seconds": round(report.seconds, 1),
                }

            record.measure(f"{target} {name}", measure)


def detect(record: Record) -> None:
    from _oneshot_images import blood_images, load_fastestdet

    dense = load_fastestdet(DATA)
    batches = list(blood_images(DATA, 8).split(4))
    held_out = blood_images(DATA, 8, skip=200)
    with torch.no_grad():
        truth = dense(held_out)
    solvers = {**SOLVERS, "magnitude + refit": Refitted(Magnitude())}
    for target in ("50%", "70%"):
        for name in ("SLR", "SparseGPT", "magnitude + refit", "magnitude"):

            def measure(name=name, target=target):
                model = copy.deepcopy(dense)
                report = prune(model, batches, TARGETS[target], solvers[name])
                with torch.no_grad():
                    gap = model(held_out) - truth
                return {
                    "relative_output_error": float(gap.square().sum() / truth.square().sum()),
                    "mean_layer_error": report.mean_error,
                    "seconds": round(report.seconds, 1),
                }

            record.measure(f"{target} {name}", measure)
    found = record.content["found"]
    record.content["magnitude_with_refit_over_SLR"] = {
        target: found[f"{target} magnitude + refit"]["relative_output_error"]
        / found[f"{target} SLR"]["relative_output_error"]
        for target in ("50%", "70%")
    }
    record.write()


def layers(record: Record) -> None:
    from _oneshot_scale import matmul_gflops, random_problem, timed

    record.measure("matmul", lambda: {"gflops": matmul_gflops()})
    for outputs, inputs in ((256, 256), (512, 512), (1024, 1024), (2048, 2048), (1024, 4096), (4096, 1024)):
        for name in ("SLR", "SparseGPT", "SparseGPT + refit", "Wanda"):

            def measure(name=name, outputs=outputs, inputs=inputs):
                problem = random_problem(outputs, inputs)
                return timed(problem, SOLVERS[name], TARGETS["50%"])

            record.measure(f"{outputs}x{inputs} {name}", measure)


def vit(record: Record) -> None:
    import timm

    torch.manual_seed(0)
    model = timm.create_model("vit_base_patch16_224").eval()
    batches = list(torch.randn(16, 3, 224, 224).split(4))

    def measure():
        report = prune(model, batches, {"blocks.*": Unstructured(0.5)}, progress=tell)
        return summary(report)

    record.measure("ViT-B/16, 16 images, SLR", measure)


def billion(record: Record) -> None:
    """Each entry in a process of its own, so that its peak memory is its own: run it once per entry."""
    from _oneshot_scale import empty_llama, write_random_llama

    record.content["note"] = (
        "random weights, bfloat16 on disk, float32 in memory, 2 x 256 tokens; the peak is the process's"
    )
    folder = REPOSITORY / "runs" / "oneshot-billion"
    tokens = list(torch.randint(32000, (2, 256)).split(1))
    for blocks, name in ((22, "Wanda"), (2, "SLR")):
        key = f"{blocks} of 22 blocks, {name}"
        if key in record.content["found"]:
            continue
        source, out = folder / f"source-{blocks}", folder / f"out-{blocks}-{name}"
        if not (source / "model.safetensors.index.json").exists():
            write_random_llama(source, blocks)

        def measure(blocks=blocks, name=name, source=source, out=out):
            rules = {"model.layers.*": Unstructured(0.5)}
            report = prune(empty_llama(blocks), tokens, rules, SOLVERS[name], weights=source, folder=out, progress=tell)
            return summary(report)

        record.measure(key, measure)
        break


def summary(report) -> dict:
    return {
        "weights": sum(layer.numel for layer in report.layers),
        "seconds": round(report.seconds, 1),
        "solver_seconds": round(sum(layer.seconds for layer in report.layers), 1),
        "peak_mib": None if report.peak_bytes is None else round(report.peak_bytes / 2**20),
        "mean_layer_error": report.mean_error,
    }


def tell(event) -> None:
    print(event.stage, f"{event.number}/{event.total}", flush=True)


PARTS = {
    "layers": layers,
    "vit": vit,
    "billion": billion,
    "sr": sr,
    "detect": detect,
    "minilm": minilm,
    "similarity": similarity,
    "llama": llama,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=PARTS, required=True)
    part = parser.parse_args().part
    torch.set_num_threads(1)
    torch.manual_seed(0)
    PARTS[part](Record(part))


if __name__ == "__main__":
    main()
