"""The walk through a chain of blocks: each runs twice, once for H and once for the next one's inputs."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from torch import Tensor, nn

from slrprune.errors import UsageError
from slrprune.oneshot.batches import Batch, run_model
from slrprune.oneshot.blocks import BlockSpec, Slot, first_slot, hidden_of
from slrprune.oneshot.collect import GramCollector, PassEnded
from slrprune.oneshot.layers import PrunableLayer
from slrprune.oneshot.streamed import StreamedWeights
from slrprune.oneshot.walk import Stage
from slrprune.rules import canonical_name


class Chain:
    """What the blocks of a chain share: the hidden states between them, and the other arguments of every block.

    Args:
        model: the whole, with everything outside the blocks in memory.
        batches: calibration data.
        specs: the blocks, in order.
        streamed: where the blocks' weights are, if not in memory. Then all blocks get the other arguments of the first;
            else each gets its own, from one pass of the dense model.
    """

    def __init__(
        self,
        model: nn.Module,
        batches: Sequence[Batch],
        specs: Sequence[BlockSpec],
        streamed: StreamedWeights | None = None,
    ) -> None:
        self.model = model
        self.specs = specs
        self.streamed = streamed
        self._batches = batches
        self._hidden: list[Tensor] = []
        self._arguments: list[list[tuple[tuple[object, ...], dict[str, object]]]] = []
        self._slot = Slot(0)

    def stages(self) -> list["BlockStage"]:
        """One stage per block."""
        return [BlockStage(self, number) for number in range(len(self.specs))]

    def start(self) -> None:
        """Finds the inputs of the first block and the other arguments of all."""
        self._hidden, self._arguments = [], [[] for _ in self.specs]
        hooks = [
            spec.module.register_forward_pre_hook(self._capture(number), with_kwargs=True)
            for number, spec in enumerate(self.specs[: 1 if self.streamed else None])
        ]
        try:
            for batch in self._batches:
                with suppress(PassEnded):
                    run_model(self.model, batch)
        finally:
            for hook in hooks:
                hook.remove()

    def _capture(self, number: int) -> Callable[..., None]:
        def hook(_module: nn.Module, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
            if number == 0:
                slot = first_slot(args, kwargs)
                hidden = None if slot is None else slot.get(args, kwargs)
                if slot is None or not isinstance(hidden, Tensor):
                    problem = "gets no tensor as its first argument, nor as hidden_states"
                    raise UsageError(self.specs[0].name, problem, "Give blocks='' to walk layer by layer.")
                self._slot = slot
                self._hidden.append(hidden.detach().clone())  # a block may work in place, in this very pass
            self._arguments[number].append(self._slot.put(None, args, kwargs))
            if self.streamed:
                raise PassEnded

        return hook

    def forward(self, number: int, *, keeps: bool, collector: GramCollector | None = None) -> None:
        """Passes the hidden states through a block; `keeps` makes its outputs the hidden states.

        Without `keeps` the hidden states stay as they are, also where the block works in place: it gets a copy, of one
        batch at a time.
        """
        spec = self.specs[number]
        others = self._arguments[0 if self.streamed else number]
        for place, (args, kwargs) in enumerate(others):
            hidden = self._hidden[place] if keeps else self._hidden[place].clone()
            filled, keywords = self._slot.put(hidden, args, kwargs)
            output = spec.module(*filled, **keywords)
            if collector is not None:
                collector.forget_inputs()
            if keeps:
                self._hidden[place] = hidden_of(spec.name, output)


@dataclass(frozen=True, eq=False)
class BlockStage(Stage):
    """One block of a chain."""

    chain: Chain
    number: int

    @property
    def name(self) -> str:  # type: ignore[override]  # the block has one
        """The block's name."""
        return self.chain.specs[self.number].name

    @property
    def layers(self) -> tuple[PrunableLayer, ...]:  # type: ignore[override]
        """The block's layers."""
        return self.chain.specs[self.number].layers

    def open(self) -> None:
        """Loads the block; before the first, finds its inputs."""
        if self.number == 0:
            self.chain.start()
        if self.chain.streamed is not None:
            self.chain.streamed.fill(self.chain.model, self.chain.specs[self.number].module)

    def run(self, collector: GramCollector | None) -> None:
        """One pass through the block."""
        self.chain.forward(self.number, keeps=False, collector=collector)

    def close(self) -> None:
        """A second pass, whose outputs are the next block's inputs."""
        if self.number + 1 < len(self.chain.specs):
            self.chain.forward(self.number, keeps=True)
        if self.chain.streamed is not None:
            self.chain.streamed.release(self.chain.model, self.chain.specs[self.number].module)

    def tensors(self) -> dict[str, Tensor]:
        """All parameters of the block, and the buffers that a state dict holds."""
        prefix = canonical_name(self.name)
        found: dict[str, Tensor] = {}
        seen: set[int] = set()
        for name, tensor in self.chain.specs[self.number].module.state_dict(keep_vars=True).items():
            if id(tensor) not in seen:  # a tied parameter once
                found[canonical_name(f"{prefix}.{name}")] = tensor
                seen.add(id(tensor))
        return found
