"""A KITTI folder made once, and the task on it."""

import shutil

import pytest
from kitti_data import write_kitti

from slrprune.tasks.kitti import Kitti


@pytest.fixture(scope="session")
def made_kitti(tmp_path_factory):
    """Eight training frames of six cars, two to test on; not to be changed."""
    return write_kitti(tmp_path_factory.mktemp("kitti"))


@pytest.fixture
def kitti_copy(made_kitti, tmp_path):
    """The same folder, to be damaged."""
    return shutil.copytree(made_kitti, tmp_path / "kitti")


@pytest.fixture(scope="session")
def task(made_kitti):
    """The task with the small network and no validation split."""
    return Kitti(made_kitti, design="reduced", holdout=0)
