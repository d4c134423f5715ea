"""Images of a Hugging Face data set, streamed: nothing is downloaded beforehand, and nothing is kept."""

from collections.abc import Iterator
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from slrprune.errors import DataError, MissingExtraError, SlrpruneError, UsageError
from slrprune.tasks.base import Batch, Split
from slrprune.tasks.complaints import Complaints
from slrprune.tasks.disk_source import Loaded, as_is, received
from slrprune.tasks.image_data import Images
from slrprune.tasks.image_transforms import Transform, opened, transformed
from slrprune.tasks.tally import Tally

BUFFER = 10_000
"""Images among which a stream is shuffled; its files are shuffled, too."""


class StreamedImages(Images):
    """The splits "train" and "validation" (or "test") of a data set; the latter is the "test" split.

    Each worker reads files of its own, so the order is a function of (seed, epoch) and of the number of workers.

    Args:
        name: of the data set on the hub, or a folder with its files (parquet, or images in class folders).
        train: transform of training images.
        evaluation: transform of all others.
        count: number of training images; None asks the data set.
        workers: processes that load ahead; 0 loads in this one. Never more than the data set has files.
        strict: decode every image once, now, and refuse the first bad one; otherwise bad ones are skipped when met.

    Raises:
        DataError: the data set cannot be loaded, lacks a split or a column, or does not know its length; with
            `strict` a bad image or label.
        MissingExtraError: datasets is not installed.
    """

    def __init__(
        self, name: str, *, train: Transform, evaluation: Transform, count: int | None, workers: int, strict: bool
    ) -> None:
        self.name, self.workers, self.strict = name, workers, strict
        self._train, self._evaluation = train, evaluation
        found = _opened_dataset(name)
        test = next((split for split in ("validation", "val", "test") if split in found), None)
        if "train" not in found or test is None:
            problem = f"the data set {name!r} has the splits {', '.join(sorted(found))}"
            raise DataError("ImageNet", problem, "It needs train, and validation or test.")
        self._names: dict[Split, str] = {"train": "train", "test": test}
        features = found["train"].features or {}
        columns = {"image", "label"} - set(features)
        if columns or not getattr(features["label"], "num_classes", None):
            problem = f"the data set {name!r} has the columns {', '.join(features)}"
            raise DataError("ImageNet", problem, "It needs image, and label with the names of its classes.")
        self.classes = int(features["label"].num_classes)
        known = (found["train"].info.splits or {}).get("train")
        length = count if count is not None else (known.num_examples if known else None)
        if not length:
            raise DataError(
                "ImageNet", f"the data set {name!r} does not say how many images it has", "Give count=NUMBER."
            )
        self.count = int(length)
        if strict:
            for split in self._names:
                for _ in self.in_order(split, 1, torch.device("cpu"), Tally()):
                    pass

    def training(self, size: int, epoch: int, seed: int, device: torch.device, tally: Tally) -> Iterator[Batch]:
        """One pass; the stream begins anew where skipped images leave it short."""
        batches = self._loaded("train", size, (seed, epoch), device, tally)
        return islice(batches, self.count // size)

    def in_order(self, split: Split, size: int, device: torch.device, tally: Tally) -> Iterator[Batch]:
        """One pass in the order of the files."""
        if split not in self._names:
            problem = f"there is no {split!r} split in a stream"
            raise UsageError("imagenet", problem, "Use a folder of images, of which some can be held out.")
        return self._loaded(split, size, None, device, tally)

    def _loaded(
        self, split: Split, size: int, drawn_from: tuple[int, int] | None, device: torch.device, tally: Tally
    ) -> Iterator[Batch]:
        stream = _opened_dataset(self.name)[self._names[split]]
        workers = min(self.workers, stream.num_shards)
        batches = _Stream(self, stream, size, drawn_from)
        options: dict[str, Any] = {"generator": torch.Generator()} if workers else {}
        pinned = device.type == "cuda" and workers > 0
        loader = DataLoader(
            batches, batch_size=None, collate_fn=as_is, num_workers=workers, pin_memory=pinned, **options
        )
        return received(loader, device, tally)

    def example(
        self, entry: dict[str, Any], where: str, rng: np.random.Generator | None, complaints: Complaints
    ) -> tuple[Tensor, int] | None:
        """One transformed image and its class; None where it is bad, and `complaints` hears of it."""
        stored, label = entry["image"] or {}, entry["label"]
        name = f"{stored.get('path') or 'image'} ({where})"
        if label is None or not 0 <= label < self.classes:
            complaints.add(f"labels are outside [0, {self.classes:,})", name)
            return None
        source = _stored_content(stored)
        if source is None:
            complaints.add("images are missing", name)
            return None
        image = opened(source, name, complaints)
        if image is None:
            return None
        return transformed(image, self._evaluation if rng is None else self._train, rng), int(label)


class _Stream(IterableDataset[Loaded]):
    """Whole batches, each with what was wrong; for training without an end, so that every batch is full.

    From a worker process an error comes as its text, the last thing it sends (see `Loaded`).
    """

    def __init__(self, images: StreamedImages, stream: Any, size: int, drawn_from: tuple[int, int] | None) -> None:
        self.images, self.stream, self.size, self.drawn_from = images, stream, size, drawn_from

    def __iter__(self) -> Iterator[Loaded]:
        worker = get_worker_info()
        if worker is None:
            yield from self._batches(0)
            return
        try:
            yield from self._batches(worker.id)
        except SlrpruneError as error:
            yield Loaded(None, [], str(error))

    def _batches(self, number: int) -> Iterator[Loaded]:
        passes = iter(range(2**31)) if self.drawn_from is not None else iter(range(1))
        examples: list[tuple[Tensor, int]] = []
        complaints = Complaints("ImageNet", self.images.strict)
        for turn in passes:
            usable = 0
            for place, entry in enumerate(self._turn(turn)):
                drawn = None if self.drawn_from is None else (*self.drawn_from, turn, number, place)
                rng = None if drawn is None else np.random.default_rng(drawn)
                example = self.images.example(entry, f"number {place} of file group {number}", rng, complaints)
                if example is not None:
                    examples.append(example)
                    usable += 1
                if len(examples) == self.size:
                    yield Loaded(_collated(examples), complaints.found)
                    examples, complaints = [], Complaints("ImageNet", self.images.strict)
            if self.drawn_from is not None and not usable:
                first = "".join(f"; {name}: {reason}" for reason, name in complaints.found[:1])
                raise DataError("ImageNet", f"not one training image of {self.images.name!r} can be used{first}")
        if examples or complaints.found:
            yield Loaded(_collated(examples), complaints.found)

    def _turn(self, turn: int) -> Any:
        """The images of one pass; in a worker, datasets itself gives those of the worker's own files."""
        stream = self.stream
        if self.drawn_from is not None:
            seed = int(np.random.SeedSequence((*self.drawn_from, turn)).generate_state(1)[0])
            stream = stream.shuffle(seed=seed, buffer_size=BUFFER)
        return stream


def _stored_content(stored: dict[str, Any]) -> Path | bytes | None:
    """The image's bytes, or the file with them, where the data set is a folder of images; None without either.

    Raises:
        DataError: the hub or an archive cannot be read.
    """
    content, path = stored.get("bytes"), stored.get("path")
    if content is not None or not path:
        return content
    if Path(path).exists():
        return Path(path)
    import fsspec

    try:
        with fsspec.open(path, "rb") as file:  # on the hub, or inside an archive
            return bytes(file.read())
    except (FileNotFoundError, ValueError, ImportError):  # gone, or a path of a protocol that is not there
        return None
    except Exception as error:  # clients of the hub raise their own; an outage is no reason to skip images
        raise DataError("ImageNet", f"{path} cannot be read ({type(error).__name__})") from error


def _collated(examples: list[tuple[Tensor, int]]) -> Batch | None:
    if not examples:
        return None
    images, labels = zip(*examples, strict=True)
    return torch.stack(images), torch.tensor(labels)


def _opened_dataset(name: str) -> Any:
    """The splits by name, images left undecoded: this file decodes them, so that a bad one stops nothing."""
    if find_spec("datasets") is None:
        raise MissingExtraError("Streaming a data set", "datasets", "datasets")
    import datasets

    try:
        found = datasets.load_dataset(name, streaming=True)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise DataError("ImageNet", f"the data set {name!r} cannot be loaded ({type(error).__name__})") from error
    for split, stream in found.items():
        if "image" in (stream.features or {}):
            found[split] = stream.cast_column("image", datasets.Image(decode=False))
    return found
