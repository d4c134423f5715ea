"""Rivals from other libraries, as arms of `slrprune compare`.

Each module registers what it adapts; the library never imports one. Install them with `pip install '.[peers]'`, then,
from the repository's root:

    slrprune compare digits --rivals benchmarks.peers.torchao_pat --methods slr,torchao_pat
"""
