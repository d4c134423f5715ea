"""Float16 with loss scaling inside the engines: a step that the scaler skipped is none, fused or not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from accelerate import Accelerator
from accelerate.optimizer import AcceleratedOptimizer
from engine_task import KEPT, REGRESSION, Net
from lightning.pytorch.plugins import MixedPrecision
from methods_table import same_bits
from torch import Tensor, nn

from slrprune import SLR, Global, Pruner
from slrprune.adapters import AcceleratePruning, LightningPruning

# Without momentum: torch 2.13 leaves its buffer uninitialized where the very first fused step is skipped.
OPTIMIZERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "AdamW": lambda p: torch.optim.AdamW(p, lr=0.02),
    "AdamW fused": lambda p: torch.optim.AdamW(p, lr=0.02, fused=True),
    "SGD fused": lambda p: torch.optim.SGD(p, lr=0.05, fused=True),
}
every_optimizer = pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS.keys())
RULES = Global(0.75)
PLANNED = 20


def _scaler() -> torch.amp.GradScaler:
    """Its first steps overflow, and it grows until others do."""
    return torch.amp.GradScaler("cpu", init_scale=2.0**22, growth_interval=4)


def _plain(make: Callable[[Any], torch.optim.Optimizer]) -> tuple[nn.Module, Pruner, int]:
    model, scaler = Net(), _scaler()
    optimizer = make(model.parameters())
    pruner = Pruner(model, optimizer, RULES, total_steps=PLANNED, method=SLR())
    skips = 0
    for _ in range(3):
        for batch in REGRESSION.loader():
            with torch.autocast("cpu", dtype=torch.float16, cache_enabled=False):
                loss = model(**batch)["loss"]
            optimizer.zero_grad()
            scaler.scale(loss).backward()
            scale = scaler.get_scale()
            scaler.step(optimizer)
            scaler.update()
            skipped = scaler.get_scale() < scale
            skips += skipped
            if pruner.steps < PLANNED:
                pruner.step(loss, skipped=skipped)
            if pruner.steps == PLANNED:
                pruner.finalize()
                return model, pruner, skips
    raise AssertionError("too many steps were skipped")


@every_optimizer
def test_accelerate(make: Callable[[Any], torch.optim.Optimizer], tmp_path: Path) -> None:
    """Its own `mixed_precision="fp16"` asks for a GPU; the optimizer that it prepares there is this one."""
    expected, pruner, skips = _plain(make)
    assert skips > 1
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=1)
    model, scaler = Net(), _scaler()
    optimizer = AcceleratedOptimizer(make(model.parameters()), scaler=scaler)
    pruning = AcceleratePruning(accelerator, model, optimizer, RULES, total_steps=PLANNED)
    for _ in range(3):
        for batch in REGRESSION.loader():
            if not pruning.pruner.is_finalized:
                with accelerator.accumulate(model):
                    with torch.autocast("cpu", dtype=torch.float16, cache_enabled=False):
                        loss = model(**batch)["loss"]
                    optimizer.zero_grad()
                    scaler.scale(loss).backward()
                    optimizer.step()
                    pruning.step(loss)
    assert pruning.finalize().nnz == KEPT
    assert same_bits(dict(model.state_dict()), dict(expected.state_dict()))
    assert same_bits(pruning.pruner.state_dict(), pruner.state_dict())


class Module(pl.LightningModule):
    """Trains in automatic or in manual optimization."""

    def __init__(self, make: Callable[[Any], torch.optim.Optimizer], is_manual: bool = False) -> None:
        super().__init__()
        self.net, self.make = Net(), make
        self.automatic_optimization = not is_manual

    def training_step(self, batch: Any, index: int) -> Tensor:
        loss = self.net(**batch)["loss"]
        if not self.automatic_optimization:
            optimizer = self.optimizers()
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()
        return loss

    def configure_optimizers(self) -> Any:
        return self.make(self.parameters())


def _fit(module: pl.LightningModule, pruning: LightningPruning, **options: Any) -> None:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    options = {"max_epochs": 3, "enable_checkpointing": False} | quiet | options
    pl.Trainer(accelerator="cpu", callbacks=[pruning], **options).fit(module, REGRESSION.loader())


@every_optimizer
@pytest.mark.parametrize("is_manual", [False, True], ids=["automatic", "manual"])
def test_lightning(make: Callable[[Any], torch.optim.Optimizer], is_manual: bool) -> None:
    _, pruner, skips = _plain(make)
    assert skips > 1
    module, pruning = Module(make, is_manual), LightningPruning(RULES, total_steps=PLANNED)
    precision = MixedPrecision("16-mixed", "cpu", _scaler())
    _fit(module, pruning, plugins=[precision])
    assert pruning.pruner.steps == PLANNED
    assert pruning.report is not None
    assert pruning.report.nnz == KEPT
    here, there = pruning.pruner.state_dict(), pruner.state_dict()
    assert same_bits(here["records"], there["records"])
    assert same_bits(list(here["final_masks"].values()), list(there["final_masks"].values()))


def test_lightning_needs_a_loss_and_one_optimizer() -> None:
    class Direct(Module):
        def training_step(self, batch: Any, index: int) -> None:  # type: ignore[override]
            self.net(**batch)["loss"].backward()
            self.optimizers().step()

    with pytest.raises(Exception, match=r"LightningPruning: a step without a loss\. Call self\.manual_backward"):
        _fit(Direct(OPTIMIZERS["AdamW"], is_manual=True), LightningPruning(RULES))

    class Two(Module):
        def configure_optimizers(self) -> Any:
            return [torch.optim.SGD(layer.parameters(), lr=0.1) for layer in (self.net.layers[0], self.net.layers[2])]

    with pytest.raises(Exception, match="the module has 2 optimizers, and their steps are not one schedule"):
        _fit(Two(OPTIMIZERS["AdamW"], is_manual=True), LightningPruning(RULES))


def test_accelerate_wants_what_it_prepared() -> None:
    model = Net()
    optimizer: Any = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(Exception, match="an optimizer is not prepared"):
        AcceleratePruning(Accelerator(cpu=True), model, optimizer, RULES, total_steps=8)
