"""The pruner on 2 and on 4 processes, under DDP, FSDP2 and hybrid sharding: what each rank said of each scenario."""

from pathlib import Path

import pytest
import ranks

HERE = Path(__file__).parent
FILES = sorted(HERE.glob("_*.py"))
LINES = [line for file in FILES for line in file.read_text().splitlines()]
NAMES = [line[4 : line.index("(")] for line in LINES if line.startswith("def scenario_")]


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    return ranks.run(FILES, tmp_path_factory.mktemp("ranks"))


@pytest.mark.parametrize("name", NAMES)
def test_scenario(said: dict[str, list[str]], name: str) -> None:
    assert said[name] == [""] * ranks.SIZE, "\n".join(said[name])


def test_all_scenarios_ran(said: dict[str, list[str]]) -> None:
    assert sorted(said) == sorted(NAMES)
    assert len(NAMES) >= 20
