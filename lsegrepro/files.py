"""Files that are either whole or absent: atomic writes, digests, JSON lines."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from .errors import LsegreproError


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
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
        os.close(handle)
    except OSError as error:
        raise LsegreproError(
            f"cannot write {path}: {error.strerror or error}; choose a folder that can be written"
        ) from error
    temporary = Path(name)
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
        temporary.unlink(missing_ok=True)


def remove_leftovers(path: str | Path) -> None:
    """Remove what `atomic` left beside `path` in a process that was killed.

    The caller makes sure, by `locks.locked` for example, that nobody is writing `path` now.

    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "a.txt"
    >>> _ = target.with_name(".a.txt.abcd_123.txt").write_text("half")
    >>> remove_leftovers(target)
    >>> list(target.parent.iterdir())
    []
    """
    path = Path(path)
    for temporary in path.parent.glob(f".{glob.escape(path.name)}.????????{glob.escape(path.suffix)}"):
        temporary.unlink(missing_ok=True)


def write_json(path: str | Path, value: object) -> None:
    """Write `value` as indented JSON with a final newline, atomically."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: str | Path) -> dict:
    """Read a JSON object; raise `LsegreproError` naming the file if it is not one."""
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise LsegreproError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise LsegreproError(f"{path} is not valid JSON ({error}); delete it and run again") from error
    if not isinstance(value, dict):
        raise LsegreproError(f"{path} does not hold a JSON object; delete it and run again")
    return value


def read_jsonl(path: str | Path) -> list[dict]:
    """Read JSON lines; a last line cut short by a crash is left out."""
    rows = []
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            break
    return rows


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
