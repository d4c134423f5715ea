"""Whole filters to zero, then really removed: a smaller network with the same outputs.

Run with `python examples/structured_shrink.py`; needs the extra `shrink`.
"""

import torch
from torch import nn

import slrprune as slr
from slrprune.deploy import shrink

torch.manual_seed(0)
images = torch.randn(256, 1, 8, 8)
labels = (images.mean((1, 2, 3)) > 0).long()  # something to learn: is the image bright?
model = nn.Sequential(
    nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 32, 3, stride=2), nn.BatchNorm2d(32),
    nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 2),
)  # fmt: skip
optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
rules = {nn.Conv2d: slr.Channel(0.5), "8": None}  # half of the filters; the classifier stays dense
pruner = slr.Pruner(model, optimizer, rules, total_steps=60)
for _ in range(60):
    loss = nn.functional.cross_entropy(model(images), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    pruner.step(loss)
pruner.finalize()

model.eval()
smaller, report = shrink(model, images[:1])
print(report)
print("largest difference of the outputs:", f"{(smaller(images) - model(images)).abs().max().item():.1e}")
