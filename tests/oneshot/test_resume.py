"""A killed run goes on where it stopped; weights may stay on disk."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from slrprune.errors import DataError, RuleError, StateError, UsageError
from slrprune.oneshot import SLR, Wanda, prune
from slrprune.oneshot.gram import Gram
from slrprune.sets import Global, Unstructured


class Killed(Exception):  # noqa: N818  (not an error of the library)
    """What stands for a power cut."""


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.up, self.down = nn.Linear(8, 16), nn.Linear(16, 8)
        self.register_buffer("gain", torch.ones(8))

    def forward(self, hidden):
        return hidden + self.gain * self.down(torch.relu(self.up(hidden)))


def build():
    torch.manual_seed(0)
    stem, head = nn.Linear(4, 8), nn.Linear(8, 3)
    return nn.ModuleDict({"stem": stem, "blocks": nn.Sequential(*(Block() for _ in range(4))), "head": head}).eval()


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        for name, child in build().items():
            setattr(self, name, child)

    def forward(self, x):
        return self.head(self.blocks(self.stem(x)))


@pytest.fixture
def data():
    return [torch.randn(30, 4, generator=torch.Generator().manual_seed(1)) for _ in range(2)]


def killer(after):
    def progress(event):
        if event.number == after:
            raise Killed

    return progress


@pytest.mark.parametrize("rules", [Unstructured(0.5), {"blocks.*": Unstructured(0.5)}, Global(0.5)], ids=repr)
@pytest.mark.parametrize("after", [1, 3])
def test_a_killed_run_goes_on_and_ends_as_if_nothing_had_happened(rules, after, data, tmp_path, monkeypatch):
    whole = Net().eval()
    expected = prune(whole, data, rules)
    with pytest.raises(Killed):
        prune(Net().eval(), data, rules, folder=tmp_path, progress=killer(after))
    events, seen = [], []
    original = Gram.add
    monkeypatch.setattr(Gram, "add", lambda self, inputs: (seen.append(self._name), original(self, inputs))[1])
    resumed = Net().eval()
    report = prune(resumed, data, rules, folder=tmp_path, progress=events.append)
    assert [event.is_restored for event in events] == [number < after for number in range(len(events))]
    first = {record.name for event in events[:after] for record in event.layers}
    assert not first & set(seen)  # what was finished is neither measured nor solved again
    for (name, one), other in zip(resumed.named_parameters(), whole.parameters(), strict=True):
        assert torch.equal(one, other), name
    strip = [(r.name, r.nnz, r.error, r.samples) for r in report.layers]
    assert strip == [(r.name, r.nnz, r.error, r.samples) for r in expected.layers]


def test_the_folder_is_a_checkpoint(data, tmp_path):
    model = Net().eval()
    prune(model, data, {"blocks.*": Unstructured(0.5)}, folder=tmp_path)
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())["weight_map"]
    state = {name: load_file(tmp_path / file)[name] for name, file in index.items()}
    fresh = Net().eval()
    fresh.load_state_dict(state)
    assert all(torch.equal(p, q) for p, q in zip(fresh.parameters(), model.parameters(), strict=True))
    assert not list(tmp_path.glob("*.partial"))


def test_a_folder_of_another_run_is_refused(data, tmp_path):
    prune(Net().eval(), data, Unstructured(0.5), folder=tmp_path)
    message = "belongs to a run with another model, other rules, another solver or other calibration data. Name another"
    for model, batches, rules, solver in (
        (Net().eval(), data, Unstructured(0.6), SLR()),
        (Net().eval(), data, Unstructured(0.5), Wanda()),
        (Net().eval(), data[:1], Unstructured(0.5), SLR()),
    ):
        with pytest.raises(StateError, match=message):
            prune(model, batches, rules, solver, folder=tmp_path)
    content = json.loads((tmp_path / "oneshot.json").read_text())
    (tmp_path / "oneshot.json").write_text(json.dumps({**content, "version": 1}))
    with pytest.raises(StateError, match=r"was written by another version of slrprune. Name another folder"):
        prune(Net().eval(), data, Unstructured(0.5), folder=tmp_path)


@pytest.mark.parametrize("name", ["stem.weight", "blocks.3.up.weight", "blocks.0.up.bias", "blocks.1.gain"])
@pytest.mark.parametrize("after", [1, 6])
def test_a_model_of_other_values_is_refused_and_stays_as_it_is(after, name, data, tmp_path):
    with pytest.raises(Killed):
        prune(Net().eval(), data, Unstructured(0.5), folder=tmp_path, progress=killer(after))
    other = Net().eval()
    with torch.no_grad():
        other.state_dict()[name].view(-1)[-1] += 1
    before = {name: tensor.clone() for name, tensor in other.state_dict().items()}
    message = f"belongs to a run that began with other values of '{name}', or .* Load the weights that it began with"
    with pytest.raises(StateError, match=message):
        prune(other, data, Unstructured(0.5), folder=tmp_path)
    assert all(torch.equal(tensor, before[name]) for name, tensor in other.state_dict().items())


def test_one_shared_budget_is_not_two_of_the_same_size(data, tmp_path):
    shared = Global(0.5)
    prune(Net().eval(), data, {"stem": shared, "head": shared}, folder=tmp_path)
    with pytest.raises(StateError, match="belongs to a run with another model, other rules"):
        prune(Net().eval(), data, {"stem": Global(0.5), "head": Global(0.5)}, folder=tmp_path)
    again = Global(0.5)
    prune(Net().eval(), data, {"stem": again, "head": again}, folder=tmp_path)
    each = Unstructured(0.5)  # shared or not, every tensor has its own
    prune(Net().eval(), data, {"stem": each, "head": each}, folder=tmp_path / "own")
    prune(Net().eval(), data, {"stem": each, "head": Unstructured(0.5)}, folder=tmp_path / "own")


@pytest.mark.parametrize("rules", [Unstructured(0.5), Global(0.5)], ids=repr)
def test_a_run_goes_on_with_the_model_that_it_left(rules, data, tmp_path):
    whole, model = Net().eval(), Net().eval()
    expected = prune(whole, data, rules)
    with pytest.raises(Killed):
        prune(model, data, rules, folder=tmp_path, progress=killer(3))
    prune(model, data, rules, folder=tmp_path)
    report = prune(model, data, rules, folder=tmp_path)  # of a finished run, too
    assert [record.error for record in report.layers] == [record.error for record in expected.layers]
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), whole.parameters(), strict=True))


def test_a_model_left_within_a_stage_is_refused(data, tmp_path, monkeypatch):
    """Its next pass would take the pruned weight for the dense one."""
    model, solved, original = Net().eval(), [], Wanda.solve

    def solve(self, problem, constraint):
        if len(solved) == 4:  # the stem, the first block, one of the two layers of the second
            raise Killed
        solved.append(problem.name)
        return original(self, problem, constraint)

    monkeypatch.setattr(Wanda, "solve", solve)
    with pytest.raises(Killed):
        prune(model, data, Unstructured(0.5), Wanda(), folder=tmp_path)
    monkeypatch.undo()
    with pytest.raises(StateError, match=r"other values of 'blocks.1.up.weight', or was stopped while pruning it"):
        prune(model, data, Unstructured(0.5), Wanda(), folder=tmp_path)
    assert len(prune(Net().eval(), data, Unstructured(0.5), Wanda(), folder=tmp_path).layers) == 10


def test_channels_last_weights_have_a_folder_too(tmp_path):
    def make(layout):
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)).eval().to(memory_format=layout)

    images = [torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))]
    for rules in (Unstructured(0.5), {"0": Unstructured(0.5)}):
        model, folder = make(torch.channels_last), tmp_path / type(rules).__name__
        prune(model, images, rules, folder=folder)
        again = make(torch.contiguous_format)  # the same values in another order of storage
        prune(again, images, rules, folder=folder)
        assert all(torch.equal(p, q) for p, q in zip(model.parameters(), again.parameters(), strict=True))


def test_damaged_files_are_named(data, tmp_path):
    with pytest.raises(Killed):
        prune(Net().eval(), data, Unstructured(0.5), folder=tmp_path, progress=killer(2))
    (tmp_path / "stage-0001.safetensors").write_bytes(b"no")
    with pytest.raises(DataError, match=r"stage-0001.safetensors: cannot be read .* Delete the folder"):
        prune(Net().eval(), data, Unstructured(0.5), folder=tmp_path)
    (tmp_path / "oneshot.json").write_text("{")
    with pytest.raises(DataError, match=r"oneshot.json: is no JSON"):
        prune(Net().eval(), data, Unstructured(0.5), folder=tmp_path)


def on_meta():
    """Parameters on meta, buffers in memory."""
    model = Net().eval()
    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            setattr(module, name, nn.Parameter(parameter.to("meta")))
    return model


@pytest.mark.parametrize("shards", [False, True])
@pytest.mark.parametrize("rules", [{"blocks.*": Unstructured(0.5)}, {"blocks.*": Global(0.5)}], ids=repr)
def test_streamed_weights_give_the_same_result_with_one_block_in_memory(rules, shards, data, tmp_path):
    source, out = tmp_path / "source", tmp_path / "out"
    source.mkdir()
    state = Net().state_dict()
    if shards:
        halves = [dict(list(state.items())[:7]), dict(list(state.items())[7:])]
        for number, half in enumerate(halves):
            save_file(half, source / f"{number}.safetensors")
        index = {name: f"{number}.safetensors" for number, half in enumerate(halves) for name in half}
        (source / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    else:
        save_file(state, source / "model.safetensors")
    whole = Net().eval()
    prune(whole, data, rules)
    model, loaded = on_meta(), []

    def watch(event):
        loaded.append([number for number, block in enumerate(model.blocks) if not block.up.weight.is_meta])

    with pytest.raises(Killed):
        prune(model, data, rules, folder=out, weights=source, progress=killer(2))
    prune(on_meta(), data, rules, folder=out, weights=source)
    index = json.loads((out / "model.safetensors.index.json").read_text())["weight_map"]
    for name, tensor in whole.state_dict().items():
        assert torch.equal(load_file(out / index[name])[name], tensor), name
    model = on_meta()
    prune(model, data, rules, folder=tmp_path / "again", weights=source, progress=watch)
    assert loaded == [[], [], [], []]  # every block was released
    assert not model.stem.weight.is_meta


@pytest.mark.parametrize("name", ["blocks.0.up.weight", "blocks.3.down.weight", "blocks.1.up.bias", "head.weight"])
def test_a_folder_of_another_checkpoint_is_refused(name, data, tmp_path):
    state, rules = Net().state_dict(), {"blocks.*": Unstructured(0.5)}
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(Killed):
        prune(on_meta(), data, rules, folder=tmp_path / "out", weights=tmp_path, progress=killer(2))
    state[name].view(-1)[-1] += 1
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(StateError, match=f"belongs to a run that began with other values of '{name}'"):
        prune(on_meta(), data, rules, folder=tmp_path / "out", weights=tmp_path)


def test_streamed_weights_that_do_not_fit_are_refused(data, tmp_path):
    rules = {"blocks.*": Unstructured(0.5)}
    with pytest.raises(UsageError, match=r"the result needs a place. Give folder=..., too"):
        prune(on_meta(), data, rules, weights=tmp_path)
    with pytest.raises(DataError, match=r"there is no checkpoint here. Name a .safetensors file, or a folder"):
        prune(on_meta(), data, rules, weights=tmp_path / "nowhere", folder=tmp_path / "out")
    state = Net().state_dict()
    del state["blocks.2.up.weight"]
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(DataError, match=r"does not hold 'blocks.2.up.weight'. Is this the checkpoint of this model"):
        prune(on_meta(), data, rules, weights=tmp_path, folder=tmp_path / "out")
    save_file({**state, "blocks.2.up.weight": torch.zeros(2, 2)}, tmp_path / "model.safetensors")
    with pytest.raises(DataError, match=r"in shape \(2, 2\), and the model wants \(16, 8\)"):
        prune(on_meta(), data, rules, weights=tmp_path, folder=tmp_path / "out")
    with pytest.raises(RuleError, match=r"stem.weight: lies outside of the model's blocks"):
        prune(on_meta(), data, Unstructured(0.5), weights=tmp_path, folder=tmp_path / "other")
    (tmp_path / "bad.safetensors").write_bytes(b"bad")
    with pytest.raises(DataError, match=r"bad.safetensors: is no safetensors file"):
        prune(on_meta(), data, rules, weights=tmp_path / "bad.safetensors", folder=tmp_path / "more")
    save_file(Net().state_dict(), tmp_path / "model.safetensors")
    with pytest.raises(UsageError, match=r"blocks.0.gain: is a buffer on meta"):
        prune(Net().eval().to("meta"), data, rules, weights=tmp_path, folder=tmp_path / "out2")
