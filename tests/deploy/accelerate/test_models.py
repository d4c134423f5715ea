"""Models of several kinds, accelerated: same outputs, on other batches and sizes too, and layers really replaced."""

import pytest
import torch
from torch import nn

from slrprune.deploy.kernels import PackedConv2d, PackedLinear
from slrprune.tasks.resnet_cifar import ResNetCifar


def count(model, *kinds):
    return sum(isinstance(module, kinds) for module in model.modules())


@pytest.mark.usefixtures("needs_kernels")
def test_cifar_resnet(pruned, accelerated, invented):
    model = pruned(ResNetCifar(20))
    result, report = accelerated(model, torch.randn(2, 3, 32, 32), torch.randn(3, 3, 24, 20), timer=invented())
    assert report.folded == 19
    assert [row.name for row in report.rows] == [
        n for n, m in model.named_modules() if hasattr(m, "weight") and "bn" not in n
    ]
    assert {row.chosen for row in report.rows} == {"sparse kernel"}
    assert count(result, PackedConv2d, PackedLinear) == 20
    assert count(result, nn.BatchNorm2d) == 0
    assert sum(row.relu for row in report.rows) == 10  # one after the stem, one within each block


@pytest.mark.usefixtures("needs_kernels")
def test_timm_resnet18(pruned, accelerated, invented):
    timm = pytest.importorskip("timm")
    model = pruned(timm.create_model("resnet18", channels=(16, 24, 32, 40), num_classes=10))
    total = {"accelerated, channels_last": 0.5}
    example = torch.randn(1, 3, 64, 64)
    result, report = accelerated(model, example, torch.randn(2, 3, 96, 64), timer=invented(total=total))
    assert report.chosen == "accelerated, channels_last"
    assert count(result, PackedConv2d) == 21


@pytest.mark.usefixtures("needs_kernels")
def test_layouts_mix_without_conversions(pruned, accelerated, invented):
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 16, 3), nn.Conv2d(16, 16, 1), nn.ReLU())
    pruned(model)[0].weight.data.normal_()  # which stays dense, as a stem does
    example, other = torch.randn(2, 3, 9, 9), torch.randn(1, 3, 12, 8)
    timer = invented(total={"accelerated, channels_last": 0.5})
    result, report = accelerated(model, example, other, timer=timer)
    assert report.chosen == "accelerated, channels_last"
    assert [row.chosen for row in report.rows] == ["dense", "sparse kernel", "sparse kernel"]
    assert result.model.get_submodule("0")(example).is_contiguous(memory_format=torch.channels_last)
    assert isinstance(result.model.get_submodule("2"), PackedConv2d)
    assert result(example).is_contiguous()


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_a_convolution_in_the_other_layout(layout, pruned, accelerated, invented):
    timer = invented("dense, other layout", total={f"accelerated, {layout}": 0.5})
    result, report = accelerated(pruned(nn.Conv2d(4, 8, 3), 0), torch.randn(2, 4, 9, 9), timer=timer)
    assert report.rows[0].chosen == "dense, other layout"
    assert result(torch.randn(2, 4, 9, 9)).is_contiguous()  # converted back, or so from the start


@pytest.mark.usefixtures("needs_kernels")
def test_mlp_with_batchnorm(pruned, accelerated, invented):
    model = nn.Sequential(nn.Linear(64, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10))
    result, report = accelerated(pruned(model), torch.randn(4, 64), torch.randn(1, 64), timer=invented())
    assert report.folded == 1
    assert count(result, PackedLinear) == 2
    assert count(result, nn.ReLU, nn.BatchNorm1d) == 0


@pytest.mark.usefixtures("needs_kernels")
def test_bert_is_replaced_layer_by_layer(pruned, accelerated, invented):
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, vocab_size=50
    )
    model = pruned(transformers.BertModel(config))
    example, other = ({"input_ids": torch.randint(50, (batch, 9))} for batch in (2, 3))
    result, report = accelerated(model, example, other, timer=invented())
    assert count(result, PackedLinear) == 13
    assert "BatchNorm and ReLU are fused within Sequential modules only: torch.fx cannot follow" in str(report)
    assert result.model.config is not None  # the copy is a BertModel still


@pytest.mark.usefixtures("needs_kernels")
def test_a_model_that_is_one_layer(pruned, accelerated, invented):
    result, report = accelerated(pruned(nn.Linear(32, 16)), torch.randn(2, 5, 32), timer=invented())
    assert count(result, PackedLinear) == 1
    assert [row.name for row in report.rows] == ["0"]


@pytest.mark.usefixtures("needs_kernels")
def test_an_image_without_a_batch_and_layers_without_bias(pruned, accelerated, invented):
    model = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.ReLU(), nn.Flatten(0), nn.Linear(8 * 25, 4, bias=False))
    result, _ = accelerated(pruned(model), torch.randn(3, 7, 7), timer=invented())
    assert count(result, PackedConv2d, PackedLinear) == 2


def test_a_model_without_such_layers(accelerated):
    _, report = accelerated(nn.Sequential(nn.Tanh()).eval(), torch.randn(3))
    assert report.rows == ()
    assert report.chosen in ("original", "dense, contiguous")


@pytest.mark.usefixtures("needs_kernels")
@pytest.mark.parametrize(
    "layer", [nn.Conv2d(8, 6, 3, padding="same"), nn.Conv2d(8, 6, (1, 3), (2, 1), padding="valid")]
)
def test_padding_given_as_a_word(layer, pruned, accelerated, invented):
    result, _ = accelerated(pruned(layer), torch.randn(2, 8, 9, 7), timer=invented())
    assert count(result, PackedConv2d) == 1


@pytest.mark.parametrize(
    ("layer", "why"),
    [
        (nn.Conv2d(8, 8, 3, groups=4), "the sparse kernels take one group, the convolution has 4"),
        (nn.Conv2d(8, 8, 3, padding=1, padding_mode="reflect"), "the sparse kernels pad with zeros, the convolution"),
        (nn.Conv2d(8, 8, 2, padding="same"), "it pads one side more than the other"),
    ],
)
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.usefixtures("needs_kernels")
def test_what_the_kernels_do_not_take_is_named_and_right(layer, why, pruned, accelerated, invented):
    result, report = accelerated(pruned(nn.Sequential(layer, nn.ReLU())), torch.randn(2, 8, 9, 7), timer=invented())
    assert count(result, PackedConv2d) == 0
    assert why in report.rows[0].why


def test_torch_bsr_computes_blocks(accelerated, invented):
    model = nn.Sequential(nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 8)).eval()
    with torch.no_grad():
        model[0].weight.view(3, 16, 4, 16)[:, :, [0, 2]] = 0
    other = torch.randn(2, 3, 64)
    _, report = accelerated(model, torch.randn(2, 64), other, timer=invented("torch BSR 16x16"))
    assert [row.chosen for row in report.rows] == ["torch BSR 16x16", "dense"]


def test_bfloat16_only_where_allowed(pruned, invented):
    from slrprune.deploy.accelerate import accelerate

    model, x = pruned(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU()), 0.0), torch.randn(1, 3, 8, 8)
    timer = invented("dense bf16")
    _, report = accelerate(model, x, timer=timer)
    assert report.rows[0].chosen == "dense"
    result, report = accelerate(model, x, timer=timer, allow_bf16=True)
    assert report.rows[0].chosen == "dense bf16"
    assert 1e-4 < report.relative_difference < report.tolerance == 0.05
    assert result(x).dtype is torch.float32


@pytest.mark.gpu
def test_two_four_on_cuda(invented):
    from slrprune import NM
    from slrprune.deploy.accelerate import accelerate

    model = nn.Sequential(nn.Linear(128, 128), nn.ReLU()).cuda().half().eval()
    model[0].weight.data = NM(2, 4).project(model[0].weight)
    x = torch.randn(64, 128, device="cuda", dtype=torch.half)
    result, report = accelerate(model, x, timer=invented("2:4 semi-structured"))
    assert report.rows[0].chosen == "2:4 semi-structured"
    torch.testing.assert_close(result(x), model(x), rtol=1e-2, atol=1e-2)
