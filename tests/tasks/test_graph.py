"""The graph task: on a made-up graph everything but accuracy, on Cora the published one."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from slrprune.compare.identity import fingerprint
from slrprune.errors import ArgumentError, DataError, UsageError
from slrprune.sets import Global
from slrprune.tasks import Graph
from slrprune.tasks.gcn import GCN, propagation
from slrprune.tasks.recipe import AdamRecipe
from slrprune.train.loop import train

NODES, WORDS = 30, 12
BAD_EDGE = "the edge leads to a node that does not exist, or to itself"
GAP = "the classes must have a training node each, but"
BEYOND = "the label is beyond those of the training nodes"


def arrays():
    """Two classes that use different words and know their own kind."""
    generator = np.random.default_rng(0)
    labels = np.arange(NODES) % 2
    dense = generator.random((NODES, WORDS)) < np.where(np.arange(WORDS) // 6 == labels[:, None], 0.6, 0.1)
    dense[:, 0] |= ~dense.any(axis=1)
    edges = [(i, i + 2) for i in range(NODES - 2)]
    return {
        "shape": np.array([NODES, WORDS]),
        "indptr": np.concatenate([[0], dense.sum(axis=1).cumsum()]).astype(np.int32),
        "indices": np.nonzero(dense)[1].astype(np.int16),
        "values": np.ones(dense.sum(), np.float32),
        "edges": np.array(edges, np.int16),
        "labels": labels.astype(np.int8),
        "train_idx": np.arange(8),
        "val_idx": np.arange(8, 16),
        "test_idx": np.arange(16, 30),
    }


def folder_of(path, **changes):
    (path / "graph").mkdir(exist_ok=True)
    np.savez(path / "graph" / "made.npz", **(arrays() | changes))
    return path


def make(path, changes=None, **options):
    return Graph(folder_of(path, **(changes or {})), **({"graph": "made", "hidden": 4} | options))


def test_propagation_is_the_formula():
    # A path of three nodes: degrees with loops 2, 3, 2.
    matrix = propagation(torch.tensor([[0, 1], [1, 2]]), 3).to_dense()
    a, b, c = 1 / 2, 1 / 6**0.5, 1 / 3
    torch.testing.assert_close(matrix, torch.tensor([[a, b, 0], [b, c, b], [0, b, a]]))


def test_the_network_is_two_products_and_a_relu():
    edges = torch.tensor([[0, 1], [1, 2]])
    model = GCN(5, 2, edges, 3, hidden=4).eval()
    features, matrix = torch.randn(3, 5), propagation(edges, 3).to_dense()
    model.conv1.bias.data.normal_()
    inner = (matrix @ features @ model.conv1.linear.weight.T + model.conv1.bias).relu()
    expected = matrix @ inner @ model.conv2.linear.weight.T + model.conv2.bias
    torch.testing.assert_close(model(features), expected)
    torch.testing.assert_close(model(features.to_sparse()), expected)
    assert list(model.state_dict()) == ["conv1.bias", "conv1.linear.weight", "conv2.bias", "conv2.linear.weight"]


def test_the_network_goes_to_onnx(tmp_path):
    pytest.importorskip("onnxruntime")
    from slrprune.deploy.handover import export_onnx

    task = make(tmp_path)
    model = task.build_model().eval()
    report = export_onnx(model, task.example_input(), tmp_path / "gcn.onnx")
    assert report.relative_difference < 1e-5
    assert model(task.example_input()).abs().max() > 0.01


def test_batches_are_the_whole_graph_with_words_left_out(tmp_path):
    task = make(tmp_path)
    features, nodes = next(task.batches("test"))
    torch.testing.assert_close(features.to_dense().sum(dim=1), torch.ones(NODES))
    assert nodes.numbers.tolist() == list(range(16, 30))
    first, again, other = (next(task.batches("train", epoch))[0].to_dense() for epoch in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    left = first != 0
    torch.testing.assert_close(first[left], 2 * features.to_dense()[left])
    assert 0.25 < left.sum() / (features.to_dense() != 0).sum() < 0.75
    assert torch.equal(next(make(tmp_path, dropout=0).batches("train"))[0].to_dense(), features.to_dense())


def test_training_learns_and_a_pruned_network_can_be_evaluated(tmp_path):
    task = make(tmp_path, dropout=0.1)
    model = task.build_model()
    train(model, task, AdamRecipe(epochs=60, lr=0.05))
    assert task.evaluate(model, "test") > 80
    assert Global(0.5).is_joint  # the weights are found without a rule of their own
    assert model(task.example_input()).shape == (NODES, 2)
    assert task.model_name == "gcn4-made"


@pytest.mark.parametrize(
    ("changes", "reason", "place"),
    [
        ({"edges": np.array([(0, 2), (1, 99)])}, BAD_EDGE, "edge 1"),
        ({"edges": np.array([(3, 3), (0, 2)])}, BAD_EDGE, "edge 0"),
        ({"labels": np.array([-1] + [0, 1] * 14 + [0])}, "the label is out of range", "node 0 in train"),
        ({"labels": np.array([0, 1] * 5 + [500] + [1] + [0, 1] * 9)}, BEYOND, "node 10 in val"),
        ({"labels": np.array([0, 1] * 14 + [0, 2])}, BEYOND, "node 29 in test"),
        ({"val_idx": np.array([9, 77])}, "the node of a split does not exist", "node 77 in val"),
        ({"values": np.array([np.nan, *arrays()["values"][1:]])}, "a feature is not finite", "node 0 in train"),
    ],
)
def test_bad_input_is_skipped_with_a_count_or_refused(tmp_path, changes, reason, place):
    task = make(tmp_path, changes)
    assert task.warnings() == (f"Skipped 1, since {reason}: made.npz, {place}.",)
    assert next(task.batches("train"))[0].to_dense().isfinite().all()
    assert task.classes == 2
    with pytest.raises(DataError, match=rf"made\.npz: {reason} \({place}\)\. Correct the file"):
        make(tmp_path, changes, strict=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shape": np.array([0, 3])}, "shape must hold two positive numbers"),
        ({"indptr": np.array([0, 1])}, "indptr must rise from 0 to the length of indices in 31 numbers"),
        ({"indices": np.full(arrays()["indices"].shape, 12)}, r"indices must be in \[0, 12\)"),
        ({"values": np.ones(3)}, "values and indices must have the same length"),
        ({"edges": np.zeros((4, 3))}, r"edges must have the shape \(m, 2\)"),
        ({"labels": np.zeros(5)}, "labels must hold 30 numbers"),
        (
            {"shape": np.array([NODES, 10**9])},
            "shape holds 30 nodes of 1,000,000,000 features, more than 1,073,741,824",
        ),
        (
            {"labels": np.array([10**12] + [1, 0] * 14 + [1])},
            rf"{GAP} 2 has none, and node 0 has the label 1{'0' * 12}\.",
        ),
        ({"labels": np.array([0, 1, 99] + [1, 0] * 13 + [1])}, rf"{GAP} 2 has none, and node 2 has the label 99\."),
        ({"labels": np.arange(NODES) % 2 + 1}, rf"{GAP} 0 has none, and node 1 has the label 2\."),
        ({"train_idx": np.array([55])}, "no node of 'train' can be used"),
        ({"train_idx": np.array([])}, "no node of 'train' can be used"),
        ({"labels": np.array([0] * 16 + [7] * 14)}, "no node of 'test' can be used"),
        ({"labels": np.full(NODES, 1.5)}, "labels must hold integers, not float64"),
        ({"labels": np.full(NODES, "cat")}, "labels must hold integers, not <U3"),
        ({"edges": np.array([[0, 1.7]])}, "edges must hold integers, not float64"),
        ({"val_idx": np.array([True, False])}, "val_idx must hold integers, not bool"),
        ({"train_idx": np.array([[0, 1], [2, 3]])}, "train_idx must have one dimension, not 2"),
        ({"shape": np.array(["30", "twelve"])}, "shape must hold integers, not <U6"),
        ({"indices": np.array(3)}, "indices must have one dimension, not 0"),
        ({"values": np.full(arrays()["values"].shape, "x")}, "values must hold numbers, not <U1"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused(tmp_path, changes, message):
    with pytest.raises(DataError, match=rf"graph: .*made\.npz: {message}"):
        make(tmp_path, changes)


def test_an_edge_counts_once_however_often_it_is_listed(tmp_path):
    once = make(tmp_path).build_model()
    edges = arrays()["edges"]
    for repeated in (np.concatenate([edges, edges[:, ::-1]]), np.repeat(edges, 3, axis=0)):
        task = make(tmp_path, {"edges": repeated}, strict=True)
        model = task.build_model()
        assert torch.equal(model.places, once.places)
        assert torch.equal(model.values, once.values)
        assert task.warnings() == ()
    assert fingerprint(make(tmp_path, {"edges": repeated})) == fingerprint(make(tmp_path))


def test_a_graph_may_have_no_edges(tmp_path):
    model = make(tmp_path, {"edges": np.zeros((0, 2), np.int16)}).build_model()
    assert model.values.tolist() == [1.0] * NODES


def test_a_missing_or_damaged_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"graph: there is no cora\.npz in .*, and none in its folder graph"):
        Graph(tmp_path)
    with pytest.raises(DataError, match=r"graph: there is no folder .*nowhere"):
        Graph(tmp_path / "nowhere")
    file = folder_of(tmp_path) / "graph" / "made.npz"
    content = arrays()
    content.pop("labels")
    np.savez(file, **content)
    with pytest.raises(DataError, match=r"made\.npz has no array 'labels'\. It needs: shape"):
        Graph(tmp_path, graph="made")
    file.write_bytes(file.read_bytes()[:300])
    with pytest.raises(DataError, match=r"made\.npz is truncated, damaged, or no \.npz file"):
        Graph(tmp_path, graph="made")


def broken_stream(file):
    """The first byte of the compressed array names a kind of block that does not exist: zlib.error."""
    content = bytearray(file.read_bytes())
    start = 30 + int.from_bytes(content[26:28], "little") + int.from_bytes(content[28:30], "little")
    content[start] = 0x07
    return content


def array_file(file):
    """One array, and no archive of several."""
    with file.open("wb") as stream:
        np.save(stream, np.ones(3))
    return file.read_bytes()


def changed_entry(file, at, byte):
    """The same byte of the first entry, in its own header and in the directory."""
    content = bytearray(file.read_bytes())
    content[at] = content[content.index(b"PK\x01\x02") + at + 2] = byte
    return content


@pytest.mark.parametrize(
    "damage",
    [
        broken_stream,
        lambda file: changed_entry(file, 8, 99),  # an unknown compression: NotImplementedError
        lambda file: changed_entry(file, 6, 1),  # encrypted: RuntimeError
        array_file,
    ],
)
def test_every_kind_of_damage_is_told_by_the_file(tmp_path, damage):
    file = folder_of(tmp_path) / "graph" / "made.npz"
    np.savez_compressed(file, **arrays())
    file.write_bytes(damage(file))
    with pytest.raises(DataError, match=r"made\.npz is truncated, damaged, or no \.npz file"):
        Graph(tmp_path, graph="made")


@pytest.mark.parametrize(("options", "rule"), [({"hidden": 0}, "at least 1"), ({"dropout": 1.0}, r"in \[0, 1\)")])
def test_values_out_of_range_are_refused(tmp_path, options, rule):
    with pytest.raises(ArgumentError, match=rf"must be {rule}"):
        make(tmp_path, **options)


def test_the_fingerprint_follows_data_and_settings(tmp_path):
    assert fingerprint(make(tmp_path)) == fingerprint(make(tmp_path))
    assert fingerprint(make(tmp_path)) != fingerprint(make(tmp_path, dropout=0.4))


def test_cora_is_the_published_graph(data_dir):
    if not (data_dir / "graph" / "cora.npz").is_file():
        pytest.skip(f"needs Cora: {data_dir} has no graph/cora.npz")
    task = Graph(data_dir, strict=True)
    sizes = {split: len(next(task.batches(split))[1].numbers) for split in ("train", "val", "test")}
    assert sizes == {"train": 140, "val": 500, "test": 1000}
    model = task.build_model()
    assert (task.classes, model.conv1.linear.weight.shape) == (7, (16, 1433))
    # Half of the published training: enough to be far above chance, not enough for the published figure.
    train(model, task, AdamRecipe(epochs=30, lr=0.02, weight_decay=5e-4))
    assert task.evaluate(model, "val") > 65


def test_a_run_on_several_processes_is_refused(tmp_path):
    pytest.importorskip("accelerate", reason="runs need accelerate, of the extra train")
    pytest.importorskip("pydantic", reason="configurations need pydantic, of the extra train")
    from slrprune.config import make_config
    from slrprune.train.plan import make_plan

    config = make_config(task="graph", data=str(folder_of(tmp_path)), task_options={"graph": "made"}, device="cpu")
    two = SimpleNamespace(processes=2, device=torch.device("cpu"))
    expected = r"^graph: a batch of this task is one whole thing, which 2 processes cannot share\. Start one process\.$"
    with pytest.raises(UsageError, match=expected):
        make_plan(config, two)
    make_plan(config, SimpleNamespace(processes=1, device=torch.device("cpu")))
    make_plan(make_config(task="digits", device="cpu"), two)
