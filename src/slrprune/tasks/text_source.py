"""Where the text task takes its model and its tokens from: a file of llama2.c, or anything that transformers loads."""

from abc import ABC, abstractmethod
from importlib.util import find_spec
from os import PathLike
from pathlib import Path, PurePath
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from slrprune.errors import DataError, MissingExtraError
from slrprune.tasks.hub_files import loaded
from slrprune.tasks.llama2c import llama_config, read_sizes, read_weights
from slrprune.tasks.llama2c_tokens import Llama2cTokens


class Tokens(Protocol):
    """A tokenizer."""

    mask: int | None
    """The token that hides another; None where there is none."""

    special: frozenset[int]
    """Tokens that are never hidden, such as those that begin and end a text."""

    def encode(self, text: str) -> list[int]:
        """Token numbers of a text, with whatever belongs at its beginning and end."""

    def __len__(self) -> int:
        """Size of the vocabulary."""


class LanguageModel(nn.Module):
    """A model of transformers that takes tokens (n, length), int64, and returns logits (n, length, vocabulary).

    Args:
        network: a causal or a masked language model.
        padding: the token that fills short texts up, which a masked model must not look at; None for a causal model,
            whose padding lies behind all that counts.
    """

    def __init__(self, network: nn.Module, padding: int | None = None) -> None:
        super().__init__()
        self.network = network
        self.padding = padding

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits of shape (n, length, vocabulary)."""
        seen = {} if self.padding is None else {"attention_mask": (tokens != self.padding).long()}
        logits: Tensor = self.network(input_ids=tokens, return_dict=True, **seen).logits
        return logits


class Source(ABC):
    """A model by name.

    Attributes:
        name: in records.
        context: the longest text the model takes, in tokens.
        vocabulary: number of tokens that the model knows.
        is_masked: whether it fills in hidden tokens; otherwise it continues texts.
        padding: the token that fills short texts up.
    """

    name: str
    context: int
    vocabulary: int
    is_masked: bool
    padding: int = 0

    @abstractmethod
    def tokens(self) -> Tokens:
        """The tokenizer."""

    @abstractmethod
    def fresh(self) -> nn.Module:
        """The network with weights drawn from torch's current RNG, float32 on the CPU."""

    @abstractmethod
    def trained(self) -> nn.Module | None:
        """The network with its trained weights, float32 on the CPU; None without any."""


class Llama2cSource(Source):
    """A model file of llama2.c, with the vocabulary `tok<size>.bin` beside it.

    Args:
        path: the model file.

    Raises:
        DataError: no such file, or another format.
    """

    is_masked = False

    def __init__(self, path: Path) -> None:
        sizes = read_sizes(path)
        self.name, self.context, self.vocabulary = path.stem, sizes.context, abs(sizes.vocabulary)
        self._path, self._sizes = path, sizes
        if not self._vocabulary_file.is_file():
            raise DataError("text", f"{self._vocabulary_file} is missing", "It is the vocabulary of the model.")

    @property
    def _vocabulary_file(self) -> Path:
        return self._path.with_name(f"tok{self.vocabulary}.bin")

    def tokens(self) -> Llama2cTokens:
        """The tokenizer of llama2.c.

        Raises:
            DataError: its file is damaged, or has another number of tokens than the model.
        """
        return Llama2cTokens(self._vocabulary_file, self.vocabulary)

    def fresh(self) -> nn.Module:
        """A `transformers.LlamaForCausalLM`."""
        config = llama_config(self._sizes)
        from transformers import LlamaForCausalLM

        return LlamaForCausalLM(config)

    def trained(self) -> nn.Module:
        """The same with the weights of the file.

        Raises:
            DataError: a truncated file.
        """
        network = self.fresh()
        network.load_state_dict(read_weights(self._path))
        return network


class HubSource(Source):
    """A causal or masked language model that transformers loads, from a folder or from the hub.

    Args:
        name: of the model, or its folder.
        masked: whether it is a masked language model; None goes by the model's own configuration.
        way_out: ends the sentence that says that there is no such model.

    Raises:
        MissingExtraError: transformers is not installed.
        DataError: transformers cannot find or read the model.
    """

    def __init__(self, name: str | PathLike[str], masked: bool | None, way_out: str = "") -> None:
        transformers = _transformers()
        self._where = str(name)
        self._config = loaded("text", transformers.AutoConfig.from_pretrained, self._where, way_out)
        self.name = PurePath(self._where).name
        architectures = self._config.architectures or []
        by_itself = any(kind.endswith("ForMaskedLM") for kind in architectures)
        self.is_masked = by_itself if masked is None else masked
        self.vocabulary = int(self._config.vocab_size)
        self.padding = int(getattr(self._config, "pad_token_id", None) or 0)
        self._kind = transformers.AutoModelForMaskedLM if self.is_masked else transformers.AutoModelForCausalLM
        positions = getattr(self._config, "max_position_embeddings", None)
        self.context = 2**31 if not positions else int(positions) - self._positions_before_the_first()

    def _positions_before_the_first(self) -> int:
        """RoBERTa and its kin number positions from behind the padding's: their tables are longer than any text."""
        with torch.device("meta"):
            network = self._kind.from_config(self._config)
        tables = [module for name, module in network.named_modules() if name.endswith("position_embeddings")]
        padded = [table.padding_idx for table in tables if isinstance(table, nn.Embedding)]
        return max((index + 1 for index in padded if index is not None), default=0)

    def tokens(self) -> "HubTokens":
        """The model's own tokenizer.

        Raises:
            DataError: there is none.
        """
        return HubTokens(loaded("text", _transformers().AutoTokenizer.from_pretrained, self._where))

    def fresh(self) -> nn.Module:
        """The network as its configuration describes it."""
        network: nn.Module = self._kind.from_config(self._config).float()
        return network

    def trained(self) -> nn.Module:
        """The network with its weights."""
        network: nn.Module = loaded("text", self._kind.from_pretrained, self._where).float()
        return network


class HubTokens:
    """A tokenizer of transformers.

    Args:
        tokenizer: any `PreTrainedTokenizerBase`.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self.mask: int | None = tokenizer.mask_token_id
        self.special = frozenset(tokenizer.all_special_ids)

    def __len__(self) -> int:
        """Size of the vocabulary."""
        return len(self._tokenizer)

    def encode(self, text: str) -> list[int]:
        """Token numbers, with the special tokens that the model was trained with."""
        # Long texts are cut into windows later; the tokenizer's own warning about their length would mislead.
        numbers: list[int] = self._tokenizer(text, truncation=False, verbose=False)["input_ids"]
        return numbers


def _transformers() -> Any:
    if find_spec("transformers") is None:
        raise MissingExtraError("The text task", "transformers", "transformers")
    import transformers

    return transformers
