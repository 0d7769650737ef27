"""How a command ends when something outside ends it: a signal, a reader that has gone, a stream that is closed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence

GRACE = 20.0
"""Seconds that a group has to end in order after it was told to."""


class Terminated(KeyboardInterrupt):
    """SIGTERM, as a batch system sends it before the time is up: ends a command as an interrupt does."""


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """Raise `Terminated` in the block when SIGTERM comes; where this is not the main thread, do nothing.

    >>> with contextlib.suppress(Terminated), terminable():
    ...     signal.raise_signal(signal.SIGTERM)
    ...     print("not reached")
    """
    def end(number: int, frame: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough: the way out is not to be cut short
        raise Terminated

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def open_streams() -> None:
    """Put the null device where a standard stream was closed, or the next file opened would take its number."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            try:
                os.fstat(number)  # something else may have it by now
            except OSError:
                os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))


def flush_output() -> None:
    """Write what is still to be written to stdout.

    Raises
    ------
    OSError
        If that cannot be: its reader has gone, or its disk is full. What was to be written is then let go.
    """
    try:
        sys.stdout.flush()
    except OSError as error:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
        raise type(error)(error.errno, error.strerror, "standard output") from error


def run_group(command: Sequence[str], environment: Mapping[str, str] | None = None, **options) -> int:
    """Run a command, and all that it starts, as one group which ends with this process.

    An interrupt of this process ends the group too: in order, or by force after `GRACE` seconds. Where
    this process is killed, the group is killed.

    Parameters
    ----------
    options
        As of `subprocess.Popen`.

    Returns
    -------
    int
        The exit code.

    >>> run_group([sys.executable, "-c", "raise SystemExit(3)"])
    3
    """
    read, write = os.pipe()  # the writing end closes with this process, whatever ends it
    try:
        leader = [sys.executable, "-m", "lsegrepro.ending", str(read), *command]
        process = subprocess.Popen(leader, env=environment, start_new_session=True, pass_fds=(read,), **options)
        try:
            return process.wait()
        except BaseException:
            _signal(process, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(GRACE)
            _signal(process, signal.SIGKILL)  # also what has outlived its leader
            process.wait()
            raise
    finally:
        os.close(read)
        os.close(write)


def _signal(process: subprocess.Popen, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _lead(watched: int, command: Sequence[str]) -> int:
    """The first process of a group: starts the command, and kills the group when the pipe says that its maker died."""
    def watch() -> None:
        os.read(watched, 1)
        os.killpg(0, signal.SIGKILL)

    signal.signal(signal.SIGTERM, lambda *_: None)  # all of the group get it; this one waits for them
    signal.signal(signal.SIGINT, lambda *_: None)
    threading.Thread(target=watch, daemon=True).start()
    code = subprocess.run(command).returncode
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(_lead(int(sys.argv[1]), sys.argv[2:]))
