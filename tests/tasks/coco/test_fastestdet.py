"""FastestDet: its public weights, its loss by hand, learning one batch by heart."""

import math

import pytest
import torch

from slrprune.errors import ArgumentError
from slrprune.tasks.coco.boxes import overlaps
from slrprune.tasks.coco.fastestdet import FastestDet, FastestDetSystem
from slrprune.tasks.coco.fastestdet.decode import cells, decode
from slrprune.tasks.coco.fastestdet.loss import batch_loss, pairs
from slrprune.tasks.coco.fastestdet.siou import siou
from slrprune.tasks.coco.system import Objects


def objects(*boxes, labels=None):
    found = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    return Objects(found, torch.tensor(labels if labels is not None else [0] * len(boxes), dtype=torch.long))


@pytest.fixture(scope="module")
def public(data_dir):
    file = data_dir / "detect" / "FastestDet.pth"
    if not file.is_file():
        pytest.skip(f"needs the public weights: {file} is missing")
    return torch.load(file, map_location="cpu", weights_only=True)


def test_the_public_weights_fit_without_a_rest(public):
    system = FastestDetSystem(None, 80)
    model = system.network()
    assert model.state_dict().keys() == public.keys()
    system.load(model, public)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, public[name])


def test_another_number_of_categories_keeps_a_fresh_last_layer(public):
    system = FastestDetSystem(None, 3)
    model = system.network()
    before = model.state_dict()["detect_head.cls_layers.conv5x5.3.weight"].clone()
    system.load(model, public)
    after = model.state_dict()
    assert torch.equal(after["detect_head.cls_layers.conv5x5.3.weight"], before)
    assert torch.equal(after["detect_head.cls_layers.conv5x5.4.running_mean"], torch.zeros(3))
    for name in ("backbone.first_conv.0.weight", "detect_head.cls_layers.conv5x5.0.weight"):
        assert torch.equal(after[name], public[name])


def test_weights_of_another_network_are_refused():
    system = FastestDetSystem(None, 3)
    state = system.network().state_dict()
    state.pop("SPP.output.0.weight")
    with pytest.raises(RuntimeError, match=r"SPP\.output\.0\.weight"):
        system.load(system.network(), state)


def test_sizes():
    model = FastestDet(3).eval()
    assert model(torch.rand(2, 3, 64, 96)).shape == (2, 8, 4, 6)
    with pytest.raises(ArgumentError, match="must be positive multiples of 32"):
        FastestDetSystem((48, 64), 3)
    assert FastestDetSystem(None, 3).size == (352, 352)


def test_the_network_gets_blue_green_red():
    class Colors(torch.nn.Module):
        def forward(self, images):
            self.seen = images
            return torch.zeros(1, 8, 4, 4)

    red = torch.zeros(1, 3, 64, 64)
    red[:, 0] = 1
    network = Colors()
    FastestDetSystem((64, 64), 3).detect(network, red)
    assert network.seen[0, :, 0, 0].tolist() == [0, 0, 1]


def test_decoding_by_hand():
    at = cells((64, 96), torch.device("cpu"))
    assert at.shape == (24, 2)
    assert at[7].tolist() == [1, 1]
    # Center half a cell right of the corner of cell (1, 1), and the size half of the image.
    box = decode(torch.tensor([[math.atanh(0.5), 0.0, 0.0, 0.0]]), at[7:8], (64, 96))
    torch.testing.assert_close(box, torch.tensor([[24 - 24.0, 16 - 16, 24 + 24, 16 + 16]]))


def test_four_cells_answer_for_an_object_and_fewer_at_the_border():
    # Centers (20, 20) and (60, 60) in an image of 4 by 4 cells.
    found = pairs([objects([10.0, 10, 30, 30], labels=[2]), objects([56.0, 56, 64, 64])], (64, 64))
    assert found.inside.tolist() == [True, True, True, False, True, False, True, False]
    assert found.images[found.inside].tolist() == [0, 1, 0, 0, 0]
    assert found.places[found.inside].tolist() == [5, 15, 6, 9, 10]
    assert found.labels[found.inside].tolist() == [2, 0, 2, 2, 2]
    assert found.places[~found.inside].tolist() == [0, 0, 0]


def test_siou_by_hand():
    boxes = torch.tensor([[0.0, 0, 10, 10]])
    assert siou(boxes, boxes).item() == pytest.approx(1)
    # Side by side along x: no angle cost, so gamma is 2; the distance is 10 of a width of 20.
    beside = torch.tensor([[10.0, 0, 20, 10]])
    assert siou(boxes, beside).item() == pytest.approx(-(1 - math.exp(-2 * 0.25)) / 2)
    # Along the diagonal the angle cost is 1, so gamma is 1, for both axes; the other box is half as wide and high.
    diagonal = torch.tensor([[10.0, 10, 15, 15]])
    cost = 2 * (1 - math.exp(-((7.5 / 15) ** 2))) + 2 * (1 - math.exp(-0.5)) ** 4
    assert siou(boxes, diagonal).item() == pytest.approx(-cost / 2, rel=1e-5)
    assert siou(boxes, diagonal).item() == pytest.approx(siou(diagonal, boxes).item())


def test_objectness_by_hand():
    # No object: every cell says one half where it should say 0, smooth L1 gives 1/8, the weights are 3/4 and 16.
    numbers = torch.zeros(1, 16, 8)
    assert batch_loss(numbers, [objects()], (64, 64)).item() == pytest.approx(16 * 0.75 / 8)


def test_images_without_objects_have_a_gradient():
    system = FastestDetSystem((64, 64), 3)
    model = system.network().train()
    loss = system.loss(model, torch.rand(2, 3, 64, 64), [objects(), objects([10.0, 10, 30, 40])])
    loss.backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())


def test_one_batch_is_learned_by_heart():
    system = FastestDetSystem((64, 64), 3)
    images = torch.rand(2, 3, 64, 64)
    seen = [objects([4.0, 4, 24, 28], [30.0, 20, 60, 60], labels=[0, 2]), objects([10.0, 14, 50, 60], labels=[1])]
    model = system.network().train()
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    first = None
    for _ in range(50):
        optimizer.zero_grad()
        loss = system.loss(model, images, seen)
        loss.backward()
        optimizer.step()
        first = loss.item() if first is None else first
    assert loss.item() < 0.2 * first
    for found, right in zip(system.detect(model, images), seen, strict=True):
        best = slice(len(right.labels))
        assert sorted(found.labels[best].tolist()) == sorted(right.labels.tolist())
        for box, label in zip(found.boxes[best], found.labels[best], strict=True):
            assert overlaps(box[None], right.boxes[right.labels == label]).item() > 0.7
