"""The text task: the tiny Llama of the shared data, and small models of transformers made by the test."""

import math
import struct

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from slrprune.compare.identity import fingerprint
from slrprune.errors import ArgumentError, DataError
from slrprune.tasks import Text
from slrprune.tasks.llama2c import Sizes, read_weights
from slrprune.tasks.llama2c_tokens import START, Llama2cTokens
from slrprune.tasks.tally import Tally
from slrprune.tasks.text import perplexity
from slrprune.tasks.text_files import SEPARATOR, read_texts
from slrprune.tasks.text_objectives import IGNORED, HiddenTokens, NextToken
from slrprune.tasks.text_source import HubSource

SIZES = Sizes(dim=16, hidden=24, layers=2, heads=2, kv_heads=1, vocabulary=300, context=32)


def write_llama(folder, sizes=SIZES):
    """A model of llama2.c with random weights, and a vocabulary of bytes, letters and a few pairs."""
    key_rows = sizes.dim // sizes.heads * sizes.kv_heads
    per_layer = 2 * sizes.dim + sizes.dim * (2 * sizes.dim + 2 * key_rows) + 3 * sizes.dim * sizes.hidden
    tables = sizes.context * sizes.dim // sizes.heads
    count = abs(sizes.vocabulary) * sizes.dim * (1 + (sizes.vocabulary < 0)) + sizes.layers * per_layer + sizes.dim
    values = np.random.default_rng(0).normal(0, 0.1, count + tables).astype("<f4")
    (folder / "tiny.bin").write_bytes(struct.pack("<7i", *sizes) + values.tobytes())
    pieces = [b"<unk>", b"<s>", b"</s>", *(f"<0x{byte:02X}>".encode() for byte in range(256))]
    pieces += [b" ", *(bytes([letter]) for letter in b"abcdefghijklmno")]
    pieces += [b" a", b"ab", b"cd", b" ab", b"de"]
    pieces += [f"<{number}>".encode() for number in range(abs(sizes.vocabulary) - len(pieces))]
    scores = {b" a": -1.0, b"ab": -0.5, b"cd": -2.0, b" ab": -3.0, b"de": -1.5}
    content = b"".join(struct.pack("<fi", scores.get(piece, -9.0), len(piece)) + piece for piece in pieces)
    (folder / f"tok{abs(sizes.vocabulary)}.bin").write_bytes(struct.pack("<i", 7) + content)


@pytest.fixture
def folder(tmp_path):
    write_llama(tmp_path)
    stories = [f"abc de {'cab ' * (number % 5 + 1)}fade {'a' * number}" for number in range(20)]
    (tmp_path / "stories.txt").write_text(SEPARATOR.join(stories))
    return tmp_path


def make(folder, **options):
    return Text(folder, **({"model": "tiny", "file": "stories.txt", "length": 16, "batch_size": 4} | options))


def test_the_best_neighbours_are_merged_first(folder):
    tokens = Llama2cTokens(folder / "tok300.bin")
    number = {text: i for i, text in enumerate(tokens._texts)}
    # " abcde": "ab" has the best score, then "de"; " ab" joins what is left, and "c" stays.
    assert tokens.encode("abcde") == [START, number[b" ab"], number[b"c"], number[b"de"]]
    assert tokens.encode("é") == [START, number[b" "], 3 + 0xC3, 3 + 0xA9]
    assert len(tokens) == 300


def test_a_vocabulary_that_was_cut_is_refused_between_two_tokens_too(folder):
    file = folder / "tok300.bin"
    whole, ends = file.read_bytes(), [4]
    while ends[-1] < len(whole):
        ends.append(ends[-1] + 8 + int.from_bytes(whole[ends[-1] + 4 : ends[-1] + 8], "little"))
    assert len(ends) == 301
    for size in (0, 3, *ends[:-1:13], ends[-2], ends[-1] - 1):
        file.write_bytes(whole[:size])
        with pytest.raises(DataError, match=r"tok300\.bin is truncated"):
            Llama2cTokens(file, 300)
        with pytest.raises(DataError, match=r"tok300\.bin is truncated"):
            make(folder)
    file.write_bytes(whole + whole[ends[-2] :])
    with pytest.raises(DataError, match=r"tok300\.bin holds 301 tokens, expected 300\. The model has no more\."):
        make(folder)
    short = folder / "vocabulary.bin"
    short.write_bytes(whole[: ends[258]])
    with pytest.raises(DataError, match=r"vocabulary\.bin is truncated: it holds 258 tokens, expected at least 259\."):
        Llama2cTokens(short)
    short.write_bytes(whole[: ends[259]])
    assert len(Llama2cTokens(short)) == 259


def test_windows_targets_and_padding(folder):
    task = make(folder)
    inputs, targets = next(task.batches("test"))
    assert inputs.shape == targets.shape
    assert inputs.shape[1] <= 16
    asked = targets[:, :-1] != IGNORED
    assert torch.equal(targets[:, :-1][asked], inputs[:, 1:][asked])
    assert (targets[:, -1] == IGNORED).all()
    lengths = asked.sum(dim=1) + 1
    for row, length in zip(inputs, lengths.tolist(), strict=True):
        assert not row[length:].any()


def test_training_batches_are_full_and_a_function_of_seed_and_epoch(folder):
    task = make(folder)
    first, again, other = (list(task.batches("train", epoch)) for epoch in (0, 0, 1))
    assert len(first) == task.steps_per_epoch
    assert all(len(inputs) == 4 for inputs, _ in first)
    assert all(torch.equal(a[0], b[0]) for a, b in zip(first, again, strict=True))
    assert [a[0].tolist() for a in first] != [b[0].tolist() for b in other]


def test_the_metric_is_the_geometric_mean_of_the_probabilities(folder):
    task = make(folder, batch_size=3)
    model = task.pretrained()
    chances = []
    for number in range(len(task._windows["test"])):
        window = task._windows["test"][number]
        logits = model(window[None])[0]
        chances += logits[:-1].softmax(1)[torch.arange(len(window) - 1), window[1:]].tolist()
    expected = 100 * math.prod(chances) ** (1 / len(chances))
    assert task.evaluate(model, "test") == pytest.approx(expected, rel=1e-4)
    found = task.details(model, "test")
    assert found == {"token_probability": task.evaluate(model, "test"), "perplexity": pytest.approx(100 / expected)}
    assert perplexity(0.0) == math.inf
    assert perplexity(expected) == pytest.approx(math.exp(-sum(map(math.log, chances)) / len(chances)))


def test_texts_are_dealt_out_or_taken_from_three_files(folder):
    tally = Tally()
    dealt = read_texts(folder, "stories.txt", strict=True, tally=tally)
    assert {split: len(texts) for split, texts in dealt.items()} == {"train": 14, "val": 2, "test": 4}
    assert not set(dealt["train"]) & set(dealt["test"])
    for split in ("train", "val", "test"):
        (folder / f"{split}.txt").write_text(f"{split} a{SEPARATOR}{split} b")
    assert read_texts(folder, None, strict=True, tally=tally)["val"] == ["val a", "val b"]


def test_missing_and_damaged_files_are_named(folder):
    with pytest.raises(DataError, match=r"text: there is no gone\.txt in .*, and none in its folder text"):
        make(folder, file="gone.txt")
    (folder / "few.txt").write_text("one text")
    with pytest.raises(DataError, match=r"few\.txt holds 1 texts, expected at least 10"):
        make(folder, file="few.txt")
    (folder / "train.txt").write_text("a b")
    with pytest.raises(DataError, match=r"val\.txt is missing"):
        make(folder, file=None)
    model = folder / "tiny.bin"
    model.write_bytes(model.read_bytes()[:4000])
    with pytest.raises(DataError, match=r"tiny\.bin holds 993 numbers, expected .*\. It is truncated\."):
        make(folder).pretrained()
    model.write_bytes(b"\0" * 28)
    with pytest.raises(DataError, match=r"tiny\.bin is no model of llama2\.c, or truncated"):
        make(folder)
    write_llama(folder)
    (folder / "tok300.bin").unlink()
    with pytest.raises(DataError, match=r"tok300\.bin is missing\. It is the vocabulary of the model\."):
        make(folder)


def test_the_folder_is_looked_at_before_the_hub(folder, tmp_path_factory, monkeypatch):
    transformers = pytest.importorskip("transformers")
    asked = []

    def refuse(name, **_):
        asked.append(name)
        raise OSError("no way to the hub")

    monkeypatch.setattr(transformers.AutoConfig, "from_pretrained", refuse)
    empty = tmp_path_factory.mktemp("empty")
    with pytest.raises(
        DataError, match=rf"text: there is no tinystories\.txt in {empty}, and none in its folder text\.$"
    ):
        Text(empty)
    with pytest.raises(DataError, match=rf"no tinystories\.txt in {empty}"):
        Text(empty, model="gpt2")
    missing = rf"there is no stories260K\.bin in {folder}, and none in its folder text\. Give the model as a file"
    with pytest.raises(DataError, match=missing):
        Text(folder, file="stories.txt")
    assert not asked
    missing = r"cannot load 'tinny' \(no way to the hub\)\. There is no tinny\.bin in .*, either\."
    with pytest.raises(DataError, match=missing):
        make(folder, model="tinny")
    assert asked == ["tinny"]


def test_bad_bytes_and_short_texts_are_counted_or_refused(folder):
    content = (folder / "stories.txt").read_bytes()
    (folder / "stories.txt").write_bytes(content.replace(b"fade", b"fa\xffe", 1))
    assert make(folder).warnings() == ("Skipped 1, since bytes are not UTF-8 (they were replaced): stories.txt.",)
    with pytest.raises(DataError, match=r"stories\.txt is not UTF-8, first at byte \d+\."):
        make(folder, strict=True)


def test_a_weight_that_is_not_finite_is_refused(folder):
    content = bytearray((folder / "tiny.bin").read_bytes())
    content[28:32] = struct.pack("<f", float("nan"))
    (folder / "tiny.bin").write_bytes(content)
    with pytest.raises(DataError, match=r"holds a weight that is not finite, in model\.embed_tokens\.weight"):
        read_weights(folder / "tiny.bin")


def test_an_output_layer_of_its_own_is_read(tmp_path):
    write_llama(tmp_path, SIZES._replace(vocabulary=-300))
    state = read_weights(tmp_path / "tiny.bin")
    assert not torch.equal(state["lm_head.weight"], state["model.embed_tokens.weight"])
    values = np.fromfile(tmp_path / "tiny.bin", "<f4", offset=28)
    np.testing.assert_array_equal(state["lm_head.weight"].numpy().ravel(), values[-300 * 16 :])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length": 1}, r"length must be in \[2, 32\], which the model takes"),
        ({"length": 33}, r"length must be in \[2, 32\]"),
        ({"batch_size": 1000}, r"batch_size must be in \[1, \d+\], the windows to train on"),
    ],
)
def test_values_out_of_range_are_refused(folder, options, message):
    with pytest.raises(ArgumentError, match=message):
        make(folder, **options)


def test_the_fingerprint_follows_the_settings(folder):
    assert fingerprint(make(folder)) == fingerprint(make(folder))
    assert fingerprint(make(folder)) != fingerprint(make(folder, length=15))


def test_next_token_asks_for_nothing_behind_the_end():
    tokens, is_real = torch.tensor([[5, 6, 0]]), torch.tensor([[True, True, False]])
    inputs, targets = NextToken().ask(tokens, is_real, torch.Generator())
    assert inputs.tolist() == [[5, 6, 0]]
    assert targets.tolist() == [[6, IGNORED, IGNORED]]


def test_hidden_tokens_are_a_share_but_at_least_one_and_never_special():
    tokens = torch.randint(5, 50, (40, 20), generator=torch.Generator().manual_seed(0))
    tokens[:, 0], tokens[:, -1] = 1, 2
    is_real = torch.ones_like(tokens, dtype=torch.bool)
    objective = HiddenTokens(mask=4, special=(1, 2), share=0.2)
    inputs, targets = objective.ask(tokens, is_real, torch.Generator().manual_seed(1))
    hidden = targets != IGNORED
    assert torch.equal(inputs == 4, hidden)
    assert torch.equal(targets[hidden], tokens[hidden])
    assert not hidden[:, [0, -1]].any()
    assert hidden.any(dim=1).all()
    assert 0.15 < hidden[:, 1:-1].float().mean() < 0.27
    with pytest.raises(ArgumentError, match=r"hidden_share must be in \(0, 1\)"):
        HiddenTokens(4, (), 1.0)


def hub_model(folder, kind):
    """A tiny BERT or GPT-2 with a word tokenizer, saved as transformers saves models."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertForMaskedLM, GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "abc", "de", "cab", "fade", "a", "aa", "aaa"]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    options = {"pad_token": "[PAD]", "unk_token": "[UNK]"}
    if kind == "masked":
        tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
        options |= {"cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
        size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
        model = BertForMaskedLM(BertConfig(vocab_size=12, max_position_embeddings=32, **size))
    else:
        model = GPT2LMHeadModel(GPT2Config(vocab_size=12, n_positions=32, n_embd=16, n_layer=1, n_head=2))
    model.save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **options).save_pretrained(folder)
    return model


@pytest.mark.parametrize("kind", ["Roberta", "Bert", "OPT"])
def test_the_context_is_the_longest_text_that_the_model_takes(tmp_path, kind):
    """RoBERTa's table of positions begins behind the padding's number; OPT's has two rows more than it says."""
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 50}
    wide = {"ffn_dim": 16, "word_embed_proj_dim": 16} if kind == "OPT" else {"intermediate_size": 16}
    config = getattr(transformers, f"{kind}Config")(max_position_embeddings=34, **sizes, **wide)
    config.save_pretrained(tmp_path)
    source = HubSource(tmp_path, masked=kind != "OPT")
    assert source.context == (32 if kind == "Roberta" else 34)
    model = source.fresh().eval()
    model(input_ids=torch.full((1, source.context), 5))
    with pytest.raises((IndexError, RuntimeError)):
        model(input_ids=torch.full((1, source.context + 1), 5))


@pytest.mark.parametrize("kind", ["masked", "causal"])
def test_models_of_transformers_by_their_folder(folder, kind):
    saved = hub_model(folder / "hub", kind)
    task = make(folder, model=folder / "hub")
    assert task.model_name == "hub"
    model = task.pretrained()
    own = dict(model.network.named_parameters())
    assert all(torch.equal(own[name], parameter) for name, parameter in saved.named_parameters())
    loss = task.loss(model, next(task.batches("train")))
    loss.backward()
    assert 1 < loss.item() < 2 * math.log(12)
    assert 0 < task.evaluate(model, "test") < 50
    inputs, targets = next(task.batches("val"))
    assert ((inputs == 4).any() and torch.equal(inputs == 4, targets != IGNORED)) == (kind == "masked")
    again, _ = next(task.batches("val"))
    assert torch.equal(inputs, again)
    assert fingerprint(task) == fingerprint(make(folder, model=folder / "hub"))


def spoiled(whole):
    """Contents of a weight file that is none: cut in its head and in its numbers, empty, junk, a pointer of Git LFS."""
    return whole[:6], whole[: len(whole) // 2], b"", b"junk " * 50, b"version https://git-lfs.github.com/spec/v1"


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_damaged_weights_are_refused_by_the_folder(folder, name):
    pytest.importorskip("transformers")
    model, file = hub_model(folder / "hub", "causal"), folder / "hub" / name
    if name == "pytorch_model.bin":
        (folder / "hub" / "model.safetensors").unlink()
        torch.save(model.state_dict(), file)
    task = make(folder, model=folder / "hub")
    task.pretrained()
    for content in spoiled(file.read_bytes()):
        file.write_bytes(content)
        with pytest.raises(DataError, match=r"text: transformers cannot load '.*hub' \("):
            task.pretrained()


def test_weights_of_other_shapes_and_a_damaged_tokenizer_are_refused_by_the_folder(folder):
    pytest.importorskip("transformers")
    hub_model(folder / "hub", "causal")
    config, tokenizer = folder / "hub" / "config.json", folder / "hub" / "tokenizer.json"
    whole = config.read_text()
    config.write_text(whole.replace('"n_embd": 16', '"n_embd": 32'))
    with pytest.raises(DataError, match=r"text: transformers cannot load '.*hub' \("):
        make(folder, model=folder / "hub").pretrained()
    config.write_text(whole)
    tokenizer.write_text(tokenizer.read_text()[:100])
    with pytest.raises(DataError, match=r"text: transformers cannot load '.*hub' \("):
        make(folder, model=folder / "hub")


def test_padding_changes_nothing_for_a_masked_model(folder):
    hub_model(folder / "hub", "masked")
    model = make(folder, model=folder / "hub").pretrained().eval()
    short = torch.tensor([[2, 5, 4, 3]])
    padded = F.pad(short, (0, 5))
    torch.testing.assert_close(model(padded)[:, :4], model(short))


def test_a_model_that_cannot_be_loaded_is_named(folder):
    (folder / "empty").mkdir()
    with pytest.raises(DataError, match=r"text: transformers cannot load '.*empty'"):
        make(folder, model=folder / "empty")


def test_the_tiny_llama_gives_the_measured_surprise(data_dir):
    file = data_dir / "text" / "stories260K.bin"
    if not file.is_file():
        pytest.skip(f"needs the tiny Llama: there is no {file}")
    task = Text(data_dir)
    model = task.pretrained()
    texts = (data_dir / "text" / "tinystories.txt").read_text().split(SEPARATOR)[:12]
    tokens = Llama2cTokens(data_dir / "text" / "tok512.bin")
    total = count = 0
    with torch.inference_mode():
        for window in (torch.tensor([tokens.encode(text)[:512]]) for text in texts):
            total += F.cross_entropy(model(window)[0, :-1], window[0, 1:], reduction="sum").item()
            count += window.shape[1] - 1
    # 1.469 nats on all 192 stories (shared/data/README.md); twelve of them are close to that. With the rotary pairs
    # in the wrong order it is far above 2.
    assert 1.3 < total / count < 1.65
