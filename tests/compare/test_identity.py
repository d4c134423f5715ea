"""Fingerprints change with what changes a result, and with nothing else."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from slrprune import Global, GradualMagnitude, Unstructured
from slrprune.compare import MethodArm, Target, find
from slrprune.compare.identity import fingerprint, task_fingerprint
from slrprune.compare.run import Run, Setting
from slrprune.compare.start import DenseSource
from slrprune.errors import UsageError


def test_equal_tasks_have_equal_fingerprints(blobs):
    assert task_fingerprint(blobs()) == task_fingerprint(blobs())


@pytest.mark.parametrize("attribute", ["batch_size", "bf16", "anything_a_subclass_may_invent"])
def test_every_attribute_of_a_task_counts(blobs, attribute):
    task = blobs()
    before = task_fingerprint(task)
    setattr(task, attribute, 4)
    assert task_fingerprint(task) != before


def test_one_changed_pixel_counts(blobs):
    task = blobs()
    before = task_fingerprint(task)
    task.splits["train"].inputs[5, 3] += 1e-3
    assert task_fingerprint(task) != before


def test_the_structure_of_the_model_counts(blobs, monkeypatch):
    task = blobs()
    before = task_fingerprint(task)
    monkeypatch.setattr(blobs, "build_model", lambda self: torch.nn.Linear(8, 4))
    assert task_fingerprint(task) != before


def test_paths_and_recipes_and_the_global_generator_do_not_count(blobs):
    task = blobs()
    task.data, task.dense_recipe = Path("somewhere"), task.dense_recipe
    before = task_fingerprint(task)
    task.data, task.dense_recipe = Path("somewhere/else"), replace(task.dense_recipe, lr=0.3)
    torch.manual_seed(99)
    state = torch.get_rng_state()
    assert task_fingerprint(task) == before
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([1, 2], [12]),
        ([1, 2], [2, 1]),
        (["a", "b"], ["ab"]),
        (1, 1.0),
        (None, 0),
        ((), {}),
        (torch.zeros(2), torch.zeros(2, dtype=torch.float64)),
        (torch.zeros(2, 3), torch.zeros(3, 2)),
        (torch.tensor(1.0, dtype=torch.bfloat16), torch.tensor(2.0, dtype=torch.bfloat16)),
        (torch.zeros(2).numpy(), torch.ones(2).numpy()),
        (len, print),
        ({"a": [1], "b": []}, {"a": [], "b": [1]}),
    ],
)
def test_different_values_differ(one, other):
    assert fingerprint(one) != fingerprint(other)


def power(x, exponent=2):
    return x**exponent


def raised_to(exponent):
    def power(x):
        return x**exponent

    return power


class Scaled:
    def __init__(self, factor):
        self.factor = factor

    def __call__(self, x):
        return self.factor * x


@pytest.mark.parametrize(
    "make",
    [
        lambda value: torch.nn.CrossEntropyLoss(label_smoothing=value),
        lambda value: torch.nn.Sequential(torch.nn.ReLU(), torch.nn.Dropout(value)),
        lambda value: torch.nn.ReLU() if value < 0.4 else torch.nn.SiLU(),
        lambda value: partial(power, exponent=value),
        lambda value: partial(power, value),
        raised_to,
        lambda value: Scaled(value).__call__,
        lambda value: (lambda x: x + 1) if value < 0.4 else (lambda x: x + 2),
        lambda value: lambda x: {x, value},
        lambda value: lambda x, y=value: x + y,
        lambda value: frozenset((value, "a")),
    ],
)
def test_settings_inside_modules_and_functions_count(make):
    assert fingerprint(make(0.3)) == fingerprint(make(0.3))
    assert fingerprint(make(0.3)) != fingerprint(make(0.5))


def test_the_mode_of_a_module_does_not_count():
    module = torch.nn.Sequential(torch.nn.Dropout(0.5))
    assert fingerprint(module) == fingerprint(module.eval())


def test_a_method_of_the_task_itself_is_no_circle(blobs):
    task = blobs()
    task.criterion = task.loss
    assert task_fingerprint(task) != task_fingerprint(blobs())


def test_a_function_that_closes_over_its_task_is_no_circle(blobs):
    def fingerprint_with(factor):
        task = blobs()
        task.scale = lambda x: (factor, task, x)
        return task_fingerprint(task)

    assert fingerprint_with(1) == fingerprint_with(1) != fingerprint_with(2)


def test_a_name_without_a_value_yet_does_not_count():
    def outer():
        def inner():
            return later

        found = fingerprint(inner)
        later = 1
        return found, later

    assert outer()[0]


def test_a_function_that_calls_itself_is_no_circle():
    def down(n):
        return n and down(n - 1)

    assert fingerprint(down) == fingerprint(down)


def test_what_contains_itself_is_refused():
    circle = []
    circle.append(circle)
    with pytest.raises(UsageError, match=r"fingerprint: an object contains itself, so that a changed setting"):
        fingerprint(circle)


def test_memory_format_does_not_count():
    images = torch.arange(24.0).reshape(1, 2, 3, 4)
    assert fingerprint(images) == fingerprint(images.to(memory_format=torch.channels_last))


def test_hidden_state_is_refused():
    with pytest.raises(UsageError, match=r"fingerprint: a Generator hides its state"):
        fingerprint({"rng": torch.Generator()})


@pytest.fixture
def setting_of(blobs, tmp_path):
    def make(task=None, epochs=4):
        return Setting(DenseSource(task or blobs(), tmp_path), tmp_path, epochs, None)

    return make


def test_a_run_is_identified_by_all_that_defines_it(setting_of, blobs):
    (slr,) = find(["slr"])
    run, setting = Run(slr, Target.at(0.5), 0), setting_of()
    names = [run.path(setting).name]
    slow, quick = blobs(), blobs()
    slow.pruning_recipe = replace(slow.pruning_recipe, lr=0.01)
    quick.dense_recipe = replace(quick.dense_recipe, epochs=1)
    for changed, where in (
        (replace(run, seed=1), setting),
        (replace(run, target=Target.at(0.6)), setting),
        (replace(run, target=Target("50%", Unstructured(0.5), 0.5)), setting),
        (replace(run, arm=MethodArm("slr", "another method under the same name", GradualMagnitude())), setting),
        (run, setting_of(epochs=5)),
        (run, setting_of(slow)),
        (run, setting_of(quick)),
        (run, setting_of(blobs(noise=0.6))),
        (run, setting_of(blobs(weights=blobs().build_model().state_dict()))),
    ):
        names.append(changed.path(where).name)
    assert len({*names}) == len(names) == 10
    assert run.path(setting_of()).name == names[0]
    assert names[0].startswith("blobs-mlp-slr-50pct-e4-s0-")


def test_what_a_budget_of_operations_is_measured_on_counts():
    small, large = (Target("t", Global(macs=10**6, example_input=torch.zeros(1, 3, n, n))) for n in (8, 32))
    again = Target("t", Global(macs=10**6, example_input=torch.ones(1, 3, 8, 8)))
    named = Target("t", {"a": Global(macs=10**6, example_input={"x": (torch.zeros(1, 3, 8, 8), 2)})})
    assert small.settings == again.settings != large.settings
    assert named.settings == ("{'a': Global(macs=1000000) of {'x': (torch.float32 (1, 3, 8, 8), 2)}}, shared as [0]")


def test_what_is_shared_between_rules_counts():
    one = Unstructured(0.5)
    shared, apart = Target("t", {"a": one, "b": one}), Target("t", {"a": one, "b": Unstructured(0.5)})
    assert shared.settings != apart.settings
