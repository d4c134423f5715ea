"""What makes a pruned model smaller and faster: the sparse file, and what runs on it."""

# Imported at once: a function found later by __getattr__ would be hidden by the package of the same name, which Python
# sets as an attribute here when it is first imported.
from slrprune.deploy.accelerate import accelerate
from slrprune.deploy.plan import plan
from slrprune.deploy.shrink import shrink
from slrprune.deploy.sparse_file import load_sparse, save_sparse

__all__ = [
    "accelerate",
    "load_sparse",
    "plan",
    "save_sparse",
    "shrink",
]
