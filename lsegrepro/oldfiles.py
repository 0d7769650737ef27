"""Files that are either whole or absent: atomic writes, digests, JSON lines."""

from __future__ import annotations

import base64
import contextlib
import errno
import fcntl
import glob
import hashlib
import json
import os
import re
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from .files import LsegreproError, one_line

MAX_BYTES = 2**30
"""A photograph, or a file of results, of more bytes than these 1 GiB is refused: no whole one comes near."""

MAX_TEXT = 2**28
"""The same of JSON, which takes several times its size in memory."""


def open_plain(path: str | Path, limit: int = MAX_BYTES) -> BinaryIO:
    """Open a file for reading that may be anything: it neither waits for a pipe nor reads a device.

    Raises
    ------
    OSError
        If there is no such file, it may not be read, it is no plain file (links are followed), or it has more
        bytes than `limit`.

    >>> open_plain("/dev/zero")
    Traceback (most recent call last):
    OSError: [Errno 22] it is a device, not a file: '/dev/zero'
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except ValueError as error:
        raise OSError(errno.EINVAL, "a name cannot hold a null character", str(path)) from error
    try:
        found = os.fstat(handle)
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(found.st_mode):
            kind = "a pipe" if stat.S_ISFIFO(found.st_mode) else "a device"
            raise OSError(errno.EINVAL, f"it is {kind}, not a file", str(path))
        if found.st_size > limit:
            raise OSError(errno.EFBIG, f"it has {found.st_size:,} bytes, and {limit:,} are the most", str(path))
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def read_plain(path: str | Path, limit: int = MAX_BYTES) -> bytes:
    """The bytes of a file that may be anything (`open_plain`); raise `LsegreproError` if they cannot be had."""
    try:
        with open_plain(path, limit) as file:
            size = os.fstat(file.fileno()).st_size
            data = file.read(size + 1)
        if data is None or len(data) > size:  # a file of the system, which has no size and may have no end
            raise OSError(errno.EINVAL, "it grows while it is read")
        return data
    except OSError as error:
        raise LsegreproError(f"cannot read {path}: {error.strerror or error}") from error


def is_lost(error: LsegreproError) -> bool:
    """Whether a file could not be read because of its disk, not of itself: a lost disk is not a million bad files.

    A link that leads nowhere or round in a circle, a file without permission, a pipe: their entry is still there.
    """
    cause = error.__cause__
    if not isinstance(cause, OSError) or cause.errno is None:
        return False
    of_itself = (errno.ENOENT, errno.EACCES, errno.EPERM, errno.ELOOP, errno.EISDIR, errno.ENXIO, errno.EINVAL,
                 errno.EFBIG)
    return cause.errno not in of_itself or not cause.filename or not os.path.lexists(cause.filename)


def is_file(path: str | Path) -> bool:
    """Whether there is a plain file of that name; False too where the name cannot be or may not be looked up."""
    return _mode(path, stat.S_ISREG)


def is_folder(path: str | Path) -> bool:
    """Whether there is a folder of that name, as `is_file`."""
    return _mode(path, stat.S_ISDIR)


def _mode(path: str | Path, test) -> bool:
    try:
        return test(os.stat(path).st_mode)
    except (OSError, ValueError):  # pathlib's own lets some through: a name too long, a folder without permission
        return False


@contextlib.contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; move it to `path` if the block succeeds.

    Whatever happens inside the block, `path` holds either its old content or
    the whole new one, never a part. The data reach the disk before the name does.

    Raises
    ------
    LsegreproError
        If the folder cannot be written to or the disk is full.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> target = pathlib.Path(tempfile.mkdtemp()) / "a.txt"
    >>> with atomic(target) as temporary:
    ...     _ = temporary.write_text("whole")
    >>> target.read_text()
    'whole'
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = _temporary(path)
    except OSError as error:
        raise LsegreproError(
            f"cannot write {path}: {error.strerror or error}; choose a folder that can be written"
        ) from error
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        # mkstemp, and some writers, make the file private; a result is as readable as any other file.
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
    except OSError as error:
        raise LsegreproError(
            f"cannot write {path}: {error.strerror or error}; nothing was changed under that name"
        ) from error
    finally:
        with contextlib.suppress(OSError):  # gone with its folder, or the disk with it: it is said already
            temporary.unlink(missing_ok=True)
        os.close(handle)


def _temporary(path: Path) -> tuple[int, Path]:
    """A new file beside `path`, and the lock on it that tells `remove_leftovers` that its writer lives."""
    while True:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
        with contextlib.suppress(OSError):  # a file system without locks, or the very moment of a clearing
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), os.stat(name)):
                return handle, Path(name)
        os.close(handle)  # cleared away between its two first calls


def remove_leftovers(folder: str | Path, name: str = "") -> None:
    """Remove what `atomic` left in a folder in processes that were killed.

    What a living process is writing is left alone: the kernel holds its lock until it ends.

    Parameters
    ----------
    folder : path
        Need not exist.
    name : str, optional
        Only what was to be a file of this name: for a folder that is not the program's own.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / ".a.txt.abcd_123.txt").write_text("half")
    >>> remove_leftovers(folder)
    >>> list(folder.iterdir())
    []
    """
    for temporary in Path(folder).glob(f".{glob.escape(name) or '*'}.????????*"):
        if not re.fullmatch(r"\..+?(\.[^.]*)?\.[a-z0-9_]{8}(?(1)\1)", temporary.name):
            continue
        with contextlib.suppress(OSError):  # another process was faster; a folder for reading only
            handle = os.open(temporary, os.O_RDWR)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                temporary.unlink(missing_ok=True)
            finally:
                os.close(handle)


def write_json(path: str | Path, value: object) -> None:
    """Write `value` as indented JSON with a final newline, atomically; a list of plain values takes one line."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    # No string of JSON holds a line's end, so these brackets are lists, and their spaces are indentation.
    text = re.sub(r"\[\n *([^][{}]*?)\n *\]", lambda found: "[" + re.sub(r"\n *", " ", found[1]) + "]", text)
    with atomic(path) as temporary:
        # A file's name may be no UTF-8; written with a backslash it is what JSON writes, and reads, for it.
        temporary.write_text(text + "\n", encoding="utf-8", errors="backslashreplace")


def read_json(path: str | Path) -> dict:
    """Read a JSON object; raise `LsegreproError` naming the file if it is not one."""
    data = read_plain(path, MAX_TEXT)
    try:
        value = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise LsegreproError(f"{path} is not valid JSON ({one_line(error)}); delete it and run again") from error
    if not isinstance(value, dict):
        raise LsegreproError(f"{path} does not hold a JSON object; delete it and run again")
    return value


def read_jsonl(path: str | Path) -> list[dict]:
    """Read JSON lines, each an object; a last line cut short by a crash is left out, and so is what follows damage."""
    rows = []
    for line in read_plain(path, MAX_TEXT).split(b"\n"):
        try:
            row = json.loads(line.decode("utf-8"))
        except (ValueError, RecursionError):
            break
        if not isinstance(row, dict):
            break
        rows.append(row)
    return rows


def data_uri(kind: str, content: bytes) -> str:
    """Bytes as an address that needs no file: ``data:image/png;base64,...``."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def sha256(path: str | Path) -> str:
    """Hexadecimal SHA-256 digest of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(value: object) -> str:
    """A short stable digest (16 hex digits) of any JSON-serialisable value.

    >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    True
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
