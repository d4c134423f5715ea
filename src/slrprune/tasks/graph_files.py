"""A graph with labelled nodes from one `.npz` file.

The file holds, as plain arrays: `shape` (nodes, features); the node features in CSR form as `indptr`, `indices` and
`values`; `edges` of shape (m, 2), undirected, where an edge that is listed again or in both directions counts once;
`labels` of every node; `train_idx`, `val_idx` and `test_idx`, the nodes of the splits. All but `values` are integers.
The training nodes say how many classes there are: their labels must be 0, 1 and so on without a gap. Cora in this form
is the data set of Planetoid with its published split (Yang, Cohen, Salakhutdinov: Revisiting Semi-Supervised Learning
with Graph Embeddings, 2016).
"""

import lzma
import zipfile
import zlib
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from slrprune.errors import DataError
from slrprune.tasks.base import Split
from slrprune.tasks.data_folder import data_folder
from slrprune.tasks.tally import Tally

SPLIT_KEYS: dict[Split, str] = {"train": "train_idx", "val": "val_idx", "test": "test_idx"}
_KEYS = ("shape", "indptr", "indices", "values", "edges", "labels", *SPLIT_KEYS.values())
_MOST_FEATURES = 2**30
"""Nodes times features: the features are held dense, in float32, which at this number takes 4 GiB."""
_Arrays = dict[str, NDArray[np.generic]]
_DAMAGED = (
    *(OSError, ValueError, EOFError, RuntimeError, MemoryError),  # NotImplementedError is a RuntimeError
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError),
    TypeError,  # a single array, which is no archive
)
"""What NumPy and zipfile raise for a file that is damaged, or none of theirs."""


class Graph(NamedTuple):
    """A graph: dense node features float32 (n, f), edges int64 (2, m), labels int64 (n,), node numbers by split."""

    features: Tensor
    edges: Tensor
    labels: Tensor
    splits: dict[Split, Tensor]
    classes: int


def read_graph(data: str | PathLike[str] | None, name: str, *, strict: bool, tally: Tally) -> Graph:
    """Reads `<name>.npz` from a folder, or from the folder `graph` inside it.

    Args:
        data: the folder; None takes the environment variable SLRPRUNE_DATA.
        name: of the graph, for example "cora".
        strict: whether bad edges and nodes are refused; otherwise they are left out and counted.
        tally: counts them.

    Raises:
        DataError: no such file; a file that is damaged or holds other arrays; too many features to be held dense;
            a class without a training node; with `strict` an edge to a node that
            does not exist or to itself, and a node of a split with a feature that is not finite, a negative label,
            or a label beyond those of the training nodes; a split left without nodes. Every message names the file.
    """
    folder = data_folder("graph", data)
    path = next((file for file in (folder / f"{name}.npz", folder / "graph" / f"{name}.npz") if file.is_file()), None)
    if path is None:
        raise DataError("graph", f"there is no {name}.npz in {folder}, and none in its folder graph")
    arrays = _read(path)
    _check(path, arrays)
    report = _Report(path, strict, tally)
    features, labels = _dense(arrays), arrays["labels"].astype(np.int64)
    splits = {split: _usable(split, arrays[key].astype(np.int64), features, labels, report)
              for split, key in SPLIT_KEYS.items()}  # fmt: skip
    classes = 1 + int(labels[splits["train"]].max(initial=-1))
    for split, nodes in splits.items():
        splits[split] = _known(split, nodes, labels, classes, report)
    # A node outside the splits still sends its features to its neighbours.
    features = np.nan_to_num(features, nan=0.0, posinf=0.0, neginf=0.0)
    edges = _edges(arrays["edges"].astype(np.int64), len(features), report)
    tensors = {split: torch.from_numpy(nodes) for split, nodes in splits.items()}
    return Graph(torch.from_numpy(features), torch.from_numpy(edges), torch.from_numpy(labels), tensors, classes)


class _Report:
    """Refuses or counts what cannot be used."""

    def __init__(self, path: Path, strict: bool, tally: Tally) -> None:
        self.path, self._strict, self._tally = path, strict, tally

    def bad(self, reason: str, where: str) -> None:
        if self._strict:
            way_out = "Correct the file, or leave strict out to have it skipped."
            raise DataError("graph", f"{self.path}: {reason} ({where})", way_out)
        self._tally.add(reason, f"{self.path.name}, {where}")


def _read(path: Path) -> _Arrays:
    try:
        # Opened here, since numpy leaves a damaged file open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as content:
            missing = [key for key in _KEYS if key not in content]
            if missing:
                raise DataError("graph", f"{path} has no array {missing[0]!r}", f"It needs: {', '.join(_KEYS)}.")
            return {key: content[key] for key in _KEYS}
    except _DAMAGED as error:
        if isinstance(error, DataError):
            raise
        raise DataError("graph", f"{path} is truncated, damaged, or no .npz file") from error


def _check(path: Path, arrays: _Arrays) -> None:
    """Refuses what no skipping can repair."""
    problem = _kind(arrays, "shape", "indptr", "indices", "values") or _structure(arrays)
    problem = problem or _kind(arrays, "edges", "labels", *SPLIT_KEYS.values()) or _gap(arrays)
    if problem:
        raise DataError("graph", f"{path}: {problem}")


def _structure(arrays: _Arrays) -> str:
    """What is wrong with the shapes and the features, or nothing."""
    if arrays["shape"].shape != (2,) or min(arrays["shape"].astype(int).tolist()) < 1:
        return "shape must hold two positive numbers"
    nodes, width = arrays["shape"].astype(int).tolist()
    if nodes * width > _MOST_FEATURES:
        return f"shape holds {nodes:,} nodes of {width:,} features, more than {_MOST_FEATURES:,} numbers in all"
    bounds, columns = arrays["indptr"].astype(int), arrays["indices"].astype(int)
    if bounds.shape != (nodes + 1,) or (np.diff(bounds) < 0).any() or bounds[0] or bounds[-1] != len(columns):
        return f"indptr must rise from 0 to the length of indices in {nodes + 1} numbers"
    if len(columns) and not 0 <= columns.min() <= columns.max() < width:
        return f"indices must be in [0, {width})"
    if arrays["values"].shape != columns.shape:
        return "values and indices must have the same length"
    if arrays["edges"].ndim != 2 or arrays["edges"].shape[1] != 2:
        return "edges must have the shape (m, 2)"
    if arrays["labels"].shape != (nodes,):
        return f"labels must hold {nodes} numbers"
    return ""


def _kind(arrays: _Arrays, *names: str) -> str:
    """What is wrong with the kinds and dimensions of these arrays, or nothing; an empty array may be of any kind."""
    for name in names:
        array = arrays[name]
        wanted, kinds = ("numbers", "biuf") if name == "values" else ("integers", "iu")
        if array.size and array.dtype.kind not in kinds:
            return f"{name} must hold {wanted}, not {array.dtype}"
        if name != "edges" and array.ndim != 1:
            return f"{name} must have one dimension, not {array.ndim}"
    return ""


def _gap(arrays: _Arrays) -> str:
    """Which class has no training node although a higher one has, or nothing; bad nodes and labels are not looked at.

    Such a label is a mistake, and could ask for a network that no memory holds.
    """
    labels, nodes = arrays["labels"].astype(np.int64), arrays["train_idx"].astype(np.int64)
    nodes = nodes[(nodes >= 0) & (nodes < len(labels))]
    nodes = nodes[labels[nodes] >= 0]
    if not len(nodes):
        return ""
    classes, first = np.unique(labels[nodes], return_index=True)
    if classes[-1] + 1 == len(classes):
        return ""
    free = int(np.flatnonzero(classes != np.arange(len(classes)))[0])
    label, node = int(classes[-1]), int(nodes[first[-1]])
    return f"the classes must have a training node each, but {free} has none, and node {node} has the label {label}"


def _dense(arrays: _Arrays) -> NDArray[np.float32]:
    features = np.zeros(arrays["shape"].astype(int).tolist(), np.float32)
    rows = np.repeat(np.arange(len(features)), np.diff(arrays["indptr"].astype(int)))
    features[rows, arrays["indices"].astype(int)] = arrays["values"]
    return features


def _usable(
    split: Split, nodes: NDArray[np.int64], features: NDArray[np.float32], labels: NDArray[np.int64], report: _Report
) -> NDArray[np.int64]:
    """The nodes of a split that can be used."""
    kept = []
    for node in nodes.tolist():
        if not 0 <= node < len(features):
            report.bad("the node of a split does not exist", f"node {node} in {split}")
        elif labels[node] < 0:
            report.bad("the label is out of range", f"node {node} in {split}")
        elif not np.isfinite(features[node]).all():
            report.bad("a feature is not finite", f"node {node} in {split}")
        else:
            kept.append(node)
    return np.array(kept, np.int64)


def _known(
    split: Split, nodes: NDArray[np.int64], labels: NDArray[np.int64], classes: int, report: _Report
) -> NDArray[np.int64]:
    """Those nodes whose class is one of the training nodes'; at least one."""
    is_known = labels[nodes] < classes
    for node in nodes[~is_known].tolist():
        report.bad("the label is beyond those of the training nodes", f"node {node} in {split}")
    if not is_known.any():
        raise DataError("graph", f"{report.path}: no node of {split!r} can be used")
    return nodes[is_known]


def _edges(edges: NDArray[np.int64], nodes: int, report: _Report) -> NDArray[np.int64]:
    """The usable edges in their order, each once whatever its direction; shape (2, m)."""
    bad = ((edges < 0) | (edges >= nodes)).any(axis=1) | (edges[:, 0] == edges[:, 1])
    for number in np.flatnonzero(bad).tolist():
        report.bad("the edge leads to a node that does not exist, or to itself", f"edge {number}")
    usable = edges[~bad]
    _, first = np.unique(usable.min(axis=1) * nodes + usable.max(axis=1), return_index=True)
    kept: NDArray[np.int64] = np.ascontiguousarray(usable[np.sort(first)].T)
    return kept
