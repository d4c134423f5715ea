"""torchvision's suppression of boxes in pure torch, where the compiled one cannot be loaded (dev/sitecustomize)."""

import pytest
import torch


@pytest.fixture
def suppression(monkeypatch):
    """Lets torchvision's detectors report objects; nothing is changed where its own operators are there."""
    extension = pytest.importorskip("torchvision.extension")
    if extension._has_ops():
        return
    from slrprune.tasks.coco.suppress import suppress

    def nms(boxes, scores, threshold):
        return suppress(boxes, scores, torch.zeros(len(boxes), dtype=torch.int64), threshold)

    monkeypatch.setattr("torchvision.ops.boxes.nms", nms)
