"""What can go wrong when a checkpoint is written."""

from pathlib import Path

from slrprune.errors import SlrpruneError


class CheckpointWriteError(SlrpruneError, OSError):
    """A checkpoint that could not be written; what was on the disk before is untouched."""

    def __init__(self, path: Path, reason: str, last: Path | None) -> None:
        kept = f"the last good checkpoint, {last.name}, is intact" if last else "there is no checkpoint before it"
        super().__init__(
            f"{path}: the checkpoint cannot be written ({reason}); {kept}. Make room, then resume the run."
        )
