"""Read an ``.npz`` that anyone may have written: no pickle, and no more memory than it may take."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from .files import MAX_BYTES, open_plain


def read_arrays(source: str | Path | bytes, names: Iterable[str] | None = None) -> dict[str, np.ndarray]:
    """Arrays of an ``.npz``, by name.

    A zip of a few kilobytes can unpack to terabytes: one that says it has more than `files.MAX_BYTES` is refused,
    and `zipfile` unpacks no more of a member than it says.

    Parameters
    ----------
    source : path or bytes
        The file, or what it holds.
    names : iterable of str, optional
        Which to read; default all.

    Raises
    ------
    Exception
        Of any kind, as `zipfile` and NumPy have many for what is no such file; `OSError` if it cannot be read.

    >>> np.savez(file := io.BytesIO(), a=np.arange(3), b=np.zeros(2))
    >>> read_arrays(file.getvalue(), ["a"])
    {'a': array([0, 1, 2])}
    """
    file = io.BytesIO(source) if isinstance(source, bytes) else open_plain(source)
    with file, zipfile.ZipFile(file) as archive:
        check_size(archive)
        held = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        found = {}
        for name in held if names is None else names:
            with archive.open(held[name]) as member:
                found[name] = np.lib.format.read_array(member, allow_pickle=False)
        return found


def check_size(archive: zipfile.ZipFile) -> None:
    """Raise `ValueError` if an archive would unpack to more than `files.MAX_BYTES`, or not as NumPy packs."""
    total = sum(info.file_size for info in archive.infolist())
    if total > MAX_BYTES:
        raise ValueError(f"it would unpack to {total:,} bytes, and {MAX_BYTES:,} are the most")
    if any(info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for info in archive.infolist()):
        raise ValueError("it is compressed in a way that NumPy does not use")
