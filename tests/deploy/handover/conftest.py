"""A small pruned network that has what hand-over must get right: BatchNorm, a skip, a stride, a linear layer."""

import pytest
import torch
from torch import nn

from slrprune.sets import Unstructured


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.body = nn.Conv2d(8, 8, 3, padding=1)
        self.down = nn.Conv2d(8, 16, 3, stride=2)
        self.head = nn.Linear(16, 10)

    def forward(self, images):
        features = torch.relu(self.norm(self.stem(images)))
        features = features + torch.relu(self.body(features))
        return self.head(torch.relu(self.down(features)).mean((2, 3)))


def pruned_net():
    torch.manual_seed(0)
    net = Net().eval()
    with torch.no_grad():
        net.norm.running_mean.normal_()
        net.norm.running_var.uniform_(0.5, 2)
        net.norm.weight.uniform_(-2, 2)
        for layer in (net.body, net.down, net.head):
            layer.weight.copy_(Unstructured(0.8).project(layer.weight))
    return net


@pytest.fixture(scope="session")
def net():
    return pruned_net()


@pytest.fixture(scope="session")
def images():
    return torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
