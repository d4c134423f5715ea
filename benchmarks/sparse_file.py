"""How small the sparse file is, and how long it takes to load, against the dense safetensors file.

    python benchmarks/sparse_file.py --data ../shared/data --out benchmarks/results/sparse_file.json

ResNet-18 with values like trained ones (normal and Laplace, scaled layer by layer, the smallest magnitudes of every
layer zero; all convolutions and the classifier), and public CIFAR ResNets pruned by magnitude over all layers.

Goals: float32, 90% zeros at least 10 times smaller, 95% at least 19 times; loading into the model at most 2 times as
long as safetensors' load_file and load_state_dict. Files are in the page cache: the dense one gains most from that.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch
from _timing import at_threads, interleaved, machine, write
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from slrprune.deploy import load_sparse, save_sparse
from slrprune.sets import NM, Block, Unstructured

SPARSITIES = (0.5, 0.8, 0.9, 0.95, 0.98)
DTYPES = (torch.float32, torch.float16, torch.bfloat16)
CHECKPOINTS = ("resnet20-12fca82f.th", "resnet56-4bfd9763.th")
Draw = Callable[[torch.Size], Tensor]


class ResNet18(nn.Module):
    """The parameters and buffers of torchvision's resnet18; nothing here computes with it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, bias=False), nn.BatchNorm2d(64)
        for stage, width in enumerate((64, 128, 256, 512), start=1):
            before = 64 if stage == 1 else width // 2
            self.add_module(f"layer{stage}", nn.Sequential(self._block(before, width), self._block(width, width)))
        self.fc = nn.Linear(512, 1000)

    @staticmethod
    def _block(before: int, width: int) -> nn.Module:
        block = nn.Module()
        block.conv1, block.bn1 = nn.Conv2d(before, width, 3, bias=False), nn.BatchNorm2d(width)
        block.conv2, block.bn2 = nn.Conv2d(width, width, 3, bias=False), nn.BatchNorm2d(width)
        if before != width:
            block.downsample = nn.Sequential(nn.Conv2d(before, width, 1, bias=False), nn.BatchNorm2d(width))
        return block


def fill(model: nn.Module, draw: Draw, prune: Callable[[Tensor], Tensor]) -> nn.Module:
    """Draws every weight at the scale that its layer starts from, and prunes it; BatchNorm is random too."""
    with torch.no_grad():
        for tensor in (*model.parameters(), *model.buffers()):
            if tensor.dim() > 1:
                scale = (2 / tensor[0].numel()) ** 0.5
                tensor.copy_(prune(scale * draw(tensor.shape)))
            elif tensor.is_floating_point():
                tensor.uniform_(0.1, 1)
    return model


def files(state: Mapping[str, Tensor], folder: Path) -> dict[str, object]:
    """Writes both files; their sizes and their ratio."""
    save_file(dict(state), folder / "dense.safetensors")
    start = time.perf_counter()
    sparse = save_sparse(state, folder / "sparse.safetensors")
    seconds = time.perf_counter() - start
    dense = (folder / "dense.safetensors").stat().st_size
    return {
        "dense_bytes": dense,
        "sparse_bytes": sparse,
        "times_smaller": round(dense / sparse, 2),
        "save_seconds": round(seconds, 2),
    }


def loading(model: nn.Module, folder: Path) -> dict[str, object]:
    """Milliseconds to load either file into the model."""
    times = interleaved(
        {
            "safetensors": lambda: model.load_state_dict(load_file(folder / "dense.safetensors")),
            "sparse": lambda: load_sparse(folder / "sparse.safetensors", model),
        },
        rounds=31,
        warmup=3,
    )
    return {"milliseconds": times, "sparse_over_safetensors": round(times["sparse"] / times["safetensors"], 2)}


def resnet18(folder: Path) -> Iterator[dict[str, object]]:
    """One record for each distribution, dtype and sparsity; loading is timed in float32."""
    draws: dict[str, Draw] = {"normal": torch.randn, "laplace": torch.distributions.Laplace(0.0, 0.5**0.5).sample}
    for name, draw in draws.items():
        for dtype in DTYPES:
            for sparsity in SPARSITIES:
                model = fill(ResNet18(), draw, Unstructured(sparsity).project).to(dtype)
                record = {"values": name, "dtype": str(dtype)[6:], "sparsity": sparsity}
                record |= files(model.state_dict(), folder)
                if dtype == torch.float32:
                    record["loading_by_threads"] = at_threads((1, 2), lambda model=model: loading(model, folder))
                yield record


def patterns(folder: Path) -> Iterator[dict[str, object]]:
    """Structured zeros in the 3 x 3 convolutions of a ResNet-18; the rest stays dense."""
    for constraint in (NM(2, 4), NM(1, 4), Block((4, 1), 0.9)):

        def prune(weight: Tensor, constraint: NM | Block = constraint) -> Tensor:
            return constraint.project(weight) if weight.shape[-1] == 3 else weight

        model = fill(ResNet18(), torch.randn, prune)
        yield {"pattern": repr(constraint), **files(model.state_dict(), folder)}


def trained(data: Path, folder: Path) -> Iterator[dict[str, object]]:
    """Public checkpoints, pruned by magnitude over all their convolutions and classifiers."""
    for name in CHECKPOINTS:
        state = torch.load(data / "cifar10_ckpt" / name, map_location="cpu", weights_only=True)["state_dict"]
        state = {key: tensor.clone() for key, tensor in state.items()}
        weights = [key for key, tensor in state.items() if tensor.dim() > 1]
        magnitudes = torch.cat([state[key].abs().flatten() for key in weights])
        for sparsity in SPARSITIES:
            threshold = magnitudes.kthvalue(round(sparsity * len(magnitudes))).values
            pruned = {key: torch.where(state[key].abs() > threshold, state[key], 0) for key in weights}
            yield {"checkpoint": name, "sparsity": sparsity, **files(state | pruned, folder)}


def main() -> None:
    """Measures and writes the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/sparse_file.json"))
    parser.add_argument("--data", type=Path, help="a folder with cifar10_ckpt/; without it that part is left out")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        result: dict[str, object] = {"machine": machine(), "resnet18": list(resnet18(folder))}
        result["patterns"] = list(patterns(folder))
        if arguments.data is not None:
            result["trained"] = list(trained(arguments.data, folder))
    write(result, arguments.out)


if __name__ == "__main__":
    main()
