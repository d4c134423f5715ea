"""What makes a pruned model smaller and faster: the sparse file, and what runs on it."""

from slrprune.deploy.sparse_file import load_sparse, save_sparse

__all__ = [
    "load_sparse",
    "save_sparse",
]
