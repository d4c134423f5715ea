"""What filters do that come back: ResNet-20 with 4x1 blocks, where its first layer keeps 11 of 108.

    python benchmarks/gone_units.py --data .cache/cifar10 --checkpoint resnet20-12fca82f.th \\
        --out benchmarks/results/gone_units.json --into docs/ablation.md

The public checkpoint, all training images, 90 % of the blocks in every layer, 2 epochs, bfloat16, the batches of one
seed. No figure on any image that was held out: only losses of the training batches, and what is left of the layer.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from _ablation_tried import ReturningSLR
from torch import Tensor, nn

import slrprune as slr
from slrprune.compare import insert
from slrprune.machine import describe_machine
from slrprune.structures import targets
from slrprune.tasks import Cifar10
from slrprune.train import PruningTrainer, train

EPOCHS, SPAN, LAYER = 2, 40, "conv1.weight"
METHODS: Mapping[str, slr.Method] = {
    "gradual_magnitude": slr.GradualMagnitude(),
    "returning": ReturningSLR(),
    "`SLR()`": slr.SLR(),
}

Traces = Mapping[str, Sequence[Mapping[str, Any]]]
"""For each method and span of steps: `until`, `loss` (its mean) and `blocks` of each four filters at the span's end."""


class _Watched(PruningTrainer):
    """Notes the loss of every step, and after each span what is left of the layer."""

    def __init__(self, optimizer: torch.optim.Optimizer, pruner: slr.Pruner) -> None:
        super().__init__(optimizer, pruner)
        self.losses: list[Tensor] = []
        self.trace: list[dict[str, Any]] = []

    def step(self, loss: Tensor, /) -> None:
        """As `PruningTrainer`."""
        super().step(loss)
        self.losses.append(loss.detach())
        if len(self.losses) % SPAN == 0:
            kept = self.pruner.masks()[LAYER][::4].flatten(1).sum(1)
            loss = round(float(torch.stack(self.losses[-SPAN:]).mean()), 3)
            self.trace.append({"until": len(self.losses), "loss": loss, "blocks": kept.tolist()})


def trace(task: Cifar10, method: slr.Method, seed: int) -> list[dict[str, Any]]:
    """One run."""
    model = task.pretrained()
    if model is None:
        raise SystemExit("--checkpoint is needed.")
    (target,) = targets("blocks-4x1", (0.9,), model)

    def trainer(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> _Watched:
        return _Watched(optimizer, slr.Pruner(model, optimizer, target.rules, total_steps=steps, method=method))

    made = train(model, task, replace(task.pruning_recipe, epochs=EPOCHS), seed=seed, trainer=trainer).trainer
    assert isinstance(made, _Watched)
    return made.trace


def table(traces: Traces) -> str:
    """A row for every other span, the last one among them, the methods side by side."""
    heads = " | ".join(f"{name}: blocks | loss" for name in traces)
    lines = [f"| steps | {heads} |", f"| --- |{' --- | ---: |' * len(traces)}"]
    for rows in list(zip(*traces.values(), strict=True))[::-2][::-1]:
        cells = [f"{', '.join(map(str, row['blocks']))} | {row['loss']:.2f}" for row in rows]
        lines.append(f"| to {rows[0]['until']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Measures, records, writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--into", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    task = Cifar10(arguments.data, checkpoint=arguments.checkpoint, holdout=0, bf16=True)
    traces = {name: trace(task, method, arguments.seed) for name, method in METHODS.items()}
    record = {"machine": describe_machine(torch.device("cpu")), "task": "cifar10", "seed": arguments.seed}
    arguments.out.write_text(json.dumps({**record, "runs": traces}, indent=1) + "\n")
    if arguments.into is not None:
        page = arguments.into.read_text()
        arguments.into.write_text(insert(page, "gone-units", table(traces), str(arguments.into)))


if __name__ == "__main__":
    main()
