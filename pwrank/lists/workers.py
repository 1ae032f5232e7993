"""Threads that use one core each: blocks of users are scored beside each other, not inside."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import faiss
import torch

from pwrank.config import RuntimeConfig
from pwrank.machine import share_freed_memory, usable_cores

T = TypeVar("T")
R = TypeVar("R")

Run = Callable[[Sequence[Callable[[], Any]]], list[Any]]
"""Does pieces of work beside each other; their results in order."""

AHEAD = 2
"""Tasks a worker has waiting, so that it never idles and a killed run does not finish them all."""


def workers_of_a_shard(runtime: RuntimeConfig) -> int:
    """Threads for one shard, where others are scored beside it."""
    threads = runtime.threads or usable_cores()
    beside = {"threads": runtime.parallel_shards, "sequential": 1, "ray": threads}
    return max(threads // beside[runtime.task_runner], 1)


def in_order(work: Callable[[T], R], tasks: Iterable[T], workers: int) -> Iterator[tuple[T, R]]:
    """Each task with its result, in the order of the tasks; an error ends it at the first."""
    waiting: deque[tuple[T, Future[R]]] = deque()
    share_freed_memory()
    with _SINGLE_THREADED, ThreadPoolExecutor(workers, initializer=_use_one_core) as pool:
        try:
            for task in tasks:
                waiting.append((task, pool.submit(work, task)))
                if len(waiting) > AHEAD * workers:
                    done, future = waiting.popleft()
                    yield done, future.result()
            while waiting:
                done, future = waiting.popleft()
                yield done, future.result()
        finally:
            pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def beside_each_other(workers: int) -> Iterator[Run]:
    """A way to do pieces of work on one core each, again and again with the same threads.

    The caller's thread is one of them: waking another for each piece takes as long as a small one.
    """
    with _SINGLE_THREADED, ThreadPoolExecutor(workers, initializer=_use_one_core) as pool:
        _use_one_core()

        def run(pieces: Sequence[Callable[[], Any]]) -> list[Any]:
            results: list[Any] = [None] * len(pieces)
            waiting = deque(enumerate(pieces))
            others = [
                pool.submit(_do, waiting, results) for _ in range(min(workers, len(pieces)) - 1)
            ]
            _do(waiting, results)
            for other in others:
                other.result()
            return results

        yield run


def _do(waiting: deque[tuple[int, Callable[[], Any]]], results: list[Any]) -> None:
    """Pieces, as long as there are any; taking one out is a single step of the interpreter."""
    while True:
        try:
            number, piece = waiting.popleft()
        except IndexError:
            return
        results[number] = piece()


def one_ahead(made: Iterable[T]) -> Iterator[T]:
    """The same, each made while the caller is busy with the one before."""
    source, end = iter(made), object()
    with ThreadPoolExecutor(1) as thread:
        following: Future[Any] = thread.submit(next, source, end)
        while (found := following.result()) is not end:
            following = thread.submit(next, source, end)
            yield found


def _use_one_core() -> None:
    torch.set_num_threads(1)
    faiss.omp_set_num_threads(1)


class _SingleThreaded(contextlib.AbstractContextManager[None]):
    """`torch.set_num_threads` of a worker sets it for the process too: put it back at the end."""

    def __init__(self) -> None:
        self._lock, self._inside, self._before = threading.Lock(), 0, 1

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._before = torch.get_num_threads()
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                torch.set_num_threads(self._before)


_SINGLE_THREADED = _SingleThreaded()
