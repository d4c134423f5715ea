"""What only transformers.Trainer brings with it: where the loss comes from, checkpoints elsewhere, evaluation."""

from pathlib import Path
from typing import Any

import pytest
import torch
from engine_task import REGRESSION, STEPS, Interruption, Net, in_transformers, plain
from methods_table import same_bits
from torch import Tensor, nn
from transformers import Trainer, TrainerCallback, TrainingArguments

from slrprune import ADMM, SLR, Global
from slrprune.adapters import TransformersPruning
from slrprune.adapters.state_file import NAME
from slrprune.errors import StateError, UsageError


def _trainer(folder: Path, model: nn.Module, pruning: Any, kind: type[Trainer] = Trainer, **options: Any) -> Trainer:
    settings = {"per_device_train_batch_size": 8, "num_train_epochs": 2, "report_to": [], "disable_tqdm": True}
    callbacks = [pruning, *options.pop("callbacks", [])]
    rows = REGRESSION.rows()
    arguments = TrainingArguments(str(folder), use_cpu=True, **settings | {"save_strategy": "no"} | options)
    return kind(model, arguments, train_dataset=rows, eval_dataset=rows, callbacks=callbacks)


class Bare(Net):
    """Leaves the loss to the trainer."""

    def forward(self, inputs: Tensor, labels: Tensor) -> Tensor:  # type: ignore[override]
        return self.layers(inputs)


class LossOutside(Trainer):
    def compute_loss(self, model: nn.Module, inputs: Any, return_outputs: bool = False, **more: Any) -> Any:
        outputs = model(**inputs)
        loss = nn.functional.mse_loss(outputs, inputs["labels"])
        return (loss, outputs) if return_outputs else loss


class Told(LossOutside):
    pruning: TransformersPruning

    def training_step(self, *args: Any, **kwargs: Any) -> Tensor:
        loss = super().training_step(*args, **kwargs)
        self.pruning.observe(loss)
        return loss


class PerItem(Net):
    """Divides by the number of items in the whole batch, as language models do."""

    def forward(  # type: ignore[override]
        self, inputs: Tensor, labels: Tensor, num_items_in_batch: Tensor | None = None, **kwargs: Any
    ) -> dict[str, Tensor]:
        count = labels.numel() if num_items_in_batch is None else num_items_in_batch
        return {"loss": (self.layers(inputs) - labels).square().sum() / count}


def test_a_loss_outside_the_model_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"the model's output holds no loss\. Override Trainer\.training_step"):
        _trainer(tmp_path, Bare(), TransformersPruning(Global(0.75)), LossOutside).train()


def test_a_loss_outside_the_model_can_be_told(tmp_path: Path) -> None:
    weights, losses = [], []
    for model, kind in ((Net(), Trainer), (Bare(), Told)):
        pruning = TransformersPruning(Global(0.75), method=SLR())
        trainer = _trainer(tmp_path, model, pruning, kind, gradient_accumulation_steps=2)
        if isinstance(trainer, Told):
            trainer.pruning = pruning
        trainer.train()
        weights.append(dict(model.state_dict()))
        losses.append([record.loss for record in pruning.pruner.records()])
    assert same_bits(weights[0], weights[1])
    assert losses[0] == losses[1]


def test_a_loss_that_is_a_share_of_the_batch(tmp_path: Path) -> None:
    """The micro-batches' losses add up to what the Trainer logs for the step."""
    pruning = TransformersPruning(Global(0.75))
    options = {"gradient_accumulation_steps": 3, "logging_steps": 1, "max_steps": 4}
    trainer = _trainer(tmp_path, PerItem(), pruning, **options)
    trainer.train()
    logged = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    seen = [record.loss for record in pruning.pruner.records()]
    assert len(logged) == len(seen) == 4
    assert seen[0] == pytest.approx(logged[0], rel=1e-5)


@pytest.mark.parametrize("backend", ["eager", pytest.param("aot_eager", marks=pytest.mark.slow)])
def test_a_compiled_model(backend: str, tmp_path: Path) -> None:
    pruning = TransformersPruning(Global(0.75))
    _trainer(tmp_path, Net(), pruning, torch_compile=True, torch_compile_backend=backend).train()
    other = TransformersPruning(Global(0.75))
    _trainer(tmp_path, Net(), other).train()
    losses = [[record.loss for record in run.pruner.records()] for run in (pruning, other)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert pruning.report is not None
    assert pruning.report.nnz == 20
    torch._dynamo.reset()


@pytest.mark.parametrize("method", [SLR(), ADMM(interval=2)], ids=["SLR", "ADMM"])
def test_evaluation_sees_the_pruned_model(method: Any, tmp_path: Path) -> None:
    """`SLR` at any time; the others from the hard cut on, which comes before the last evaluation."""
    seen: list[float] = []

    class Look(TrainerCallback):
        def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any, **now: Any) -> None:
            if method.is_sparse_throughout or pruning.pruner.is_finalized:
                parameters = dict(now["model"].named_parameters())
                assert all(not bool(parameters[name][~mask].any()) for name, mask in pruning.pruner.masks().items())
                seen.append(metrics["eval_loss"])

    pruning = TransformersPruning(Global(0.75), method=method)
    trainer = _trainer(tmp_path, Net(), pruning, eval_strategy="epoch", callbacks=[Look()])
    trainer.train()
    assert len(seen) == (2 if method.is_sparse_throughout else 1)
    assert trainer.evaluate()["eval_loss"] == seen[1 if method.is_sparse_throughout else 0]


def test_nothing_stays_on_the_model_and_the_optimizer(tmp_path: Path) -> None:
    model = Net()
    trainer = _trainer(tmp_path, model, TransformersPruning(Global(0.75), total_steps=8))
    trainer.train()
    assert not model._forward_hooks
    assert not trainer.optimizer.optimizer._optimizer_step_post_hooks  # type: ignore[union-attr]


def test_a_checkpoint_moved_elsewhere(tmp_path: Path) -> None:
    with pytest.raises(Interruption):
        in_transformers(SLR(), tmp_path / "a", stop=8)
    with pytest.raises(Interruption):  # another run, whose checkpoint has the same number
        in_transformers(ADMM(interval=2), tmp_path / "b", stop=8)
    moved = tmp_path / "moved"
    (tmp_path / "a" / "checkpoint-8").rename(moved)
    with pytest.raises(StateError, match=r"there is no slrprune\.pt"):
        in_transformers(SLR(), tmp_path / "a", resume=str(moved))
    with pytest.raises(StateError, match=r"not of the checkpoint that is resumed\. Call load\(folder\)"):
        in_transformers(SLR(), tmp_path / "b", resume=str(moved))
    model, pruning = in_transformers(SLR(), tmp_path / "b", resume=str(moved), load=moved)
    expected, _ = plain(SLR())
    assert same_bits(dict(model.state_dict()), dict(expected.state_dict()))
    assert pruning.pruner.steps == STEPS


def test_a_damaged_state_is_named(tmp_path: Path) -> None:
    with pytest.raises(Interruption):
        in_transformers(SLR(), tmp_path, stop=8)
    file = tmp_path / "checkpoint-8" / NAME
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(StateError, match=r"slrprune\.pt: the file is damaged\. Resume from the checkpoint before it"):
        in_transformers(SLR(), tmp_path, resume=True)


def test_the_best_model_is_refused(tmp_path: Path) -> None:
    options = {"load_best_model_at_end": True, "eval_strategy": "epoch", "save_strategy": "epoch"}
    trainer = _trainer(tmp_path, Net(), TransformersPruning(Global(0.75)), **options)
    with pytest.raises(UsageError, match="load_best_model_at_end would bring back weights from before"):
        trainer.train()


def test_one_callback_is_one_run(tmp_path: Path) -> None:
    pruning = TransformersPruning(Global(0.75))
    with pytest.raises(UsageError, match="the pruner is built when training begins"):
        _ = pruning.pruner
    assert pruning.report is None
    trainer = _trainer(tmp_path, Net(), pruning)
    trainer.train()
    with pytest.raises(UsageError, match=r"TransformersPruning: its run is over\. Build another one"):
        trainer.train()
