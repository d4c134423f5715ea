"""The ways to compute a layer that `accelerate` measures, one class each."""

from collections.abc import Mapping
from types import MappingProxyType

from slrprune.deploy.accelerate.candidates.base import Candidate
from slrprune.deploy.accelerate.candidates.block_sparse_rows import BlockSparseRows
from slrprune.deploy.accelerate.candidates.dense import Dense, DenseBfloat16, DenseConverted
from slrprune.deploy.accelerate.candidates.semi_structured import SemiStructured
from slrprune.deploy.accelerate.candidates.sparse_kernel import BlockKernel, SparseKernel

DENSE = Dense()
"""The layer as it is."""
CONVERTED = DenseConverted()
"""The layer in the other memory format; see `DenseConverted`."""
BFLOAT16 = DenseBfloat16()
"""The layer in bfloat16, measured only with `allow_bf16=True`."""
EXACT: tuple[Candidate, ...] = (
    SparseKernel(),
    BlockKernel(),
    BlockSparseRows(16),
    BlockSparseRows(32),
    SemiStructured(),
    CONVERTED,
)
"""What is measured beside `DENSE`, in the layer's own precision. Where none applies, the first one's reason is told."""
BY_NAME: Mapping[str, Candidate] = MappingProxyType({each.name: each for each in (DENSE, *EXACT, BFLOAT16)})
"""Every candidate by the name that reports and saved choices give it."""

__all__ = ["BFLOAT16", "BY_NAME", "CONVERTED", "DENSE", "EXACT", "Candidate"]
