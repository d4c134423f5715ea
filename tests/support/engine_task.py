"""One small regression through every engine: the same data, optimizer, scheduler, clipping and accumulation."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from slrprune import Global, MaskKeeper, Method, Pruner
from slrprune.adapters import AcceleratePruning, LightningPruning, TransformersPruning

EXAMPLES, MICRO_BATCH, ACCUMULATE, EPOCHS = 48, 4, 2, 3
STEPS_PER_EPOCH = EXAMPLES // (MICRO_BATCH * ACCUMULATE)
STEPS = STEPS_PER_EPOCH * EPOCHS
CLIP = 0.5
RULES = Global(0.75)
KEPT = 20  # of 48 + 32 weights


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
    """Rows as dictionaries."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(5)
        self.inputs = torch.randn(EXAMPLES, 6, generator=generator)
        self.labels = torch.randn(EXAMPLES, 4, generator=generator)

    def __len__(self) -> int:
        return EXAMPLES

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"inputs": self.inputs[index], "labels": self.labels[index]}


def loader() -> Any:
    return torch.utils.data.DataLoader(Rows(), batch_size=MICRO_BATCH)


def optimizer_of(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(model.parameters(), lr=0.02)


def scheduler_of(optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler:
    return torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.9)


def plain(method: Method, steps: int = STEPS) -> tuple[nn.Module, Pruner]:
    """A loop as one writes it without an engine: the hard cut after `steps`, and masked retraining in those left."""
    model = Net()
    optimizer = optimizer_of(model)
    scheduler = scheduler_of(optimizer)
    pruner = Pruner(model, optimizer, RULES, total_steps=steps, method=method)
    for _ in range(EPOCHS):
        losses = []
        for batch in loader():
            loss = model(**batch)["loss"]
            (loss / ACCUMULATE).backward()
            losses.append(loss.detach())
            if len(losses) == ACCUMULATE:
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
    method: Method, folder: Path, stop: int | None = None, resume: bool = False, **options: Any
) -> tuple[nn.Module, TransformersPruning]:
    from transformers import Trainer, TrainerCallback, TrainingArguments

    class Kill(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **now: Any) -> None:
            if state.global_step == stop:
                raise Interruption

    model = Net()
    optimizer = optimizer_of(model)
    pruning = TransformersPruning(RULES, method=method, **options)
    arguments = TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=EPOCHS,
        per_device_train_batch_size=MICRO_BATCH,
        gradient_accumulation_steps=ACCUMULATE,
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
        train_dataset=Rows(),
        optimizers=(optimizer, scheduler_of(optimizer)),
        callbacks=[pruning, Kill()],
    )
    trainer.train(resume_from_checkpoint=resume)
    return model, pruning


def in_lightning(
    method: Method, folder: Path, stop: int | None = None, resume: bool = False, **options: Any
) -> tuple[nn.Module, LightningPruning]:
    import lightning.pytorch as pl

    class Module(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = Net()

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
    pruning = LightningPruning(RULES, method=method, **options)
    keep = pl.callbacks.ModelCheckpoint(
        folder, every_n_train_steps=STEPS_PER_EPOCH, save_top_k=-1, filename="{step:04d}"
    )
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=EPOCHS,
        accumulate_grad_batches=ACCUMULATE,
        gradient_clip_val=CLIP,
        callbacks=[pruning, Kill(), keep],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, loader(), ckpt_path=max(folder.glob("*.ckpt")) if resume else None)
    return module.net, pruning


def in_accelerate(
    method: Method, folder: Path, stop: int | None = None, resume: bool = False, **options: Any
) -> tuple[nn.Module, AcceleratePruning]:
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=ACCUMULATE)
    inner = Net()
    optimizer = optimizer_of(inner)
    model, optimizer, batches, scheduler = accelerator.prepare(inner, optimizer, loader(), scheduler_of(optimizer))
    pruning = AcceleratePruning(
        accelerator, model, optimizer, RULES, total_steps=options.get("total_steps", STEPS), method=method
    )
    if resume:
        accelerator.load_state(folder)
    done = scheduler.scheduler.last_epoch  # optimizer steps
    for epoch in range(EPOCHS):
        own = batches
        if epoch == done // STEPS_PER_EPOCH and resume:
            own = accelerator.skip_first_batches(batches, done % STEPS_PER_EPOCH * ACCUMULATE)
        for batch in own if epoch >= done // STEPS_PER_EPOCH else ():
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
