"""Models of transformers by folder, calibration from a text, and the command line."""

import json

import pytest
import torch
from typer.testing import CliRunner

from slrprune.cli.app import app
from slrprune.deploy import load_sparse, save_sparse
from slrprune.errors import ArgumentError, DataError, MissingExtraError, RuleError
from slrprune.oneshot import hub, prune
from slrprune.sets import NM, Unstructured

transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")

WORDS = ["the", "cat", "sat", "on", "a", "mat", "and", "saw", "one", "dog", "run", "far", "from", "home"]
TEXT = " ".join(WORDS[i * i % len(WORDS)] for i in range(3000))


@pytest.fixture
def folder(tmp_path):
    """A tiny Llama with a tokenizer of words."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(vocab_size=20, **sizes))
    vocabulary = {"<s>": 0, "?": 1, **{word: number + 2 for number, word in enumerate(WORDS)}}
    inner = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="?"))
    inner.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="?", bos_token="<s>")
    path = tmp_path / "llama"
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


@pytest.fixture
def command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text(TEXT)
    runner = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1"})
    return lambda *arguments: runner.invoke(app, ["oneshot", *map(str, arguments)])


def sparsities(path):
    loaded = transformers.AutoModelForCausalLM.from_pretrained(path)
    weights = [p for name, p in loaded.named_parameters() if "layers" in name and p.ndim == 2]
    return [float((weight == 0).float().mean()) for weight in weights], loaded


def test_the_command_line_writes_a_checkpoint_and_goes_on_with_it(folder, command, tmp_path):
    arguments = (f"hf:{folder}", "--data", "text.txt", "--sparsity", "0.5", "--samples", "8", "--length", "64")
    result = command(*arguments)
    assert result.exit_code == 0, result.output
    assert "14 layers, 50.00% zeros, mean relative error" in result.stdout
    assert result.stderr.splitlines()[-1].startswith("[2/2] model.layers.1, mean error")
    found, _ = sparsities(tmp_path / "runs" / "oneshot-llama")
    assert found == pytest.approx([0.5] * 14, abs=0.01)
    again = command(*arguments, "--json")
    assert all("from an earlier run" in line for line in again.stderr.splitlines()[-2:])
    assert len(json.loads(again.stdout)["layers"]) == 14


@pytest.mark.parametrize("extra", [("--set", "2:4"), ("--set", "row", "--solver", "wanda"), ("--stream",)], ids=str)
def test_options_of_the_command_line(extra, folder, command, tmp_path):
    result = command(f"hf:{folder}", "--data", "text.txt", "--samples", "8", "--length", "64", "--out", "out", *extra)
    assert result.exit_code == 0, result.output
    found, loaded = sparsities(tmp_path / "out")
    assert found == pytest.approx([0.5] * 14, abs=0.01)
    assert (loaded.lm_head.weight != 0).all()
    if "2:4" in extra:
        assert NM(2, 4).contains(loaded.model.layers[0].mlp.down_proj.weight)


def test_one_shared_budget_and_dense_patterns(folder, command, tmp_path):
    arguments = ("--samples", "8", "--length", "64", "--set", "shared", "--dense", "*.q_proj", "--out", "out")
    result = command(f"hf:{folder}", "--data", "text.txt", *arguments)
    assert result.exit_code == 0, result.output
    found, loaded = sparsities(tmp_path / "out")
    assert (loaded.model.layers[1].self_attn.q_proj.weight != 0).all()
    assert len({round(value, 2) for value in found}) > 3


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("llama", "--data", "text.txt"), "oneshot: the model 'llama' is not of the form hf:NAME_OR_PATH."),
        (("hf:llama", "--data", "none.txt"), "none.txt: there is no such text. Name a file with --data."),
        (("hf:./nowhere", "--data", "text.txt"), "hf:./nowhere: transformers finds no model it can load"),
        (
            ("hf:nowhere", "--data", "text.txt", "--stream"),
            "hub.load(name='nowhere'): name must be a folder with safetensors files where weights",
        ),
    ],
)
def test_an_error_is_one_sentence(arguments, sentence, command, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    result = command(*arguments)
    assert result.exit_code == 1
    assert result.stderr.strip().startswith(f"slrprune: {sentence}")
    assert len(result.stderr.strip().splitlines()) == 1


def test_calibration_is_spread_over_the_text_without_padding(folder):
    tokenizer = hub.load(str(folder)).tokenizer
    batches = hub.calibration_from_text(tokenizer, TEXT, samples=5, length=100)
    around = len(tokenizer("the")["input_ids"]) - 1
    tokens = tokenizer(TEXT, add_special_tokens=False)["input_ids"]
    assert [tuple(batch["input_ids"].shape) for batch in batches] == [(1, 100)] * 5
    own = 100 - around
    assert batches[1]["input_ids"][0, -own:].tolist() in [tokens[i : i + own] for i in range(0, len(tokens), own)]
    assert len({tuple(batch["input_ids"][0].tolist()) for batch in batches}) == 5
    assert len(hub.calibration_from_text(tokenizer, TEXT, samples=10_000, length=100)) == 3000 // own
    with pytest.raises(DataError, match=r"3000 tokens make no sample of 4000. Give more text, or a shorter length"):
        hub.calibration_from_text(tokenizer, TEXT, samples=1, length=4000)
    with pytest.raises(ArgumentError, match="samples must be at least 1"):
        hub.calibration_from_text(tokenizer, TEXT, samples=0, length=10)
    with pytest.raises(ArgumentError, match="length must be at least 8"):
        hub.calibration_from_text(tokenizer, TEXT, samples=1, length=7)


def test_a_model_without_blocks_needs_rules_of_its_own():
    with pytest.raises(RuleError, match=r"Sequential: has no list of blocks of one class. Write rules of your own"):
        hub.rules_for_blocks(torch.nn.Sequential(torch.nn.Linear(4, 4)), Unstructured(0.5))


def test_without_transformers_the_extra_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda package: None)
    with pytest.raises(MissingExtraError, match=r"needs transformers. Install .* 'slrprune\[oneshot\]'"):
        hub.load("any")


def test_the_pruned_model_goes_through_the_sparse_file(folder, tmp_path):
    subject = hub.load(str(folder))
    batches = hub.calibration_from_text(subject.tokenizer, TEXT, samples=4, length=64)
    prune(subject.model, batches, hub.rules_for_blocks(subject.model, Unstructured(0.75)))
    save_sparse(subject.model, tmp_path / "pruned.safetensors")
    other = hub.load(str(folder)).model
    load_sparse(tmp_path / "pruned.safetensors", other)
    assert all(torch.equal(p, q) for p, q in zip(other.parameters(), subject.model.parameters(), strict=True))
