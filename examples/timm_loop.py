"""A loop as in timm's train.py: its network, optimizer, schedule, scaler's place and average; three added lines.

Run with `python examples/timm_loop.py`; needs the extra `timm`.
"""

import timm
import torch
from timm.optim import create_optimizer_v2
from timm.scheduler import CosineLRScheduler
from timm.utils import ModelEmaV3

import slrprune as slr

torch.manual_seed(0)
steps, warmup = 24, 4
model = timm.create_model("resnet10t", num_classes=4)
optimizer = create_optimizer_v2(model, opt="adamw", lr=2e-3, weight_decay=0.05)  # groups with and without decay
scheduler = CosineLRScheduler(optimizer, t_initial=steps, warmup_t=warmup, warmup_lr_init=1e-5, t_in_epochs=False)
average = ModelEmaV3(model, decay=0.9)
criterion = torch.nn.CrossEntropyLoss(label_smoothing=0.1)

rules = {"conv1*": None, "fc": None, "*": slr.Global(0.8)}  # stem and classifier stay dense
pruner = slr.Pruner(model, optimizer, rules, total_steps=steps)  # added, after everything else
for step in range(steps):
    labels = torch.arange(8) % 4
    images = torch.randn(8, 3, 64, 64) + labels.view(-1, 1, 1, 1)
    loss = criterion(model(images), labels)
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    pruner.step(loss)  # added, between the optimizer's step and all that reads the weights
    average.update(model, step=step)
    scheduler.step_update(step + 1)
report = pruner.finalize()  # added
pruner.apply_masks_(average.module)  # the average mixes many masks
print(f"sparsity {report.sparsity:.1%}, whole model {report.model_compression_ratio:.1f}x smaller")
