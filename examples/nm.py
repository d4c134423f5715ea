"""Two of every four inputs of each output stay, as sparse tensor cores ask. Run with `python examples/nm.py`."""

import torch
from torch import nn

import slrprune as slr

torch.manual_seed(0)
inputs = torch.randn(256, 32)
labels = inputs[:, :8].argmax(1)  # something to learn: the largest of the first eight numbers
model = nn.Sequential(nn.Linear(32, 128), nn.ReLU(), nn.Linear(128, 8))
optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
pattern = slr.NM(2, 4)  # owns its level: half of the weights are zero
pruner = slr.Pruner(model, optimizer, pattern, total_steps=100)
for _ in range(100):
    loss = nn.functional.cross_entropy(model(inputs), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    pruner.step(loss)
print(pruner.finalize())
print(f"accuracy: {(model(inputs).argmax(1) == labels).float().mean():.1%}")
print(
    "every group of four obeys:", all(pattern.contains(layer.weight) for layer in model if isinstance(layer, nn.Linear))
)
print("the first eight inputs of output 0:", model[0].weight[0, :8].detach())
