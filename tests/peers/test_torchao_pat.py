"""torchao's pruning-aware optimizer as an arm."""

import pytest
import torch

from slrprune import NM, Channel, Global, Unstructured
from slrprune.compare import Target
from slrprune.errors import UsageError

pytest.importorskip("torchao", reason="needs the extra 'peers'")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:torchao", "ignore::UserWarning:torchao")


@pytest.fixture
def pat():
    """The adapter."""
    import benchmarks.peers.torchao_pat as module

    return module


def test_both_arms_reach_the_sparsity_asked_for(pat, records_of):
    hard, soft = records_of(pat.HARD, pat.SOFT)
    for record in (hard, soft):
        assert record.is_ok
        assert record.sparsity_reached == pytest.approx(0.9, abs=2e-5)  # of some 60,000 weights
    assert hard.test_accuracy_after_cut > 50
    assert hard.method_settings == f"torchao {pat.torchao.__version__}, HardConstraint(warmup=0.05, healing=0.6)"


@pytest.mark.parametrize(
    ("rules", "share"),
    [(Global(0.8), 0.8), (Unstructured(0.75), 0.75), (Channel(0.5), 0.5)],
)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_hard_constraint_itself_reaches_the_target_before_the_cut(pat, short_digits, rules, share, layout):
    model = short_digits.build_model().to(memory_format=layout)
    optimizer = short_digits.pruning_recipe.optimizer(model)
    trainer = pat.HardConstraint()(model, optimizer, rules, 10)
    zeros = []
    for batch, _ in zip(short_digits.batches("train"), range(10), strict=False):
        trainer.step(short_digits.loss(model, batch))
        weights = [p for p in model.parameters() if p.ndim > 1]
        zeros.append(sum(int((w == 0).sum()) for w in weights) / sum(w.numel() for w in weights))
    assert zeros[0] == 0
    assert zeros[2] < zeros[5] == pytest.approx(share, abs=2e-3)  # frozen from the sixth step on
    assert zeros[9] == zeros[5]


def test_the_learning_rate_of_the_loop_reaches_the_moved_weights(pat, short_digits):
    model = short_digits.build_model()
    optimizer = short_digits.pruning_recipe.optimizer(model)
    trainer = pat.HardConstraint()(model, optimizer, Global(0.8), 10)
    scheduler = short_digits.pruning_recipe.scheduler(optimizer, 2)
    trainer.step(short_digits.loss(model, next(short_digits.batches("train"))))
    scheduler.step()
    assert sorted(len(group["params"]) for group in optimizer.param_groups) == [5, 9]
    assert [group["lr"] for group in optimizer.param_groups] == [0.025, 0.025]
    assert [group["momentum"] for group in optimizer.param_groups] == [0.9, 0.9]


def test_what_pat_cannot_do_is_refused(pat, short_digits):
    model = short_digits.build_model()

    def build(rules, steps=10):
        return pat.HardConstraint()(model, short_digits.pruning_recipe.optimizer(model), rules, steps)

    with pytest.raises(UsageError, match=r"NM\(n=2, m=4.*\) has no counterpart in PAT that this adapter knows"):
        build({"conv2": NM(2, 4)})
    with pytest.raises(UsageError, match="1 steps are too short for a ramp from 5% to 60%"):
        build(Global(0.9), 1)
    with pytest.raises(UsageError, match="gives no sparsity"):
        build(Global(params=1000))


def test_a_target_without_counterpart_is_refused_before_anything_runs(pat, records_of, tmp_path):
    with pytest.raises(UsageError, match="has no counterpart in PAT"):
        records_of(pat.HARD, target=Target("2-4", {"conv2": NM(2, 4)}))
    assert not list(tmp_path.iterdir())
