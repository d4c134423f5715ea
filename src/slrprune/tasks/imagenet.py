"""ImageNet, or any other labelled images, with any network of timm."""

from collections.abc import Iterator, Mapping
from os import PathLike

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from slrprune.errors import ArgumentError, DataError, StateError
from slrprune.tasks.base import Batch, Split, Task, check_split, evaluating
from slrprune.tasks.data_folder import data_folder
from slrprune.tasks.image_data import FolderImages, Images
from slrprune.tasks.image_folder import list_folder
from slrprune.tasks.image_stream import StreamedImages
from slrprune.tasks.image_transforms import transforms_of
from slrprune.tasks.imagenet_recipes import RECIPES, recipes_of
from slrprune.tasks.recipe import Recipe
from slrprune.tasks.tally import Tally
from slrprune.tasks.timm_models import check_timm_name, import_timm
from slrprune.tasks.weights_file import load_checkpoint


class ImageNet(Task):
    """ImageNet, or other images in class folders, or a data set of Hugging Face streamed; any network of timm.

    Images are cropped, scaled and normalized as the network's published weights want it. The folder `val` is the
    "test" split, as everywhere in the literature; "val" is held out of the training images, if at all.

    Args:
        data: folder with train/<class>/* and val/<class>/*; None takes the environment variable SLRPRUNE_DATA.
        model: name of a network of timm, for example "resnet50", "mixer_b16_224", "swin_tiny_patch4_window7_224".
        dataset: name of a Hugging Face data set, or a folder with its files, to be streamed in place of `data`.
        count: number of training images of `dataset`, where it does not say so itself.
        checkpoint: file with dense weights; None takes timm's, which are downloaded, for 1,000 classes.
        holdout: training images held out for "val"; 0 for none. Published weights have seen all training images, so
            a choice made on held-out ones needs dense weights of your own.
        size: side of the input in pixels; None takes the network's own.
        label_smoothing: of the training loss, in [0, 1).
        optimizer: "sgd" or "adamw", each with recipes of its own; None takes "adamw" where at least half of
            the normalization layers are LayerNorm (transformers, MLP mixers) and "sgd" for all others.
        batch_size: of training batches, at least 1.
        workers: processes that read images ahead; 0 reads in this one.
        strict: decode every image once at the start and refuse the first bad one by name; otherwise bad images are
            skipped when they are met, and `warnings` counts them.
        device: where batches and models live.
        bf16: run forward passes under bfloat16 autocast.

    Raises:
        ArgumentError: a value out of range, or a network that timm does not have.
        DataError: a folder or a file is missing.
        MissingExtraError: timm is not installed, or datasets, which `dataset` needs.
        BrokenPackageError: torchvision, which timm imports, does not fit torch.
    """

    name = "imagenet"
    metric = "accuracy"
    dense_recipe: Recipe = RECIPES["sgd"].dense
    pruning_recipe: Recipe = RECIPES["sgd"].pruning

    def __init__(
        self,
        data: str | PathLike[str] | None = None,
        *,
        model: str = "resnet50",
        dataset: str | PathLike[str] | None = None,
        count: int | None = None,
        checkpoint: str | PathLike[str] | None = None,
        holdout: int = 0,
        size: int | None = None,
        label_smoothing: float = 0.0,
        optimizer: str | None = None,
        batch_size: int = 256,
        workers: int = 8,
        strict: bool = False,
        device: str | torch.device = "cpu",
        bf16: bool = False,
    ) -> None:
        super().__init__(device=device, bf16=bf16)
        # The folder comes first: timm and torchvision take seconds to import.
        listing = None if dataset is not None else list_folder(data_folder("ImageNet", data))
        check_timm_name("ImageNet", model)
        if not 0 <= label_smoothing < 1:
            raise ArgumentError("ImageNet", "label_smoothing", label_smoothing, "must be in [0, 1)")
        if workers < 0:
            raise ArgumentError("ImageNet", "workers", workers, "must be at least 0")
        self.model, self.checkpoint, self.label_smoothing = model, checkpoint, label_smoothing
        self.holdout, self.batch_size = holdout, batch_size
        recipes = recipes_of(model, optimizer)
        self.dense_recipe, self.pruning_recipe = recipes.dense, recipes.pruning
        train, evaluation, self.size = transforms_of(model, size)
        self.skipped = Tally()
        options = {"train": train, "evaluation": evaluation, "workers": workers, "strict": strict}
        self.images: Images
        if listing is not None:
            self.images = FolderImages(listing, holdout=holdout, **options)  # type: ignore[arg-type]
        elif holdout:
            raise ArgumentError("ImageNet", "holdout", holdout, "must be 0 for a streamed data set")
        else:
            self.images = StreamedImages(str(dataset), count=count, **options)  # type: ignore[arg-type]
        if not 1 <= batch_size <= self.images.count:
            raise ArgumentError("ImageNet", "batch_size", batch_size, f"must be in [1, {self.images.count:,}]")

    @property
    def model_name(self) -> str:
        """The network's name in timm."""
        return self.model

    @property
    def steps_per_epoch(self) -> int:
        """Number of full batches of training images."""
        return self.images.count // self.batch_size

    def build_model(self) -> nn.Module:
        """The network with fresh weights."""
        model: nn.Module = import_timm("ImageNet").create_model(self.model, num_classes=self.images.classes)
        return model.to(self.device)

    def pretrained(self) -> nn.Module | None:
        """The network with the checkpoint's weights, or timm's; None where timm has none, or for other classes.

        Raises:
            DataError: the checkpoint cannot be read, or timm's weights cannot be had.
            StateError: the checkpoint belongs to another network.
        """
        with torch.random.fork_rng(devices=[]):
            if self.checkpoint is not None:
                return self._from_checkpoint()
            timm = import_timm("ImageNet")
            if self.images.classes != 1000 or not timm.models.is_model_pretrained(self.model):
                return None
            try:
                model: nn.Module = timm.create_model(self.model, pretrained=True)
            except (OSError, RuntimeError, ValueError) as error:
                problem = f"the weights of {self.model} cannot be downloaded ({type(error).__name__})"
                raise DataError("ImageNet", problem, "Give checkpoint=FILE.") from error
        return model.to(self.device)

    def warnings(self) -> tuple[str, ...]:
        """Images that were skipped so far."""
        return self.skipped.sentences()

    def batches(self, split: Split, epoch: int = 0, seed: int = 0) -> Iterator[Batch]:
        """Images, float32 of shape (n, 3, size, size), and classes, int64 of shape (n,).

        Raises:
            ArgumentError: an unknown split.
            UsageError: the task has no such split.
            DataError: not one training image can be read.
        """
        check_split("imagenet.batches", split)
        if split == "train":
            return self.images.training(self.batch_size, epoch, seed, self.device, self.skipped)
        return self.images.in_order(split, self.batch_size, self.device, self.skipped)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Mean cross-entropy of a batch, with label smoothing."""
        images, labels = batch
        with self.autocast():
            logits = model(images)
        return F.cross_entropy(logits.float(), labels, label_smoothing=self.label_smoothing)

    def evaluate(self, model: nn.Module, split: Split) -> float:
        """Top-1 accuracy on a split, in percent. Raises as `batches`."""
        return self.top_accuracies(model, split)[0]

    def details(self, model: nn.Module, split: Split) -> Mapping[str, float]:
        """Top-1 and top-5 accuracy in percent. Raises as `batches`."""
        top1, top5 = self.top_accuracies(model, split)
        return {self.metric: top1, "top-5 accuracy": top5}

    def top_accuracies(self, model: nn.Module, split: Split) -> tuple[float, float]:
        """Top-1 and top-5 accuracy on a split, in percent. Raises as `batches`.

        Images that cannot be read do not count. With five classes or fewer the second one is 100.
        """
        hits = torch.zeros(2, dtype=torch.int64, device=self.device)
        count = 0
        with evaluating(model), self.autocast():
            for images, labels in self.images.in_order(split, self.batch_size, self.device, self.skipped):
                logits = model(images)
                best = logits.topk(min(5, logits.shape[1]), dim=1).indices == labels.unsqueeze(1)
                hits += torch.stack([best[:, 0].sum(), best.any(dim=1).sum()])
                count += len(labels)
        if not count:
            raise DataError("ImageNet", f"not one image of {split!r} can be read")
        top1, top5 = (100 * hits / count).tolist()
        return top1, top5

    def example_input(self) -> Tensor:
        """Zeros in the shape of one image."""
        return torch.zeros(1, 3, self.size, self.size, device=self.device)

    def _from_checkpoint(self) -> nn.Module:
        assert self.checkpoint is not None
        model = self.build_model()
        try:
            model.load_state_dict(load_checkpoint(self.checkpoint))
        except RuntimeError as error:
            raise StateError(
                f"ImageNet(model={self.model!r})", f"{self.checkpoint} belongs to another model"
            ) from error
        return model
