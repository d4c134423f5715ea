"""A COCO folder made once, to be copied where a test damages it."""

import shutil

import pytest

pytest.importorskip("PIL.Image")
pytest.importorskip("pycocotools")

from coco_data import write_coco
from torchvision_nms import suppression

__all__ = ["suppression"]


@pytest.fixture(scope="session")
def made_coco(tmp_path_factory):
    """COCO's own layout: eight training images, three to test on; not to be changed."""
    return write_coco(tmp_path_factory.mktemp("coco"))


@pytest.fixture
def coco_copy(made_coco, tmp_path):
    """The same folder, to be damaged."""
    return shutil.copytree(made_coco, tmp_path / "coco")
