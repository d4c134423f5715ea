"""Models of transformers, by name or folder, and calibration data from a text (the extra `oneshot`)."""

import importlib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from slrprune.errors import ArgumentError, DataError, MissingExtraError, RuleError
from slrprune.oneshot.blocks import find_blocks
from slrprune.oneshot.layers import prunable_layers
from slrprune.rules import Rules
from slrprune.sets.base import ConstraintSet
from slrprune.sets.unstructured import Unstructured


@dataclass(frozen=True, eq=False)
class HubModel:
    """A model with its tokenizer.

    Args:
        model: in eval mode; its parameters are on meta where `weights` is given.
        tokenizer: transformers' own.
        weights: folder of the checkpoint that `prune(weights=...)` streams from; None where the model is in memory.
    """

    model: nn.Module
    tokenizer: Any
    weights: Path | None = None


def load(name: str, *, trusts_remote_code: bool = False, streams: bool = False) -> HubModel:
    """A model of transformers, with the class that its configuration names.

    Args:
        name: of a model on the Hub, or a folder.
        trusts_remote_code: whether Python code that comes with the model may be run.
        streams: leave the weights on the disk; needs a folder.

    Raises:
        MissingExtraError: transformers (for `streams` also accelerate) is not installed.
        DataError: there is no such model, or it cannot be read.
        ArgumentError: `streams` with something else than a folder.
    """
    transformers = _imported("transformers")
    if streams and not Path(name).is_dir():
        raise ArgumentError(
            "hub.load", "name", name, "must be a folder with safetensors files where weights are streamed"
        )
    trust = {"trust_remote_code": trusts_remote_code}
    try:
        config = transformers.AutoConfig.from_pretrained(name, **trust)
        tokenizer = transformers.AutoTokenizer.from_pretrained(name, **trust)
        kind = getattr(transformers, (config.architectures or ["AutoModel"])[0], transformers.AutoModel)
        if not streams:
            return HubModel(kind.from_pretrained(name, **trust).eval(), tokenizer)
    except (OSError, ValueError) as error:
        problem = f"transformers finds no model it can load ({str(error).splitlines()[0]})"
        raise DataError(f"hf:{name}", problem) from None
    with _imported("accelerate").init_empty_weights(include_buffers=False):
        model = kind.from_config(config) if kind is transformers.AutoModel else kind(config)
    model.tie_weights()
    return HubModel(model.to(config.dtype or torch.float32).eval(), tokenizer, Path(name))


def calibration_from_text(tokenizer: Any, text: str, samples: int, length: int) -> list[dict[str, Tensor]]:
    """Batches of one sample each, cut from a text without gaps, so that there is no padding.

    The samples are spread evenly over the text. Tokens that the tokenizer puts around a sentence go around each sample.

    Args:
        tokenizer: of transformers.
        text: from which the samples are cut.
        samples: how many, at least 1; fewer where the text is too short.
        length: tokens of a sample, at least 8.

    Raises:
        ArgumentError: a number outside its range.
        DataError: a text of fewer tokens than one sample.
    """
    for argument, value, least in (("samples", samples, 1), ("length", length, 8)):
        if value < least:
            raise ArgumentError("calibration_from_text", argument, value, f"must be at least {least}")
    before, after = _around(tokenizer, text[:200])
    own = length - len(before) - len(after)
    tokens = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    pieces = [tokens[start : start + own] for start in range(0, len(tokens) - own + 1, own)]
    if not pieces:
        problem = f"{len(tokens)} tokens make no sample of {length}"
        raise DataError("calibration text", problem, "Give more text, or a shorter length.")
    chosen = [pieces[place * len(pieces) // samples] for place in range(min(samples, len(pieces)))]
    if len(pieces) <= samples:
        chosen = pieces
    return [{"input_ids": torch.tensor([[*before, *piece, *after]])} for piece in chosen]


def _around(tokenizer: Any, text: str) -> tuple[list[int], list[int]]:
    """The special tokens that a tokenizer puts before and after a text."""
    bare: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    full: list[int] = tokenizer(text)["input_ids"]
    starts = (start for start in range(len(full) - len(bare) + 1) if full[start : start + len(bare)] == bare)
    start = next(starts, 0)
    return full[:start], full[start + len(bare) :]


def rules_for_blocks(model: nn.Module, constraint: ConstraintSet, dense: Sequence[str] = ()) -> Rules:
    """`constraint` for the layers inside the model's blocks; embeddings, poolers and heads stay dense.

    Args:
        model: of transformers, or any with a chain of blocks.
        constraint: the set.
        dense: further patterns of what stays dense.

    Raises:
        RuleError: a model without blocks.
    """
    everything: Rules = Unstructured(0.5)
    layers, _ = prunable_layers(model, everything)
    blocks = find_blocks(model, layers, None)
    if not blocks:
        raise RuleError(
            type(model).__name__, "has no list of blocks of one class", "Write rules of your own, in Python."
        )
    container = blocks[0].name.rpartition(".")[0]
    stays: dict[str | type[nn.Module], ConstraintSet | None] = dict.fromkeys(dense)
    return {**stays, f"{container}.*": constraint}


def _imported(package: str) -> Any:
    if importlib.util.find_spec(package) is None:
        raise MissingExtraError("One-shot pruning of a model of transformers", package, "oneshot")
    return importlib.import_module(package)
