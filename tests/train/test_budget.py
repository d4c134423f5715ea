"""What the loop can do beyond plain steps: a teacher, a length in steps, masked retraining."""

import blobs
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from slrprune import ADMM, Global, Pruner
from slrprune.errors import ArgumentError, UsageError
from slrprune.tasks import SGDRecipe
from slrprune.train import Distillation, PruningTrainer, RetrainingTrainer, Teacher, train


class Blobs(blobs.Blobs):
    """Three epochs of six batches."""

    pruning_recipe = SGDRecipe(epochs=3, lr=0.05)

    def __init__(self):
        super().__init__(batch_size=16)


@pytest.fixture
def task():
    """The task."""
    return Blobs()


def retraining(share, steps_seen, sparsity=0.5):
    def factory(model, optimizer, steps):
        def pruning(length):
            steps_seen.append(length)
            method = ADMM(interval=2)
            return PruningTrainer(optimizer, Pruner(model, optimizer, rules, total_steps=length, method=method))

        rules = Global(sparsity)
        return RetrainingTrainer(model, optimizer, rules, pruning=pruning, steps=steps, share=share)

    return factory


def zeros(model):
    return [int((model[index].weight == 0).sum()) for index in (0, 3)]


def test_a_run_of_fewer_steps_ends_early_and_its_schedule_with_it(task):
    model, seen = task.build_model(), []
    run = train(model, task, task.pruning_recipe, steps=14, on_epoch=lambda epoch: seen.append(epoch.steps))
    assert (run.steps, seen, len(run.losses)) == (14, [6, 12, 14], 3)
    assert run.trainer.optimizer.param_groups[0]["lr"] == pytest.approx(0.0)


@pytest.mark.parametrize("steps", [0, 19, True, 1.5])
def test_a_length_out_of_range_is_refused(task, steps):
    with pytest.raises(ArgumentError, match=r"steps must be in \[1, 18\], the steps of the recipe's epochs"):
        train(task.build_model(), task, task.pruning_recipe, steps=steps)


def test_the_loss_of_distillation_is_the_formula(task):
    student, dense = task.build_model(), task.build_model()
    inputs, targets = next(task.batches("train"))
    teacher = Teacher(dense, Distillation(weight=0.7, temperature=2.0))
    loss = teacher.loss(task, student, (inputs, targets))
    loss.backward()
    dense.eval()
    p = (dense(inputs) / 2).softmax(1)
    q = (student(inputs) / 2).softmax(1)
    divergence = 4 * (p * (p / q).log()).sum(1).mean()
    expected = 0.3 * F.cross_entropy(student(inputs), targets) + 0.7 * divergence
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert all(parameter.grad is not None for parameter in student.parameters())
    assert all(parameter.grad is None for parameter in teacher.model.parameters())


def test_a_teacher_alone_is_imitated(task):
    torch.manual_seed(1)
    dense, student = task.build_model(), task.build_model()
    train(dense, task, SGDRecipe(epochs=10, lr=0.1))
    before = {name: tensor.clone() for name, tensor in dense.state_dict().items()}
    run = train(student, task, SGDRecipe(epochs=20, lr=0.1), teacher=Teacher(dense, Distillation(weight=1.0)))
    assert run.losses[-1] < 0.2 * run.losses[0]
    assert all(torch.equal(tensor, before[name]) for name, tensor in dense.state_dict().items())


def test_a_model_without_plain_logits_is_refused(task):
    class Wrapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(8, 4)

        def forward(self, inputs):
            return {"logits": self.linear(inputs)}

    model = Wrapped()
    task.loss = lambda model, batch: model(batch[0])["logits"].square().mean()
    sentence = r"must call the model once and get one tensor of logits, got \['dict'\]\. Wrap the model"
    with pytest.raises(UsageError, match=sentence):
        Teacher(model).loss(task, model, next(task.batches("train")))


def test_settings_of_distillation_out_of_range_are_refused():
    with pytest.raises(ArgumentError, match=r"Distillation\(weight=0\): weight must be in \(0, 1\]"):
        Distillation(weight=0)
    with pytest.raises(ArgumentError, match=r"temperature must be positive"):
        Distillation(temperature=0)


def test_retraining_shares_the_steps_and_keeps_the_zeros(task):
    model, lengths, seen = task.build_model(), [], []
    run = train(
        model,
        task,
        task.pruning_recipe,
        trainer=retraining(0.5, lengths),
        on_epoch=lambda epoch: seen.append((epoch.steps, sum(zeros(model)), sum(zeros(epoch.trainer.preview())))),
    )
    assert lengths == [9]
    assert seen == [(6, 0, 96), (12, 96, 96), (18, 96, 96)]  # the cut comes after step 9
    cut = model[0].weight.detach().clone()
    run.trainer.finalize()
    assert torch.equal(model[0].weight, cut)
    train(model, task, task.pruning_recipe)
    assert sum(zeros(model)) < 96  # nobody holds them any more


def test_a_cut_that_leaves_everything_is_trained_on_after(task):
    model, shown = task.build_model(), []
    run = train(
        model,
        task,
        task.pruning_recipe,
        trainer=retraining(0.5, [], sparsity=0.0),
        on_epoch=lambda epoch: shown.append(epoch.trainer.preview() is model),
    )
    run.trainer.finalize()
    assert shown == [False, True, True]
    assert (run.steps, zeros(model)) == (18, [0, 0])


def test_a_run_stopped_before_its_cut_is_cut_at_the_end(task):
    model = task.build_model()
    optimizer = task.pruning_recipe.optimizer(model)
    trainer = retraining(0.5, [])(model, optimizer, 18)
    trainer.step(task.loss(model, next(task.batches("train"))))
    trainer.finalize()
    assert sum(zeros(model)) == 96


def test_a_share_that_leaves_no_step_is_refused(task):
    model = task.build_model()
    with pytest.raises(
        ArgumentError, match=r"share=0\.01\): share must leave both phases at least one of the 18 steps"
    ):
        retraining(0.01, [])(model, task.pruning_recipe.optimizer(model), 18)
