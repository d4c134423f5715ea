"""One task through every engine: the same data, optimizer, scheduler, clipping and accumulation."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from slrprune import ConstraintSet, Global, MaskKeeper, Method, Pruner
from slrprune.adapters import AcceleratePruning, LightningPruning, TransformersPruning

CLIP = 0.5
RULES = Global(0.75)


class Interruption(BaseException):
    """The run is killed here."""


class Net(nn.Module):
    """Returns its loss with its output, as transformers' models do."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.layers = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 4))

    def forward(self, inputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
        outputs = self.layers(inputs)
        return {"loss": nn.functional.mse_loss(outputs, labels), "outputs": outputs}


class Rows(torch.utils.data.Dataset[dict[str, Tensor]]):
    """Columns of tensors, read row by row."""

    def __init__(self, **columns: Tensor) -> None:
        self.columns = columns

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {name: column[index] for name, column in self.columns.items()}


def _random_rows() -> Rows:
    generator = torch.Generator().manual_seed(5)
    return Rows(inputs=torch.randn(48, 6, generator=generator), labels=torch.randn(48, 4, generator=generator))


@dataclass(frozen=True)
class Task:
    """What is trained on what; the model returns its loss in a mapping."""

    build: Callable[[], nn.Module] = Net
    rows: Callable[[], Rows] = _random_rows
    rules: ConstraintSet = RULES
    micro_batch: int = 4
    accumulate: int = 2
    epochs: int = 3

    @property
    def steps_per_epoch(self) -> int:
        return len(self.rows()) // (self.micro_batch * self.accumulate)

    @property
    def steps(self) -> int:
        return self.steps_per_epoch * self.epochs

    def loader(self) -> Any:
        return torch.utils.data.DataLoader(self.rows(), batch_size=self.micro_batch)


REGRESSION = Task()
STEPS, STEPS_PER_EPOCH = REGRESSION.steps, REGRESSION.steps_per_epoch
KEPT = 20  # of 48 + 32 weights


def optimizer_of(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(model.parameters(), lr=0.02)


def scheduler_of(optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler:
    return torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.9)


def plain(method: Method, steps: int | None = None, task: Task = REGRESSION) -> tuple[nn.Module, Pruner]:
    """A loop as one writes it without an engine: the hard cut after `steps`, and masked retraining in those left."""
    steps = task.steps if steps is None else steps
    model = task.build().train()
    optimizer = optimizer_of(model)
    scheduler = scheduler_of(optimizer)
    pruner = Pruner(model, optimizer, task.rules, total_steps=steps, method=method)
    for _ in range(task.epochs):
        losses = []
        for batch in task.loader():
            loss = model(**batch)["loss"]
            (loss / task.accumulate).backward()
            losses.append(loss.detach())
            if len(losses) == task.accumulate:
                nn.utils.clip_grad_norm_(model.parameters(), CLIP)
                optimizer.step()
                if pruner.steps < steps:
                    pruner.step(torch.stack(losses).mean())
                if pruner.steps == steps and not pruner.is_finalized:
                    pruner.finalize()
                    MaskKeeper(model, optimizer, pruner.masks())
                scheduler.step()
                optimizer.zero_grad()
                losses = []
    return model, pruner


def in_transformers(
    method: Method,
    folder: Path,
    stop: int | None = None,
    resume: bool | str = False,
    load: Path | None = None,
    task: Task = REGRESSION,
    **options: Any,
) -> tuple[nn.Module, TransformersPruning]:
    from transformers import Trainer, TrainerCallback, TrainingArguments

    class Kill(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **now: Any) -> None:
            if state.global_step == stop:
                raise Interruption

    model = task.build()
    optimizer = optimizer_of(model)
    pruning = TransformersPruning(task.rules, method=method, **options)
    arguments = TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=task.epochs,
        per_device_train_batch_size=task.micro_batch,
        gradient_accumulation_steps=task.accumulate,
        max_grad_norm=CLIP,
        save_steps=stop or 10**6,
        logging_steps=1,
        train_sampling_strategy="sequential",
        use_cpu=True,
        report_to=[],
        disable_tqdm=True,
    )
    trainer = Trainer(
        model,
        arguments,
        train_dataset=task.rows(),
        optimizers=(optimizer, scheduler_of(optimizer)),
        callbacks=[pruning, Kill()],
    )
    if load is not None:
        pruning.load(load)
    trainer.train(resume_from_checkpoint=resume)
    return model, pruning


def in_lightning(
    method: Method, folder: Path, stop: int | None = None, resume: bool = False, task: Task = REGRESSION, **options: Any
) -> tuple[nn.Module, LightningPruning]:
    import lightning.pytorch as pl

    class Module(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = task.build().train()

        def training_step(self, batch: Any, index: int) -> Tensor:
            return self.net(**batch)["loss"]

        def configure_optimizers(self) -> Any:
            optimizer = optimizer_of(self.net)
            return [optimizer], [{"scheduler": scheduler_of(optimizer), "interval": "step"}]

    class Kill(pl.Callback):
        def on_train_batch_start(self, trainer: Any, *args: Any) -> None:
            if trainer.global_step == stop:
                raise Interruption

    module = Module()
    pruning = LightningPruning(task.rules, method=method, **options)
    keep = pl.callbacks.ModelCheckpoint(
        folder, every_n_train_steps=task.steps_per_epoch, save_top_k=-1, filename="{step:04d}"
    )
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=task.epochs,
        accumulate_grad_batches=task.accumulate,
        gradient_clip_val=CLIP,
        callbacks=[pruning, Kill(), keep],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, task.loader(), ckpt_path=max(folder.glob("*.ckpt")) if resume else None)
    return module.net, pruning


def in_accelerate(
    method: Method, folder: Path, stop: int | None = None, resume: bool = False, task: Task = REGRESSION, **options: Any
) -> tuple[nn.Module, AcceleratePruning]:
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=task.accumulate)
    inner = task.build().train()
    optimizer = optimizer_of(inner)
    model, optimizer, batches, scheduler = accelerator.prepare(inner, optimizer, task.loader(), scheduler_of(optimizer))
    pruning = AcceleratePruning(
        accelerator, model, optimizer, task.rules, total_steps=options.get("total_steps", task.steps), method=method
    )
    if resume:
        accelerator.load_state(folder)
    done = scheduler.scheduler.last_epoch  # optimizer steps
    for epoch in range(task.epochs):
        own = batches
        if epoch == done // task.steps_per_epoch and resume:
            own = accelerator.skip_first_batches(batches, done % task.steps_per_epoch * task.accumulate)
        for batch in own if epoch >= done // task.steps_per_epoch else ():
            if scheduler.scheduler.last_epoch == stop:
                accelerator.save_state(folder)
                raise Interruption
            with accelerator.accumulate(model):
                loss = model(**batch)["loss"]
                accelerator.backward(loss)
                if accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(model.parameters(), CLIP)
                optimizer.step()
                pruning.step(loss)
                scheduler.step()
                optimizer.zero_grad()
    pruning.finalize()
    return inner, pruning


ENGINES = {"transformers": in_transformers, "lightning": in_lightning, "accelerate": in_accelerate}
