"""What is to be saved: named tensors, those that share their memory found, those that cannot be stored refused."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from slrprune.deploy.sparse_file.dtypes import DType, from_torch
from slrprune.errors import ArgumentError

State = Mapping[str, Tensor]


def state_of(model_or_state: nn.Module | State) -> dict[str, Tensor]:
    """The tensors to save, by name, in order.

    Raises:
        ArgumentError: neither a module nor a mapping from names to tensors, or a tensor that cannot be stored.
    """
    is_model = isinstance(model_or_state, nn.Module)
    state = model_or_state.state_dict() if isinstance(model_or_state, nn.Module) else model_or_state
    if not isinstance(state, Mapping):
        raise _refusal(type(state).__name__, "must be a module, or a mapping from names to tensors")
    for name, tensor in state.items():
        if not isinstance(name, str):
            raise _refusal(name, "must have strings as keys")
        if not isinstance(tensor, Tensor):
            rule = f"must hold tensors only, but {name} is of type {type(tensor).__name__}"
            way_out = "Save what is not a tensor elsewhere." if is_model else "Pass the state dict of the model alone."
            raise _refusal("...", rule, way_out)
        _check(name, tensor)
    return dict(state)


def names_by_tensor(state: Mapping[str, Tensor]) -> list[list[str]]:
    """The names of each tensor, several for one that is shared.

    Tensors are shared when they are the same view of the same memory: same start, dtype, shape and strides.
    """
    found: dict[object, list[str]] = {}
    for name, tensor in state.items():
        found.setdefault(memory_of(tensor) if tensor.numel() else name, []).append(name)
    return list(found.values())


def memory_of(tensor: Tensor) -> tuple[object, ...]:
    """What two views of the same entries have in common."""
    bits = (tensor.is_conj(), tensor.is_neg())
    return (tensor.device, tensor.data_ptr(), tensor.dtype, tuple(tensor.shape), tensor.stride(), *bits)


def file_dtype(tensor: Tensor) -> DType:
    """The file's dtype of a tensor that passed `state_of`."""
    dtype = from_torch(tensor.dtype)
    assert dtype is not None
    return dtype


def _check(name: str, tensor: Tensor) -> None:
    if type(tensor) not in (Tensor, nn.Parameter):
        rule = f"must hold plain tensors, but {name} is a {type(tensor).__name__}"
        raise _refusal("...", rule, "Gather or unwrap it first, or save the state dict of the plain model.")
    if tensor.layout != torch.strided or tensor.is_nested or tensor.is_quantized:
        rule = f"must hold dense tensors, but {name} is not"
        raise _refusal("...", rule, "Convert it with to_dense() or dequantize(); the zeros are found again.")
    if tensor.device.type == "meta":
        raise _refusal("...", f"must hold data, but {name} is on the meta device", "Load its weights first.")
    if from_torch(tensor.dtype) is None:
        raise _refusal("...", f"must hold dtypes that the file knows, but {name} is {tensor.dtype}", "Convert it.")


def _refusal(value: object, rule: str, way_out: str = "") -> ArgumentError:
    return ArgumentError("save_sparse", "model_or_state", value, rule, way_out)
