"""One linear-algebra thread per process. Imports nothing, so that it can be called before NumPy starts."""

from __future__ import annotations

import os


def one_thread_per_worker() -> None:
    """Ask for one thread (several workers with several threads each are slow). Call it before NumPy starts."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
