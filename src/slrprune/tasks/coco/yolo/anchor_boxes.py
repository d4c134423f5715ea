"""The anchors inside the network, so that they travel with its weights."""

from collections.abc import MutableMapping
from typing import Any

from torch import Tensor, nn


class AnchorBoxes(nn.Module):
    """What a network's numbers for the size of a box are multiples of; the forward pass does not look at it.

    A buffer: it is saved, loaded and moved with the weights, and never trained or pruned. A state dict without it, of a
    file older than this class or from elsewhere, leaves the anchors that are here.

    Args:
        sizes: widths and heights in pixels of the network's input, float32 (maps, anchors of each, 2), the coarsest map
            first; positive.
    """

    sizes: Tensor

    def __init__(self, sizes: Tensor) -> None:
        super().__init__()
        self.register_buffer("sizes", sizes.clone())

    def _load_from_state_dict(self, state_dict: MutableMapping[str, Any], prefix: str, *rest: Any) -> None:
        # The mapping is a copy of `load_state_dict`'s own, not the caller's.
        state_dict.setdefault(f"{prefix}sizes", self.sizes)
        super()._load_from_state_dict(state_dict, prefix, *rest)


def anchors_in(model: nn.Module) -> Tensor | None:
    """The anchors of a network, also inside wrappers; None where it has none, such as a traced copy."""
    return next((module.sizes for module in model.modules() if isinstance(module, AnchorBoxes)), None)
