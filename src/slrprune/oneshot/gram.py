"""H = X^T X of a layer's inputs, accumulated batch by batch."""

import torch
from torch import Tensor

from slrprune.errors import DataError, NonFiniteError
from slrprune.oneshot.layout import Layout, rows_in_pieces


class Gram:
    """The running mean of x x^T over the inputs of one layer.

    Products are taken in float32 (float64 for float64 inputs) and summed in float64, so that a long calibration loses
    no digits: 8 n^2 bytes for n inputs, and 4 n^2 for the product in flight.

    Args:
        name: what errors call the layer.
        layout: how inputs become rows.
    """

    def __init__(self, name: str, layout: Layout) -> None:
        self._name = name
        self._layout = layout
        self._sum: Tensor | None = None
        self.samples = 0

    @torch.no_grad()
    def add(self, inputs: Tensor) -> None:
        """Adds what the layer receives in one call.

        Raises:
            NonFiniteError: NaN or infinity in the inputs.
        """
        for rows in rows_in_pieces(self._layout, inputs.detach()):
            wide = rows if rows.dtype == torch.float64 else rows.float()
            product = wide.mT @ wide
            if self._sum is None:
                precise = torch.float32 if product.device.type == "mps" else torch.float64
                self._sum = torch.zeros_like(product, dtype=precise)
            self._sum += product
            self.samples += rows.shape[1]
        if self._sum is not None and not bool(torch.isfinite(self._sum.diagonal(dim1=-2, dim2=-1)).all()):
            way_out = "Check the calibration data, and that the model runs in a dtype wide enough for it."
            raise NonFiniteError(
                self._name, f"an activation that the layer receives in calibration ({self.samples} rows)", way_out
            )

    @property
    def mean(self) -> Tensor:
        """H, (groups, inputs, inputs), float64 (float32 on MPS).

        Raises:
            DataError: no row was added.
        """
        if self._sum is None or not self.samples:
            way_out = "Calibrate with data that reaches it, or leave it out with a rule that maps it to None."
            raise DataError(self._name, "the layer was never called during calibration", way_out)
        return self._sum / self.samples
