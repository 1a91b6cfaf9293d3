"""The core's kernels as functions: checked arguments in, NumPy arrays out.

What all of them share:

- Inputs are never converted in silence: another dtype or layout is a TypeError that names the
  right one. CSR inputs may have int32 or int64 indices, rows in any order, and entries that
  stand twice (they count with their sum).
- ``threads=0`` means OMP_NUM_THREADS if set, else the smaller of the CPUs that this process may
  run on and its container's CPU quota. Results are the same bits for every number of threads
  (`esler_weights`, which stands on BLAS, to 1e-6 relative).
- The innermost loops use AVX-512 or AVX2 where the processor has them; ``PYHYBRID_SIMD=avx2`` or
  ``baseline`` in the environment lowers that. Between levels scores agree to 1e-5 relative.
- ``progress`` is called from time to time with the share of the work that is done, 0.0 to 1.0; a
  call that is soon over may never call it.
- The GIL is released while a kernel runs, and Ctrl-C stops it within a second.
"""

from __future__ import annotations

from pyhybrid.kernels.core import simd_level, thread_count
from pyhybrid.kernels.metrics import largest_cutoff, ranking_metrics, score_metrics
from pyhybrid.kernels.pq import (
    pq_decode,
    pq_encode,
    pq_lookup,
    pq_lookup_gradient,
    pq_search,
    pq_train,
)
from pyhybrid.kernels.ranking import score_factors, top_n, top_n_factors, top_n_scores
from pyhybrid.kernels.solve import esler_weights, gram

__all__ = [
    "esler_weights",
    "gram",
    "largest_cutoff",
    "pq_decode",
    "pq_encode",
    "pq_lookup",
    "pq_lookup_gradient",
    "pq_search",
    "pq_train",
    "ranking_metrics",
    "score_factors",
    "score_metrics",
    "simd_level",
    "thread_count",
    "top_n",
    "top_n_factors",
    "top_n_scores",
]
