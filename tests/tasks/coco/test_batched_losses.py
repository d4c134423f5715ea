"""The detectors' losses of a batch: what the loops over its images gave, and nothing that waits for the device."""

import pytest
import torch
from no_traffic import NoTraffic
from torch.nn import functional as F

from slrprune.tasks.coco.boxes import overlaps, shape_overlaps, sizes
from slrprune.tasks.coco.fastestdet.decode import STRIDE, cells
from slrprune.tasks.coco.fastestdet.decode import decode as decode_cells
from slrprune.tasks.coco.fastestdet.loss import batch_loss
from slrprune.tasks.coco.fastestdet.siou import siou
from slrprune.tasks.coco.gathered import gathered
from slrprune.tasks.coco.source import Targets
from slrprune.tasks.coco.system import Objects
from slrprune.tasks.coco.yolo import YOLOV3_TINY_REDUCED, CompleteIoU, SquaredError, Yolo
from slrprune.tasks.coco.yolo.loss import YoloLoss
from slrprune.tasks.coco.yolo.places import all_places, decode

SIZE, STRIDES, CLASSES = (96, 128), (32, 16), 3
ANCHORS = Yolo(YOLOV3_TINY_REDUCED, SIZE, CLASSES).anchors


def scenes(*counts):
    """So many objects in each image; every third one is at the place of the one before."""
    found = []
    for count in counts:
        low = torch.rand(count, 2) * torch.tensor([SIZE[1] - 20.0, SIZE[0] - 20.0])
        boxes = torch.cat([low, torch.minimum(low + 4 + 60 * torch.rand(count, 2), torch.tensor(SIZE[::-1]))], 1)
        boxes[2::3] = boxes[1::3][: len(boxes[2::3])]
        found.append(Objects(boxes, torch.randint(CLASSES, (count,))))
    return found


def former_yolo_loss(box_loss, box_weight, numbers, objects, places):
    """As it was: image by image, only what counts is looked at."""
    total = numbers.new_zeros(())
    for own, seen in zip(numbers, objects, strict=True):
        best = shape_overlaps(sizes(seen.boxes), ANCHORS.reshape(-1, 2)).argmax(1).tolist()
        first = {}
        for k, (box, choice) in enumerate(zip(seen.boxes, best, strict=True)):
            of_map, anchor = divmod(choice, 3)
            stride, start = STRIDES[of_map], (0, 12 * 3)[of_map]
            x, y = (int((box[i] + box[i + 2]) / 2 // stride) for i in (0, 1))
            first.setdefault(start + (y * (SIZE[1] // stride) + x) * 3 + anchor, k)
        at, which = torch.tensor(list(first)).long(), torch.tensor(list(first.values())).long()
        with torch.no_grad():
            asked = torch.ones(len(own), dtype=torch.bool)
            if len(seen.boxes):
                asked = overlaps(decode(own[:, :4], places), seen.boxes).amax(1) <= 0.5
            right = torch.zeros(len(own))
            asked[at], right[at] = True, 1
        total = total + F.binary_cross_entropy_with_logits(own[asked, 4], right[asked], reduction="sum")
        if len(at):
            boxes = box_loss(own[at, :4], seen.boxes[which], places.at(at), SIZE).sum()
            classes = F.one_hot(seen.labels[which], CLASSES).float()
            total = total + box_weight * boxes
            total = total + F.binary_cross_entropy_with_logits(own[at, 5:], classes, reduction="sum")
    return total / max(1, sum(len(seen.labels) for seen in objects))


def former_fastestdet_loss(numbers, objects):
    """As it was, with what is outside of the map or not chosen left out."""
    rows, columns = SIZE[0] // STRIDE, SIZE[1] // STRIDE
    found = []
    for dx, dy in ((0, 0), (1, 0), (0, 1), (1, 1)):
        for image, seen in enumerate(objects):
            for box, label in zip(seen.boxes, seen.labels.tolist(), strict=True):
                x, y = (int((box[i] + box[i + 2]) / 2 // STRIDE) + step for i, step in ((0, dx), (1, dy)))
                if x < columns and y < rows:
                    found.append((image, y * columns + x, box, label))
    chance = torch.sigmoid(numbers[..., 0])
    right, weight = torch.zeros_like(chance), torch.full_like(chance, 0.75)
    parts = 0.0
    if found:
        images, places, labels = (torch.tensor([pair[i] for pair in found]) for i in (0, 1, 3))
        boxes = torch.stack([pair[2] for pair in found])
        at = cells(SIZE, numbers.device)[places]
        alike = siou(decode_cells(numbers[images, places, 1:5], at, SIZE), boxes)
        chosen = alike.detach() >= alike.detach().mean()
        alike, images, places = alike[chosen], images[chosen], places[chosen]
        parts = 8 * (1 - alike).mean() + F.cross_entropy(numbers[images, places, 5:], labels[chosen])
        for image, place, value in zip(images.tolist(), places.tolist(), alike.tolist(), strict=True):
            right[image, place] = max(right[image, place].item(), value)
            weight[image, place] = 0.25 * rows * columns / (images == image).sum().item()
    return parts + 16 * (F.smooth_l1_loss(chance, right, reduction="none") * weight).mean()


def yolo_loss(box_loss, numbers, objects):
    places = all_places(SIZE, STRIDES, ANCHORS)
    return YoloLoss(box_loss, 5.0)(numbers, objects, places, size=SIZE, strides=STRIDES, anchors=ANCHORS)


def both(ours, former, numbers):
    """Two losses, and their gradients."""
    found = []
    for function in (ours, former):
        leaf = numbers.clone().requires_grad_()
        loss = function(leaf)
        loss.backward()
        found.append((loss.detach(), leaf.grad))
    return found


BATCHES = [(5, 0, 9, 1), (0, 0), (1,), (30, 12)]


@pytest.mark.parametrize("counts", BATCHES)
@pytest.mark.parametrize("box_loss", [CompleteIoU(), SquaredError()])
def test_yolos_loss_is_that_of_the_images_one_by_one(box_loss, counts):
    torch.manual_seed(len(counts))
    seen, places = scenes(*counts), all_places(SIZE, STRIDES, ANCHORS)
    numbers = torch.randn(len(counts), len(places.corners), 5 + CLASSES)
    # Some places see the objects so well that they are left out.
    numbers[..., 2:4] *= 0.2
    ours, former = both(
        lambda leaf: yolo_loss(box_loss, leaf, seen),
        lambda leaf: former_yolo_loss(box_loss, 5.0, leaf, seen, places),
        numbers,
    )
    torch.testing.assert_close(ours, former, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("counts", BATCHES)
def test_fastestdets_loss_is_that_of_the_pairs_that_count(counts):
    torch.manual_seed(len(counts))
    seen = scenes(*counts)
    numbers = torch.randn(len(counts), SIZE[0] // STRIDE * SIZE[1] // STRIDE, 5 + CLASSES)
    ours, former = both(
        lambda leaf: batch_loss(leaf, seen, SIZE), lambda leaf: former_fastestdet_loss(leaf, seen), numbers
    )
    torch.testing.assert_close(ours, former, rtol=2e-6, atol=2e-6)


def test_pairs_that_are_all_alike_are_all_chosen():
    """One pair is its own mean; without any inside there is nothing to learn, and no NaN."""
    numbers = torch.zeros(1, 48, 5 + CLASSES, requires_grad=True)
    batch_loss(numbers, [Objects(torch.tensor([[110.0, 82, 126, 94]]), torch.tensor([1]))], SIZE).backward()
    assert numbers.grad[0, 47, 5:].abs().sum() > 0
    outside = [Objects(torch.tensor([[126.0, 94, 132, 100]]), torch.tensor([1]))]
    assert torch.equal(batch_loss(numbers, outside, SIZE), batch_loss(numbers, scenes(0), SIZE))


def test_the_objects_of_a_batch_in_a_row():
    seen = scenes(2, 0, 3)
    found = gathered(seen)
    assert found.images.tolist() == [0, 0, 2, 2, 2]
    assert torch.equal(found.boxes, torch.cat([seen[0].boxes, seen[2].boxes]))
    assert torch.equal(found.labels, torch.cat([seen[0].labels, seen[2].labels]))


def test_targets_are_cut_where_they_were_filled_up():
    labels = torch.tensor([[2, 0, -1], [-1, -1, -1], [1, 1, 0]])
    boxes = torch.rand(3, 3, 4)
    found = Targets(boxes, labels, torch.arange(3)).objects()
    assert [seen.labels.tolist() for seen in found] == [[2, 0], [], [1, 1, 0]]
    assert torch.equal(found[0].boxes, boxes[0, :2])


LOSSES = {
    "yolo": (lambda leaf, seen: yolo_loss(CompleteIoU(), leaf, seen), 3 * (12 + 48)),
    "squared error": (lambda leaf, seen: yolo_loss(SquaredError(), leaf, seen), 3 * (12 + 48)),
    "fastestdet": (lambda leaf, seen: batch_loss(leaf, seen, SIZE), 48),
}


def on(device, count):
    numbers = torch.randn(4, count, 5 + CLASSES, device=device, requires_grad=True)
    return numbers, [Objects(*(tensor.to(device) for tensor in seen)) for seen in scenes(5, 0, 9, 1)]


@pytest.mark.parametrize("name", LOSSES)
def test_losses_read_nothing_back_and_copy_nothing(name, monkeypatch):
    loss, count = LOSSES[name]
    numbers, seen = on("meta", count)
    monkeypatch.setitem(globals(), "ANCHORS", ANCHORS.to("meta"))
    with NoTraffic():
        loss(numbers, seen).backward()
    assert numbers.grad is not None


def test_the_stand_in_would_notice():
    """What the losses did before is caught: a table copied to the device, a choice by a mask, distinct values."""
    numbers, _ = on("meta", 48)
    for slow in (
        lambda: numbers * torch.tensor([1.0, 2, 3, 4, 5, 6, 7, 8]),
        lambda: numbers[numbers > 0],
        lambda: torch.unique(numbers),
        lambda: numbers.sum().item(),
    ):
        with NoTraffic(), pytest.raises((AssertionError, RuntimeError, NotImplementedError)):
            slow()


@pytest.mark.gpu
@pytest.mark.parametrize("name", LOSSES)
def test_losses_never_wait_for_cuda_and_agree_with_the_cpu(name, monkeypatch):
    loss, count = LOSSES[name]
    numbers, seen = on("cuda", count)
    expected = loss(numbers.detach().cpu(), [Objects(*(tensor.cpu() for tensor in entry)) for entry in seen])
    monkeypatch.setitem(globals(), "ANCHORS", ANCHORS.cuda())
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        found = loss(numbers, seen)
        found.backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.testing.assert_close(found.detach().cpu(), expected, rtol=1e-4, atol=1e-5)
