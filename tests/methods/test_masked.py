"""Selecting by masks: the bits of torch.where, whatever stands in the tensor and however it lies in memory."""

import pytest
import torch

from slrprune.methods.masked import as_numbers, choose, keep_, only

AWKWARD = [-0.0, 0.0, 1.5, -2.0, float("nan"), float("inf"), float("-inf"), 1e-7]
LAYOUTS = {
    "contiguous": lambda tensor: tensor,
    "channels last": lambda tensor: tensor.contiguous(memory_format=torch.channels_last),
    "transposed": lambda tensor: tensor.transpose(0, 3),
    "every other": lambda tensor: tensor[..., ::2],
    "empty": lambda tensor: tensor[:0],
}
INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("mask_layout", ["like the values", "contiguous"])
def test_the_bits_of_where(dtype, layout, mask_layout):
    generator = torch.Generator().manual_seed(0)
    values = torch.tensor(AWKWARD).repeat(3 * 4 * 6).view(3, 4, 6, 8).to(dtype)
    mask = torch.rand(values.shape, generator=generator) < 0.5
    values, mask = LAYOUTS[layout](values), LAYOUTS[layout](mask)
    if mask_layout == "contiguous":
        mask = mask.contiguous()
    bits = INTEGERS[values.itemsize]
    expected = torch.where(mask, values, 0.0).view(bits)
    before = values.view(bits).clone()
    found = only(mask, values)
    assert found.dtype == dtype
    assert torch.equal(found.view(bits), expected)
    assert torch.equal(values.view(bits), before)
    assert torch.equal(as_numbers(mask, dtype), mask.to(dtype))
    assert as_numbers(mask, dtype).dtype == dtype
    other = values.flip(0).clone(memory_format=torch.preserve_format)
    wanted = torch.where(mask, values, other).view(bits)
    chosen = choose(mask, values, other)
    assert chosen.data_ptr() == other.data_ptr()
    assert torch.equal(chosen.view(bits), wanted)
    assert torch.equal(values.view(bits), before)
    keep_(values, mask)
    assert torch.equal(values.view(bits), expected)


def test_a_parameter_is_changed_in_place():
    weight = torch.nn.Parameter(torch.ones(3))
    with torch.no_grad():
        keep_(weight, torch.tensor([True, False, True]))
    assert weight.tolist() == [1.0, 0.0, 1.0]
    assert weight.is_leaf


def test_a_narrow_weight_is_chosen_into_a_wide_memory():
    generator = torch.Generator().manual_seed(0)
    weight = torch.tensor(AWKWARD).repeat(20).to(torch.bfloat16)
    memory, mask = torch.randn(160, generator=generator), torch.rand(160, generator=generator) < 0.5
    wanted = torch.where(mask, weight, memory)
    assert wanted.dtype == torch.float32
    assert torch.equal(choose(mask, weight, memory).view(torch.int32), wanted.view(torch.int32))
