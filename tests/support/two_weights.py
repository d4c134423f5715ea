"""A quadratic of two weights, and a pruned training on it."""

import torch
from torch import Tensor, nn

from slrprune import SLR, Global, Pruner

STEPS, LR = 24, 0.1


class Two(nn.Module):
    """Two weights and a quadratic whose minimum lies at `goal`."""

    def __init__(self, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.a, self.b = nn.Linear(6, 5, bias=False, dtype=dtype), nn.Linear(5, 4, bias=False, dtype=dtype)
        self.goals = []
        for layer in (self.a, self.b):
            goal = torch.randn(layer.weight.shape, generator=generator, dtype=torch.float64)
            start = goal + 0.3 * torch.randn(goal.shape, generator=generator, dtype=torch.float64)
            layer.weight.data.copy_(start)
            self.goals.append(goal.to(dtype))

    @property
    def weights(self) -> list[Tensor]:
        """Both, in registration order."""
        return [self.a.weight, self.b.weight]

    def forward(self) -> Tensor:
        """Half the squared distance to `goals`, 0-dim."""
        return (
            torch.stack([(w - goal).square().sum() for w, goal in zip(self.weights, self.goals, strict=True)]).sum() / 2
        )


def trained(model: Two, method: SLR, sparsity: float = 0.7, steps: int = STEPS, **options: float) -> Pruner:
    """The pruner after `steps` steps of SGD on the quadratic, before the cut."""
    optimizer = torch.optim.SGD(model.parameters(), lr=LR, **options)
    pruner = Pruner(model, optimizer, Global(sparsity), total_steps=steps, method=method)
    for _ in range(steps):
        loss = model()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        pruner.step(loss)
    return pruner
