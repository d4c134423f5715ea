"""Loading into a model: names, shapes and dtypes are checked first, then the model's own memory is written."""

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from slrprune.deploy import load_sparse, save_sparse
from slrprune.errors import StateError


def snapshot(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def equal(model: nn.Module, state: dict[str, Tensor]) -> bool:
    return all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())


def scrambled(model: nn.Module) -> nn.Module:
    """A copy in which every entry differs."""
    other = copy.deepcopy(model)
    for tensor in other.state_dict().values():
        tensor.copy_(~tensor if tensor.dtype == torch.bool else tensor + 1)
    return other


def test_parameters_and_buffers_are_written_in_place(net: nn.Module, tmp_path: Path) -> None:
    save_sparse(net, tmp_path / "file")
    other = scrambled(net)
    own = dict(other.named_parameters(remove_duplicate=False)) | dict(other.named_buffers())
    addresses = {name: tensor.data_ptr() for name, tensor in own.items()}
    result = load_sparse(tmp_path / "file", other)
    assert equal(other, snapshot(net))
    assert all(result[name] is own[name] for name in own)
    assert addresses == {name: tensor.data_ptr() for name, tensor in own.items()}


def test_other_memory_formats_are_kept(net: nn.Module, tmp_path: Path) -> None:
    save_sparse(net, tmp_path / "file")
    other = scrambled(net).to(memory_format=torch.channels_last)
    load_sparse(tmp_path / "file", other)
    assert equal(other, snapshot(net))
    assert other.conv.weight.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.gpu
def test_another_device(net: nn.Module, tmp_path: Path) -> None:
    save_sparse(net.cuda(), tmp_path / "file")
    other = scrambled(net)
    load_sparse(tmp_path / "file", other)
    assert equal(other, snapshot(net))


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")  # torch.compile of torch 2.13 uses it
@pytest.mark.parametrize("wrap", ["save", "load", "both"])
def test_prefixes_of_wrappers_do_not_matter(wrap: str, net: nn.Module, tmp_path: Path) -> None:
    other = scrambled(net)
    wrapped = nn.DataParallel(net) if wrap != "load" else torch.compile(net)
    save_sparse(net if wrap == "load" else wrapped, tmp_path / "file")
    load_sparse(tmp_path / "file", other if wrap == "save" else torch.compile(other))
    assert equal(other, snapshot(net))


def test_a_tied_tensor_may_be_missing_in_the_file(net: nn.Module, tmp_path: Path) -> None:
    state = net.state_dict()
    del state["tied.weight"]
    save_sparse(state, tmp_path / "file")
    other = scrambled(net)
    load_sparse(tmp_path / "file", other)
    assert equal(other, snapshot(net))


def test_a_shared_tensor_goes_to_both_tensors_of_an_untied_model(net: nn.Module, tmp_path: Path) -> None:
    save_sparse(net, tmp_path / "file")
    other = scrambled(net)
    other.tied.weight = nn.Parameter(torch.zeros(16, 16))
    load_sparse(tmp_path / "file", other)
    assert torch.equal(other.tied.weight, net.first.weight)
    assert torch.equal(other.first.weight, net.first.weight)


def test_pruned_by_torch_with_mask_and_after_remove(net: nn.Module, tmp_path: Path) -> None:
    other = scrambled(net)
    prune.l1_unstructured(net.conv, "weight", amount=0.9)
    prune.identity(other.conv, "weight")
    save_sparse(net, tmp_path / "masked")
    load_sparse(tmp_path / "masked", other)
    assert torch.equal(other.conv.weight_mask, net.conv.weight_mask)
    assert torch.equal(other.conv.weight_orig, net.conv.weight_orig)
    prune.remove(net.conv, "weight")
    save_sparse(net, tmp_path / "removed")
    assert torch.equal(load_sparse(tmp_path / "removed")["conv.weight"], net.conv.weight)


def test_the_file_fits_load_state_dict(net: nn.Module, tmp_path: Path) -> None:
    save_sparse(net, tmp_path / "file")
    other = scrambled(net)
    other.load_state_dict(load_sparse(tmp_path / "file"))
    assert equal(other, snapshot(net))


def test_autograd_notices_the_change(net: nn.Module, tmp_path: Path) -> None:
    save_sparse(net, tmp_path / "file")
    net.train()
    loss = net(torch.randn(2, 8, 6, 6)).square().sum()
    load_sparse(tmp_path / "file", net)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_inference_tensors_can_be_loaded(tmp_path: Path) -> None:
    with torch.inference_mode():
        model = nn.Linear(20, 30)
    save_sparse({"weight": torch.ones(30, 20), "bias": torch.zeros(30)}, tmp_path / "file")
    load_sparse(tmp_path / "file", model)
    assert torch.equal(model.weight, torch.ones(30, 20))


def change(model: nn.Module, what: str) -> nn.Module:
    if what == "renamed":
        model.convolution = model.conv
        del model.conv
    elif what == "shape":
        model.first.bias = nn.Parameter(torch.zeros(17))
    elif what == "dtype":
        model.norm.double()
    elif what == "extra":
        model.head = nn.Linear(3, 3)
    elif what == "meta":
        model.conv.to("meta")
    elif what == "expanded":
        model.norm.running_mean = torch.zeros(1).expand(16)
    elif what == "untied":
        model.tied.weight = nn.Parameter(torch.ones(16, 16))
    elif what == "fewer":
        model.mask = None
    return model


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("renamed", r"lacks convolution.weight, convolution.bias \(closest to 'convolution.weight': 'conv.weight'"),
        ("renamed", r"it has conv.weight, conv.bias, which the model lacks \(closest to 'conv.weight': 'convolution"),
        ("shape", r"first.bias has shape \(16,\) in the file and \(17,\) in the model"),
        ("dtype", r"norm.weight is torch.float32 in the file and torch.float64 in the model.* and 1 more"),
        ("extra", r"it lacks head.weight, head.bias \(closest"),
        ("fewer", r"it has mask, which the model lacks"),
        ("meta", r"conv.weight is on the meta device. Call model.to_empty"),
        ("expanded", r"norm.running_mean is an expanded tensor, whose entries share memory. Replace it by its clone"),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_loaded(
    what: str, message: str, net: nn.Module, tmp_path: Path
) -> None:
    save_sparse(net, tmp_path / "file")
    other = change(scrambled(net), what)
    before = {name: tensor.clone() for name, tensor in other.state_dict().items() if tensor.device.type != "meta"}
    with pytest.raises(StateError, match=message):
        load_sparse(tmp_path / "file", other)
    assert all(torch.equal(other.state_dict()[name], tensor) for name, tensor in before.items())


def test_values_that_a_tied_model_cannot_hold_are_refused(net: nn.Module, tmp_path: Path) -> None:
    save_sparse(change(copy.deepcopy(net), "untied"), tmp_path / "file")
    with pytest.raises(StateError, match=r"tied.weight and first.weight share memory in the model and differ in the"):
        load_sparse(tmp_path / "file", net)


def test_a_damaged_tensor_leaves_all_others_alone(net: nn.Module, tmp_path: Path) -> None:
    save_sparse(net, tmp_path / "file")
    content = bytearray((tmp_path / "file").read_bytes())
    content[-20] ^= 4  # in the last row but the checksum of the index
    (tmp_path / "file").write_bytes(content)
    other = scrambled(net)
    before = snapshot(other)
    with pytest.raises(ValueError, match=r"'first.bias': the checksum does not match the data"):
        load_sparse(tmp_path / "file", other)
    assert equal(other, before)


@pytest.mark.parametrize("side", ["file", "model"])
def test_names_that_differ_by_wrappers_only_are_refused(side: str, tmp_path: Path) -> None:
    inner = nn.ModuleDict({"_orig_mod": nn.Linear(2, 2)})
    inner.register_parameter("weight", nn.Parameter(torch.zeros(2, 2)))
    save_sparse(inner if side == "file" else {"weight": torch.zeros(2, 2)}, tmp_path / "file")
    with pytest.raises(StateError, match=f"names in the {side} differ only by the prefixes of wrappers"):
        load_sparse(tmp_path / "file", nn.Linear(2, 2) if side == "file" else inner)


def test_a_state_dict_made_by_hooks_is_refused(tmp_path: Path) -> None:
    model = nn.Linear(3, 3)
    model.register_state_dict_post_hook(lambda module, state, prefix, _: state.update(weight=state["weight"].clone()))
    save_sparse(model, tmp_path / "file")
    with pytest.raises(
        StateError, match=r"the model makes weight of its state dict by code of its own. Use model.load"
    ):
        load_sparse(tmp_path / "file", model)


def test_max_bytes_holds_for_models_too(net: nn.Module, tmp_path: Path, as_bits: Callable[[Tensor], bytes]) -> None:
    save_sparse(net, tmp_path / "file")
    with pytest.raises(ValueError, match="max_bytes allows 100"):
        load_sparse(tmp_path / "file", net, max_bytes=100)
    load_sparse(tmp_path / "file", net, max_bytes=sum(t.nbytes for t in net.state_dict().values()))
