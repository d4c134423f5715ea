"""What the words of a configuration stand for."""

import pytest

pytest.importorskip("pydantic", reason="configurations need pydantic, of the extra cli")

import torch
from torch import nn

from slrprune import ADMM, NM, SLR, Channel, CubicRamp, Global, Unstructured
from slrprune.compare import available
from slrprune.compare.arm import MethodArm
from slrprune.config import make_config, parse
from slrprune.config.expressions import schedule_names, set_names
from slrprune.config.methods import METHOD_NAMES, build_method
from slrprune.config.model import SETS_WITH_LEVEL, SETS_WITHOUT_LEVEL
from slrprune.config.targets import pruning_rules
from slrprune.methods import ClassicSLR, OnFailure
from slrprune.methods.named import NAMED_METHODS
from slrprune.structures import STRUCTURES


def network():
    return nn.Sequential(nn.Conv2d(4, 8, 3), nn.Flatten(), nn.Linear(8, 4))


def test_the_names_are_those_of_the_registries():
    assert tuple(NAMED_METHODS) == METHOD_NAMES
    assert {arm.name: arm.method for arm in available() if isinstance(arm, MethodArm)} == {
        name: named.method for name, named in NAMED_METHODS.items()
    }
    assert [entry.name for entry in STRUCTURES if not entry.owns_level] == list(SETS_WITH_LEVEL[1:])
    assert [entry.name for entry in STRUCTURES if entry.owns_level] == list(SETS_WITHOUT_LEVEL)


def test_options_set_fields_of_the_method():
    method = build_method("slr", {"sigma": 0.5, "ramp": "CubicRamp(0.1, 0.4)"})
    assert method == SLR(sigma=0.5, ramp=CubicRamp(0.1, 0.4))
    assert build_method("admm_ramp", {}) == ADMM()
    classic = build_method("classic_slr_ramp", {"on_failure": "OnFailure.ROLLBACK"})
    assert isinstance(classic, ClassicSLR)
    assert classic.on_failure is OnFailure.ROLLBACK


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("NM(2, 4)", NM(2, 4)),
        (" Unstructured(sparsity=0.8) ", Unstructured(0.8)),
        ("Global(0.9, allocation='lamp')", Global(0.9, allocation="lamp")),
        ("Channel(0.5) & NM(2, 4)", Channel(0.5) & NM(2, 4)),
    ],
)
def test_sets_are_written_as_in_python(text, expected):
    assert repr(parse(text, set_names())) == repr(expected)


def test_an_enumeration_has_no_other_members():
    with pytest.raises(ValueError, match=r"has no OnFailure\.NOPE"):
        parse("OnFailure.NOPE", schedule_names())


def test_the_default_is_one_budget_over_all():
    found = pruning_rules(make_config(task="digits"), network())
    assert found.rules == Global(0.9)
    assert pruning_rules(make_config(task="digits", sparsity=0.5, allocation="erk"), network()).settings == (
        "Global(sparsity=0.5, allocation='erk')"
    )


def test_a_set_by_name_covers_what_fits_it():
    found = pruning_rules(make_config(task="digits", set="filters", sparsity=0.5), network())
    assert list(found.rules) == ["0.weight"]


def test_the_same_text_is_the_same_budget():
    rules = {"0": "Global(0.9)", "2": "Global(0.9)", nn.Linear.__name__: None}
    found = pruning_rules(make_config(task="digits", rules=rules), network()).rules
    assert found["0"] is found["2"]
    assert found["Linear"] is None
    apart = pruning_rules(make_config(task="digits", rules={"0": "Global(0.9)", "2": "Global(0.90)"}), network()).rules
    assert apart["0"] is not apart["2"]
    assert torch.equal(apart["0"].mask(torch.ones(10)), found["0"].mask(torch.ones(10)))
