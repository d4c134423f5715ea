"""Layer problems with correlated inputs, small enough for brute force."""

import itertools

import pytest
import torch

from slrprune.oneshot import LayerProblem


def _correlated(outputs, inputs, samples=200, dtype=torch.float64, seed=0):
    """A weight and H of inputs that share a few strong factors and differ in scale."""
    generator = torch.Generator().manual_seed(seed)
    factors = torch.randn(samples, max(2, inputs // 3), generator=generator, dtype=dtype)
    mixing = torch.randn(factors.shape[1], inputs, generator=generator, dtype=dtype)
    x = factors @ mixing + 0.5 * torch.randn(samples, inputs, generator=generator, dtype=dtype)
    x = x * torch.linspace(0.3, 3.0, inputs, dtype=dtype)
    weight = torch.randn(outputs, inputs, generator=generator, dtype=dtype)
    return weight, x.mT @ x / samples


def _best_on(weight, gram, mask):
    """The least error on a support, row by row by lstsq, relative."""
    root = torch.linalg.cholesky(gram).mT  # H = root^T root
    total = 0.0
    for row, kept in zip(weight, mask, strict=True):
        value = torch.linalg.lstsq(root[:, kept], root @ row).solution
        total += float((root[:, kept] @ value - root @ row).square().sum())
    return total / float((weight @ gram * weight).sum())


def _brute_force(weight, gram, kept):
    """The least relative error of all supports of `kept` entries: all subsets of a row, then their combinations."""
    energy = float((weight @ gram * weight).sum())
    subsets = [torch.tensor(flags) for flags in itertools.product([False, True], repeat=weight.shape[1])]
    rows = []
    for row in weight.unsqueeze(1):
        scale = float((row @ gram * row).sum()) / energy
        rows.append([(int(s.sum()), scale * _best_on(row, gram, s.unsqueeze(0))) for s in subsets])
    sums = (
        (sum(count for count, _ in chosen), sum(error for _, error in chosen)) for chosen in itertools.product(*rows)
    )
    return min(error for count, error in sums if count == kept)


@pytest.fixture
def problem():
    """A float32 layer of 24 outputs and 32 inputs."""
    weight, gram = _correlated(24, 32)
    return LayerProblem(weight.float(), gram, name="layer")


@pytest.fixture
def correlated():
    """Makes a weight and H of inputs that share a few strong factors."""
    return _correlated


@pytest.fixture
def best_on():
    """The least relative error on a support, by lstsq."""
    return _best_on


@pytest.fixture
def brute_force():
    """The least relative error of all supports of a size."""
    return _brute_force
