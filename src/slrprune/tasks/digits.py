"""Scikit-learn's handwritten digits with a small CNN: real data inside a package, nothing to download."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from slrprune.errors import ArgumentError, MissingExtraError
from slrprune.tasks.augment import CropFlip
from slrprune.tasks.base import Split
from slrprune.tasks.recipe import SGDRecipe
from slrprune.tasks.split import stratified_folds
from slrprune.tasks.tensor_task import Labelled, TensorTask

FOLDS = 5
"""Number of folds for cross-validation."""

SPLIT_SEED = 0
"""Seed of the folds: the same for everyone, whatever the seed of a run."""


class Digits(TensorTask):
    """1,797 images of 8x8 pixels in 10 classes; the model is a CNN of 60,000 weights with BatchNorm.

    The images are dealt out into ten stratified parts; fold f tests on parts 2f and 2f + 1 (one image in five),
    validates on the part after them (one in ten) and trains on the rest. Over the five folds every image is tested
    on once.

    Args:
        fold: of the five-fold cross-validation, 0 to 4.
        shift: how far training images are moved at random, in pixels, at least 0.
        batch_size: of training batches.
        device: where data and models live.
        bf16: run forward passes under bfloat16 autocast.

    Raises:
        ArgumentError: a value out of range.
        MissingExtraError: scikit-learn is not installed.
    """

    name = "digits"
    dense_recipe = SGDRecipe(epochs=20, lr=0.1, weight_decay=5e-4, warmup=0.1)
    pruning_recipe = SGDRecipe(epochs=20, lr=0.05, weight_decay=5e-4)

    def __init__(
        self,
        fold: int = 0,
        *,
        shift: int = 0,
        batch_size: int = 64,
        device: str | torch.device = "cpu",
        bf16: bool = False,
    ) -> None:
        if fold not in range(FOLDS):
            raise ArgumentError("Digits", "fold", fold, f"must be in 0 to {FOLDS - 1}")
        self.fold = fold
        augment = CropFlip(shift, flip=False) if shift else None
        super().__init__(_splits(fold), batch_size=batch_size, augment=augment, device=device, bf16=bf16)

    @property
    def model_name(self) -> str:
        """The model's name in records."""
        return "digits_cnn"

    def build_model(self) -> "DigitsCNN":
        """A `DigitsCNN` with fresh weights."""
        return DigitsCNN().to(self.device)

    def prepare(self, inputs: Tensor) -> Tensor:
        """Grey values in [0, 16] to float32 in [-1, 1]."""
        return inputs.float().div_(8).sub_(1)


class DigitsCNN(nn.Module):
    """Four 3x3 convolutions with BatchNorm, one of them with a skip; images (n, 1, 8, 8) to logits (n, 10)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = _conv3x3(1, 24), nn.BatchNorm2d(24)
        self.conv2, self.bn2 = _conv3x3(24, 48, stride=2), nn.BatchNorm2d(48)
        self.conv3, self.bn3 = _conv3x3(48, 48), nn.BatchNorm2d(48)
        self.conv4, self.bn4 = _conv3x3(48, 64, stride=2), nn.BatchNorm2d(64)
        self.linear = nn.Linear(64, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of shape (n, 10)."""
        features = F.relu(self.bn1(self.conv1(images)))
        features = F.relu(self.bn2(self.conv2(features)))
        features = F.relu(self.bn3(self.conv3(features)) + features)
        features = F.relu(self.bn4(self.conv4(features)))
        logits: Tensor = self.linear(features.mean(dim=(2, 3)))
        return logits


def _conv3x3(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel_size=3, stride=stride, padding=1, bias=False)


def _splits(fold: int) -> dict[Split, Labelled]:
    examples = _load()
    parts = stratified_folds(examples.targets, 2 * FOLDS, SPLIT_SEED)
    test = parts // 2 == fold
    val = parts == (2 * fold + 2) % (2 * FOLDS)
    chosen: dict[Split, Tensor] = {"train": ~(test | val), "val": val, "test": test}
    return {split: examples.where(mask) for split, mask in chosen.items()}


def _load() -> Labelled:
    """All images, uint8 of shape (1797, 1, 8, 8) with values 0 to 16, and their digits."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise MissingExtraError("The digits task", "scikit-learn", "demo") from error
    images, targets = load_digits(return_X_y=True)
    return Labelled(torch.from_numpy(images.astype("uint8")).reshape(-1, 1, 8, 8), torch.from_numpy(targets).long())
