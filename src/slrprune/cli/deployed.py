"""What a pruned model is worth: file sizes, times of a forward pass, and whether the outputs are the same."""

import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slrprune.cli.consoles import out

if TYPE_CHECKING:
    from slrprune.compare.keep import KeptModel


@dataclass(frozen=True)
class Deployed:
    """A pruned model as files and as programs.

    Attributes:
        run: which model.
        dense_bytes: its dense safetensors file.
        sparse_bytes: its sparse file.
        dense_us: microseconds of a forward pass over one example on one thread, by the fastest dense variant.
        accelerated_us: the same of what `accelerate` returned.
        chosen: what that is.
        outputs: number of test examples whose outputs were compared.
        relative_difference: the largest difference of these outputs, relative to the largest.
        same_class: how many of them are of the same class.
    """

    run: str
    dense_bytes: int
    sparse_bytes: int
    dense_us: float
    accelerated_us: float
    chosen: str
    outputs: int
    relative_difference: float
    same_class: int

    @property
    def is_accelerated(self) -> bool:
        """Whether anything was faster than dense."""
        return self.chosen.startswith("accelerated")

    def lines(self) -> list[str]:
        """For people."""
        size = (
            f"{self.dense_bytes:,} -> {self.sparse_bytes:,} bytes ({self.dense_bytes / self.sparse_bytes:.1f}x smaller)"
        )
        ratio = self.dense_us / self.accelerated_us
        latency = f"{self.dense_us:,.0f} -> {self.accelerated_us:,.0f} us ({ratio:.2f}x as fast)"
        if not self.is_accelerated:
            latency += ": nothing was faster than dense on so small a network, so it stays dense"
        outputs = (
            f"{self.same_class} of {self.outputs} test images in the same class, "
            f"largest difference {self.relative_difference:.1e} relative"
        )
        return [
            f"Deployed, {self.run}:",
            f"  file      dense -> sparse: {size}",
            f"  latency   dense -> accelerated, batch 1, 1 thread: {latency}",
            f"  outputs   dense and accelerated, from the sparse file: {outputs}",
        ]


def deploy_and_show(kept: "KeptModel", *, as_json: bool) -> dict[str, Any]:
    """Measures a kept model, and prints what was found unless it is for JSON."""
    found = measure(kept)
    if not as_json:
        for line in found.lines():
            out().print(line, markup=False, highlight=False, soft_wrap=True)
    return {"deployed": asdict(found)}


def measure(kept: "KeptModel") -> Deployed:
    """Builds the model from its sparse file, in dense and in accelerated form, and compares the two."""
    import torch
    from safetensors.torch import save_file

    from slrprune.deploy import accelerate

    model, task = kept.rebuild()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a small network gains nothing from more, and a busy machine disturbs it less
    try:
        fast, report = accelerate(model, task.example_input())
    finally:
        torch.set_num_threads(threads)
    images, _ = next(task.batches("test"))
    with torch.inference_mode():
        expected, found = model(images), fast(images)
    with tempfile.TemporaryDirectory() as folder:
        dense = Path(folder) / "dense.safetensors"
        save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, dense)
        dense_bytes = dense.stat().st_size
    return Deployed(
        run=kept.run,
        dense_bytes=dense_bytes,
        sparse_bytes=kept.path.stat().st_size,
        dense_us=report.dense_time,
        accelerated_us=report.time,
        chosen=report.chosen,
        outputs=len(images),
        relative_difference=float((expected - found).abs().max() / expected.abs().max()),
        same_class=int((expected.argmax(1) == found.argmax(1)).sum()),
    )
