"""A TuSimple folder made once, and the task on it."""

import shutil

import pytest

pytest.importorskip("PIL.Image")

from tusimple_data import write_tusimple

from slrprune.tasks.tusimple import TuSimple


@pytest.fixture(scope="session")
def made_tusimple(tmp_path_factory):
    """Eight training images, two each to choose and to test on; not to be changed."""
    return write_tusimple(tmp_path_factory.mktemp("tusimple"))


@pytest.fixture
def tusimple_copy(made_tusimple, tmp_path):
    """The same folder, to be damaged."""
    return shutil.copytree(made_tusimple, tmp_path / "tusimple")


@pytest.fixture(scope="session")
def lane_task(made_tusimple):
    """Row anchors, the small network."""
    return TuSimple(made_tusimple, system="ufld_reduced", batch_size=4)
