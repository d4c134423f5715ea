"""Large models with random weights: layers by size, a vision transformer, a Llama of a billion weights on disk."""

import json
import time
from pathlib import Path

import torch
from safetensors.torch import save_file

from slrprune.oneshot import LayerProblem

BILLION = {
    "vocab_size": 32000,
    "hidden_size": 2048,
    "intermediate_size": 5632,
    "num_attention_heads": 32,
    "num_key_value_heads": 4,
}
"""The sizes of TinyLlama; with 22 blocks 1.1 billion weights."""


def random_problem(outputs: int, inputs: int) -> LayerProblem:
    """Inputs with a falling spectrum, as activations have."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2 * inputs, inputs, generator=generator) * torch.linspace(1, 0.05, inputs)
    mixing = torch.linalg.qr(torch.randn(inputs, inputs, generator=generator)).Q
    rows = x @ mixing
    weight = torch.randn(outputs, inputs, generator=generator)
    return LayerProblem(weight, rows.mT @ rows / len(rows))


def timed(problem: LayerProblem, solver, constraint) -> dict:
    """Seconds, and microseconds per weight, of one solution of a fresh problem."""
    fresh = LayerProblem(problem.weight, problem.gram)
    start = time.perf_counter()
    solver.solve(fresh, constraint)
    seconds = time.perf_counter() - start
    return {"seconds": round(seconds, 4), "us_per_weight": round(1e6 * seconds / problem.weight.numel(), 4)}


def matmul_gflops() -> float:
    """Measured rate of a product of 1024 x 1024 matrices, the best of 5."""
    a, b = torch.randn(1024, 1024), torch.randn(1024, 1024)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        a @ b
        times.append(time.perf_counter() - start)
    return round(2 * 1024**3 / min(times) / 1e9, 1)


def write_random_llama(folder: Path, blocks: int) -> None:
    """A checkpoint in bfloat16, one file per block, made without ever holding more than one."""
    import transformers
    from accelerate import init_empty_weights

    folder.mkdir(parents=True, exist_ok=True)
    config = transformers.LlamaConfig(num_hidden_layers=blocks, dtype="bfloat16", **BILLION)
    with init_empty_weights():
        model = transformers.LlamaForCausalLM(config)
    generator = torch.Generator().manual_seed(0)
    index = {}
    parts = [(f"block-{number}", module) for number, module in enumerate(model.model.layers)] + [("rest", model)]
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    for part, module in parts:
        tensors = {}
        for parameter in module.parameters():
            name = names[id(parameter)]
            if name not in index:
                noise = 0.02 * torch.randn(parameter.shape, generator=generator)
                tensors[name] = (noise if parameter.ndim > 1 else torch.ones(parameter.shape)).bfloat16()
                index[name] = f"{part}.safetensors"
        save_file(tensors, folder / f"{part}.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))


def empty_llama(blocks: int):
    """The model for such a checkpoint, with its parameters on meta; computes in float32."""
    import transformers
    from accelerate import init_empty_weights

    with init_empty_weights(include_buffers=False):
        return transformers.LlamaForCausalLM(transformers.LlamaConfig(num_hidden_layers=blocks, **BILLION)).eval()
