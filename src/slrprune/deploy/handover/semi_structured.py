"""2:4 sparse linear layers on NVIDIA GPUs, through torch's own tensors."""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from slrprune.deploy.shrink.example import described
from slrprune.errors import UsageError

_DTYPES = (torch.float16, torch.bfloat16, torch.int8)


@dataclass(frozen=True)
class SemiStructuredReport:
    """What `to_semi_structured` did.

    Attributes:
        converted: names of the linear layers that compute with 2:4 zeros now.
        left: name of every other layer with a weight of two or more dimensions, and why it stayed.
    """

    converted: tuple[str, ...]
    left: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        """A line per layer, for people."""
        lines = [f"{len(self.converted)} linear layers compute with 2:4 zeros."]
        return "\n".join([*lines, *(f"  {name} stays dense: {reason}" for name, reason in self.left)])


def to_semi_structured(model: nn.Module) -> tuple[nn.Module, SemiStructuredReport]:
    """A copy whose linear layers with 2:4 zeros use the GPU's sparse matrix units.

    torch takes weights on CUDA in half precision or int8 whose sides are divisible by 32 or more, and linear layers
    only. Measure before you rely on it: at small sizes it is often slower than dense.

    Args:
        model: on a CUDA device, pruned by `NM(2, 4)` along the inputs (`dim=1`, the default).

    Returns:
        The copy, and what was converted: the layers in which every group of 4 inputs has at least 2 zeros.

    Raises:
        UsageError: there is no CUDA device, or a weight to convert is not on one.

    Reference:
        `torch.sparse.to_sparse_semi_structured`; Mishra et al., "Accelerating sparse deep neural networks",
        arXiv:2104.08378.
    """
    where = "to_semi_structured"
    if not torch.cuda.is_available():
        way_out = "Call it where torch.cuda.is_available(); on a CPU use accelerate."
        raise UsageError(where, "2:4 zeros are used by NVIDIA GPUs only, and torch finds none here", way_out)
    model = copy.deepcopy(model)
    converted: list[str] = []
    left: list[tuple[str, str]] = []
    for name, module in model.named_modules():
        weight = getattr(module, "weight", None)
        if not isinstance(weight, Tensor) or weight.dim() < 2:
            continue
        reason = _convert_(module, weight, f"{where}, {name}.weight")
        if reason:
            left.append((name, reason))
        else:
            converted.append(name)
    return model, SemiStructuredReport(tuple(converted), tuple(left))


def is_semi_structured(weight: Tensor) -> bool:
    """Whether every 4 consecutive entries along the last dimension of a matrix hold at least 2 zeros.

    Examples:
        >>> is_semi_structured(torch.tensor([[1.0, 0.0, 0.0, 2.0]])), is_semi_structured(torch.ones(1, 4))
        (True, False)
    """
    if weight.dim() != 2 or weight.shape[1] % 4:
        return False
    kept = weight.detach().reshape(weight.shape[0], -1, 4).count_nonzero(dim=2)
    return bool((kept <= 2).all())


def _convert_(module: nn.Module, weight: Tensor, where: str) -> str:
    """Converts the weight in place; the reason where it stays."""
    if type(module) is not nn.Linear:
        return f"{type(module).__name__} is no linear layer"
    if not is_semi_structured(weight):
        return "its weight does not have 2 zeros in every 4 inputs"
    if weight.dtype not in _DTYPES:
        return f"torch has no 2:4 kernels for {weight.dtype}; convert the model with .half() or .bfloat16()"
    if not weight.is_cuda:
        raise UsageError(where, f"lies on {weight.device}", "Call model.cuda() before.")
    try:
        sparse = torch.sparse.to_sparse_semi_structured(weight.detach())
    except (RuntimeError, ValueError) as error:  # a shape that the kernels do not take
        return f"torch refuses it ({described(error)})"
    module.weight = nn.Parameter(sparse, requires_grad=False)
    return ""
