"""The memory table of docs/integrations.md is that of the code."""

import re
from pathlib import Path

import pytest
import torch

import slrprune

PAGE = Path(__file__).resolve().parents[2] / "docs" / "integrations.md"
ROWS = re.findall(r"^\| `(\w+)` \| (\d+) \| (\d+) \|", PAGE.read_text(), flags=re.MULTILINE)


def test_every_method_is_in_the_table() -> None:
    public = {getattr(slrprune, name) for name in slrprune.__all__}
    methods = {
        kind.__name__
        for kind in public
        if isinstance(kind, type) and issubclass(kind, slrprune.Method) and kind is not slrprune.Method
    }
    assert {name for name, _, _ in ROWS} == methods


@pytest.mark.parametrize(("name", "single", "half"), ROWS)
def test_bytes_kept_for_each_pruned_weight(name: str, single: str, half: str) -> None:
    method = getattr(slrprune, name)()
    assert method.bytes_per_weight(torch.float32) == int(single)
    assert method.bytes_per_weight(torch.bfloat16) == int(half)
