"""Sizes of a pruned ResNet-18 in float32 and in int8 (the table of docs/handover.md).

    python benchmarks/int8.py --out benchmarks/results/int8.json

timm's ResNet-18 with random weights (seed 0); every convolution but the stem, and the classifier, pruned to 90 %
each.
"""

import argparse
import tempfile
from pathlib import Path

import torch
from _deploy_models import lively, resnet18
from _timing import machine, write
from safetensors.torch import save_file

from slrprune.deploy import save_sparse
from slrprune.deploy.handover import quantize_int8
from slrprune.rules import find_targets
from slrprune.sets import Unstructured


def main() -> None:
    """Writes four sizes in megabytes (1e6 bytes)."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    out = parser.parse_args().out
    torch.manual_seed(0)
    model, images = lively(resnet18()).eval().requires_grad_(True), torch.randn(8, 3, 224, 224)
    found = {"dense": sizes(model, images)}
    with torch.no_grad():
        for target in find_targets(model):
            if target.is_default and not target.obstacle and target.name != "conv1.weight":
                target.parameter.copy_(Unstructured(0.9).project(target.parameter))
    found["pruned"] = sizes(model, images)
    write({"machine": machine(), "seed": 0, "megabytes": found}, out)


def sizes(model: torch.nn.Module, images: torch.Tensor) -> dict[str, float]:
    """Megabytes of the plain and of the sparse file, in float32 and in int8."""
    quantized, _ = quantize_int8(model, images, calibration=[images])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        sizes = {}
        for name, network in (("float32", model), ("int8", quantized)):
            save_file({key: value.contiguous() for key, value in network.state_dict().items()}, path)
            sizes[f"{name}, plain"] = path.stat().st_size / 1e6
            save_sparse(network, path)
            sizes[f"{name}, sparse"] = path.stat().st_size / 1e6
    return {name: round(size, 2) for name, size in sizes.items()}


if __name__ == "__main__":
    main()
