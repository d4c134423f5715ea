"""ImageNet weights for the backbone of a lane network."""

from torch import nn

from slrprune.errors import StateError
from slrprune.tasks.weights_file import WeightsFile


def load_backbone(model: nn.Module, file: WeightsFile) -> None:
    """Loads the weights of a ResNet-18 into `model.backbone`; its classifier `fc` is left out.

    Args:
        model: a network of a `LaneSystem`.
        file: a state dict with torchvision's or timm's names, as `.safetensors` or from `torch.save`.

    Raises:
        DataError: the file is missing or damaged.
        StateError: it belongs to another network.
    """
    state = {name: tensor for name, tensor in file.load().items() if not name.startswith("fc.")}
    try:
        model.get_submodule("backbone").load_state_dict(state)
    except RuntimeError as error:
        raise StateError("TuSimple", f"{file.path} does not hold the weights of the backbone, a ResNet-18") from error
