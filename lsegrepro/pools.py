"""Worker processes that end with the one that started them, whatever ends it."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait

from .files import LsegreproError


@contextlib.contextmanager
def pool(workers: int, died: str, begin: Callable[..., object] | None = None, *given: object
         ) -> Iterator[ProcessPoolExecutor]:
    """A pool of fresh processes (to fork one that has threads or a GPU is not safe).

    Where the block ends early, by an interrupt for example, the workers are ended at once; where this
    process is killed, they end by themselves. An interrupt from the keyboard goes to this process alone.

    Parameters
    ----------
    died : str
        What to say if a worker dies, with the cure.
    begin : callable, optional
        Called with `given` in each worker as it starts.

    Raises
    ------
    LsegreproError
        If a worker dies.

    >>> with pool(1, "it died") as one:
    ...     one.submit(abs, -3).result()
    3
    """
    before = set(multiprocessing.active_children())
    executor = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _begin, (begin, given))
    try:
        with _held_back(signal.SIGINT):  # and so in the workers, until `_begin` ignores it
            for _ in range(workers):
                executor.submit(int)
        yield executor
    except BrokenProcessPool as error:
        raise LsegreproError(died) from error
    except Exception:
        raise
    except BaseException:  # an interrupt, or nobody wants more of the results
        for worker in set(multiprocessing.active_children()) - before:
            worker.terminate()
        raise
    finally:
        executor.shutdown(cancel_futures=True)


def possible(workers: int) -> int:
    """So many workers, or 1 (this process alone) where the system gives no semaphores: without /dev/shm, say.

    >>> possible(1)
    1
    """
    if workers > 1:
        try:
            multiprocessing.get_context("spawn").Lock()
        except (OSError, ImportError):
            return 1
    return workers


@contextlib.contextmanager
def _held_back(number: int) -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {number})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(begin: Callable[..., object] | None, given: tuple) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its workers
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    parent = multiprocessing.parent_process()
    threading.Thread(target=lambda: (wait([parent.sentinel]), os._exit(1)), daemon=True).start()
    if begin:
        begin(*given)
