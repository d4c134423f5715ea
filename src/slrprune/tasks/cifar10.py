"""CIFAR-10 with the CIFAR ResNets, and with other networks in their CIFAR form."""

from os import PathLike

import torch
from torch import Tensor, nn

from slrprune.errors import ArgumentError, StateError
from slrprune.tasks.augment import CropFlip
from slrprune.tasks.base import Split
from slrprune.tasks.cifar10_files import read_cifar10
from slrprune.tasks.cifar10_models import CIFAR_MODELS, THIN_RESNETS, check_cifar_model, recipes_under
from slrprune.tasks.recipe import Recipe, SGDRecipe
from slrprune.tasks.resnet_cifar import ResNetCifar
from slrprune.tasks.split import stratified_holdout
from slrprune.tasks.tensor_task import Labelled, TensorTask
from slrprune.tasks.weights_file import load_checkpoint

MEAN = (0.485, 0.456, 0.406)
"""Mean of red, green and blue in [0, 1]: ImageNet's, which the public checkpoints were trained with."""

STD = (0.229, 0.224, 0.225)
"""Standard deviations that go with `MEAN`."""

SPLIT_SEED = 0
"""Seed of the validation split: one split for everyone, whatever the seed of a run."""


class Cifar10(TensorTask):
    """60,000 colour images of 32x32 pixels in 10 classes; training images are cropped and mirrored at random.

    The "val" split is cut from the training images: `stratified_holdout` with seed 0, the same for every run. A
    public checkpoint has seen those images, so choices need a model that was trained without them.

    Args:
        data: folder of CIFAR-10 in any format of `read_cifar10`; None takes the environment variable SLRPRUNE_DATA.
        depth: of the thin ResNet: 20, 32, 44, 56 or 110.
        model: another network by its name in `slrprune.tasks.cifar10_models`, with recipes of its own: "vgg16",
            "resnet18", "resnet50", "mobilenetv2", "mixer_s4" or "swin_tiny". "resnet56" says the same as depth=56.
        checkpoint: file with trained dense weights, for `pretrained`.
        holdout: training images held out for "val", in [0, 49,999]. With 0 there is no "val" split: for a final run
            that uses the test split once.
        optimizer: "sgd" or "adamw" in place of the network's own, with learning rate and weight decay to go with it
            (torch's defaults for AdamW); the recipes' lengths stay.
        batch_size: of training batches.
        device: where data and models live; the images take 184 MB there.
        bf16: run forward passes under bfloat16 autocast. Faster on GPUs and on CPUs with bfloat16 instructions (AMX, or
            AVX-512's), slower on others.

    Raises:
        ArgumentError: a value out of range.
        DataError: the data are missing or damaged.
        MissingExtraError: timm is not installed, for "mixer_s4" and "swin_tiny".
    """

    name = "cifar10"
    dense_recipe: Recipe = SGDRecipe(epochs=30, lr=0.1, weight_decay=5e-4, warmup=0.1)
    pruning_recipe: Recipe = SGDRecipe(epochs=6, lr=0.05, weight_decay=5e-4)
    depth: int
    model: str | None = None

    def __init__(
        self,
        data: str | PathLike[str] | None = None,
        *,
        depth: int = 20,
        model: str | None = None,
        checkpoint: str | PathLike[str] | None = None,
        holdout: int = 5000,
        optimizer: str | None = None,
        batch_size: int = 128,
        device: str | torch.device = "cpu",
        bf16: bool = False,
    ) -> None:
        if model is not None and depth != 20:
            raise ArgumentError("Cifar10", "depth", depth, f"must be left out beside model={model!r}")
        self._choose(depth, model)
        if optimizer is not None:
            recipes = recipes_under(optimizer, self.dense_recipe, self.pruning_recipe)
            self.dense_recipe, self.pruning_recipe = recipes
        self.checkpoint = checkpoint
        splits = _splits(read_cifar10(data, "train"), read_cifar10(data, "test"), holdout)
        super().__init__(splits, batch_size=batch_size, augment=CropFlip(), device=device, bf16=bf16)
        self._mean = torch.tensor(MEAN, device=self.device).mul(255).reshape(1, 3, 1, 1)
        self._std = torch.tensor(STD, device=self.device).mul(255).reshape(1, 3, 1, 1)

    def _choose(self, depth: int, model: str | None) -> None:
        """Sets what describes the network: `depth` for a thin ResNet, `model` for any other, never both.

        Attributes identify a run (`slrprune.compare.identity`): those of a thin ResNet are the same whether it was
        asked for by its depth or by its name.
        """
        if model is not None:
            check_cifar_model(model)
        if model is None or model in THIN_RESNETS:
            self.depth = depth if model is None else THIN_RESNETS[model]
            return
        self.model = model
        self.dense_recipe, self.pruning_recipe = CIFAR_MODELS[model].dense_recipe, CIFAR_MODELS[model].pruning_recipe

    @property
    def model_name(self) -> str:
        """The model's name in records, for example "resnet20"."""
        return f"resnet{self.depth}" if self.model is None else self.model

    def build_model(self) -> nn.Module:
        """The network with fresh weights, in channels-last memory format (a third faster on CPUs)."""
        fresh = ResNetCifar(self.depth) if self.model is None else CIFAR_MODELS[self.model].build()
        # torch's annotations do not know that a module's memory format can be set alone
        model: nn.Module = fresh.to(self.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return model

    def pretrained(self) -> nn.Module | None:
        """The network with the checkpoint's weights; None without a checkpoint.

        Raises:
            DataError: the checkpoint cannot be read.
            StateError: it belongs to another model.
        """
        if self.checkpoint is None:
            return None
        with torch.random.fork_rng(devices=[]):
            model = self.build_model()
        try:
            model.load_state_dict(load_checkpoint(self.checkpoint))
        except RuntimeError as error:
            asked = f"depth={self.depth}" if self.model is None else f"model={self.model!r}"
            raise StateError(f"Cifar10({asked})", f"{self.checkpoint} belongs to another model") from error
        return model

    def prepare(self, inputs: Tensor) -> Tensor:
        """Pixels in [0, 255] to float32: (pixel / 255 - `MEAN`) / `STD`, in channels-last memory format."""
        images = inputs.to(torch.float32, memory_format=torch.channels_last)
        return images.sub_(self._mean).div_(self._std)


def _splits(train: Labelled, test: Labelled, holdout: int) -> dict[Split, Labelled]:
    if not 0 <= holdout < len(train.targets):
        raise ArgumentError("Cifar10", "holdout", holdout, f"must be in [0, {len(train.targets):,})")
    if not holdout:
        return {"train": train, "test": test}
    held_out = stratified_holdout(train.targets, holdout, SPLIT_SEED)
    return {"train": train.where(~held_out), "val": train.where(held_out), "test": test}
