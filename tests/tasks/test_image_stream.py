"""The ImageNet task on a Hugging Face data set: parquet files in a folder, streamed as one from the hub would be."""

import zipfile
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from slrprune.errors import ArgumentError, DataError, SlrpruneError, UsageError
from slrprune.tasks import ImageNet
from slrprune.tasks.complaints import Complaints

datasets = pytest.importorskip("datasets", reason="needs the extra datasets")

FEATURES = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b", "c"])})


def picture(shade):
    buffer = BytesIO()
    Image.fromarray(np.full((40, 44, 3), shade, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def write(folder, split, count, files=2, spoil=()):
    """`count` images in several parquet files; the image of number i has the shade 10 i."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    for file in range(files):
        numbers = range(file * count // files, (file + 1) * count // files)
        images = [{"bytes": picture(10 * i)[: 60 if i in spoil else None], "path": f"{i}.png"} for i in numbers]
        rows = datasets.Dataset.from_dict({"image": images, "label": [i % 3 for i in numbers]}, features=FEATURES)
        rows.to_parquet(folder / "data" / f"{split}-{file:05d}-of-{files:05d}.parquet")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    root = tmp_path / "tiny"
    write(root, "train", 12)
    write(root, "validation", 6)
    return root


def make(folder, **options):
    defaults = {"model": "resnet18", "size": 32, "batch_size": 4, "workers": 0, "count": 12}
    return ImageNet(dataset=folder, **(defaults | options))


def same(one, two):
    return all(
        torch.equal(a, b) for left, right in zip(one, two, strict=True) for a, b in zip(left, right, strict=True)
    )


def test_training_is_shuffled_full_and_a_function_of_seed_and_epoch(folder):
    task = make(folder)
    assert (task.steps_per_epoch, task.images.classes) == (3, 3)
    first, again, other = (list(task.batches("train", epoch)) for epoch in (0, 0, 1))
    assert [images.shape for images, _ in first] == [(4, 3, 32, 32)] * 3
    assert torch.cat([labels for _, labels in first]).bincount().tolist() == [4, 4, 4]
    assert same(first, again)
    assert not same(first, other)


def test_the_test_split_comes_in_order(folder):
    labels = torch.cat([labels for _, labels in make(folder).batches("test")])
    assert labels.tolist() == [0, 1, 2, 0, 1, 2]
    with pytest.raises(UsageError, match="there is no 'val' split in a stream"):
        next(make(folder).batches("val"))


def test_workers_share_the_files(folder):
    task = make(folder, workers=2)
    assert same(list(task.batches("train")), list(task.batches("train")))
    assert sorted(torch.cat([labels for _, labels in task.batches("test")]).tolist()) == [0, 0, 1, 1, 2, 2]


def test_a_bad_image_is_skipped_with_a_count_or_refused(folder):
    write(folder, "train", 12, spoil=(3,))
    task = make(folder)
    assert [len(images) for images, _ in task.batches("train")] == [4, 4, 4]
    assert any("3.png" in sentence for sentence in task.warnings())
    with pytest.raises(DataError, match=r"3\.png \(number 3 of file group 0\): images are truncated"):
        make(folder, strict=True)


def test_a_worker_refuses_as_this_process_does(folder):
    write(folder, "train", 12, spoil=(3,))
    with pytest.raises(SlrpruneError, match=r"^ImageNet\(strict=True\): 3\.png \(number .*\): images are truncated"):
        make(folder, strict=True, workers=1)
    write(folder, "train", 12, spoil=range(12))
    reason = r"\d+\.png \(number .*\): images are truncated or cannot be read\."
    with pytest.raises(SlrpruneError, match=rf"^ImageNet: not one training image of .* can be used; {reason}"):
        next(make(folder, workers=1).batches("train"))


@pytest.mark.parametrize("workers", [0, 1])
def test_images_in_class_folders(tmp_path, monkeypatch, workers):
    """Of plain files the data set tells the paths alone."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    root = tmp_path / "plain"
    for split, count in (("train", 6), ("validation", 2)):
        for name in ("cat", "dog"):
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                (root / split / name / f"{number}.jpg").write_bytes(picture(number))
    task = make(root, workers=workers)
    assert [images.shape for images, _ in task.batches("train")] == [(4, 3, 32, 32)] * 3
    assert torch.cat([labels for _, labels in task.batches("test")]).tolist() == [0, 0, 1, 1]
    assert task.warnings() == ()
    (root / "train" / "dog" / "3.jpg").write_bytes(b"no image")
    with pytest.raises(SlrpruneError, match=r"dog.3\.jpg \(number .*\): images are truncated or cannot be read"):
        make(root, strict=True, workers=workers)
    for file in (root / "train").glob("*/*.jpg"):
        file.write_bytes(b"no image")
    with pytest.raises(SlrpruneError, match=r"not one training image of .* can be used; .*\.jpg \(number .*\): images"):
        next(make(root, workers=workers).batches("train"))


def test_an_image_inside_an_archive_is_read_and_one_that_is_gone_is_skipped(folder, tmp_path):
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        archive.writestr("a/0.png", picture(7))
    images, complaints = make(folder).images, Complaints("ImageNet", strict=False)
    for path in (f"zip://a/0.png::{tmp_path / 'images.zip'}", str(tmp_path / "gone.png"), "nowhere://gone.png", None):
        entry = {"image": {"path": path, "bytes": None}, "label": 1}
        assert (images.example(entry, "number 0", None, complaints) is None) == ("zip:" not in str(path))
    assert [reason for reason, _ in complaints.found] == ["images are missing"] * 3
    (tmp_path / "images.zip").write_bytes(b"cut")
    entry = {"image": {"path": f"zip://a/1.png::{tmp_path / 'images.zip'}", "bytes": None}, "label": 1}
    with pytest.raises(DataError, match=r"ImageNet: zip://a/1\.png.* cannot be read \(BadZipFile\)\."):
        images.example(entry, "number 0", None, complaints)


def test_what_the_data_set_lacks_is_said(folder, tmp_path):
    with pytest.raises(DataError, match=r"does not say how many images it has\. Give count=NUMBER\."):
        make(folder, count=None)
    with pytest.raises(ArgumentError, match="holdout must be 0 for a streamed data set"):
        make(folder, holdout=2)
    for file in (folder / "data").glob("validation*"):
        file.unlink()
    with pytest.raises(DataError, match=r"has the splits train\. It needs train, and validation or test\."):
        make(folder)
    with pytest.raises(DataError, match=r"the data set '.*nowhere' cannot be loaded"):
        make(tmp_path / "nowhere")
