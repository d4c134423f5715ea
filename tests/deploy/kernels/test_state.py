"""Packed layers copied, pickled, saved and loaded; damaged weights are refused."""

import copy
import io
import pickle
import struct

import pytest
import torch
from torch import nn

from slrprune.deploy import kernels
from slrprune.deploy.kernels import blob
from slrprune.errors import StateError
from slrprune.sets import Unstructured

pytestmark = pytest.mark.usefixtures("_library")


@pytest.fixture
def layer() -> kernels.PackedLinear:
    return kernels.pack_linear(Unstructured(0.8).project(torch.randn(40, 70)), torch.randn(40))


def other() -> kernels.PackedLinear:
    """Another weight with as many nonzeros in the same places."""
    torch.manual_seed(0)
    return kernels.pack_linear(2 * Unstructured(0.8).project(torch.randn(40, 70)), torch.zeros(40))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])
def test_copies_are_their_own(layer, copied):
    x = torch.randn(3, 70)
    expected = layer(x)
    twin = copied(layer)
    assert torch.equal(twin(x), expected)
    assert twin.packed.data_ptr() != layer.packed.data_ptr()
    del layer
    assert torch.equal(twin(x), expected)


def test_state_dict_of_another_weight(layer):
    x = torch.randn(20, 70)
    layer(x)  # the old weight has been checked, and its address is known
    file = io.BytesIO()
    torch.save(other().state_dict(), file)
    file.seek(0)
    state = torch.load(file, weights_only=True)
    assert list(state) == ["packed"]
    fresh = kernels.PackedLinear(torch.empty_like(state["packed"]), 70, 40, relu=False)
    fresh.load_state_dict(state)
    assert torch.equal(fresh(x), other()(x))


def test_a_weight_loaded_in_place_is_seen(layer):
    first, second = other(), other()
    x = torch.randn(3, 70)
    before = first(x)
    weight = 3 * Unstructured(0.8).project(torch.randn(40, 70))
    second = kernels.pack_linear(weight)
    if second.packed.shape != first.packed.shape:
        first.packed.resize_(second.packed.shape)
    first.load_state_dict(second.state_dict())
    assert torch.equal(first(x), second(x))
    assert not torch.equal(first(x), before)


def test_moved_and_converted_models_keep_the_packed_bytes(layer):
    x = torch.randn(3, 70)
    net = nn.Sequential(layer)
    expected = net(x)
    assert torch.equal(net.half().to("cpu").share_memory()(x.float()), expected)


def test_a_weight_whose_memory_moves_without_a_new_version(layer):
    x = torch.randn(3, 70)
    expected = layer(x)
    layer.packed.set_(layer.packed.clone().untyped_storage())
    assert torch.equal(layer(x), expected)
    layer.packed.untyped_storage().resize_(0)
    with pytest.raises(StateError, match=r"the memory of the packed weight was given back. Pack the weight again"):
        layer(x)


def test_a_weight_at_an_odd_address_is_copied(layer):
    x = torch.randn(3, 70)
    expected = layer(x)
    memory = torch.empty(layer.packed.numel() + 1, dtype=torch.uint8)
    memory[1:] = layer.packed
    layer.packed = memory[1:]
    assert torch.equal(layer(x), expected)


def test_random_bytes_and_shortened_weights_are_refused(layer):
    x = torch.randn(1, 70)
    for packed in (torch.zeros(10, dtype=torch.uint8), layer.packed[:-64].clone(), layer.packed[:100].clone()):
        with pytest.raises(StateError, match=r"damaged, or of another version. Pack the weight again"):
            kernels.PackedLinear(packed, 70, 40, relu=False)(x)
    with pytest.raises(StateError, match=r"a one-dimensional uint8 tensor on the CPU, got torch.float32"):
        kernels.PackedLinear(torch.zeros(1000), 70, 40, relu=False)(x)


def test_every_field_of_the_header_is_checked(layer):
    x = torch.randn(20, 70)
    header = blob.read_header(layer.packed)
    for place, (name, value) in enumerate(header.items()):
        for wrong in (-1, value + 1, value + 64, 2**40, 2**62):
            broken = layer.packed.clone()
            broken[8 * place : 8 * place + 8] = torch.frombuffer(bytearray(struct.pack("=q", wrong)), dtype=torch.uint8)
            try:
                y = kernels.PackedLinear(broken, 70, 40, relu=False)(x)
            except (StateError, ValueError):  # refused by the check, or unlike the input
                continue
            # What is left of the changes moves an array, or a limit, to another place within the weight.
            assert name not in ("magic", "layout", "bytes", "entries", "channels"), (name, wrong)
            assert y.shape[0] == 20


def test_mutated_weights_neither_crash_nor_pass_their_memory():
    layers = [other(), kernels.pack_conv2d(Unstructured(0.7).project(torch.randn(8, 6, 3, 3)))]
    inputs = [torch.randn(1, 70), torch.randn(1, 6, 9, 9)]
    generator = torch.Generator().manual_seed(0)
    refused = 0
    for layer, x in zip(layers, inputs, strict=True):
        for _ in range(300):
            broken = copy.deepcopy(layer)
            place = torch.randint(layer.packed.numel(), (2,), generator=generator)
            broken.packed[place] = torch.randint(256, (2,), generator=generator).to(torch.uint8)
            try:
                broken(x)  # under a sanitizer a read beyond the weight ends the process
            except (StateError, ValueError):
                refused += 1
    assert refused > 30
