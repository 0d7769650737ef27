"""Files that are either whole or absent: write then rename, JSON, digests, locks; and the error that users see."""

import base64
import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout


class LsegreproError(ValueError):
    """Something the user can mend: one line that names the thing and the cure; the command's exit code is 2."""

    def __init__(self, message: object = "") -> None:
        super().__init__(printable(str(message)))


def printable(text: str) -> str:
    """Text in one line, with what a terminal would obey or could not show escaped as in Python.

    >>> print(printable("Kätzchen \\x1b[2J\\n.jpg"))
    Kätzchen \\x1b[2J\\n.jpg
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def one_line(error: BaseException | str) -> str:
    """Message of any error, in one line; its kind if it has none."""
    return printable(" ".join(str(error).split())) or type(error).__name__


@contextlib.contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Write to a temporary path beside `path`, which takes its place whole if the block succeeds, or not at all.

    Raises `LsegreproError` if the folder cannot be written to or the disk is full.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())  # the data reach the disk before the name does
        os.replace(temporary, path)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _cannot_write(path: Path, error: OSError) -> LsegreproError:
    return LsegreproError(f"cannot write {path}: {error.strerror or error}; free some space or choose a folder that "
                          "can be written")


@contextlib.contextmanager
def locked(path: str | Path, timeout: float = 0.0) -> Iterator[None]:
    """Keep what is written under the name `path` to this process while the block runs, whatever ends the process.

    Raises `LsegreproError` if another process holds it for more than `timeout` seconds, or the folder cannot be written
    to.
    """
    path = Path(path)
    with contextlib.ExitStack() as stack:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(FileLock(path.with_name(f".{path.name}.lock"), timeout=timeout))
        except Timeout as error:
            raise LsegreproError(f"another process is making {path}: wait for it, stop it, or choose another run "
                                 "folder") from error
        except OSError as error:
            raise _cannot_write(path, error) from error
        yield


def cores() -> int:
    """Processors that this process may use: its affinity, and a container's quota."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):  # no such file, or "max": no quota
        quota, period = map(int, Path("/sys/fs/cgroup/cpu.max").read_text().split())
        count = min(count, max(1, quota // period))
    return count


def read_bytes(path: str | Path) -> bytes:
    """Content of a file; raises `LsegreproError` if it cannot be read."""
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:
        raise LsegreproError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error


def write_json(path: str | Path, value: object) -> None:
    """Write `value` as indented JSON, atomically; a list of plain values takes one line."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    # No string of JSON holds a line's end, so these brackets are lists, and their spaces are indentation.
    text = re.sub(r"\[\n *([^][{}]*?)\n *\]", lambda match: "[" + re.sub(r"\n *", " ", match[1]) + "]", text)
    with atomic(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8", errors="backslashreplace")


def read_json(path: str | Path) -> dict:
    """Read a JSON object; raise `LsegreproError` naming the file if it is not one."""
    data = read_bytes(path)
    try:
        value = json.loads(data)
        if not isinstance(value, dict):
            raise ValueError("no object")
    except (ValueError, RecursionError) as error:
        raise LsegreproError(f"{path} is not valid JSON ({one_line(error)}); delete it and run again") from error
    return value


def read_jsonl(path: str | Path) -> list[dict]:
    """Read JSON lines, each an object; raise `LsegreproError` naming the file if one is not JSON."""
    lines = read_bytes(path).splitlines()
    try:
        return [json.loads(line) for line in lines]
    except ValueError as error:
        raise LsegreproError(f"{path} has a line that is not JSON ({one_line(error)}); delete it and run "
                             "again") from error


def read_npz(path: str | Path, names: Iterable[str]) -> dict[str, np.ndarray]:
    """Arrays of an ``.npz`` by name, without pickle; raises `LsegreproError` if one is missing or damaged."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in names}
    except Exception as error:  # zipfile, zlib and NumPy raise many kinds
        raise LsegreproError(f"cannot read {path} ({one_line(error)}); delete it and run again") from error


def data_uri(kind: str, content: bytes) -> str:
    """Bytes as an address that needs no file: ``data:image/png;base64,...``."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def sha256(path: str | Path) -> str:
    """Hexadecimal SHA-256 digest of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(value: object) -> str:
    """A short stable digest (16 hex digits) of any JSON-serialisable value, whatever the order of its keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
