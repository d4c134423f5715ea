"""After the cut: train on with the zeros held, whatever the optimizer's momentum.

Run with `python examples/masked_retraining.py`.
"""

import torch
from torch import nn

import slrprune as slr

torch.manual_seed(0)
inputs = torch.randn(256, 32)
targets = inputs @ torch.randn(32, 4)
model = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 4))
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)


def train(steps: int, pruner: slr.Pruner | None = None) -> float:
    """Full-batch training; returns the last loss."""
    for _ in range(steps):
        loss = (model(inputs) - targets).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if pruner is not None:
            pruner.step(loss)
    return loss.item()


train(100)
pruner = slr.Pruner(model, optimizer, slr.Unstructured(0.8), total_steps=100)
print(f"loss at the end of pruning: {train(100, pruner):.4f}")
print(f"sparsity: {pruner.finalize().sparsity:.2%}")
keeper = slr.MaskKeeper(model, optimizer)  # no further line in the loop
print(f"loss after masked retraining: {train(100):.4f}")
keeper.remove()
zeros = sum(int((module.weight == 0).sum()) for module in model if isinstance(module, nn.Linear))
print(f"zeros: {zeros}")
