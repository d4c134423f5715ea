"""The three formats of CIFAR-10, whole and damaged; each is written by the test itself."""

import pickle
import sys

import numpy as np
import pytest
import torch

from slrprune.errors import ArgumentError, DataError, MissingExtraError
from slrprune.tasks.cifar10_files import read_cifar10

Image = pytest.importorskip("PIL.Image")

PER_FILE = 20
BATCHES = [*(f"data_batch_{part}" for part in range(1, 6)), "test_batch"]
CLASS_NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


@pytest.fixture
def batches():
    """Name of a batch to (pixels uint8 (20, 3072), labels)."""
    generator = np.random.default_rng(1)
    return {
        name: (generator.integers(0, 256, (PER_FILE, 3072), np.uint8), generator.integers(0, 10, PER_FILE).tolist())
        for name in BATCHES
    }


def write_binary(folder, batches):
    folder.mkdir(parents=True)
    for name, (pixels, labels) in batches.items():
        records = b"".join(bytes([label]) + row.tobytes() for label, row in zip(labels, pixels, strict=True))
        (folder / f"{name}.bin").write_bytes(records)


def write_pickles(folder, batches, protocol=2):
    folder.mkdir(parents=True)
    for name, (pixels, labels) in batches.items():
        (folder / name).write_bytes(pickle.dumps({"data": pixels, "labels": labels}, protocol))


def write_images(folder, batches):
    """Every image under its number, so that the order within a class is that of the batches."""
    for name, (pixels, labels) in batches.items():
        for number, (row, label) in enumerate(zip(pixels, labels, strict=True)):
            file = (
                folder / ("test" if name == "test_batch" else "train") / CLASS_NAMES[label] / f"{name}_{number:02}.png"
            )
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(row.reshape(3, 32, 32).transpose(1, 2, 0)).save(file)


WRITERS = {"cifar-10-batches-bin": write_binary, "cifar-10-batches-py": write_pickles}


def expected(batches, split):
    names = BATCHES[:5] if split == "train" else BATCHES[5:]
    images = np.concatenate([batches[name][0] for name in names]).reshape(-1, 3, 32, 32)
    return torch.from_numpy(images), torch.tensor(sum((batches[name][1] for name in names), []))  # noqa: RUF017


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("above", ["", "..", "../.."])
def test_batch_files_give_what_was_written(tmp_path, batches, name, split, above):
    WRITERS[name](tmp_path / "cifar10" / name, batches)
    images, labels = read_cifar10((tmp_path / "cifar10" / name / above).resolve(), split, per_file=PER_FILE)
    assert (images.dtype, labels.dtype) == (torch.uint8, torch.int64)
    assert torch.equal(images, expected(batches, split)[0])
    assert torch.equal(labels, expected(batches, split)[1])


@pytest.mark.parametrize("split", ["train", "test"])
def test_image_folder_gives_what_was_written_class_by_class(tmp_path, batches, split):
    batches = {name: (pixels, [number % 10 for number in range(PER_FILE)]) for name, (pixels, _) in batches.items()}
    write_images(tmp_path, batches)
    (tmp_path / split / "airplane" / "notes.txt").write_text("no image")
    images, labels = read_cifar10(tmp_path, split)
    wanted_images, wanted_labels = expected(batches, split)
    by_class = wanted_labels.argsort(stable=True)
    assert torch.equal(images, wanted_images[by_class])
    assert torch.equal(labels, wanted_labels[by_class])


def test_the_environment_names_the_folder(tmp_path, batches, monkeypatch):
    write_binary(tmp_path / "there", batches)
    monkeypatch.setenv("SLRPRUNE_DATA", str(tmp_path / "there"))
    assert torch.equal(read_cifar10(None, "test", per_file=PER_FILE).inputs, expected(batches, "test")[0])


def test_no_folder_known(monkeypatch):
    monkeypatch.delenv("SLRPRUNE_DATA", raising=False)
    with pytest.raises(DataError, match=r"no data folder is known\. Give data=FOLDER, or set .* SLRPRUNE_DATA\."):
        read_cifar10(None, "train")


def test_folder_that_does_not_exist(tmp_path):
    with pytest.raises(DataError, match=r"read_cifar10: there is no folder .*nowhere\."):
        read_cifar10(tmp_path / "nowhere", "train")


def test_folder_without_cifar10_says_what_was_looked_for(tmp_path):
    with pytest.raises(DataError, match=r"there is no CIFAR-10 in .*, looked for data_batch_1\.bin \(binary version\)"):
        read_cifar10(tmp_path, "train")


def test_unknown_split(tmp_path):
    with pytest.raises(ArgumentError, match=r"read_cifar10\(split='val'\): split must be 'train' or 'test'\."):
        read_cifar10(tmp_path, "val")


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("batch", ["data_batch_1", "data_batch_4"])
def test_a_missing_batch_is_named(tmp_path, batches, name, batch):
    WRITERS[name](tmp_path / name, batches)
    (file,) = (tmp_path / name).glob(f"{batch}*")
    file.unlink()
    with pytest.raises(DataError, match=rf"{file.name} is missing\."):
        read_cifar10(tmp_path, "train", per_file=PER_FILE)


def test_a_binary_file_cut_inside_a_record_is_named(tmp_path, batches):
    write_binary(tmp_path / "bin", batches)
    file = tmp_path / "bin" / "data_batch_3.bin"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"data_batch_3\.bin has 61,459 bytes, not a whole number of records of 3,073"):
        read_cifar10(tmp_path / "bin", "train", per_file=PER_FILE)


@pytest.mark.parametrize("count", [0, PER_FILE - 1])
def test_a_binary_file_cut_between_records_is_named(tmp_path, batches, count):
    write_binary(tmp_path / "bin", batches)
    file = tmp_path / "bin" / "test_batch.bin"
    file.write_bytes(file.read_bytes()[: 3073 * count])
    with pytest.raises(DataError, match=rf"test_batch\.bin holds {count} images, expected 20\. It is truncated"):
        read_cifar10(tmp_path / "bin", "test", per_file=PER_FILE)


@pytest.mark.parametrize(("name", "label"), [("cifar-10-batches-bin", 10), ("cifar-10-batches-py", -1)])
def test_a_label_out_of_range_is_named(tmp_path, batches, name, label):
    batches["data_batch_2"][1][7] = label
    WRITERS[name](tmp_path / name, batches)
    with pytest.raises(DataError, match=rf"data_batch_2.* has label {label} at image 7, expected 0 to 9\."):
        read_cifar10(tmp_path, "train", per_file=PER_FILE)


def test_more_labels_than_images_are_refused(tmp_path, batches):
    batches["test_batch"][1].append(3)
    write_pickles(tmp_path / "cifar-10-batches-py", batches)
    with pytest.raises(DataError, match=r"test_batch holds 20 images but 21 labels\."):
        read_cifar10(tmp_path, "test", per_file=PER_FILE)


def test_image_folder_without_a_split(tmp_path, batches):
    write_images(tmp_path, {"test_batch": batches["test_batch"]})
    with pytest.raises(DataError, match=r"train is missing\."):
        read_cifar10(tmp_path, "train")


def test_image_folder_with_too_few_classes(tmp_path):
    for name in CLASS_NAMES[:9]:
        (tmp_path / "train" / name).mkdir(parents=True)
    with pytest.raises(DataError, match=r"train has 9 class folders, expected 10\."):
        read_cifar10(tmp_path, "train")


def test_image_folder_with_an_empty_class(tmp_path):
    for name in CLASS_NAMES:
        (tmp_path / "train" / name).mkdir(parents=True)
    with pytest.raises(DataError, match=r"airplane holds no image\. Images end in \.png"):
        read_cifar10(tmp_path, "train")


@pytest.fixture
def images(tmp_path):
    """An image folder with one image a class."""
    for name in CLASS_NAMES:
        (tmp_path / "test" / name).mkdir(parents=True)
        Image.new("RGB", (32, 32)).save(tmp_path / "test" / name / "0.png")
    return tmp_path


def test_image_of_another_size_is_named(images):
    Image.new("RGB", (16, 32)).save(images / "test" / "dog" / "1.png")
    with pytest.raises(DataError, match=r"dog.1\.png is 16x32 pixels, expected 32x32\."):
        read_cifar10(images, "test")


def test_truncated_image_is_named(images):
    file = images / "test" / "dog" / "0.png"
    file.write_bytes(file.read_bytes()[:60])
    with pytest.raises(DataError, match=r"dog.0\.png cannot be read as an image\."):
        read_cifar10(images, "test")


@pytest.mark.parametrize("error", [ValueError, SyntaxError, Image.DecompressionBombError])
def test_a_damaged_image_is_named_whatever_pillow_raises(images, monkeypatch, error):
    def refuse(*_):
        raise error("broken")

    monkeypatch.setattr(Image, "open", refuse)
    with pytest.raises(DataError, match=r"airplane.0\.png cannot be read as an image\."):
        read_cifar10(images, "test")


def test_an_image_with_a_damaged_header_is_named(images):
    file = images / "test" / "dog" / "0.png"
    content = bytearray(file.read_bytes())
    content[8:12] = (5).to_bytes(4, "big")  # the length of the header's chunk
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"dog.0\.png cannot be read as an image\."):
        read_cifar10(images, "test")


def test_grey_image_gets_three_channels(images):
    Image.new("L", (32, 32), 77).save(images / "test" / "dog" / "0.png")
    assert (read_cifar10(images, "test").inputs[5] == 77).all()


def test_without_pillow_the_extra_is_named(images, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingExtraError, match=r"Reading an image folder needs Pillow\. .*'slrprune\[vision\]'"):
        read_cifar10(images, "test")
