"""Texts from files: either one file for each split, or one file whose texts are dealt out."""

from os import PathLike
from pathlib import Path

import torch

from slrprune.errors import DataError
from slrprune.tasks.base import SPLITS, Split
from slrprune.tasks.data_folder import data_folder
from slrprune.tasks.split import stratified_folds
from slrprune.tasks.tally import Tally

SEPARATOR = "<|endoftext|>"
"""Stands between two texts of a file."""

SPLIT_SEED = 0
"""Seed by which the texts of one file are dealt out: the same for everyone, whatever the seed of a run."""

PARTS: dict[Split, tuple[int, ...]] = {"train": (3, 4, 5, 6, 7, 8, 9), "val": (2,), "test": (0, 1)}
"""Of ten parts of one file, which belong to which split."""


def read_texts(
    data: str | PathLike[str] | None, file: str | None, *, strict: bool, tally: Tally
) -> dict[Split, list[str]]:
    """The texts of every split.

    Args:
        data: the folder, or the one around its folder `text`; None takes the environment variable SLRPRUNE_DATA.
        file: one file, dealt out at random into ten equal parts: seven to train on, one for "val", two for "test".
            None takes `train.txt`, `val.txt` and `test.txt` as they are.
        strict: whether a file that is not UTF-8 is refused; otherwise its bad bytes are replaced and counted.
        tally: counts them.

    Raises:
        DataError: a file is missing, or has no text, or too few to be dealt out; with `strict` one that is not UTF-8.
    """
    folder = _folder(data, "train.txt" if file is None else file)
    if file is None:
        return {split: _texts(folder / f"{split}.txt", strict, tally) for split in SPLITS}
    texts = _texts(folder / file, strict, tally)
    if len(texts) < 10:
        problem = f"{folder / file} holds {len(texts)} texts, expected at least 10 with {SEPARATOR} between them"
        raise DataError("text", problem, "Or give train.txt, val.txt and test.txt.")
    part = stratified_folds(torch.zeros(len(texts), dtype=torch.int64), 10, SPLIT_SEED).tolist()
    return {split: [text for text, here in zip(texts, part, strict=True) if here in PARTS[split]] for split in SPLITS}


def _folder(data: str | PathLike[str] | None, file: str) -> Path:
    folder = data_folder("text", data)
    found = next((place for place in (folder, folder / "text") if (place / file).is_file()), None)
    if found is None:
        raise DataError("text", f"there is no {file} in {folder}, and none in its folder text")
    return found


def _texts(path: Path, strict: bool, tally: Tally) -> list[str]:
    if not path.is_file():
        raise DataError("text", f"{path} is missing")
    content = path.read_bytes()
    try:
        whole = content.decode("utf-8")
    except UnicodeDecodeError as error:
        if strict:
            raise DataError("text", f"{path} is not UTF-8, first at byte {error.start:,}") from error
        tally.add("bytes are not UTF-8 (they were replaced)", path.name)
        whole = content.decode("utf-8", errors="replace")
    texts = [text.strip() for text in whole.split(SEPARATOR) if text.strip()]
    if not texts:
        raise DataError("text", f"{path} holds no text")
    return texts
