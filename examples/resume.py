"""Stop in the middle, save, load into fresh objects, go on: the same bits. Run with `python examples/resume.py`."""

import tempfile
from pathlib import Path

import torch
from torch import nn

import slrprune as slr


def build() -> dict[str, nn.Module | torch.optim.Optimizer | slr.Pruner]:
    """A model, its optimizer and a pruner, always built in this order."""
    torch.manual_seed(0)
    model = nn.Linear(64, 16)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    return {
        "model": model,
        "optimizer": optimizer,
        "pruner": slr.Pruner(model, optimizer, slr.Global(0.9), total_steps=40),
    }


def train(model: nn.Module, optimizer: torch.optim.Optimizer, pruner: slr.Pruner, steps: range) -> None:
    """Some steps of training; the batch depends on the step alone, so both runs see the same data."""
    for step in steps:
        batch = torch.randn(32, 64, generator=torch.Generator().manual_seed(step))
        loss = (model(batch) - batch[:, :16]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        pruner.step(loss)


whole, stopped, resumed = build(), build(), build()
train(**whole, steps=range(40))
train(**stopped, steps=range(25))
with tempfile.TemporaryDirectory() as folder:
    torch.save({name: part.state_dict() for name, part in stopped.items()}, Path(folder, "checkpoint.pt"))
    saved = torch.load(Path(folder, "checkpoint.pt"), weights_only=True)
for name, part in resumed.items():
    part.load_state_dict(saved[name])
train(**resumed, steps=range(25, 40))
for parts in (whole, resumed):
    parts["pruner"].finalize()
print("bit-identical:", torch.equal(resumed["model"].weight, whole["model"].weight))
