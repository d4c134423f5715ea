"""Cooper, NNCF and Condensa as arms: they reach what was asked, and say what they cannot do."""

from importlib import import_module

import pytest

from slrprune import Channel, Global, Unstructured
from slrprune.errors import UsageError

RIVALS = {"cooper_lagrangian": "cooper", "nncf_magnitude": "nncf", "condensa_lc": "condensa"}

pytestmark = pytest.mark.filterwarnings("ignore")  # what other libraries warn of is not ours to mend


@pytest.fixture(params=RIVALS)
def adapter(request):
    """An adapter's module; skips where its library is not installed."""
    pytest.importorskip(RIVALS[request.param], reason="needs the extra 'peers'")
    return import_module(f"benchmarks.peers.{request.param}")


def build(adapter, task, rules, steps=20):
    model = task.build_model()
    optimizer = task.pruning_recipe.optimizer(model)
    return adapter.ARM.trainer(model, optimizer, rules, steps), model


def test_the_sparsity_asked_for_is_reached_exactly(adapter, records_of):
    (record,) = records_of(adapter.ARM, epochs=3)
    assert record.is_ok
    assert record.sparsity_reached == pytest.approx(0.9, abs=2e-5)  # of some 60,000 weights
    assert record.test_accuracy_after_cut > 30  # chance is 10
    assert len(record.curve) == 3


def test_every_setting_can_be_built_and_says_what_it_is(adapter, short_digits):
    settings = [adapter.ARM.settings, *(other.settings for other in adapter.ARM.alternatives)]
    assert len({*settings}) == 6
    for arm in (adapter.ARM, *adapter.ARM.alternatives):
        model = short_digits.build_model()
        arm.trainer(model, short_digits.pruning_recipe.optimizer(model), Global(0.9), 100)


def test_the_preview_is_the_cut_and_leaves_the_run_alone(adapter, short_digits):
    trainer, model = build(adapter, short_digits, Global(0.75), steps=60)
    for batch in list(short_digits.batches("train"))[:3]:
        trainer.step(short_digits.loss(model, batch))
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    copy = trainer.preview()
    assert all((parameter == before[name]).all() for name, parameter in model.named_parameters())
    trainer.finalize()
    names = [name for name, parameter in model.named_parameters() if parameter.ndim > 1]
    for name in names:
        assert (copy.get_parameter(name) == model.get_parameter(name)).all()
    zeros = sum(int((model.get_parameter(name) == 0).sum()) for name in names)
    assert zeros == pytest.approx(0.75 * sum(model.get_parameter(name).numel() for name in names), abs=1)
    assert set(model.state_dict()) == set(short_digits.build_model().state_dict())


def test_the_masks_of_nncf_follow_its_schedule(short_digits):
    nncf_magnitude = adapter_or_skip("nncf_magnitude")
    trainer, model = build(nncf_magnitude, short_digits, Unstructured(0.8), steps=20)
    shares = []
    batches = list(short_digits.batches("train"))
    for batch in batches[:12]:
        trainer.step(short_digits.loss(model, batch))
        hooks = nncf_magnitude.get_pruned_modules(model).values()
        shares.append(1 - sum(int(h.binary_mask.sum()) for h in hooks) / sum(h.binary_mask.numel() for h in hooks))
    assert shares == sorted(shares)
    assert 0 < shares[0] < 0.3
    assert shares[9] == shares[11] == pytest.approx(0.8, abs=0.01)


def test_what_nncf_cannot_do_is_refused(short_digits):
    adapter = adapter_or_skip("nncf_magnitude")
    with pytest.raises(UsageError, match=r"Channel\(sparsity=0\.5.*\) has no counterpart in NNCF"):
        build(adapter, short_digits, Channel(0.5))
    with pytest.raises(UsageError, match="NNCF asks the same of all weights"):
        build(adapter, short_digits, {"conv1": Unstructured(0.5), "conv2": Unstructured(0.6)})
    with pytest.raises(UsageError, match="gives no sparsity"):
        build(adapter, short_digits, Global(params=1000))


def test_what_condensa_cannot_do_is_refused(short_digits):
    adapter = adapter_or_skip("condensa_lc")
    with pytest.raises(UsageError, match=r"Condensa's Prune takes one density, not Unstructured\(sparsity=0\.5\)"):
        build(adapter, short_digits, Unstructured(0.5))


def test_the_multiplier_of_cooper_grows_while_the_constraint_is_violated(short_digits):
    adapter = adapter_or_skip("cooper_lagrangian")
    trainer, model = build(adapter, short_digits, Global(0.9), steps=10)
    values = []
    for batch in list(short_digits.batches("train"))[:5]:
        trainer.step(short_digits.loss(model, batch))
        values.append(float(next(trainer.problem.dual_parameters()).detach()))
    assert values == sorted(values)
    assert values[0] == pytest.approx(10.0 * (1 - adapter.TOLERANCE), rel=1e-4)  # pressure 100 over 10 steps


def adapter_or_skip(name):
    pytest.importorskip(RIVALS[name], reason="needs the extra 'peers'")
    return import_module(f"benchmarks.peers.{name}")
