"""The tokenizer of llama2.c: characters, of which the best-scored neighbours are merged until none can be."""

import re
import struct
from itertools import pairwise
from pathlib import Path

from slrprune.errors import DataError

START = 1
"""The token that begins every text."""

_BYTES = 3
"""Tokens before those of the single bytes."""


class Llama2cTokens:
    """A vocabulary file: one int32, then for every token a float32 score, an int32 length and the bytes.

    Args:
        path: the file.
        count: how many tokens it must hold, that of the model; None takes any that hold those of the single bytes.

    Raises:
        DataError: no such file, one that is truncated, or one with another number of tokens.
    """

    mask: int | None = None
    special: frozenset[int] = frozenset({0, START, 2})

    def __init__(self, path: Path, count: int | None = None) -> None:
        if not path.is_file():
            raise DataError("llama2.c", f"{path} is missing")
        data, offset = path.read_bytes(), 4
        self._numbers: dict[bytes, int] = {}
        self._texts: list[bytes] = []
        self._scores: list[float] = []
        while offset < len(data):
            if offset + 8 > len(data):
                raise DataError("llama2.c", f"{path} is truncated, or no vocabulary of llama2.c")
            score, length = struct.unpack_from("<fi", data, offset)
            text = data[offset + 8 : offset + 8 + length]
            if length < 0 or len(text) != length:
                raise DataError("llama2.c", f"{path} is truncated, or no vocabulary of llama2.c")
            self._numbers.setdefault(text, len(self._texts))
            self._texts.append(text)
            self._scores.append(score)
            offset += 8 + length
        _check_count(path, len(self._texts), count)
        self._known: dict[str, list[int]] = {}

    def __len__(self) -> int:
        """Size of the vocabulary."""
        return len(self._texts)

    def encode(self, text: str) -> list[int]:
        """Token numbers; the text begins with the start token and a space."""
        # No token reaches past a space, so words are merged one by one, and each only once.
        words = re.findall(r" [^ ]*", " " + text.strip())
        return [START, *(token for word in words for token in self._word(word))]

    def _word(self, word: str) -> list[int]:
        if word not in self._known:
            self._known[word] = self._merged(word)
        return self._known[word]

    def _merged(self, text: str) -> list[int]:
        tokens: list[int] = []
        for character in text:
            piece = character.encode()
            tokens += [self._numbers[piece]] if piece in self._numbers else [byte + _BYTES for byte in piece]
        while (best := self._best_pair(tokens)) is not None:
            place, merged = best
            tokens[place : place + 2] = [merged]
        return tokens

    def _best_pair(self, tokens: list[int]) -> tuple[int, int] | None:
        """Place of the neighbours with the best score, the first of equal ones, and the token they make."""
        found: tuple[int, int] | None = None
        for place, (left, right) in enumerate(pairwise(tokens)):
            merged = self._numbers.get(self._texts[left] + self._texts[right])
            if merged is not None and (found is None or self._scores[merged] > self._scores[found[1]]):
                found = place, merged
        return found


def _check_count(path: Path, found: int, count: int | None) -> None:
    """Cut between two tokens, a file looks whole."""
    least = _BYTES + 256
    if found < max(least, count or 0):
        wanted = f"at least {least}" if count is None or count < least else f"{count:,}"
        raise DataError("llama2.c", f"{path} is truncated: it holds {found:,} tokens, expected {wanted}")
    if count is not None and found > count:
        raise DataError("llama2.c", f"{path} holds {found:,} tokens, expected {count:,}", "The model has no more.")
