"""Stop in the middle, save, load into fresh objects, go on: the same bits.

Run with `python examples/resume.py`.
"""

import tempfile
from pathlib import Path

import torch
from torch import nn

import slrprune as slr


def build() -> tuple[nn.Linear, torch.optim.Optimizer, slr.Pruner]:
    """A model, its optimizer and a pruner, always built in this order."""
    torch.manual_seed(0)
    model = nn.Linear(64, 16)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    return model, optimizer, slr.Pruner(model, optimizer, slr.Unstructured(0.9), total_steps=40)


def train(model: nn.Module, optimizer: torch.optim.Optimizer, pruner: slr.Pruner, steps: range) -> None:
    """Some steps of training; the batch depends on the step alone, so both runs see the same data."""
    for step in steps:
        batch = torch.randn(32, 64, generator=torch.Generator().manual_seed(step))
        loss = (model(batch) - batch[:, :16]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        pruner.step(loss)


whole, optimizer, pruner = build()
train(whole, optimizer, pruner, range(40))
pruner.finalize()

model, optimizer, pruner = build()
train(model, optimizer, pruner, range(25))
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder, "checkpoint.pt")
    parts = {"model": model, "optimizer": optimizer, "pruner": pruner}
    torch.save({name: part.state_dict() for name, part in parts.items()}, path)
    model, optimizer, pruner = build()
    saved = torch.load(path, weights_only=True)
for name, part in {"model": model, "optimizer": optimizer, "pruner": pruner}.items():
    part.load_state_dict(saved[name])
train(model, optimizer, pruner, range(25, 40))
pruner.finalize()
print("bit-identical:", torch.equal(model.weight, whole.weight))
