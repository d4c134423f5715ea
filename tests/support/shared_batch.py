"""What each of several processes does with its part of a batch; run by tests/tasks/coco/test_shared_batch.py."""

from pathlib import Path

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from slrprune.tasks.coco.fastestdet import FastestDetSystem
from slrprune.tasks.coco.system import Objects
from slrprune.tasks.coco.yolo import YOLOV3_TINY_REDUCED, Yolo

COUNTS = {"uneven": (9, 0, 1, 3, 2, 5, 0, 0), "fewer_than_processes": (0, 0, 1, 0, 0, 0, 0, 0), "none": (0,) * 8}


def batch(counts):
    """Images, and so many objects in each."""
    torch.manual_seed(1)
    found = []
    for count in counts:
        low = 60 * torch.rand(count, 2)
        found.append(Objects(torch.cat([low, low + 3 + 30 * torch.rand(count, 2)], 1), torch.randint(3, (count,))))
    return torch.rand(len(counts), 3, 96, 96), found


SYSTEMS = {"yolo": lambda: Yolo(YOLOV3_TINY_REDUCED, None, 3), "fastestdet": lambda: FastestDetSystem((96, 96), 3)}


def network(kind):
    """The same everywhere; in evaluation mode, since BatchNorm's own statistics are those of a part of the batch."""
    torch.manual_seed(0)
    system = SYSTEMS[kind]()
    return system, system.network().eval()


def loss_and_gradients(system, called, model, images, objects):
    """Of one backward pass, under "loss" and by name."""
    model.zero_grad()
    loss = system.loss(called, images, objects)
    loss.backward()
    return {"loss": loss.detach()} | {name: weight.grad.clone() for name, weight in model.named_parameters()}


def of_one_process(folder: Path) -> None:
    """Writes what the scenarios compare with."""
    for kind in SYSTEMS:
        system, model = network(kind)
        found = {name: loss_and_gradients(system, model, model, *batch(counts)) for name, counts in COUNTS.items()}
        torch.save(found, folder / f"{kind}.pt")


def scenario_yolos_shares_of_a_batch_give_its_loss(folder: Path) -> None:
    """The mean of the losses and DDP's gradients, however uneven the shares are."""
    _compare("yolo", folder)


def scenario_fastestdets_shares_of_a_batch_give_its_loss(folder: Path) -> None:
    """So, too, with what the batch decides: which cells answer."""
    _compare("fastestdet", folder)


def _compare(kind, folder):
    expected = torch.load(folder.parent / f"{kind}.pt")
    rank, ranks = dist.get_rank(), dist.get_world_size()
    system, model = network(kind)
    wrapped = DistributedDataParallel(model)
    for name, counts in COUNTS.items():
        images, objects = batch(counts)
        found = loss_and_gradients(system, wrapped, model, images[rank::ranks], objects[rank::ranks])
        dist.all_reduce(found["loss"])
        found["loss"] /= ranks
        torch.testing.assert_close(found, expected[name], rtol=1e-4, atol=1e-5)
