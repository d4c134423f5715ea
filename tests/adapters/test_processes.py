"""The adapters' common part on four processes."""

from pathlib import Path

import pytest
import ranks


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    return ranks.run([Path(__file__).with_name("_ranks.py")], tmp_path_factory.mktemp("ranks"))


@pytest.mark.parametrize("name", ["an_engine_hands_over_the_model_without_its_wrapper", "sharded_weights_are_refused"])
def test_on_four_processes(name: str, said: dict[str, list[str]]) -> None:
    assert said[f"scenario_{name}"] == [""] * ranks.SIZE
