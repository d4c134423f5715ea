"""What to prune: your model, your data, your loss, your metric. As it stands, a small network on made-up points."""

import torch
from torch import nn

from slrprune.tasks import Labelled, SGDRecipe, TensorTask


class MyTask(TensorTask):
    """Classification of tensors that fit into memory. For anything else derive from slrprune.tasks.Task instead."""

    name = "my_task"  # of folders and records
    model_name = "my_net"
    dense_recipe = SGDRecipe(epochs=5, lr=0.1, weight_decay=5e-4)  # training from fresh weights; AdamWRecipe, too
    pruning_recipe = SGDRecipe(epochs=5, lr=0.05, weight_decay=5e-4)  # training on while pruning

    def build_model(self) -> nn.Module:
        """Your network, with fresh weights."""
        net = nn.Sequential(nn.Linear(20, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 4))
        return net.to(self.device)

    def pretrained(self) -> nn.Module | None:
        """Your network with its trained weights, where you have them; None trains them by dense_recipe first."""
        # net = self.build_model()
        # net.load_state_dict(torch.load("my_weights.pt"))
        # return net
        return None


def make_task(noise: float = 1.0, device: str = "cpu") -> MyTask:
    """What `slrprune VERB my_task.py:make_task` calls; its arguments are settings: --option noise=2."""
    draw = torch.Generator().manual_seed(0)  # the same data at every call
    centers = torch.randn(4, 20, generator=draw)

    def examples(count: int) -> Labelled:
        classes = torch.randint(4, (count,), generator=draw)  # int64 of shape (n,), from 0
        return Labelled(centers[classes] + noise * torch.randn(count, 20, generator=draw), classes)

    # "val" is for choices, "test" for the final figure only.
    return MyTask({"train": examples(2048), "val": examples(512), "test": examples(1024)}, batch_size=64, device=device)
