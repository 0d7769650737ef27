"""Compressed ``.npz`` files with a JSON header and a digest of their content, so that any change shows.

``numpy.load`` opens such a file without pickle. Numbers of several bytes are stored as byte planes, all
first bytes, then all second ones: (bytes of a number, ...) uint8, a quarter smaller when compressed. The
header names the type of each array and holds the SHA-256 of the content.
"""

import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..files import LsegreproError, atomic, one_line, read_bytes

VERSION = 3  # of the format; a reader refuses any other


def write_archive(path: str | Path, kind: str, header: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Write an archive atomically; the same content gives the same bytes, and no array may be called ``header``.

    `kind` says what the file is, and `read_archive` must be asked for the same.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a.npz"
    >>> write_archive(path, "example", {"answer": 42}, {"x": np.arange(3)})
    >>> header, arrays = read_archive(path, "example")
    >>> header, arrays["x"].tolist()
    ({'answer': 42}, [0, 1, 2])
    """
    head = {"format": kind, "version": VERSION, "digest": content_digest(header, arrays), "content": header,
            "types": {name: _little_endian(array).dtype.str for name, array in arrays.items()}}
    text = np.frombuffer(json.dumps(head, sort_keys=True).encode(), np.uint8)
    with atomic(path) as temporary:
        np.savez_compressed(temporary, header=text, **{name: _to_planes(array) for name, array in arrays.items()})


def read_archive(path: str | Path, kind: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Header and arrays of an archive; `LsegreproError` says what is wrong if it is absent, altered or another kind."""
    data = io.BytesIO(read_bytes(path))
    try:
        with np.load(data, allow_pickle=False) as archive:
            planes = dict(archive)
        head = json.loads(planes.pop("header").tobytes())
        if (head["format"], head["version"]) != (kind, VERSION):
            raise ValueError(f"it is {head['format']!r} version {head['version']}")
        header, arrays = head["content"], {name: _from_planes(a, head["types"][name]) for name, a in planes.items()}
        if content_digest(header, arrays) != head["digest"]:
            raise ValueError("its content has another digest than its header says")
    except Exception as error:  # zipfile, zlib, json and NumPy raise many kinds
        raise LsegreproError(f"{path} is refused: it was cut or altered, or is no file of the format {kind!r} version "
                             f"{VERSION} ({one_line(error)}); fetch or compute it again") from error
    return header, arrays


def content_digest(header: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of a header and arrays, whatever the byte order, the compressor or the order of names."""
    total = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name in sorted(arrays):
        array = _little_endian(arrays[name])
        total.update(f"\n{name} {array.dtype.str} {array.shape}\n".encode())
        total.update(array)
    return total.hexdigest()


def _little_endian(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<"))


def _has_planes(dtype: np.dtype) -> bool:
    """Whether arrays of this type are stored as byte planes: numbers of several bytes."""
    return dtype.kind in "iuf" and dtype.itemsize > 1


def _to_planes(array: np.ndarray) -> np.ndarray:
    """An array as it is stored: numbers of several bytes as (bytes of a number, *shape) uint8."""
    array = _little_endian(array)
    if not _has_planes(array.dtype):
        return array
    return np.moveaxis(array.reshape(-1).view(np.uint8).reshape(*array.shape, array.itemsize), -1, 0).copy()


def _from_planes(planes: np.ndarray, type_string: str) -> np.ndarray:
    """The array of the type `type_string` that `_to_planes` was given, in the byte order of this machine."""
    dtype = np.dtype(type_string)
    if _has_planes(dtype):
        planes = np.moveaxis(planes, 0, -1).reshape(-1).view(dtype).reshape(planes.shape[1:])
    return planes.astype(dtype.newbyteorder("="), copy=False)
