"""Selecting by masks agrees with torch's own operators bit for bit."""

import math

import pytest
import torch
from torch import Tensor

from slrprune.methods.masked import as_numbers, choose, keep_, only

DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]
SPECIAL = [0.0, -0.0, math.nan, math.inf, -math.inf, 1e-45, 3.0, -3.0]


def _bits(values: Tensor) -> Tensor:
    return values.contiguous().view(torch.uint8)


def _given(dtype: torch.dtype, *, seed: int, channels_last: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shape = (8, 3, 5, 5)
    kept, other = (torch.randn(shape, generator=generator).to(dtype) for _ in range(2))
    for number, values in enumerate((kept, other)):
        places = torch.randperm(values.numel(), generator=generator)[: 40 * len(SPECIAL)]
        values.view(-1)[places] = torch.tensor(SPECIAL, dtype=dtype).repeat(40).roll(number)
    mask = torch.rand(shape, generator=generator) < 0.4
    if channels_last:
        kept, other, mask = (value.to(memory_format=torch.channels_last) for value in (kept, other, mask))
    return mask, kept, other


@pytest.mark.parametrize("channels_last", [False, True], ids=["contiguous", "channels last"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_as_torch_does(dtype: torch.dtype, channels_last: bool) -> None:
    for seed in range(5):
        mask, kept, other = _given(dtype, seed=seed, channels_last=channels_last)
        assert torch.equal(_bits(only(mask, kept)), _bits(torch.where(mask, kept, 0.0)))
        wanted = torch.where(mask, kept, other)
        before = kept.clone()
        found = choose(mask, kept, other)
        assert torch.equal(_bits(found), _bits(wanted))
        assert found.data_ptr() == other.data_ptr()
        assert torch.equal(_bits(kept), _bits(before)), "only the memory of `other` may be written"
        keep_(kept, mask)
        assert torch.equal(_bits(kept), _bits(torch.where(mask, before, 0.0)))
        assert torch.equal(as_numbers(mask, dtype), mask.to(dtype))
        assert as_numbers(mask, dtype).dtype == dtype


def test_a_narrow_weight_in_a_wide_memory() -> None:
    mask, weight, _ = _given(torch.bfloat16, seed=0)
    _, _, memory = _given(torch.float32, seed=1)
    wanted = torch.where(mask, weight, memory)
    assert wanted.dtype == torch.float32
    assert torch.equal(_bits(choose(mask, weight, memory)), _bits(wanted))
