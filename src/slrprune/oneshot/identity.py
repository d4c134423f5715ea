"""What tells one run from another: its settings, and the tensors that it began with."""

import hashlib
import json
from collections.abc import Sequence

from torch import Tensor, nn

from slrprune.oneshot.batches import Batch, digest
from slrprune.oneshot.layers import PrunableLayer
from slrprune.oneshot.solver import Solver
from slrprune.oneshot.streamed import StreamedWeights
from slrprune.oneshot.walk import Stage
from slrprune.rules import canonical_name


def fingerprint(
    model: nn.Module, layers: Sequence[PrunableLayer], solver: Solver, batches: Sequence[Batch], stages: Sequence[Stage]
) -> str:
    """A SHA-256 of everything that the result depends on but the values of the model's tensors."""
    shapes = [(canonical_name(name), str(p.dtype), tuple(p.shape)) for name, p in model.named_parameters()]
    # One joint set shared by two layers is one budget, two equal sets are two: tell them apart.
    first = {id(layer.constraint): place for place, layer in reversed([*enumerate(layers)])}
    shared = [first[id(layer.constraint)] for layer in layers if layer.constraint.is_joint]
    rules = [(layer.name, repr(layer.constraint)) for layer in layers]
    content = [shapes, rules, shared, repr(solver), digest(batches), [stage.name for stage in stages]]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def tensor_digests(model: nn.Module, streamed: StreamedWeights | None) -> dict[str, str]:
    """A SHA-256 of every parameter and of every buffer that a state dict holds, by canonical name, a tied one once.

    Args:
        model: whose tensors.
        streamed: where those are that the model has on meta; they are read one at a time.

    Raises:
        DataError: a checkpoint that lacks a parameter.
    """
    found: dict[str, str] = {}
    seen: set[int] = set()
    for name, tensor in model.state_dict(keep_vars=True).items():
        if isinstance(tensor, Tensor) and not tensor.is_meta and id(tensor) not in seen:
            found[canonical_name(name)] = digest([tensor])
            seen.add(id(tensor))
    if streamed is not None:
        found.update((canonical_name(name), digest([tensor])) for name, tensor in streamed.missing(model))
    return found
