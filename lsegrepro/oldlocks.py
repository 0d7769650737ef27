"""Locks that end with their process: one writer for a result, one job for a GPU."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path

from .files import LsegreproError

_UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
"""What a file system without locks answers; writes are atomic there as everywhere, so work goes on."""


@contextlib.contextmanager
def locked(path: str | Path, patience: float = 0.0) -> Iterator[None]:
    """Keep what is written under the name `path` to this process while the block runs.

    The lock is on a file beside `path`. The kernel ends it with the process, whatever ends that,
    so a file left by a process that was killed stops nobody.

    Parameters
    ----------
    patience : float
        Seconds to wait for another process that holds the lock.

    Raises
    ------
    LsegreproError
        If another process holds the lock (it is named), or the folder cannot be written to.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "net.safetensors"
    >>> with locked(path):
    ...     [file.name for file in path.parent.iterdir()]
    ['.net.safetensors.lock']
    >>> list(path.parent.iterdir())
    []
    """
    path = Path(path)
    lock = path.with_name(f".{path.name}.lock")
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        until = time.monotonic() + patience
        while (handle := hold(lock)) is None and time.monotonic() < until:
            time.sleep(0.2)
    except OSError as error:
        raise LsegreproError(
            f"cannot write {path}: {error.strerror or error}; choose a folder that can be written"
        ) from error
    if handle is None:
        raise LsegreproError(f"{path} is being made by {holder(lock)}: "
                             "wait for it, stop it, or choose another run folder")
    try:
        yield
    finally:
        _release(lock, handle)


@contextlib.contextmanager
def locked_folder(folder: Path, busy: str, cure: str = "choose a folder that can be written") -> Iterator[None]:
    """Make a folder, and keep it to this process while the block runs, as `locked` keeps a name.

    Parameters
    ----------
    busy : str
        What to say if another process holds it.
    cure : str
        What to do if it cannot be written to.

    Raises
    ------
    LsegreproError
        In these two cases.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp()) / "new"
    >>> with locked_folder(folder, "wait"):
    ...     [file.name for file in folder.iterdir()]
    ['.lock']
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = hold(folder / ".lock")
    except OSError as error:
        raise LsegreproError(f"cannot write to {folder}: {error.strerror or error}; {cure}") from error
    if handle is None:
        raise LsegreproError(busy)
    try:
        yield
    finally:
        _release(folder / ".lock", handle)


def hold(lock: Path) -> int | None:
    """Take a lock file and write in it who holds it.

    Returns
    -------
    int or None
        An open file; closing it gives the lock back. None if another process holds it.
    """
    while True:
        handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                os.close(handle)
                if isinstance(error, BlockingIOError):
                    return None
                raise
        if _is(handle, lock):
            break
        os.close(handle)  # its holder has just removed it: a lock on a file without a name keeps nobody out
    with contextlib.suppress(OSError):  # on a full disk it is a lock all the same
        os.ftruncate(handle, 0)
        os.write(handle, f"process {os.getpid()} on {platform.node()} since {time.strftime('%F %T')}".encode())
    return handle


def holder(lock: Path) -> str:
    """Who holds a lock file, in words."""
    with contextlib.suppress(OSError):
        return lock.read_text(encoding="utf-8", errors="replace") or "another process"
    return "another process"


def _release(lock: Path, handle: int) -> None:
    """Give a lock back, and its file: while it is held, so that nobody takes a lock on a file without a name."""
    with contextlib.suppress(OSError):  # the folder may be gone
        if _is(handle, lock):
            lock.unlink(missing_ok=True)
    os.close(handle)


def _is(handle: int, path: Path) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(handle), os.stat(path))
    return False
