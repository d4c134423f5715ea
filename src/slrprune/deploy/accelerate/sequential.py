"""Folding and fusing within each `nn.Sequential`, for models that torch.fx cannot follow as a whole."""

from torch import nn

from slrprune.deploy.accelerate.fold import folded, is_relu
from slrprune.deploy.accelerate.layer import Call, Calls


def fuse_sequentials_(model: nn.Module, layers: Calls) -> tuple[int, list[str]]:
    """Folds BatchNorm, and leaves ReLU to the layer before it, where they follow one of these layers.

    An identity takes their place. A model may read what lies between the modules of a Sequential, so the caller must
    compare the outputs.

    Returns:
        How many BatchNorms were folded, and the names of the layers that must compute ReLU.
    """
    count, relus = 0, []
    for path, module in list(model.named_modules()):
        if type(module) is nn.Sequential:
            names = list(module._modules)
            for position, name in enumerate(names):
                full = f"{path}.{name}".lstrip(".")
                if len(layers.get(full, ())) == 1:
                    behind = names[position + 1 :]
                    was_folded = _fold(module, name, behind, layers[full][0])
                    count += was_folded
                    if _take_relu(module, behind[was_folded:]):
                        relus.append(full)
    return count, relus


def _fold(sequential: nn.Sequential, name: str, behind: list[str], call: Call) -> bool:
    merged = folded(sequential.get_submodule(name), sequential.get_submodule(behind[0]), call) if behind else None
    if merged is None:
        return False
    sequential.set_submodule(name, merged)
    sequential.set_submodule(behind[0], nn.Identity())
    return True


def _take_relu(sequential: nn.Sequential, behind: list[str]) -> bool:
    if not behind or not is_relu(sequential.get_submodule(behind[0])):
        return False
    sequential.set_submodule(behind[0], nn.Identity())
    return True
