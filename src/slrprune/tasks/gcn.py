"""A two-layer graph convolutional network, in pure torch.

Kipf, Welling: Semi-Supervised Classification with Graph Convolutional Networks, 2017. One layer computes
H' = D^-1/2 (A + I) D^-1/2 H W + b, where A is the adjacency matrix and D the degrees of A + I. The weights sit in
`nn.Linear`, so that every rule of a pruner and every export finds them; torch-geometric's GCNConv computes the same,
but with a linear layer of its own class.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class GCN(nn.Module):
    """Two graph convolutions on one graph that the model holds; node features (n, inputs) to logits (n, classes).

    Weights are drawn from torch's current RNG (Glorot uniform initialization), biases are 0. The edges are buffers
    that no state dict holds: they belong to the data.

    Args:
        inputs: features of a node.
        classes: number of classes.
        edges: undirected edges, each once, int64 of shape (2, m), node numbers from 0; no self-loops.
        nodes: number of nodes.
        hidden: width of the hidden layer.
        dropout: fraction of the hidden features set to 0 in training, in [0, 1).
    """

    places: Tensor
    values: Tensor

    def __init__(
        self, inputs: int, classes: int, edges: Tensor, nodes: int, *, hidden: int = 16, dropout: float = 0.5
    ) -> None:
        super().__init__()
        self.conv1 = GraphConvolution(inputs, hidden)
        self.conv2 = GraphConvolution(hidden, classes)
        self.dropout = nn.Dropout(dropout)
        matrix = propagation(edges, nodes)
        self.register_buffer("places", matrix.indices().clone(), persistent=False)
        self.register_buffer("values", matrix.values().clone(), persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """Logits of shape (n, classes) for features of shape (n, inputs)."""
        inner = F.relu(self.conv1(features, self.places, self.values))
        logits: Tensor = self.conv2(self.dropout(inner), self.places, self.values)
        return logits


class GraphConvolution(nn.Module):
    """One graph convolution.

    Args:
        inputs: features of a node going in.
        outputs: features of a node coming out.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs, bias=False)
        self.bias = nn.Parameter(torch.zeros(outputs))
        nn.init.xavier_uniform_(self.linear.weight)

    def forward(self, features: Tensor, places: Tensor, values: Tensor) -> Tensor:
        """Features of shape (n, outputs), from features of shape (n, inputs) and the matrix of `propagation`."""
        # The linear layer comes first, since it makes the features few before they are sent along the edges.
        return propagated(self.linear(features).float(), places, values) + self.bias


def propagated(features: Tensor, places: Tensor, values: Tensor) -> Tensor:
    """The matrix of `propagation`, given by its entries, times features.

    Args:
        features: float32 of shape (n, width).
        places: rows and columns of the entries, int64 of shape (2, k), coalesced.
        values: of the entries, float32 of shape (k,).

    Returns:
        float32 of shape (n, width).
    """
    if torch.compiler.is_exporting():  # ONNX has no sparse matrices, but can add rows where they belong
        sent = values.unsqueeze(1) * features[places[1]]
        return torch.zeros_like(features).index_add(0, places[0], sent)
    nodes = features.shape[0]
    matrix = torch.sparse_coo_tensor(places, values, (nodes, nodes), is_coalesced=True, check_invariants=False)
    product: Tensor = torch.sparse.mm(matrix, features)
    return product


def propagation(edges: Tensor, nodes: int) -> Tensor:
    """The matrix D^-1/2 (A + I) D^-1/2.

    Args:
        edges: undirected edges, each once, int64 of shape (2, m).
        nodes: number of nodes n.

    Returns:
        float32 of shape (n, n), a coalesced sparse tensor (COO) of 2m + n entries.

    Examples:
        >>> [[round(value, 2) for value in row] for row in propagation(torch.tensor([[0], [1]]), 3).to_dense().tolist()]
        [[0.5, 0.5, 0.0], [0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]
    """
    loops = torch.arange(nodes, device=edges.device)
    rows = torch.cat([edges[0], edges[1], loops])
    columns = torch.cat([edges[1], edges[0], loops])
    scale = torch.bincount(rows, minlength=nodes).float().rsqrt()
    places = torch.stack([rows, columns])
    values = scale[rows] * scale[columns]
    return torch.sparse_coo_tensor(places, values, (nodes, nodes), check_invariants=True).coalesce()
