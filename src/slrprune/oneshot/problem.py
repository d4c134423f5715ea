"""The problem of one layer: the nearest sparse weight, measured at the layer's output.

    minimise  tr((W - V) H (W - V)^T)   over V in S,      H = X^T X / samples,

where the rows of X are the layer's calibration inputs. Up to the factor `samples` the objective is the squared error
of the outputs, ||X W^T - X V^T||^2.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from slrprune.errors import NonFiniteError, ShapeError
from slrprune.oneshot.layout import Layout, LinearLayout, float_like
from slrprune.sets.base import ConstraintSet

TINY = 1e-30  # a layer without energy, all inputs dead


@dataclass(frozen=True, eq=False)
class LayerProblem:
    """One layer to prune.

    All solvers work on the *scaled* problem: with d = sqrt(diag H), W' = W diag(d) and H' = diag(1/d) H diag(1/d). The
    diagonal of H' is 1, so that the Euclidean distance in W' is the error to first order: the projection of a solver
    takes place there. That is exact for every set of the library, because each is a union of coordinate subspaces:
    scaling the columns maps S onto itself, and the nearest point of S in the metric sum_j d_j^2 v_j^2 keeps the entries
    that `S.select(V diag(d))` names.

    Args:
        weight: as the layer stores it, floating, finite.
        gram: H, (groups, inputs, inputs) or (inputs, inputs), symmetric, positive semidefinite.
        layout: how the weight becomes a matrix.
        name: what errors call the layer.

    Raises:
        NonFiniteError: NaN or infinity in the weight or in H.
        ShapeError: an H that does not fit the weight.
    """

    weight: Tensor
    gram: Tensor
    layout: Layout = field(default_factory=LinearLayout)
    name: str = "layer"

    def __post_init__(self) -> None:
        groups, _, inputs = self.layout.matrix(self.weight).shape
        if self.gram.ndim == 2:
            object.__setattr__(self, "gram", self.gram.unsqueeze(0))
        if tuple(self.gram.shape) != (groups, inputs, inputs):
            raise ShapeError(self.name, f"H must have shape {(groups, inputs, inputs)}", self.gram.shape)
        if not bool(torch.isfinite(self.weight.detach()).all()):
            raise NonFiniteError(self.name, "the weight")
        if not bool(torch.isfinite(self.gram).all()):
            raise NonFiniteError(
                self.name, "H = X^T X", "Look at the calibration inputs and the layers before this one."
            )

    @cached_property
    def scale(self) -> Tensor:
        """d, of shape (groups, 1, inputs): the root mean square of every input; 0 for a dead input."""
        diagonal = self.gram.diagonal(dim1=-2, dim2=-1).clamp_min(0).sqrt()
        return diagonal.unsqueeze(-2).to(float_like(self.weight))

    @cached_property
    def target(self) -> Tensor:
        """W', of shape (groups, outputs, inputs): 0 in the columns of dead inputs."""
        return self.layout.matrix(self.weight.detach()).to(float_like(self.weight)) * self.scale

    @cached_property
    def scaled_gram(self) -> Tensor:
        """H', of shape (groups, inputs, inputs): unit diagonal, also where an input is dead."""
        inverse = torch.where(self.scale > 0, 1 / self.scale, 0.0)
        scaled = self.gram.to(float_like(self.weight)) * inverse * inverse.mT
        scaled.diagonal(dim1=-2, dim2=-1).fill_(1.0)
        return scaled

    def unscaled(self, point: Tensor) -> Tensor:
        """The weight, as stored and in its dtype, of a point V' of the scaled problem; 0 for dead inputs."""
        inverse = torch.where(self.scale > 0, 1 / self.scale, 0.0)
        return self.layout.stored(point * inverse, self.weight.shape).to(self.weight.dtype)

    def error(self, weight: Tensor) -> float:
        """tr((W - V) H (W - V)^T) / tr(W H W^T) of a weight V: 0 for W itself, 1 for V = 0 (and 0 where W H = 0)."""
        point = self.layout.matrix(weight.detach()).to(float_like(self.weight)) * self.scale
        energy = self.energy
        return quadratic(point - self.target, self.scaled_gram) / energy if energy > 0 else 0.0

    @cached_property
    def image(self) -> Tensor:
        """W' H', of the shape of W'."""
        return self.target @ self.scaled_gram

    @cached_property
    def energy(self) -> float:
        """tr(W H W^T), the mean square of the outputs, summed over them."""
        return max(0.0, float((self.image * self.target).sum(dtype=_wide(self.target))))


def quadratic(point: Tensor, gram: Tensor) -> float:
    """tr(P H P^T), summed over groups; products in the dtype of `point`, their sum in float64."""
    return max(0.0, float((point @ gram).mul_(point).sum(dtype=_wide(point))))


def _wide(tensor: Tensor) -> torch.dtype:
    """float64, where the device has it: for sums over millions of entries."""
    return torch.float32 if tensor.device.type == "mps" else torch.float64


def select(problems: Sequence[LayerProblem], constraint: ConstraintSet, points: Sequence[Tensor]) -> list[Tensor]:
    """Masks of the nearest points to `points`, as matrices.

    The layers of a joint set are compared in units of their own energy tr(W H W^T), so that the sum of *relative*
    errors is what one price per weight buys down.

    Args:
        problems: the layers that share `constraint`: one, unless it is joint.
        constraint: the set, for weights as stored.
        points: one (groups, outputs, inputs) tensor per layer, in the scaled problem.

    Returns:
        One bool tensor per layer, True = kept, of the shape of the point.
    """
    if constraint.is_joint:
        points = [point / max(p.energy, TINY) ** 0.5 for p, point in zip(problems, points, strict=True)]
    stored = [p.layout.stored(point, p.weight.shape) for p, point in zip(problems, points, strict=True)]
    return [p.layout.matrix(mask) for p, mask in zip(problems, constraint.select(stored), strict=True)]
