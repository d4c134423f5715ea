"""What each built-in task needs to run: the files in its data folder, and the extra to install."""

from collections.abc import Mapping
from types import MappingProxyType

_PHOTOGRAPHS = "annotations/instances_train2017.json, instances_val2017.json, train2017, val2017, or another layout of"

NEEDS: Mapping[str, str] = MappingProxyType(
    {
        "digits": "no data; extra demo",
        "cifar10": "--data DIR with data_batch_1.bin (or data_batch_1) to test_batch, or train/<class>/*.png and "
        "test/<class>/*.png; no extra, but vision for images and timm for mixer_s4 and swin_tiny",
        "imagenet": "--data DIR with train/<class>/*.JPEG and val/<class>/*.JPEG; extra timm; "
        "or dataset=NAME of Hugging Face, extra datasets",
        "coco": f"--data DIR with {_PHOTOGRAPHS} docs/tasks_detection.md; extra detection, "
        "and transformers for its detectors",
        "coco_segmentation": f"--data DIR with {_PHOTOGRAPHS} docs/tasks_detection.md, with outlines; extra detection",
        "kitti": "--data DIR with training/velodyne, label_2, calib, image_2, and ImageSets with train.txt, val.txt; "
        "no extra",
        "tusimple": "--data DIR with clips, label_data_0313.json, 0531, 0601, and test_label.json; extra vision",
        "graph": "--data DIR with cora.npz, or graph/cora.npz; no extra",
        "text": "--data DIR with stories260K.bin, tok512.bin and tinystories.txt, or file=NAME with texts and "
        "model=NAME of transformers; extra transformers",
    }
)
"""One line for each task of the registry."""
