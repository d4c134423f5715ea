"""Prune in your own training loop: three added lines, marked.

Run with `python examples/plain_loop.py`.
"""

import torch
from torch import nn

import slrprune as slr

torch.manual_seed(0)
inputs, epochs = torch.randn(512, 32), 40
labels = inputs[:, :8].argmax(1)  # something to learn: the largest of the first eight numbers
loader = [(inputs[i : i + 64], labels[i : i + 64]) for i in range(0, 512, 64)]

model = nn.Sequential(nn.Linear(32, 256), nn.ReLU(), nn.Linear(256, 8))
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
criterion = nn.CrossEntropyLoss()

pruner = slr.Pruner(model, optimizer, slr.Global(0.8), total_steps=len(loader) * epochs)  # added
for _ in range(epochs):
    for x, y in loader:
        loss = criterion(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        pruner.step(loss)  # added
print(pruner.finalize())  # added: the hard cut, in place
print(f"training accuracy after the cut: {(model(inputs).argmax(1) == labels).float().mean():.1%}")
