"""Different sets for different layers; the first rule that matches wins.

Run with `python examples/per_layer_rules.py`.
"""

import torch
from torch import nn

import slrprune as slr

torch.manual_seed(0)
model = nn.Sequential(
    nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(),
    nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10),
)  # fmt: skip
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
rules = {
    "0": None,  # the stem, by module name, stays dense
    "6.weight": slr.NM(2, 4),  # the classifier, by parameter name: two of every four
    nn.Conv2d: slr.Channel(0.5),  # every other convolution: half of its filters
}
pruner = slr.Pruner(model, optimizer, rules, total_steps=20)
for _ in range(20):
    loss = model(torch.randn(8, 3, 16, 16)).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    pruner.step(loss)
print(pruner.finalize())
