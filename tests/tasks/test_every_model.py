"""Every network takes a step, is pruned, cut and exported: small ones always, all at full size under `make nightly`."""

import resource
from pathlib import Path

import pytest
import timm
import torch
from one_step import prune_and_export
from timm.models.mlp_mixer import MlpMixer
from timm.models.swin_transformer import SwinTransformer
from torch.nn import functional as F

from slrprune.config import load_config
from slrprune.config.targets import pruning_rules
from slrprune.sets import Global, Unstructured
from slrprune.tasks import Graph, Text
from slrprune.tasks.cifar10_models import CIFAR_MODELS
from slrprune.tasks.mobilenetv2_cifar import MobileNetV2Cifar
from slrprune.tasks.resnet_cifar import ResNetCifar
from slrprune.tasks.resnet_wide_cifar import BasicBlock, Bottleneck, ResNetWideCifar
from slrprune.tasks.vgg_cifar import VGG16Cifar

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
IMAGES = [path for path in sorted(RECIPES.glob("*.yaml")) if path.stem.startswith(("cifar10_", "imagenet_"))]
LIMIT = 12 * 2**30
WIDTHS = (8, 16, 24, 32)

SMALL = {
    "resnet20": (lambda: ResNetCifar(20), 32),
    "resnet18_cifar": (lambda: ResNetWideCifar(BasicBlock, (1, 2, 1, 1), widths=WIDTHS), 16),
    "resnet50_cifar": (lambda: ResNetWideCifar(Bottleneck, (1, 2, 1, 1), widths=WIDTHS), 16),
    "vgg16_cifar": (lambda: VGG16Cifar(stages=((8, 2), (16, 2), (16, 3), (32, 3), (32, 3))), 32),
    "mobilenetv2_cifar": (MobileNetV2Cifar, 16),
    "mixer_cifar": (lambda: MlpMixer(10, img_size=32, patch_size=4, num_blocks=2, embed_dim=32), 32),
    "swin_cifar": (
        lambda: SwinTransformer(32, 2, num_classes=10, embed_dim=24, depths=(2, 2), num_heads=(2, 4), window_size=4),
        32,
    ),
    "mobilenetv2_100": (lambda: timm.create_model("mobilenetv2_100"), 64),
}


def on_images(build, side, rules, path):
    """Two images with labels 0 and 1."""
    images = torch.randn(2, 3, side, side)
    loss = lambda model: F.cross_entropy(model(images), torch.tensor([0, 1]))  # noqa: E731
    return prune_and_export(build, loss, images[:1], rules, path)


@pytest.mark.parametrize("name", SMALL)
def test_a_small_network_takes_the_whole_way(name, tmp_path):
    build, side = SMALL[name]
    assert on_images(build, side, Unstructured(0.75), tmp_path / "model.safetensors") == pytest.approx(0.75, abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", IMAGES, ids=lambda path: path.stem)
def test_every_network_takes_the_whole_way_at_full_size(recipe, tmp_path):
    config = load_config(recipe)
    name = config.task_options["model"]

    def build():
        torch.manual_seed(0)
        if config.task == "imagenet":
            return timm.create_model(name)
        return CIFAR_MODELS[name].build() if name in CIFAR_MODELS else ResNetCifar(int(name.removeprefix("resnet")))

    rules = pruning_rules(config, build()).rules
    side = 224 if config.task == "imagenet" else 32
    assert on_images(build, side, rules, tmp_path / "model.safetensors") > 0.45
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 < LIMIT


@pytest.mark.parametrize(("task", "file"), [(Graph, "graph/cora.npz"), (Text, "text/stories260K.bin")])
def test_cora_and_the_tiny_llama_take_the_whole_way_at_full_size(task, file, data_dir, tmp_path):
    if not (data_dir / file).is_file():
        pytest.skip(f"needs {file}: {data_dir} has none")
    made = task(data_dir)
    batch = next(made.batches("train"))
    path = tmp_path / "model.safetensors"
    reached = prune_and_export(
        made.build_model, lambda model: made.loss(model, batch), made.example_input(), Global(0.9), path
    )
    assert reached == pytest.approx(0.9, abs=0.001)
