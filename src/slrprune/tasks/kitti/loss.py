"""The training loss: classes, boxes, directions.

Lang et al., CVPR 2019, section 2.3, equations 1 and 2:

    L = 1/N_pos (beta_loc L_loc + beta_cls L_cls + beta_dir L_dir),   beta = 2, 1, 0.2

L_loc sums SmoothL1 over the seven differences of `coder`, that of the heading as its sine; L_cls is the focal loss
with alpha = 0.25 and gamma = 2; L_dir is the cross-entropy of the two directions. N_pos counts the positive anchors of
a scan.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from slrprune.tasks.kitti import coder
from slrprune.tasks.kitti.anchors import BACKGROUND, IGNORED
from slrprune.tasks.kitti.network import Outputs

ALPHA, GAMMA = 0.25, 2.0
LOCATION, CLASS, DIRECTION = 2.0, 1.0, 0.2
BETA = 1 / 9
"""Where SmoothL1 turns from a parabola into a line: sigma = 3 of the authors' code."""


def scan_loss(outputs: Outputs, anchors: Tensor, answers: Tensor, boxes: Tensor, classes: Tensor) -> Tensor:
    """The loss of one scan, a float32 scalar.

    Args:
        outputs: those of one scan: logits (A, classes), boxes (A, 7), directions (A, 2).
        anchors: (A, 7).
        answers: of `anchors.match`, (A,).
        boxes: objects (g, 7).
        classes: of the objects, (g,).
    """
    positive = answers >= 0
    objects = answers.clamp(min=0)
    count = positive.sum().clamp(min=1)
    total = CLASS * _focal(outputs.logits, answers, objects, classes)
    if len(boxes):
        # Every anchor has a number here, and the positive ones alone count: no wait for the device to learn how many.
        wanted = boxes[objects]
        error = outputs.boxes - coder.encode(wanted, anchors)
        error = torch.cat([error[:, :6], error[:, 6:].sin()], dim=1)
        location = F.smooth_l1_loss(error, torch.zeros_like(error), beta=BETA, reduction="none").sum(dim=1)
        ways = F.cross_entropy(outputs.directions, coder.direction(wanted[:, 6]), reduction="none")
        total = total + ((LOCATION * location + DIRECTION * ways) * positive).sum()
    return total / count


def _focal(logits: Tensor, answers: Tensor, objects: Tensor, classes: Tensor) -> Tensor:
    """Lin et al., ICCV 2017, equation 5, summed over anchors and classes; ignored anchors count nothing."""
    wanted = torch.zeros_like(logits)
    if len(classes):
        chosen = F.one_hot(classes[objects].clamp(min=0), logits.shape[1]).to(logits.dtype)
        wanted = torch.where((answers > BACKGROUND)[:, None], chosen, wanted)
    likely = torch.where(wanted > 0, logits, -logits)
    weight = torch.where(wanted > 0, ALPHA, 1 - ALPHA) * torch.sigmoid(-likely) ** GAMMA
    losses = -weight * F.logsigmoid(likely)
    return (losses * (answers != IGNORED)[:, None]).sum()
