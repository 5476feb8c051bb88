"""faiss, loaded so that it uses the processor well, and the threads that searches run on."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from inference.processor import processor_flags

T = TypeVar("T")

_CORETYPE = "OPENBLAS_CORETYPE"
_AVX512 = {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}


def _load_faiss() -> Any:
    """Import faiss with the matrix product that fits this processor.

    The OpenBLAS inside faiss (0.3.15) does not know newer processors and takes code for old ones,
    SSE on an AMD Zen 5; where the variable names AVX2 code instead, a face against 32 queries
    takes 73 ns, with AVX-512 44. No score depends on it (see library.index.memory.ranking), so a
    processor with AVX-512 gets that in any case. OpenBLAS reads the variable only once, when it
    is loaded, and the copies of it inside numpy and others keep their setting.
    """
    before = os.environ.get(_CORETYPE)
    if _has_avx512():
        os.environ[_CORETYPE] = "SkylakeX"
    try:
        import faiss
    finally:
        if before is not None:
            os.environ[_CORETYPE] = before
        else:
            os.environ.pop(_CORETYPE, None)
    return faiss


def _has_avx512() -> bool:
    return processor_flags() >= _AVX512


faiss = _load_faiss()


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Faiss uses no threads of its own inside; the setting is this thread's alone."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


class _Pool:
    """One pool for all indexes of the process; a forked child gets its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._executor: ThreadPoolExecutor | None = None
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._executor = None

    def executor(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._executor is None:
                self._executor = ThreadPoolExecutor(
                    cores(),
                    thread_name_prefix="search",
                    initializer=faiss.omp_set_num_threads,
                    initargs=(1,),
                )
            return self._executor


_POOL = _Pool()


def run_on_threads(task: Callable[[], T], threads: int) -> list[T]:
    """Results of `task`, run up to `threads` times at once: here, and in the pool.

    The task takes its work from a queue that all share, so that it is done even if it runs only
    here; it must not call this function.
    """
    with one_thread():
        others = []
        if threads > 1:
            executor = _POOL.executor()
            others = [executor.submit(task) for _ in range(threads - 1)]
        results = [task()]
        # Nothing is left: what has not begun, because other searches have the pool, need not.
        results.extend(other.result() for other in others if not other.cancel())
        return results
