"""2:4 sparse tensors need a GPU; without one there is a sentence."""

import pytest
import torch
from torch import nn

from slrprune.deploy.handover import is_semi_structured, to_semi_structured
from slrprune.errors import UsageError
from slrprune.sets import NM


@pytest.mark.skipif(torch.cuda.is_available(), reason="about machines without CUDA")
def test_without_cuda_one_sentence():
    sentence = (
        r"to_semi_structured: 2:4 zeros are used by NVIDIA GPUs only, and torch finds none here\. Call it where "
        r"torch\.cuda\.is_available\(\); on a CPU use accelerate\."
    )
    with pytest.raises(UsageError, match=sentence):
        to_semi_structured(nn.Linear(8, 8))


def test_the_pattern_is_recognized():
    weight = NM(2, 4).project(torch.randn(8, 16))
    assert is_semi_structured(weight)
    weight[3, 4:8] = 1
    assert not is_semi_structured(weight)
    assert not is_semi_structured(torch.zeros(4, 6))
    assert not is_semi_structured(torch.zeros(4))


@pytest.mark.gpu
def test_linear_layers_with_the_pattern_are_converted():
    model = nn.Sequential(nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 128), nn.Conv2d(1, 1, 1)).cuda().half()
    model[0].weight.data.copy_(NM(2, 4).project(model[0].weight.data))
    converted, report = to_semi_structured(model)
    assert report.converted == ("0",)
    assert dict(report.left).keys() == {"2", "3"}
    x = torch.randn(64, 128, device="cuda", dtype=torch.float16)
    torch.testing.assert_close(converted[0](x), model[0](x), rtol=1e-2, atol=1e-2)
