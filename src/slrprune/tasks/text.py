"""Language models: a tiny Llama that comes as one file, or any causal or masked model that transformers loads."""

import math
from collections.abc import Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from slrprune.errors import ArgumentError, DataError
from slrprune.tasks.base import SPLITS, Batch, Split, Task, check_split, epoch_generator, evaluating
from slrprune.tasks.data_folder import data_folder
from slrprune.tasks.recipe import AdamWRecipe
from slrprune.tasks.tally import Tally
from slrprune.tasks.text_files import read_texts
from slrprune.tasks.text_objectives import IGNORED, HiddenTokens, NextToken, Objective
from slrprune.tasks.text_source import HubSource, LanguageModel, Llama2cSource, Source, Tokens

SHIPPED = "stories260K"
"""The default model, a file of llama2.c; the hub has none of this name."""


class Text(Task):
    """Any causal or masked language model of transformers on texts of your own, or a tiny Llama on short stories.

    The metric is the geometric mean of the probabilities that the model gives to the right tokens, in percent; the
    perplexity is 100 divided by it (`perplexity`). Texts are cut into windows of `length` tokens; one window sees
    nothing of the one before it.

    Args:
        data: folder with the texts, or the one around its folder `text`; None takes the environment variable
            SLRPRUNE_DATA.
        model: name or folder of a model that transformers loads; a model file of llama2.c; or the name of such a
            file in the data folder, without its suffix.
        file: one file with `<|endoftext|>` between its texts, which are dealt out at random, always the same way:
            seven tenths to "train", one to "val", two to "test". None takes train.txt, val.txt and test.txt.
        length: of a window in tokens, at least 2; at most what the model takes.
        masked: whether the model fills in hidden tokens; None goes by the model's own configuration.
        hidden_share: of the tokens that a masked model is asked for, in (0, 1).
        batch_size: windows in a training batch, at least 1.
        strict: refuse files that are not UTF-8, and texts of less than two tokens; otherwise their bad bytes are
            replaced, such texts are skipped, and `warnings` counts both.
        device: where data and models live.
        bf16: run forward passes under bfloat16 autocast.

    Raises:
        ArgumentError: a value out of range.
        DataError: the model, its vocabulary or the texts are missing or damaged.
        MissingExtraError: transformers is not installed.
    """

    name = "text"
    metric = "token_probability"
    dense_recipe = AdamWRecipe(epochs=20, lr=3e-3, weight_decay=0.01, warmup=0.1)
    pruning_recipe = AdamWRecipe(epochs=10, lr=1e-3, weight_decay=0.01)

    def __init__(
        self,
        data: str | PathLike[str] | None = None,
        *,
        model: str | PathLike[str] = SHIPPED,
        file: str | None = "tinystories.txt",
        length: int = 512,
        masked: bool | None = None,
        hidden_share: float = 0.15,
        batch_size: int = 8,
        strict: bool = False,
        device: str | torch.device = "cpu",
        bf16: bool = False,
    ) -> None:
        super().__init__(device=device, bf16=bf16)
        self.skipped = Tally()
        texts = read_texts(data, file, strict=strict, tally=self.skipped)  # before any model is loaded from anywhere
        self._source = _source(data, model, masked)
        most = self._source.context
        if not 2 <= length <= most:
            raise ArgumentError("Text", "length", length, f"must be in [2, {most:,}], which the model takes")
        self.length, self.hidden_share, self.batch_size = length, hidden_share, batch_size
        tokens = self._source.tokens()
        self._objective = _objective(self._source, tokens, hidden_share)
        self._windows = {split: self._cut(texts[split], tokens, split, strict) for split in SPLITS}
        count = len(self._windows["train"])
        if not 1 <= batch_size <= count:
            raise ArgumentError("Text", "batch_size", batch_size, f"must be in [1, {count}], the windows to train on")

    @property
    def model_name(self) -> str:
        """The model's name in records: the last part of its name or path."""
        return self._source.name

    @property
    def steps_per_epoch(self) -> int:
        """Number of full batches of training windows."""
        return len(self._windows["train"]) // self.batch_size

    def build_model(self) -> LanguageModel:
        """The model with fresh weights."""
        return self._wrapped(self._source.fresh())

    def pretrained(self) -> LanguageModel | None:
        """The model with its trained weights."""
        with torch.random.fork_rng(devices=[]):
            network = self._source.trained()
        return None if network is None else self._wrapped(network)

    def warnings(self) -> tuple[str, ...]:
        """Texts that were skipped, and files with bad bytes."""
        return self.skipped.sentences()

    def batches(self, split: Split, epoch: int = 0, seed: int = 0) -> Iterator[Batch]:
        """Inputs and targets, see `Objective.ask`; batches of "val" and "test" are asked the same every time.

        Raises:
            ArgumentError: an unknown split.
        """
        check_split("text.batches", split)
        windows = self._windows[split]
        if split != "train":
            return self._asked(range(len(windows)), split, torch.Generator().manual_seed(0))
        generator = epoch_generator(seed, epoch)
        used = self.steps_per_epoch * self.batch_size
        return self._asked(torch.randperm(len(windows), generator=generator)[:used].tolist(), split, generator)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Mean cross-entropy over the tokens that are asked for."""
        return self._surprise(model, batch, "mean")

    def evaluate(self, model: nn.Module, split: Split) -> float:
        """Geometric mean of the probabilities of the right tokens of a split, in percent. Raises as `batches`."""
        check_split("text.evaluate", split)
        order, generator = range(len(self._windows[split])), torch.Generator().manual_seed(0)
        total, count = 0.0, 0
        with evaluating(model):
            for batch in self._asked(order, split, generator):
                total += self._surprise(model, batch, "sum").item()
                count += int((batch[1] != IGNORED).sum())
        return 100 * math.exp(-total / count)

    def details(self, model: nn.Module, split: Split) -> Mapping[str, float]:
        """The metric and the perplexity. Raises as `batches`."""
        probability = self.evaluate(model, split)
        return {self.metric: probability, "perplexity": perplexity(probability)}

    def example_input(self) -> Tensor:
        """The first window of "test": tokens, int64 of shape (1, length of the window)."""
        return self._windows["test"][0].unsqueeze(0).to(self.device)

    def _asked(self, order: Sequence[int], split: Split, generator: torch.Generator) -> Iterator[Batch]:
        for start in range(0, len(order), self.batch_size):
            windows = [self._windows[split][number] for number in order[start : start + self.batch_size]]
            tokens = nn.utils.rnn.pad_sequence(windows, batch_first=True, padding_value=self._source.padding)
            lengths = torch.tensor([len(window) for window in windows])
            is_real = torch.arange(tokens.shape[1]) < lengths.unsqueeze(1)
            inputs, targets = self._objective.ask(tokens, is_real, generator)
            yield inputs.to(self.device), targets.to(self.device)

    def _surprise(self, model: nn.Module, batch: Batch, reduction: str) -> Tensor:
        """Cross-entropy in nats."""
        inputs, targets = batch
        with self.autocast():
            logits = model(inputs)
        return F.cross_entropy(
            logits.flatten(0, 1).float(), targets.flatten(), ignore_index=IGNORED, reduction=reduction
        )

    def _wrapped(self, network: nn.Module) -> LanguageModel:
        return LanguageModel(network, self._source.padding if self._source.is_masked else None).to(self.device)

    def _cut(self, texts: Sequence[str], tokens: Tokens, split: Split, strict: bool) -> tuple[Tensor, ...]:
        """The texts of a split as windows of 2 to `length` tokens."""
        found: list[Tensor] = []
        for number, text in enumerate(texts):
            numbers = torch.tensor(tokens.encode(text), dtype=torch.int64)
            if len(numbers) and int(numbers.max()) >= self._source.vocabulary:
                problem = f"the tokenizer gives token {int(numbers.max())}, but {self.model_name} knows"
                raise DataError("text", f"{problem} {self._source.vocabulary:,}", "They belong to different models.")
            windows = [window for window in numbers.split(self.length) if len(window) > 1]
            if not windows:
                if strict:
                    raise DataError("text", f"text {number} of {split!r} has less than two tokens")
                self.skipped.add("the text has less than two tokens", f"text {number} of {split}")
            found += windows
        if not found:
            raise DataError("text", f"no text of {split!r} can be used")
        return tuple(found)


def perplexity(token_probability: float) -> float:
    """Perplexity of a model whose metric is `token_probability`, in percent; infinite at 0.

    Examples:
        >>> perplexity(25.0)
        4.0
    """
    return 100 / token_probability if token_probability else math.inf


def _source(data: str | PathLike[str] | None, model: str | PathLike[str], masked: bool | None) -> Source:
    """A file of llama2.c where there is one, else what transformers makes of the name."""
    if Path(model).suffix == ".bin":
        return Llama2cSource(Path(model))
    folder = data_folder("text", data)
    files = (folder / f"{model}.bin", folder / "text" / f"{model}.bin")
    found = next((file for file in files if file.is_file()), None)
    if found is not None:
        return Llama2cSource(found)
    missing = f"no {model}.bin in {folder}, and none in its folder text"
    if str(model) == SHIPPED:
        raise DataError("text", f"there is {missing}", "Give the model as a file, a folder or a name of the hub.")
    return HubSource(model, masked, "" if Path(model).is_dir() else f"There is {missing}, either.")


def _objective(source: Source, tokens: Tokens, share: float) -> Objective:
    if not source.is_masked:
        return NextToken()
    if tokens.mask is None:
        raise DataError("text", f"the tokenizer of {source.name} has no mask token", "Give masked=False.")
    return HiddenTokens(tokens.mask, tuple(sorted(tokens.special)), share)
