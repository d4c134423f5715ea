"""What a shell offers for TASK and MODEL."""

TASKS = ("digits", "cifar10", "imagenet", "coco", "coco_segmentation", "kitti", "tusimple", "graph", "text")
"""The built-in tasks once more: `slrprune.tasks` imports torch, and a shell asks at every press of the key."""


def complete_task(incomplete: str) -> list[str]:
    """The built-in tasks whose names begin so."""
    return [name for name in TASKS if name.startswith(incomplete)]
