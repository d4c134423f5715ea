"""Cora, or another citation graph, with the two-layer graph convolutional network."""

from collections.abc import Iterator
from os import PathLike
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from slrprune.errors import ArgumentError
from slrprune.tasks.base import Batch, Split, Task, check_split, epoch_generator, evaluating
from slrprune.tasks.gcn import GCN
from slrprune.tasks.graph_files import read_graph
from slrprune.tasks.recipe import AdamRecipe
from slrprune.tasks.tally import Tally


class Nodes(NamedTuple):
    """The nodes that a loss or a metric looks at: their numbers and their labels, both int64 of shape (k,)."""

    numbers: Tensor
    labels: Tensor


class Graph(Task):
    """Citation graph Cora: 2,708 papers in 7 classes, 1,433 words, 140 labelled papers; a GCN with 16 hidden units.

    One batch is the whole graph, so an epoch is one step: all nodes go through the network, the loss looks at the
    labelled ones. Features of a node are scaled to sum 1. In training, words are left out at random.

    Args:
        data: folder with the file of the graph, or with a folder `graph` that holds it; None takes the environment
            variable SLRPRUNE_DATA.
        graph: name of the graph: "cora" is read from `cora.npz`. `slrprune.tasks.graph_files` says what is in it.
        hidden: width of the hidden layer, at least 1.
        dropout: fraction of words, and of hidden features, that training leaves out, in [0, 1).
        strict: refuse bad edges and nodes with their place; otherwise they are skipped, and `warnings` counts them.
        device: where data and models live.
        bf16: run linear layers under bfloat16 autocast.

    Raises:
        ArgumentError: a value out of range.
        DataError: the file is missing or damaged.
    """

    name = "graph"
    metric = "accuracy"
    dense_recipe = AdamRecipe(epochs=200, lr=0.01, weight_decay=5e-4)
    pruning_recipe = AdamRecipe(epochs=200, lr=0.01, weight_decay=5e-4)
    has_divisible_batches = False
    steps_per_epoch = 1

    def __init__(
        self,
        data: str | PathLike[str] | None = None,
        *,
        graph: str = "cora",
        hidden: int = 16,
        dropout: float = 0.5,
        strict: bool = False,
        device: str | torch.device = "cpu",
        bf16: bool = False,
    ) -> None:
        super().__init__(device=device, bf16=bf16)
        if hidden < 1:
            raise ArgumentError("Graph", "hidden", hidden, "must be at least 1")
        if not 0 <= dropout < 1:
            raise ArgumentError("Graph", "dropout", dropout, "must be in [0, 1)")
        self.graph, self.hidden, self.dropout = graph, hidden, dropout
        self.skipped = Tally()
        found = read_graph(data, graph, strict=strict, tally=self.skipped)
        self.classes = found.classes
        features = _scaled(found.features).to(self.device)
        self._edges, labels = found.edges.to(self.device), found.labels.to(self.device)
        self._nodes = {split: _labelled(numbers.to(self.device), labels) for split, numbers in found.splits.items()}
        # A bag of words is mostly zeros: the rest is kept, and a linear layer takes it as a sparse tensor.
        self._shape = tuple(features.shape)
        self._places = features.nonzero().T.contiguous()
        self._values = features[features != 0]

    @property
    def model_name(self) -> str:
        """The model's name in records, for example "gcn16-cora"."""
        return f"gcn{self.hidden}-{self.graph}"

    def build_model(self) -> GCN:
        """A `GCN` with fresh weights, on this graph."""
        nodes, words = self._shape
        model = GCN(words, self.classes, self._edges, nodes, hidden=self.hidden, dropout=self.dropout)
        return model.to(self.device)

    def warnings(self) -> tuple[str, ...]:
        """Edges and nodes that were skipped."""
        return self.skipped.sentences()

    def batches(self, split: Split, epoch: int = 0, seed: int = 0) -> Iterator[Batch]:
        """One batch: the features of all nodes and the `Nodes` of the split.

        Features are float32 of shape (n, words), a sparse tensor (COO): the first layer is then several times faster.

        Raises:
            ArgumentError: an unknown split.
        """
        check_split("graph.batches", split)
        values = self._with_words_left_out(epoch, seed) if split == "train" else self._values
        return iter([(self._sparse(values), self._nodes[split])])

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Mean cross-entropy over the labelled nodes of the batch."""
        features, nodes = batch
        with self.autocast():
            logits = model(features)
        return F.cross_entropy(logits[nodes.numbers].float(), nodes.labels)

    def evaluate(self, model: nn.Module, split: Split) -> float:
        """Accuracy on the nodes of a split, in percent. Raises as `batches`."""
        check_split("graph.evaluate", split)
        nodes = self._nodes[split]
        with evaluating(model), self.autocast():
            predicted = model(self._sparse(self._values))[nodes.numbers].argmax(dim=1)
        correct = int((predicted == nodes.labels).sum())
        return 100 * correct / len(nodes.labels)

    def example_input(self) -> Tensor:
        """The features of all nodes, dense: the network knows one graph, and takes it whole."""
        return self._sparse(self._values).to_dense()

    def _with_words_left_out(self, epoch: int, seed: int) -> Tensor:
        """The values after dropout, drawn on the CPU so that every device leaves out the same words."""
        if not self.dropout:
            return self._values
        drawn = torch.rand(len(self._values), generator=epoch_generator(seed, epoch)).to(self.device)
        return self._values * (drawn >= self.dropout) / (1 - self.dropout)

    def _sparse(self, values: Tensor) -> Tensor:
        # The places come from `nonzero`, which leaves them in order and each once.
        places, shape = self._places, self._shape
        return torch.sparse_coo_tensor(places, values, shape, is_coalesced=True, check_invariants=False)


def _scaled(features: Tensor) -> Tensor:
    """Every row divided by the sum of its magnitudes; a row of zeros stays."""
    sums = features.abs().sum(dim=1, keepdim=True)
    return features / torch.where(sums > 0, sums, 1.0)


def _labelled(numbers: Tensor, labels: Tensor) -> Nodes:
    return Nodes(numbers, labels[numbers])
