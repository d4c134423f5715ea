"""The inert unpickler: what every writer of CIFAR-10 pickles makes is read, nothing that a pickle asks for is run."""

import os
import pickle
import struct
import warnings

import numpy as np
import pytest

from slrprune.errors import DataError
from slrprune.tasks.cifar10_pickle import read_pickle

PIXELS = np.random.default_rng(2).integers(0, 256, (6, 3072), np.uint8)
LABELS = [0, 9, 3, 3, 7, 1]


def python2_batch():
    """A batch as Python 2 and its numpy wrote it: byte strings, protocol 2, modules under their old names."""

    def text(value):
        return b"U" + bytes([len(value)]) + value

    dtype = b"cnumpy\ndtype\n" + text(b"u1") + b"K\x00K\x01\x87R(K\x03" + text(b"|") + b"NNN" + b"J\xff\xff\xff\xff" * 2
    dtype += b"K\x00tb"
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + text(b"b") + b"\x87R(K\x01"
    array += b"K\x06M" + struct.pack("<H", 3072) + b"\x86" + dtype + b"\x89T" + struct.pack("<i", PIXELS.nbytes)
    array += PIXELS.tobytes() + b"tb"
    labels = b"](" + b"".join(b"K" + bytes([label]) for label in LABELS) + b"e"
    return (
        b"\x80\x02}(" + text(b"batch_label") + text(b"one") + text(b"data") + array + text(b"labels") + labels + b"u."
    )


def written(tmp_path, content):
    file = tmp_path / "data_batch_1"
    file.write_bytes(content)
    return file


def assert_read(file):
    pixels, labels = read_pickle(file)
    assert (pixels.dtype, labels.dtype) == (np.uint8, np.int64)
    assert np.array_equal(pixels, PIXELS)
    assert labels.tolist() == LABELS


def test_the_hand_made_python_2_batch_is_what_pickle_takes_it_for():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy.core is an old name
        content = pickle.loads(python2_batch(), encoding="bytes")
    assert np.array_equal(content[b"data"], PIXELS)
    assert content[b"labels"] == LABELS


def test_reads_what_python_2_wrote(tmp_path):
    assert_read(written(tmp_path, python2_batch()))


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("key", [str, str.encode])
@pytest.mark.parametrize("labels", [list, np.array, lambda values: np.array(values, np.uint8)])
def test_reads_what_python_3_writes(tmp_path, protocol, key, labels):
    content = {key("data"): PIXELS, key("labels"): labels(LABELS), key("filenames"): [b"a.png"] * 6}
    assert_read(written(tmp_path, pickle.dumps(content, protocol)))


@pytest.mark.parametrize("encoding", ["latin1", "bytes"])
@pytest.mark.parametrize("protocol", [2, 5])
def test_reads_what_was_converted_from_python_2(tmp_path, encoding, protocol):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        content = pickle.loads(python2_batch(), encoding=encoding)
    assert_read(written(tmp_path, pickle.dumps(content, protocol)))


def test_reads_images_as_four_axes(tmp_path):
    assert_read(written(tmp_path, pickle.dumps({"data": PIXELS.reshape(6, 3, 32, 32), "labels": LABELS})))


class Runs:
    """When unpickled, calls `function(*arguments)`."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("place", ["whole", "data", "labels", "other"])
def test_a_hostile_pickle_is_refused_and_not_run(tmp_path, protocol, place):
    marker = tmp_path / "was_here"
    attack = Runs(os.mkdir, str(marker))
    entries = {"data": PIXELS, "labels": LABELS, "other": 0}
    content = pickle.dumps(attack if place == "whole" else entries | {place: attack}, protocol)
    with pytest.raises(
        DataError, match=r"data_batch_1 is damaged, .* asks for (posix|nt)\.mkdir.* Nothing in it was run"
    ):
        read_pickle(written(tmp_path, content))
    assert not marker.exists()
    pickle.loads(content)  # the same bytes do harm where they are trusted, so the test can fail
    assert marker.exists()


@pytest.mark.parametrize("function", [eval, exec, getattr, __import__, np.load, np.array])
def test_no_function_is_callable(tmp_path, function):
    with pytest.raises(DataError, match=r"it asks for [\w.]+, which no batch needs"):
        read_pickle(written(tmp_path, pickle.dumps(Runs(function, "0"))))


@pytest.mark.parametrize("name", [b"codecs\nopen", b"_codecs\nlookup", b"numpy\nndarray.tofile", b"os\nsystem"])
def test_names_beside_the_allowed_ones_are_refused(tmp_path, name):
    with pytest.raises(DataError, match="which no batch needs"):
        read_pickle(written(tmp_path, b"\x80\x02c" + name + b"\n."))


def test_a_pickle_cannot_change_the_reader(tmp_path):
    # BUILD on the class that stands for _codecs.encode, with a state that would replace its constructor
    attack = b"\x80\x02c_codecs\nencode\nN}U\x07__new__NsU\x03badK\x01s\x86b."
    with pytest.raises(DataError, match="damaged"):
        read_pickle(written(tmp_path, attack))
    assert_read(written(tmp_path, pickle.dumps({"data": PIXELS, "labels": LABELS}, protocol=2)))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "EOFError"),
        (b"no pickle at all", "UnpicklingError"),
        (python2_batch()[:-9000], "UnpicklingError"),
        (pickle.dumps([1, 2]), "AttributeError"),
        (pickle.dumps({"data": PIXELS}), "KeyError: 'labels'"),
        (pickle.dumps({"data": PIXELS.astype(np.float32), "labels": LABELS}), "something else than u1, i4 or i8"),
        (pickle.dumps({"data": PIXELS.astype(np.int64), "labels": LABELS}), "no array of bytes"),
        (pickle.dumps({"data": PIXELS.astype(">i4"), "labels": LABELS}), "big-endian"),
        (pickle.dumps({"data": PIXELS.astype(object), "labels": LABELS}), "something else than u1, i4 or i8"),
        (pickle.dumps({"data": np.asfortranarray(PIXELS), "labels": LABELS}, 2), "column-major"),
        (pickle.dumps({"data": np.asfortranarray(PIXELS), "labels": LABELS}, 5), "column-major"),
        (pickle.dumps({"data": PIXELS[:, :100], "labels": LABELS}), "ValueError: cannot reshape"),
        (pickle.dumps({"data": PIXELS, "labels": [0.5] * 6}), "labels that are no whole numbers"),
        (pickle.dumps({"data": PIXELS, "labels": "033371"}), "labels that are no whole numbers"),
        (pickle.dumps({"data": PIXELS.tolist(), "labels": LABELS}), "no array of bytes"),
    ],
)
def test_damaged_and_foreign_files_are_refused_by_name(tmp_path, content, problem):
    with pytest.raises(DataError, match=rf"data_batch_1 is damaged, or no batch of CIFAR-10 \(.*{problem}"):
        read_pickle(written(tmp_path, content))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"data_batch_1 is missing\."):
        read_pickle(tmp_path / "data_batch_1")
