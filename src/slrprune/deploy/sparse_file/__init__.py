"""One safetensors file that is as small as the zeros allow, bit for bit lossless; see docs/file_format.md."""

from slrprune.deploy.sparse_file.load import load_sparse
from slrprune.deploy.sparse_file.save import save_sparse

__all__ = ["load_sparse", "save_sparse"]
