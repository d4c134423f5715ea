"""In which stages a model is walked."""

from collections.abc import Sequence

from torch import nn

from slrprune.errors import DataError, RuleError, UsageError
from slrprune.oneshot.batches import Batch, try_model
from slrprune.oneshot.blocks import find_blocks
from slrprune.oneshot.chain import Chain
from slrprune.oneshot.layers import PrunableLayer
from slrprune.oneshot.streamed import StreamedWeights, fill_outside
from slrprune.oneshot.trace import Trace, Tracer
from slrprune.oneshot.walk import LayerStage, Stage


def plan_stages(
    model: nn.Module,
    batches: Sequence[Batch],
    layers: Sequence[PrunableLayer],
    blocks: str | None,
    streamed: StreamedWeights | None,
) -> list[Stage]:
    """The stages, in the order of the forward pass.

    Layers outside the blocks are stages of their own, before and after them. For a streamed model there is no dense
    pass, so that its blocks are taken to be a chain.

    Raises:
        UsageError: blocks that are none.
        DataError: a layer that the first batch does not reach, or a checkpoint that lacks a parameter.
        RuleError: a layer outside the blocks of a streamed model.
    """
    specs = [] if blocks == "" else find_blocks(model, layers, blocks)
    if streamed is not None:
        inside = {layer.name for spec in specs for layer in spec.layers}
        outside = [layer.name for layer in layers if layer.name not in inside]
        if not specs or outside:
            problem = "lies outside of the model's blocks, and the walk through streamed weights sees blocks only"
            name = outside[0] if outside else layers[0].name
            raise RuleError(name, problem, f"Leave it out with the rule {name!r}: None.")
        fill_outside(streamed, model, [spec.module for spec in specs])
        return list(Chain(model, batches, specs, streamed).stages())
    trace = _trace(model, batches, Tracer(layers, specs))
    if specs and not trace.is_chain:
        if blocks is not None:
            problem = (
                "its modules are not a chain: one does not get, as it is, the tensor that the one before returns, or "
                "another of its arguments is changed in place"
            )
            raise UsageError(f"prune(blocks={blocks!r})", problem, "Give blocks='' to walk layer by layer.")
        specs = []
    inside = {layer.name for spec in specs for layer in spec.layers}
    reached = set(trace.order)
    for layer in layers:
        if layer.name not in reached and layer.name not in inside:
            _refuse_unreached(layer)
    known = {layer.name: layer for layer in layers}
    single = [LayerStage(known[name], model, batches, trace.calls[name]) for name in trace.order if name not in inside]
    before = [stage for stage in single if specs and stage.name in trace.before]
    after = [stage for stage in single if not specs or stage.name not in trace.before]
    chain = list(Chain(model, batches, specs).stages()) if specs else []
    return [*before, *chain, *after]


def _trace(model: nn.Module, batches: Sequence[Batch], tracer: Tracer) -> Trace:
    with tracer:
        try_model(model, batches[0])
    return tracer.result()


def _refuse_unreached(layer: PrunableLayer) -> None:
    way_out = f"Calibrate with data that reaches it, or leave it out with the rule {layer.name!r}: None."
    raise DataError(layer.name, "the layer was never called during calibration", way_out)
