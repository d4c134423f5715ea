"""What a run leaves in its folder; the format is docs/run_directory.md."""

from slrprune.train.rundir.folder import RunFolder
from slrprune.train.rundir.history import History

__all__ = ["History", "RunFolder"]
