"""Transformers of the library of that name, tiny and with random weights."""

import pytest
import torch

from slrprune.oneshot import SLR, Magnitude, prune
from slrprune.sets import NM, Channel, Unstructured

transformers = pytest.importorskip("transformers")


def llama():
    return transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=64,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=2,
            tie_word_embeddings=True,
        )
    )


def gpt2():
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(vocab_size=64, n_embd=32, n_layer=2, n_head=4))


def bert():
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    return transformers.BertModel(transformers.BertConfig(vocab_size=64, **sizes), add_pooling_layer=False)


def mixtral():
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    return transformers.MixtralForCausalLM(
        transformers.MixtralConfig(vocab_size=64, num_key_value_heads=2, num_local_experts=2, **sizes)
    )


BUILDERS = {
    "llama": (llama, "model.layers.*", "model.layers.0", 3),
    "gpt2": (gpt2, "transformer.h.*", "transformer.h.0", 2),
    "bert": (bert, "encoder.layer.*", "encoder.layer.0", 2),
    "mixtral": (mixtral, "model.layers.*.self_attn.*", "model.layers.0", 2),
}


@pytest.mark.parametrize("kind", BUILDERS)
def test_blocks_are_found_and_walked_once(kind):
    build, pattern, first, count = BUILDERS[kind]
    torch.manual_seed(0)
    model, data = build().eval(), [{"input_ids": torch.randint(64, (2, 40))} for _ in range(2)]
    with torch.no_grad():
        dense = model(**data[0])[0]
    stages = []
    report = prune(model, data, {pattern: Unstructured(0.3)}, progress=stages.append)
    assert [event.stage for event in stages] == [first[:-1] + str(number) for number in range(count)]
    assert report.sparsity == pytest.approx(0.3, abs=0.01)
    assert all(record.samples == 160 for record in report.layers)
    with torch.no_grad():
        after = model(**data[0])[0]
    torch.manual_seed(0)
    rival = build().eval()
    prune(rival, data, {pattern: Unstructured(0.3)}, Magnitude())
    with torch.no_grad():
        worse = rival(**data[0])[0]
    assert (after - dense).norm() < (worse - dense).norm()


def test_conv1d_is_pruned_along_its_inputs():
    model, data = gpt2().eval(), [torch.randint(64, (4, 40))]
    report = prune(model, data, {"transformer.h.*.mlp.*": NM(2, 4), "transformer.h.*": Channel(0.5)})
    weight = model.transformer.h[0].mlp.c_fc.weight  # (inputs, outputs)
    assert weight.shape == (32, 128)
    assert (weight.view(8, 4, 128) != 0).sum(1).unique().tolist() == [2]
    assert (model.transformer.h[1].attn.c_attn.weight != 0).any(0).sum() == 48
    assert report.sparsity == pytest.approx(0.5, abs=0.01)


def test_the_cache_is_switched_off_only_for_the_walk():
    model = llama().eval()
    assert model.config.use_cache
    prune(model, [torch.randint(64, (2, 30))], {"model.layers.*": Unstructured(0.5)}, SLR())
    assert model.config.use_cache


def test_the_folder_loads_with_from_pretrained(tmp_path):
    model, data = llama().eval(), [torch.randint(64, (2, 30))]
    prune(model, data, {"model.layers.*": NM(2, 4)}, Magnitude(), folder=tmp_path)
    model.config.save_pretrained(tmp_path)
    loaded = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    with torch.no_grad():
        torch.testing.assert_close(loaded.eval()(data[0])[0], model(data[0])[0])


def test_streamed_llama(tmp_path):
    accelerate = pytest.importorskip("accelerate")
    model, data = llama().eval(), [torch.randint(64, (2, 30))]
    model.save_pretrained(tmp_path / "dense")
    with accelerate.init_empty_weights(include_buffers=False):
        empty = llama()
    empty.tie_weights()
    rules = {"model.layers.*": Unstructured(0.5)}
    streamed = prune(empty.eval(), data, rules, weights=tmp_path / "dense", folder=tmp_path / "out")
    whole = prune(model, data, rules)
    assert [r.error for r in streamed.layers] == pytest.approx([r.error for r in whole.layers])
