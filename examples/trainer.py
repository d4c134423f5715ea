"""Prune while transformers.Trainer trains: one callback.

Run with `python examples/trainer.py`; needs the extra `transformers`.
"""

import tempfile

import torch
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

import slrprune as slr
from slrprune.adapters import TransformersPruning

torch.manual_seed(0)
tokens = torch.randint(1, 20, (128, 8))
rows = [{"input_ids": row, "labels": int(row[0] > 10)} for row in tokens]  # the first token decides
shape = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
model = BertForSequenceClassification(BertConfig(vocab_size=20, num_labels=2, **shape))

pruning = TransformersPruning(slr.Global(0.8))  # added; the run's length is the Trainer's
with tempfile.TemporaryDirectory() as folder:
    settings = TrainingArguments(
        folder, num_train_epochs=6, per_device_train_batch_size=16, learning_rate=3e-3, max_grad_norm=1.0,
        save_strategy="no", report_to=[], disable_tqdm=True, logging_strategy="no", use_cpu=True,
    )  # fmt: skip
    trainer = Trainer(model, settings, train_dataset=rows, eval_dataset=rows, callbacks=[pruning])  # added
    trainer.train()
    print(pruning.report)
    print(f"loss after the cut: {trainer.evaluate()['eval_loss']:.3f}")
