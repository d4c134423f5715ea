"""The stages of a walk through a model, and the walk that needs nothing but the model: layer by layer."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from torch import Tensor, nn

from slrprune.oneshot.batches import Batch, run_model
from slrprune.oneshot.collect import GramCollector, PassEnded
from slrprune.oneshot.layers import PrunableLayer


class Stage(ABC):
    """A part of a model that is pruned at once, with the inputs that the pruned parts before it produce."""

    name: str
    layers: tuple[PrunableLayer, ...]

    @abstractmethod
    def open(self) -> None:
        """Makes ready: loads weights, finds inputs. Stages are opened in order, each after the one before is closed."""

    @abstractmethod
    def run(self, collector: GramCollector | None) -> None:
        """Passes all calibration data through, under the hooks of `collector`."""

    @abstractmethod
    def close(self) -> None:
        """Hands its outputs, as pruned, to the next stage, and lets its weights go where they came from the disk."""

    @abstractmethod
    def tensors(self) -> dict[str, Tensor]:
        """What the stage's file holds: canonical name to tensor, by reference; usable while it is open."""


@dataclass(frozen=True, eq=False)
class LayerStage(Stage):
    """One layer of a model that is wholly in memory: every pass runs the model until the layer has been called.

    Args:
        layer: to prune.
        model: the whole.
        batches: calibration data.
        calls: how often the layer is called in one pass; the pass ends after that.
    """

    layer: PrunableLayer
    model: nn.Module
    batches: Sequence[Batch]
    calls: int

    @property
    def name(self) -> str:  # type: ignore[override]  # what it consists of says it
        """The layer's name."""
        return self.layer.name

    @property
    def layers(self) -> tuple[PrunableLayer, ...]:  # type: ignore[override]
        """The layer alone."""
        return (self.layer,)

    def open(self) -> None:
        """Nothing to do."""

    def run(self, collector: GramCollector | None) -> None:
        """Runs the model batch by batch."""
        for batch in self.batches:
            run_until(self.model, batch, collector, self.layer, self.calls)

    def close(self) -> None:
        """Nothing to do: the model itself holds the pruned weight."""

    def tensors(self) -> dict[str, Tensor]:
        """The weight."""
        return {self.layer.name: self.layer.weight}


def run_until(
    model: nn.Module, batch: Batch, collector: GramCollector | None, layer: PrunableLayer, calls: int
) -> None:
    """Runs `model` on one batch, until `collector` has seen `calls` calls of `layer`."""
    if collector is None:
        return

    def stop(_module: nn.Module, _args: object) -> None:
        if collector.calls(layer.name) >= calls:
            raise PassEnded

    handles = [module.register_forward_pre_hook(stop) for module in layer.owners]
    try:
        with suppress(PassEnded):
            run_model(model, batch)
    finally:
        for handle in handles:
            handle.remove()
        collector.forget_inputs()
