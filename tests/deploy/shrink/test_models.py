"""shrink on the networks that people use, pruned by slrprune's Channel and by torch.nn.utils.prune."""

from types import ModuleType

import pytest
import torch
from torch import nn
from torch.nn.utils import prune as torch_prune

from slrprune.tasks.resnet_cifar import ResNetCifar


@pytest.fixture
def timm() -> ModuleType:
    """The package timm; it imports torchvision, whose build may not fit torch's (dev/sitecustomize says more)."""
    try:
        import timm
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"timm cannot be imported: {error}")
    return timm


def head(model: nn.Module) -> nn.Module:
    """timm starts some heads from zeros, and these cut the network in two."""
    nn.init.normal_(model.get_classifier().weight, std=0.1)
    return model


def test_cifar_resnet(lively, prune, kill, shrunk):
    model = prune(lively(ResNetCifar(20)), skip="linear")
    # Channel 4 of the stream, in each stage under another number, is dead in all that write it.
    for stage, number in ((model.layer1, 4), (model.layer2, 12), (model.layer3, 28)):
        for block in stage:
            kill(block.conv2, [number])
    kill(model.conv1, [4])
    smaller, report = shrunk(model, torch.randn(2, 3, 32, 32), torch.randn(1, 3, 16, 16))
    assert report.parameters_after < 0.53 * report.parameters_before
    widths = [block.conv1.out_channels for stage in (smaller.layer1, smaller.layer2, smaller.layer3) for block in stage]
    assert all(0 <= width - half <= 1 for width, half in zip(widths, [8] * 3 + [16] * 3 + [32] * 3, strict=True))
    reasons = " ".join({left.reason for left in report.leftovers})
    assert "the forward pass pads the channels with zeros there, by a fixed number" in reasons
    assert "a sum or product ties it to channels of" in reasons


def test_a_channel_of_the_stream_of_a_cifar_resnet(lively, kill, shrunk):
    """Through two shortcuts of option A, which give each channel another number."""
    model = lively(ResNetCifar(20))
    streams = ((model.layer1, [4, 9]), (model.layer2, [12, 17]), (model.layer3, [28, 33]))
    for stage, numbers in streams:
        for block in stage:
            kill(block.conv2, numbers)
            with torch.no_grad():
                block.bn2.bias[numbers] = -9  # zero behind the ReLU
    kill(model.conv1, [4, 9])
    with torch.no_grad():
        model.bn1.bias[[4, 9]] = -9
    smaller, report = shrunk(model, torch.randn(2, 3, 16, 16))
    assert [smaller.conv1.out_channels, smaller.layer2[0].conv2.out_channels, smaller.linear.in_features] == [
        14,
        30,
        62,
    ]
    assert {layer.name: layer.inputs for layer in report.layers}["linear"] == (28, 33)
    assert report.leftovers == ()


def test_vgg_pruned_by_torch(lively, shrunk):
    layers: list[nn.Module] = []
    for inputs, outputs in ((3, 16), (16, 16), (16, 32), (32, 32)):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(), nn.MaxPool2d(2)]
    model = lively(nn.Sequential(*layers, nn.Flatten(), nn.Linear(128, 32), nn.ReLU(), nn.Dropout(), nn.Linear(32, 10)))
    for module in model[:-1]:
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            torch_prune.ln_structured(module, "weight", 0.5, n=2, dim=0)
            torch_prune.remove(module, "weight")
    smaller, report = shrunk(model, torch.randn(2, 3, 32, 32), torch.randn(1, 3, 32, 32))
    assert [module.out_channels for module in smaller if isinstance(module, nn.Conv2d)] == [9, 9, 17, 16]
    assert [module.out_features for module in smaller if isinstance(module, nn.Linear)] == [16, 10]
    assert len(report.leftovers) == 3


def test_mobilenet_v2(timm, lively, prune, shrunk):
    model = prune(lively(timm.create_model("mobilenetv2_100", num_classes=10)), only=("conv_dw", "conv_pw"))
    smaller, report = shrunk(model, torch.randn(1, 3, 32, 32), torch.randn(1, 3, 48, 48))
    assert report.parameters_after < 0.6 * report.parameters_before
    for name, module in smaller.named_modules():
        if name.endswith("conv_dw"):
            assert module.groups == module.in_channels == module.out_channels
    assert {layer.name for layer in report.layers} >= {"conv_stem", "blocks.1.0.conv_pw", "blocks.6.0.conv_pwl"}


def test_mlp_mixer(timm, prune, shrunk):
    model = prune(
        head(timm.models.mlp_mixer.MlpMixer(5, img_size=32, patch_size=8, num_blocks=2, embed_dim=24)), only=("fc1",)
    )
    smaller, report = shrunk(model, torch.randn(2, 3, 32, 32), torch.randn(1, 3, 32, 32))
    assert [smaller.blocks[0].mlp_tokens.fc1.out_features, smaller.blocks[1].mlp_channels.fc1.out_features] == [6, 48]
    assert report.leftovers == ()


def test_swin(timm, prune, shrunk):
    model = timm.models.swin_transformer.SwinTransformer(
        img_size=32, patch_size=4, window_size=4, embed_dim=16, depths=(2, 2), num_heads=(2, 4)
    )
    prune(head(model), 0.75, only=("fc1",))
    smaller, report = shrunk(model, torch.randn(2, 3, 32, 32), torch.randn(1, 3, 32, 32))
    assert [stage.blocks[1].mlp.fc1.out_features for stage in smaller.layers] == [16, 32]
    assert report.leftovers == ()


def test_bert(prune, shrunk):
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        vocab_size=50, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64
    )
    model = prune(transformers.BertForSequenceClassification(config), only=("intermediate.dense", "attention.self.key"))
    ids = torch.randint(50, (2, 9))
    example = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    mask = torch.tensor([[1] * 9, [1] * 4 + [0] * 5])
    smaller, report = shrunk(model, example, {"input_ids": ids.flip(1), "attention_mask": mask})
    for layer in smaller.bert.encoder.layer:
        assert layer.intermediate.dense.out_features == layer.output.dense.in_features == 32
    assert {left.name for left in report.leftovers} == {f"bert.encoder.layer.{i}.attention.self.key" for i in range(2)}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mixer_b16_224", "swin_tiny_patch4_window7_224"])
def test_full_size(name, timm, prune, shrunk):
    model = prune(head(timm.create_model(name)), only=("fc1",))
    _, report = shrunk(model, torch.randn(1, 3, 224, 224), torch.randn(1, 3, 224, 224))
    assert report.parameters_after < 0.75 * report.parameters_before
    assert report.macs_after < 0.75 * report.macs_before
    assert report.leftovers == ()
