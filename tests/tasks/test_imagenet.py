"""The ImageNet task on small folders of made-up images."""

import os
import pickle
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from slrprune.compare.identity import fingerprint
from slrprune.errors import ArgumentError, DataError, MissingExtraError, StateError, UsageError
from slrprune.tasks import AdamWRecipe, ImageNet, SGDRecipe
from slrprune.tasks.imagenet_recipes import RECIPES, is_layer_normalized

CLASSES = ("n01", "n02", "n03")


def write_images(folder, per_class):
    """Squares of one colour, a hue per class; some grey, some small, as in the wild."""
    generator = np.random.default_rng(0)
    for number, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for image in range(per_class):
            pixels = generator.integers(0, 60, (40 + 4 * image, 48, 3), np.uint8)
            pixels[..., number] += 150
            picture = Image.fromarray(pixels)
            (picture.convert("L") if image == 1 else picture).save(folder / name / f"{image}.JPEG")


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    root = tmp_path_factory.mktemp("imagenet")
    write_images(root / "train", 6)
    write_images(root / "val", 3)
    return root


@pytest.fixture
def root(original, tmp_path):
    """A copy of the folder for a test that breaks it."""
    return shutil.copytree(original, tmp_path / "images")


def make(root, **options):
    return ImageNet(root, **({"model": "resnet18", "size": 32, "batch_size": 4, "workers": 0} | options))


def truncate(file):
    file.write_bytes(file.read_bytes()[:400])


def test_batches_are_shuffled_full_and_a_function_of_seed_and_epoch(original):
    task = make(original)
    assert (task.steps_per_epoch, task.images.classes, task.model_name) == (4, 3, "resnet18")
    first, again, other = (list(task.batches("train", epoch, seed=1)) for epoch in (0, 0, 1))
    assert [images.shape for images, _ in first] == [(4, 3, 32, 32)] * 4
    assert all(torch.equal(a, b) for one, two in zip(first, again, strict=True) for a, b in zip(one, two, strict=True))
    assert not all(torch.equal(one[0], two[0]) for one, two in zip(first, other, strict=True))


def test_global_random_numbers_are_neither_read_nor_moved(original):
    task = make(original)
    before = torch.get_rng_state()
    first = next(task.batches("train"))[0]
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(99)
    assert torch.equal(next(task.batches("train"))[0], first)


def test_workers_change_nothing(original):
    here, there = (list(make(original, workers=workers).batches("train")) for workers in (0, 2))
    assert all(torch.equal(a, b) for one, two in zip(here, there, strict=True) for a, b in zip(one, two, strict=True))


def test_test_images_come_in_order_with_the_published_normalization(original):
    images, labels = next(make(original, batch_size=9).batches("test"))
    assert labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    # class 0 is red: (180 / 255 - 0.485) / 0.229 on average
    assert images[0, 0].mean().item() == pytest.approx((180 / 255 - 0.485) / 0.229, abs=0.1)


def test_held_out_images_are_not_trained_on(original):
    task = make(original, holdout=6, batch_size=6)
    assert task.images.count == 12
    assert [labels.bincount().tolist() for _, labels in task.batches("val")] == [[2, 2, 2]]
    with pytest.raises(UsageError, match=r"imagenet: there is no 'val' split\."):
        next(make(original).batches("val"))


class ByColour(nn.Module):
    """Ranks the classes by the brightness of red, green and blue."""

    def forward(self, images):
        return images.mean(dim=(2, 3))


class Reversed(ByColour):
    """The right class always comes last."""

    def forward(self, images):
        return -super().forward(images)


def test_top_accuracies(original):
    task = make(original)
    with_grey = 3  # one image of each class is grey, and the normalized channels of grey are brightest in blue
    top1, top5 = task.top_accuracies(ByColour(), "test")
    assert top1 == pytest.approx(100 * (9 - with_grey + 1) / 9)
    assert top5 == 100
    assert task.details(ByColour(), "test") == {"accuracy": top1, "top-5 accuracy": 100}
    assert task.evaluate(Reversed(), "test") < 40


def test_a_truncated_image_is_skipped_with_a_count(root):
    truncate(root / "train" / "n02" / "3.JPEG")
    truncate(root / "val" / "n01" / "0.JPEG")
    task = make(root)
    assert all(len(images) == 4 for images, _ in task.batches("train"))
    assert sum(len(images) for images, _ in task.batches("test")) == 8
    assert any("train/n02/3.JPEG" in sentence and "val/n01/0.JPEG" in sentence for sentence in task.warnings())


@pytest.mark.skipif(sys.platform != "linux", reason="file names are text on this system")
def test_a_name_that_is_not_utf8_is_a_name(root):
    folder = root / "train" / "n02"
    odd = (folder / "3.JPEG").rename(folder / os.fsdecode(b"\xff.JPEG"))
    task = make(root)
    assert list(task.batches("train"))
    assert task.warnings() == ()
    truncate(odd)
    with pytest.raises(DataError, match="train/n02/\N{REPLACEMENT CHARACTER}\\.JPEG: images are truncated"):
        make(root, strict=True)


def test_strict_refuses_a_truncated_image_before_training(root):
    truncate(root / "train" / "n02" / "3.JPEG")
    with pytest.raises(DataError, match=r"train/n02/3\.JPEG: images are truncated or cannot be read"):
        make(root, strict=True)


def test_a_missing_or_odd_folder_is_named(root):
    shutil.rmtree(root / "val" / "n03")
    with pytest.raises(DataError, match=r"ImageNet: the folder .*val/n03 is missing\."):
        make(root)
    (root / "val" / "n03").mkdir()
    with pytest.raises(DataError, match=r"val/n03 holds no image\. Images end in \.jpeg"):
        make(root)
    shutil.rmtree(root / "val")
    with pytest.raises(DataError, match=r"the folder .*val is missing\. The layout is train/<class>/\*"):
        make(root)
    (root / "val").mkdir()
    with pytest.raises(DataError, match=r"val holds no class folders\. Sort its images into one folder for each class"):
        make(root)


def test_the_folder_is_looked_at_before_timm(tmp_path, monkeypatch):
    monkeypatch.setattr("slrprune.tasks.packages.find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"the folder .*train is missing"):
        make(tmp_path)
    with pytest.raises(MissingExtraError, match=r"The model 'resnet18' needs timm\. .*'slrprune\[timm\]'"):
        make(tmp_path, dataset="imagenet-1k")


def test_a_broken_torchvision_is_one_sentence(original, tmp_path):
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text("raise RuntimeError('operator nms does not exist')")
    paths = [str(tmp_path), *filter(None, sys.path)]
    for call, feature in (
        (f"ImageNet({str(original)!r}, model='resnet18')", "The model 'resnet18' needs timm"),
        ("torchvision_models('A detector')", "A detector needs torchvision"),
    ):
        program = (
            f"import sys; sys.path = {paths!r}\n"
            "from slrprune.tasks import ImageNet\n"
            "from slrprune.tasks.coco.torchvision_models import torchvision_models\n"
            f"try:\n    {call}\nexcept ImportError as error:\n    print(type(error).__name__, error)"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        reason = "(RuntimeError: operator nms does not exist)"
        way_out = "Most often torch and torchvision do not fit each other: pip install --upgrade torch torchvision."
        problem = f"{feature}, which is installed and cannot be imported {reason}"
        assert done.stdout == f"BrokenPackageError {problem}. {way_out}\n"


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        ("resnet50", SGDRecipe),
        ("vgg16", SGDRecipe),
        ("mobilenetv2_100", SGDRecipe),
        ("mixer_b16_224", AdamWRecipe),
        ("swin_tiny_patch4_window7_224", AdamWRecipe),
        ("vit_tiny_patch16_224", AdamWRecipe),
        ("convnext_tiny", AdamWRecipe),
        ("poolformer_s12", AdamWRecipe),  # GroupNorm with one group
        ("efficientvit_b0", SGDRecipe),  # BatchNorm, and one LayerNorm in the head
        ("inception_next_atto", SGDRecipe),
    ],
)
def test_the_network_decides_how_it_is_trained(original, model, kind):
    before = torch.get_rng_state()
    task = make(original, model=model)
    assert torch.equal(torch.get_rng_state(), before)
    assert (type(task.dense_recipe), type(task.pruning_recipe)) == (kind, kind)
    assert task.pruning_recipe.epochs == 50
    assert fingerprint(task) == fingerprint(make(original, model=model, optimizer="sgd"))


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ([], False),
        ([nn.LayerNorm(4)], True),
        ([nn.BatchNorm2d(4), nn.LayerNorm(4)], True),
        ([nn.BatchNorm2d(4), nn.BatchNorm2d(4), nn.LayerNorm(4)], False),
        ([nn.InstanceNorm2d(4), nn.GroupNorm(2, 4), nn.LayerNorm(4)], False),
        ([nn.BatchNorm2d(4), nn.GroupNorm(1, 4)], True),
        ([nn.Linear(4, 4), nn.Linear(4, 4), nn.Sequential(nn.LayerNorm(4))], True),
    ],
)
def test_the_half_of_the_normalization_layers_decides(layers, expected):
    assert is_layer_normalized(nn.Sequential(*layers)) is expected


def test_the_optimizer_may_be_chosen(original):
    assert make(original, optimizer="adamw").pruning_recipe == RECIPES["adamw"].pruning
    chosen = make(original, model="vit_tiny_patch16_224", optimizer="sgd")
    assert (chosen.dense_recipe.lr, chosen.pruning_recipe.lr, chosen.pruning_recipe.weight_decay) == (0.1, 0.01, 1e-4)


def test_a_network_that_needs_its_weights_to_be_built_is_built_with_them(original, monkeypatch):
    timm = pytest.importorskip("timm")
    create = timm.create_model

    def reading(name, **options):
        torch.linspace(0, 1, 3)[1].item()
        return create(name, **options)

    monkeypatch.setattr(timm, "create_model", reading)
    assert isinstance(make(original, model="vit_tiny_patch16_224").pruning_recipe, AdamWRecipe)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "resnet81"}, r"ImageNet\(model='resnet81'\): model must be a model of timm\. The closest are "),
        ({"batch_size": 19}, r"batch_size must be in \[1, 18\]"),
        ({"holdout": 18}, r"holdout must be in \[0, 18\)"),
        ({"label_smoothing": 1.0}, r"label_smoothing must be in \[0, 1\)"),
        ({"optimizer": "adam"}, r"ImageNet\(optimizer='adam'\): optimizer must be one of sgd, adamw, or None"),
        ({"workers": -1}, r"workers must be at least 0"),
    ],
)
def test_values_out_of_range_are_refused(original, options, message):
    with pytest.raises(ArgumentError, match=message):
        make(original, **options)


def test_dense_weights(original, tmp_path):
    task = make(original)
    assert task.pretrained() is None  # timm's weights are for 1,000 classes
    model = task.build_model()
    torch.save(model.state_dict(), tmp_path / "dense.pth")
    loaded = make(original, checkpoint=tmp_path / "dense.pth").pretrained()
    assert all(map(torch.equal, loaded.parameters(), model.parameters()))
    with pytest.raises(StateError, match=r"ImageNet\(model='resnet34'\): .* belongs to another model"):
        make(original, model="resnet34", checkpoint=tmp_path / "dense.pth").pretrained()


def test_the_fingerprint_follows_the_settings_and_not_the_place(original, root):
    assert fingerprint(make(original)) == fingerprint(make(root))
    assert fingerprint(make(original)) != fingerprint(make(original, size=40))
    assert pickle.loads(pickle.dumps(make(original))).steps_per_epoch == 4
