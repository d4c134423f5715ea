"""What a missing engine leads to."""

import pytest

from slrprune import adapters
from slrprune.errors import MissingExtraError


@pytest.mark.parametrize(
    ("name", "package", "extra"),
    [
        ("AcceleratePruning", "accelerate", "train"),
        ("LightningPruning", "lightning", "lightning"),
        ("TransformersPruning", "transformers", "transformers"),
    ],
)
def test_a_missing_engine_is_named(name: str, package: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapters, "find_spec", lambda module: None if module == package else object())
    with pytest.raises(MissingExtraError, match=rf"{name} needs {package}\. .*'slrprune\[{extra}\]'"):
        getattr(adapters, name)


def test_other_names_are_no_part() -> None:
    assert {"AcceleratePruning", "LightningPruning", "TransformersPruning"} <= set(dir(adapters))
    with pytest.raises(AttributeError, match="has no attribute 'DeepSpeedPruning'"):
        _ = adapters.DeepSpeedPruning
