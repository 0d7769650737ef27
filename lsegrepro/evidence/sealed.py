"""The file format of evidence: arrays and a header in one file that shows any change of a byte.

Each file is a compressed ``.npz`` that ``numpy.load`` opens without pickle, in the same bytes for
the same content. An array of numbers of several bytes lies there as planes, all first bytes, then all
second ones: (bytes of a number, ...) uint8, a quarter smaller when compressed than the numbers one after
the other. The header names its type. The last 64 bytes are the SHA-256 of all bytes before them (the zip
archive's comment), so any change of the file shows; the header holds a digest of the content,
which does not depend on the compressor.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .. import files
from ..files import LsegreproError, one_line

VERSION = 3
"""Version of both kinds of file; a reader refuses any other."""


def write(
    path: str | Path, kind: str, header: dict[str, Any], arrays: Mapping[str, np.ndarray], *, level: int = 9
) -> None:
    """Write a sealed file atomically; the same content gives the same bytes.

    Parameters
    ----------
    kind : str
        What the file is; `read` must be asked for the same.
    header : dict
        JSON-serialisable.
    arrays : mapping
        Name to array of a plain type, any shape; no array may be called ``header``.
    level : int
        Of the compression, 1 (fast) to 9 (small).

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a.npz"
    >>> write(path, "example", {"answer": 42}, {"x": np.arange(3)})
    >>> header, arrays = read(path, "example")
    >>> header, arrays["x"].tolist()
    ({'answer': 42}, [0, 1, 2])
    """
    head = {"format": kind, "version": VERSION, "digest": content_digest(header, arrays), "content": header,
            "types": {name: _little(array).dtype.str for name, array in arrays.items()}}
    text = np.frombuffer(json.dumps(head, sort_keys=True).encode(), np.uint8)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in {"header": text, **{name: _planes(array) for name, array in arrays.items()}}.items():
            # numpy.savez would stamp the hour into the file; these fields are the same for ever.
            info = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            info.compress_type, info.create_system = zipfile.ZIP_DEFLATED, 3
            member = io.BytesIO()
            np.lib.format.write_array(member, array, version=(1, 0), allow_pickle=False)
            archive.writestr(info, member.getvalue(), compresslevel=level)
        archive.comment = b"0" * 64
    body = buffer.getvalue()[:-64]
    with files.atomic(path) as temporary:
        temporary.write_bytes(body + hashlib.sha256(body).hexdigest().encode())


def read(path: str | Path, kind: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Header and arrays of a sealed file.

    Raises
    ------
    LsegreproError
        If the file is absent, truncated, altered, of another kind or of another version: it names
        the file and what is wrong with it.
    """
    data = files.read_bytes(path)
    if hashlib.sha256(data[:-64]).hexdigest().encode() != data[-64:]:
        raise LsegreproError(f"{path} is refused: {_damage(data)}; fetch or compute it again")
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            planes = dict(archive)
        head = json.loads(planes.pop("header").tobytes())
        found, number, header, digest = (head[key] for key in ("format", "version", "content", "digest"))
        same = (found, number) == (kind, VERSION)
        arrays = {name: _joined(array, head["types"][name]) for name, array in planes.items()} if same else {}
        actual = content_digest(header, arrays)
    except Exception as error:  # the seal holds, so another program wrote it: it can hold anything
        raise LsegreproError(f"{path} is refused: not a file of the format {kind!r} ({one_line(error)})") from error
    if not same:
        raise LsegreproError(
            f"{path} is refused: it is {found!r} version {number}, wanted {kind!r} version {VERSION}; "
            "use the lsegrepro that wrote it or compute it again"
        )
    if actual != digest:
        raise LsegreproError(f"{path} is refused: its content has the digest {actual[:16]}, its header says "
                             f"{str(digest)[:16]}; it was altered")
    return header, arrays


def _damage(data: bytes) -> str:
    """Say as nearly as possible what is wrong with the bytes of a file whose seal does not hold."""
    if len(data) < 64 or not set(data[-64:]) <= set(b"0123456789abcdef"):
        return "it is truncated, or no evidence file"
    part = "archive"
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for part in archive.namelist():  # noqa: B007 (read after the loop breaks off)
                archive.read(part)
        part = "archive"
    except Exception:  # whatever zipfile and zlib raise on a damaged part
        pass
    return f"its bytes were altered (in its {part.removesuffix('.npy')})"


def content_digest(header: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of a header and arrays, whatever the byte order, the compressor or the order of names."""
    total = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name in sorted(arrays):
        array = _little(arrays[name])
        total.update(f"\n{name} {array.dtype.str} {array.shape}\n".encode())
        total.update(array)
    return total.hexdigest()


def _little(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<"))


def _planes(array: np.ndarray) -> np.ndarray:
    """An array as it lies in the file: the bytes of numbers of several, (bytes of a number, *shape) uint8."""
    array = _little(array)
    if array.dtype.kind not in "iuf" or array.itemsize == 1:
        return array
    bytes_last = array.reshape(-1).view(np.uint8).reshape(*array.shape, array.itemsize)
    return np.ascontiguousarray(np.moveaxis(bytes_last, -1, 0))


def _joined(planes: np.ndarray, kind: str) -> np.ndarray:
    """The array of the type `kind` that `_planes` was given, in the byte order of this machine."""
    dtype = np.dtype(kind)
    if dtype.kind in "iuf" and dtype.itemsize > 1:
        if planes.dtype != np.uint8 or planes.shape[:1] != (dtype.itemsize,):
            raise ValueError(f"planes {planes.shape} {planes.dtype} make no array of {kind!r}")
        bytes_last = np.ascontiguousarray(np.moveaxis(planes, 0, -1))
        planes = bytes_last.reshape(-1).view(dtype).reshape(planes.shape[1:])
    elif planes.dtype != dtype:
        raise ValueError(f"an array of {planes.dtype} is none of {kind!r}")
    return planes.astype(dtype.newbyteorder("="), copy=False)
