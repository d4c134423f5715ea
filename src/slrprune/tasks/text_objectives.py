"""What a language model is asked: the next token, or the hidden one."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from slrprune.errors import ArgumentError

IGNORED = -100
"""Target of a position that no loss looks at."""


class Objective(ABC):
    """Turns tokens into questions and answers."""

    @abstractmethod
    def ask(self, tokens: Tensor, is_real: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Inputs of the model and targets of its logits.

        Args:
            tokens: int64 of shape (n, length), on the CPU.
            is_real: bool of the same shape, False where a short text was filled up.
            generator: for what is drawn, on the CPU.

        Returns:
            Inputs and targets, int64 of shape (n, length); targets are `IGNORED` where nothing is asked.
        """


@dataclass(frozen=True)
class NextToken(Objective):
    """Every token but the first is predicted from those before it."""

    def ask(self, tokens: Tensor, is_real: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """The tokens themselves, and the tokens one place on."""
        targets = torch.full_like(tokens, IGNORED)
        targets[:, :-1] = torch.where(is_real[:, 1:], tokens[:, 1:], IGNORED)
        return tokens, targets


@dataclass(frozen=True)
class HiddenTokens(Objective):
    """A share of the tokens is replaced by the mask token and predicted from all others; at least one of each text.

    Args:
        mask: the mask token.
        special: tokens that are never hidden.
        share: of the tokens, in (0, 1).

    Raises:
        ArgumentError: a share out of range.

    Reference:
        J. Devlin et al., "BERT", 2019, section 3.1, without its random and unchanged tokens.
    """

    mask: int
    special: tuple[int, ...]
    share: float

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise ArgumentError("Text", "hidden_share", self.share, "must be in (0, 1)")

    def ask(self, tokens: Tensor, is_real: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """The tokens with some of them hidden, and what was hidden."""
        can_hide = is_real & ~torch.isin(tokens, torch.tensor(self.special, dtype=tokens.dtype))
        draws = torch.rand(tokens.shape, generator=generator).masked_fill(~can_hide, 2.0)
        hidden = (draws < self.share) | (draws == draws.min(dim=1, keepdim=True).values)
        hidden &= can_hide
        return torch.where(hidden, self.mask, tokens), torch.where(hidden, tokens, IGNORED)
