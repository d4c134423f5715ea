"""Prune while Lightning trains: one callback.

Run with `python examples/lightning_module.py`; needs the extra `lightning`.
"""

import warnings

import lightning.pytorch as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import slrprune as slr
from slrprune.adapters import LightningPruning


class Classifier(pl.LightningModule):
    """The plain loop's network as a module of Lightning."""

    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Sequential(nn.Linear(32, 256), nn.ReLU(), nn.Linear(256, 8))

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        return nn.functional.cross_entropy(self.network(batch[0]), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=3e-3)


warnings.filterwarnings("ignore", module="lightning")  # hints about a run as small as this
torch.manual_seed(0)
inputs = torch.randn(512, 32)
labels = inputs[:, :8].argmax(1)
quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
pruning = LightningPruning(slr.Global(0.8))  # added; the run's length is the trainer's
trainer = pl.Trainer(max_epochs=10, accelerator="cpu", callbacks=[pruning], **quiet)  # added: callbacks
trainer.fit(Classifier(), DataLoader(TensorDataset(inputs, labels), batch_size=64))
print(pruning.report)
