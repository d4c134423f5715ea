"""Every error is one clear sentence, and is also the built-in error that a caller would expect."""

import pytest

from slrprune import SlrpruneError
from slrprune.errors import (
    ArgumentError,
    BrokenPackageError,
    DataError,
    MissingExtraError,
    NonFiniteError,
    RankError,
    RuleError,
    ShapeError,
    StateError,
    UsageError,
    closest,
    suggestion,
)


@pytest.mark.parametrize(
    ("error", "text", "also"),
    [
        (ArgumentError("NM", "n", 3, "must be at most m=2"), "NM(n=3): n must be at most m=2.", ValueError),
        (
            ArgumentError("Global", "floor", "x", "must be a number", "Use None."),
            "Global(floor='x'): floor must be a number. Use None.",
            ValueError,
        ),
        (
            ShapeError("fc.weight", "NM(2, 4) needs shape[1] divisible by 4", [4, 6], "Use dim=0."),
            "fc.weight: NM(2, 4) needs shape[1] divisible by 4, got shape (4, 6). Use dim=0.",
            ValueError,
        ),
        (NonFiniteError("fc.weight", "the weight"), "fc.weight: the weight is not finite.", ArithmeticError),
        (RankError("step 3", "masks differ", "Load."), "step 3: masks differ. Load.", RuntimeError),
        (RuleError("rule 'a'", "matches nothing", "Try b."), "rule 'a': matches nothing. Try b.", ValueError),
        (StateError("load", "is damaged"), "load: is damaged.", ValueError),
        (UsageError("Pruner", "is done", "Build another."), "Pruner: is done. Build another.", RuntimeError),
        (DataError("cifar10", "no file"), "cifar10: no file.", ValueError),
        (
            MissingExtraError("`slrprune demo`", "rich", "cli"),
            "`slrprune demo` needs rich. Install it with: pip install 'slrprune[cli]'.",
            ImportError,
        ),
        (
            BrokenPackageError("The task", "timm", "OSError: no library", "Reinstall it."),
            "The task needs timm, which is installed and cannot be imported (OSError: no library). Reinstall it.",
            ImportError,
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_sentences(error: SlrpruneError, text: str, also: type[Exception]) -> None:
    assert str(error) == text
    assert isinstance(error, SlrpruneError)
    assert isinstance(error, also)


def test_every_error_has_a_sentence_above() -> None:
    kinds = {ArgumentError, DataError, MissingExtraError, NonFiniteError, RankError, RuleError, ShapeError, StateError}
    ours = {kind for kind in SlrpruneError.__subclasses__() if kind.__module__ == "slrprune.errors"}
    assert ours == kinds | {BrokenPackageError, UsageError}


def test_closest_lists_the_most_similar_first() -> None:
    names = ["layer1.conv.weight", "layer2.conv.weight", "fc.weight", "embedding"]
    assert closest("layer1.conv.wieght", names) == ["layer1.conv.weight", "layer2.conv.weight", "fc.weight"]
    assert closest("fc.weigth", names, 1) == ["fc.weight"]
    assert closest("xyz", []) == []
    assert len(closest("nothing like them", names)) == 3
    assert closest("FC.Weight", names, 1) == ["fc.weight"]
    assert closest("embedding", ["Embedding", "fc"]) == ["Embedding", "fc"]


@pytest.mark.parametrize(
    ("word", "near"),
    [
        ("LAMP", "lamp"),
        ("lmap", "lamp"),
        ("fcn", "fcn_resnet50"),
        ("one-shot", "one_shot"),
        ("nope", ""),
        ("nowhere", ""),
        ("my_task.py", ""),
        ("no", ""),
        ("", ""),
    ],
)
def test_only_what_is_near_is_suggested(word: str, near: str) -> None:
    names = ["uniform", "lamp", "fcn_resnet50", "one_shot", "imagenet", "tusimple", "nm", "inspect"]
    assert suggestion(word, names) == (f"The closest is {near!r}." if near else "")
    assert suggestion(word, names, "; the closest is {}") == (f"; the closest is {near}" if near else "")
    assert suggestion(word, []) == ""
