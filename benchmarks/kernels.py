"""How much faster the sparse CPU kernels are than dense torch, layer by layer, and how near to the machine's limits.

    taskset -c 1 chrt -f 50 python benchmarks/kernels.py --threads 1 --out benchmarks/results/kernels.json

Needs a machine with nothing else to do, or the priority that `chrt` gives, which needs root. Dense is the fastest of
torch eager, channels_last, and compiled with frozen weights, on the same weight with its zeros; both sides add a bias.
What is timed is the call of a layer on a contiguous NCHW input (channels_last for that candidate), copies included.

Goals at 90% zeros and 1 thread are in `GOALS`. Beside each time stands the least that its roofline allows: the
remaining multiply-adds at the measured rate, or the bytes (packed weight, input, output) at the bandwidth measured on
as many.
"""

import argparse
import ctypes
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import torch
from _timing import at_threads, interleaved, machine, write
from torch import Tensor, nn

from slrprune.deploy import kernels
from slrprune.deploy.kernels import native
from slrprune.sets import Block, Global, Unstructured

PATTERNS = {"unstructured": Unstructured, "4x1": lambda sparsity: Block((4, 1), sparsity)}
CHECKPOINTS = ("resnet20-12fca82f.th", "resnet56-4bfd9763.th")  # of ../shared/data/cifar10_ckpt
AT_LEAST = 2e-3  # seconds of one measurement: a short call is repeated


@dataclass(frozen=True)
class Work:
    """A layer and its input; a convolution's padding keeps the size, or halves it at stride 2."""

    weight: tuple[int, ...]
    batch: int = 1
    size: int = 0  # height and width of the input, 0 for a linear layer
    stride: int = 1

    def __str__(self) -> str:
        """As it appears in the record."""
        out, inputs, *kernel = self.weight
        if not kernel:
            return f"linear {inputs}->{out}, batch {self.batch}"
        stride = f" stride {self.stride}" if self.stride > 1 else ""
        return f"conv {kernel[0]}x{kernel[1]}{stride} {inputs}->{out} at {self.size}x{self.size}, batch {self.batch}"

    def layer(self) -> nn.Module:
        """With random weights; the caller puts in the zeros."""
        out, inputs, *kernel = self.weight
        if not kernel:
            return nn.Linear(inputs, out)
        return nn.Conv2d(inputs, out, kernel[0], self.stride, kernel[0] // 2)

    def input(self) -> Tensor:
        """Normal numbers."""
        return torch.randn(self.batch, self.weight[1], *(self.size, self.size) if self.size else ())

    def pack(self, layer: nn.Module) -> nn.Module:
        """The sparse layer."""
        if isinstance(layer, nn.Linear):
            return kernels.pack_linear(layer.weight, layer.bias)
        assert isinstance(layer, nn.Conv2d)
        size = self.size, self.size
        return kernels.pack_conv2d(
            layer.weight, layer.bias, stride=self.stride, padding=self.weight[2] // 2, input_size=size
        )

    def positions(self) -> int:
        """Outputs per row of the weight."""
        return self.batch * max(1, -(-self.size // self.stride)) ** 2


LINEAR_1, LINEAR_64 = Work((1024, 1024)), Work((1024, 1024), batch=64)
CONV_256, CONV_64 = Work((256, 256, 3, 3), size=14), Work((64, 64, 3, 3), size=56)
EXPAND = Work((1024, 256, 1, 1), size=14)
GOALS = {
    (LINEAR_1, "unstructured"): 5,
    (LINEAR_64, "unstructured"): 5,
    (CONV_256, "unstructured"): 3,
    (CONV_256, "4x1"): 6,
    (CONV_64, "unstructured"): 2.5,
    (EXPAND, "unstructured"): 2.5,
}
RESNET18 = (
    Work((128, 64, 3, 3), size=56, stride=2),
    Work((128, 64, 1, 1), size=56, stride=2),
    Work((128, 128, 3, 3), size=28),
    Work((256, 128, 3, 3), size=28, stride=2),
    Work((256, 128, 1, 1), size=28, stride=2),
    Work((512, 256, 3, 3), size=14, stride=2),
    Work((512, 256, 1, 1), size=14, stride=2),
    Work((512, 512, 3, 3), size=7),
)
JUDGED = (LINEAR_1, LINEAR_64, CONV_256, CONV_64, EXPAND)


def repeated(call: Callable[[], object]) -> tuple[Callable[[], None], int]:
    """A call that takes long enough to be measured, and how many of the original it holds."""
    call()
    start = time.perf_counter()
    call()
    times = max(1, round(AT_LEAST / (time.perf_counter() - start)))

    def many() -> None:
        for _ in range(times):
            call()

    return many, times


def measure(candidates: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median milliseconds of one call of each; the candidates take turns."""
    many = {name: repeated(call) for name, call in candidates.items()}
    times = interleaved({name: call for name, (call, _) in many.items()}, rounds=rounds)
    return {name: float(f"{times[name] / count:.4g}") for name, (_, count) in many.items()}


def dense(layer: nn.Module, x: Tensor, with_compiled: bool) -> dict[str, Callable[[], object]]:
    """Ways to compute the layer without using its zeros."""
    found: dict[str, Callable[[], object]] = {"eager": partial(layer, x)}
    if x.dim() == 4:
        copy = nn.Conv2d(layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride, layer.padding)
        copy.load_state_dict(layer.state_dict())
        channels_last = copy.to(memory_format=torch.channels_last)
        found["channels_last"] = partial(channels_last, x.contiguous(memory_format=torch.channels_last))
    if with_compiled:
        torch._dynamo.reset()
        torch._inductor.config.freezing = True
        compiled = torch.compile(layer)
        found["compiled"] = partial(compiled, x)
    return found


def compare(work: Work, weights: dict[str, Tensor], rounds: int, with_compiled: bool) -> dict[str, object]:
    """One layer with each of these weights, by name, against dense torch (which does not care about zeros)."""
    layer, x = work.layer().eval().requires_grad_(False), work.input()
    candidates = dense(layer, x, with_compiled)
    dense_names = tuple(candidates)
    packed = {}
    for name, weight in weights.items():
        layer_with_zeros = work.layer().requires_grad_(False)
        layer_with_zeros.load_state_dict({"weight": weight, "bias": layer.bias})
        packed[name] = work.pack(layer_with_zeros)
        torch.testing.assert_close(packed[name](x), layer_with_zeros(x), rtol=1e-3, atol=1e-3)
        candidates[name] = partial(packed[name], x)
    times = measure(candidates, rounds)
    best = min(dense_names, key=times.__getitem__)
    found: dict[str, object] = {"dense_milliseconds": {name: times[name] for name in dense_names}, "best_dense": best}
    for name, layer in packed.items():
        found[name] = {
            "milliseconds": times[name],
            "times_faster": round(times[best] / times[name], 2),
            **roofline(work, layer, x, times[name]),
        }
        goal = GOALS.get((work, name.removesuffix(" 90%")))
        if goal:
            found[name]["goal"] = goal
    return found


def roofline(work: Work, layer: nn.Module, x: Tensor, milliseconds: float) -> dict[str, object]:
    """The least time for the multiply-adds and for the bytes of one call, on one thread."""
    operations = layer.nnz * work.positions()
    size = layer.packed.numel() + 4 * (x.numel() + work.weight[0] * work.positions())
    compute, memory = 1e3 * operations / fma_rate(), 1e3 * size / bandwidth(size)
    return {
        "nonzeros": layer.nnz,
        "packed_bytes": layer.packed.numel(),
        "roofline_milliseconds": {"compute": float(f"{compute:.3g}"), "memory": float(f"{memory:.3g}")},
        "of_roofline": round(max(compute, memory) / milliseconds, 3),
    }


def fma_rate() -> float:
    """Multiply-adds per second of one thread, from registers."""
    sink, rounds = ctypes.c_float(), 200_000
    lanes = 0

    def probe() -> None:
        nonlocal lanes
        lanes = native.library().slrk_fma_probe(rounds, ctypes.byref(sink))

    milliseconds = interleaved({"fma": probe}, rounds=5)["fma"]
    return rounds * 12 * lanes / (1e-3 * milliseconds)


def bandwidth(size: int) -> float:
    """Bytes per second that one thread reads again and again from a buffer of this size."""
    buffer, sink = torch.ones(max(1024, size // 4)), ctypes.c_float()
    times = max(1, 2**24 // buffer.numel())

    def probe() -> None:
        for _ in range(times):
            native.library().slrk_read_probe(buffer.data_ptr(), buffer.numel(), ctypes.byref(sink))

    milliseconds = interleaved({"read": probe}, rounds=5)["read"]
    return 4 * buffer.numel() * times / (1e-3 * milliseconds)


def random_weights(work: Work, patterns: tuple[str, ...], sparsities: tuple[float, ...]) -> dict[str, Tensor]:
    """Random weights with the largest kept: for unstructured zeros a random mask."""
    weight = torch.randn(work.weight)
    return {f"{name} {s:.0%}": PATTERNS[name](s).project(weight) for name in patterns for s in sparsities}


def random_masks(works: tuple[Work, ...], rounds: int, with_compiled: bool) -> dict[str, object]:
    """Each layer at 90 and 95%, unstructured and in 4x1 blocks."""
    both = tuple(PATTERNS)
    return {str(w): compare(w, random_weights(w, both, (0.9, 0.95)), rounds, with_compiled) for w in works}


def break_even(works: tuple[Work, ...], rounds: int, with_compiled: bool) -> dict[str, object]:
    """Times faster at each sparsity, and the sparsity at which a kernel is as fast as dense torch."""
    levels = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
    found: dict[str, object] = {}
    for work in works:
        result = compare(work, random_weights(work, tuple(PATTERNS), levels), rounds, with_compiled)
        found[str(work)] = {name: _break_even(result, name, levels) for name in PATTERNS}
    return found


def _break_even(result: dict[str, object], pattern: str, levels: tuple[float, ...]) -> dict[str, object]:
    faster = [result[f"{pattern} {level:.0%}"]["times_faster"] for level in levels]
    entry: dict[str, object] = {"times_faster": dict(zip([f"{level:.0%}" for level in levels], faster, strict=True))}
    entry["break_even"] = "below 30%" if faster[0] >= 1 else "above 90%"
    for (low, slow), (high, fast) in pairwise(zip(levels, faster, strict=True)):
        if slow < 1 <= fast:
            # The kernel's time falls about linearly with the sparsity.
            share = (1 / slow - 1) / (1 / slow - 1 / fast)
            entry["break_even"] = f"{low + share * (high - low):.0%}"
    return entry


def trained_layers(folder: Path) -> Iterator[tuple[str, Work, Tensor]]:
    """Layers of the public CIFAR-10 ResNets, pruned to 90% over all convolutions by magnitude: one of each stage."""
    for file in CHECKPOINTS:
        state = torch.load(folder / file, map_location="cpu", weights_only=True)
        state = {name.removeprefix("module."): tensor for name, tensor in state.get("state_dict", state).items()}
        names = [name for name, tensor in state.items() if tensor.dim() == 4]
        masks = Global(0.9).masks([state[name] for name in names])
        pruned = {name: torch.where(mask, state[name], 0) for name, mask in zip(names, masks, strict=True)}
        for stage, size in (("layer1", 32), ("layer2", 16), ("layer3", 8)):
            name = f"{stage}.1.conv2.weight"
            yield f"{file.split('-')[0]} {name}", Work(tuple(pruned[name].shape), size=size), pruned[name]


def trained_masks(folder: Path, rounds: int, with_compiled: bool) -> dict[str, object]:
    """Layers of a trained, pruned network beside random masks with the same number of zeros."""
    found: dict[str, object] = {}
    for name, work, weight in trained_layers(folder):
        sparsity = 1 - int((weight != 0).sum()) / weight.numel()
        beside = Unstructured(sparsity).project(torch.randn(weight.shape))
        found[f"{name}, {work}, {sparsity:.1%} zeros"] = compare(
            work, {"trained": weight, "random": beside}, rounds, with_compiled
        )
    return found


def main() -> None:
    """Measures what the arguments ask for and writes one JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="file for the JSON; it is printed in any case")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--parts", nargs="+", default=["judged", "resnet18", "break_even", "trained"])
    parser.add_argument("--no-compiled", action="store_true", help="leave out torch.compile, which takes minutes")
    parser.add_argument(
        "--checkpoints", type=Path, default=Path(os.environ.get("SLRPRUNE_DATA", "../shared/data")) / "cifar10_ckpt"
    )
    arguments = parser.parse_args()
    torch.manual_seed(0)
    shared = arguments.rounds, not arguments.no_compiled
    parts: dict[str, Callable[[], dict[str, object]]] = {
        "judged": lambda: random_masks(JUDGED, *shared),
        "resnet18": lambda: random_masks(RESNET18, *shared),
        "break_even": lambda: break_even(JUDGED, *shared),
        "trained": lambda: trained_masks(arguments.checkpoints, *shared),
    }
    result: dict[str, object] = {
        "benchmark": "kernels",
        "machine": machine() | {"instruction_set": kernels.instruction_set(), "fma_per_second": fma_rate()},
    }
    with torch.no_grad():
        for name in arguments.parts:
            result[f"{name}_by_threads"] = at_threads(tuple(arguments.threads), parts[name])
    write(result, arguments.out)


if __name__ == "__main__":
    main()
