"""List what a tar holds without reading it: where each member begins and how long it is."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

_KINDS = {tarfile.SYMTYPE: "a symbolic link", tarfile.LNKTYPE: "a hard link", tarfile.CHRTYPE: "a device",
          tarfile.BLKTYPE: "a device", tarfile.FIFOTYPE: "a pipe"}
_COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd", b"PK": "zip"}


@dataclass(frozen=True)
class Member:
    """A file inside a tar: its name, its first byte in the file on disk, and how many bytes it has."""

    name: str
    offset: int
    size: int


def members(
    file: BinaryIO, ignored: Callable[[str, str], None], start: int = 0, size: int | None = None
) -> Iterator[Member]:
    """The plain files of a tar, or of a tar inside a tar, in their order; only headers are read.

    Parameters
    ----------
    file : binary file
        It can seek, and is read from nowhere else meanwhile.
    ignored : callable
        Told the name and the reason of each member that is left out, and of anything wrong with the tar itself
        (with an empty name): links, devices and sparse files, names that point outside, a tar that is cut short,
        damaged or compressed. Folders are passed over.
    start, size : int
        Where the tar begins in the file and how long it is; default the whole file.

    Examples
    --------
    >>> import io
    >>> with tarfile.open(fileobj=(file := io.BytesIO()), mode="w") as tar:
    ...     tar.addfile(entry := tarfile.TarInfo("a.jpg"))
    ...     entry.name, entry.size = "b.jpg", 3
    ...     tar.addfile(entry, io.BytesIO(b"abc"))
    >>> list(members(file, print))
    [Member(name='a.jpg', offset=512, size=0), Member(name='b.jpg', offset=1024, size=3)]
    """
    end = file.seek(0, os.SEEK_END) if size is None else start + size
    file.seek(start)
    head = file.read(6)
    for magic, name in _COMPRESSED.items():
        if head.startswith(magic):
            ignored("", f"a {name} file, which cannot be read in place: decompress it")
            return
    file.seek(start)
    place = start
    try:
        tar = tarfile.TarFile(fileobj=file)
        while (member := tar.next()) is not None and member.offset < end:
            tar.members = []  # it would keep every header
            if tar.offset <= place:  # a length below zero leads back
                raise tarfile.ReadError("a length that cannot be")
            place = tar.offset
            if member.isdir():
                continue
            reason = _refusal(member)
            if reason is None and member.offset_data + member.size > end:
                reason = "cut short: the tar ends before it does"
            if reason is None:
                yield Member(member.name, member.offset_data, member.size)
            else:
                ignored(member.name, reason)
        if member is None:
            place = tar.offset
    # What tarfile raises on bytes that are not its own.
    except (tarfile.TarError, ValueError, OverflowError, RecursionError, MemoryError, IndexError) as error:
        ignored("", f"not a whole tar: {error or type(error).__name__} after byte {place - start:,}; "
                    "what follows is not seen")
        return
    _check_end(file, ignored, start, place, end)


def _refusal(member: tarfile.TarInfo) -> str | None:
    """Why a member is not taken."""
    if member.name.startswith("/") or ".." in member.name.split("/"):
        return "its name points outside of the tar"
    if member.issparse():
        return "a sparse file, which does not lie in one piece"
    if not member.isreg():
        return _KINDS.get(member.type, f"a member of unknown type {member.type!r}")
    if member.size < 0:
        return "its length is below zero"
    return None


def _check_end(file: BinaryIO, ignored: Callable[[str, str], None], start: int, place: int, end: int) -> None:
    """A whole tar ends with a block of zeros; `tarfile` takes any other stop for the end too."""
    file.seek(min(place, end))
    last = file.read(max(0, min(tarfile.BLOCKSIZE, end - place)))
    if not last:
        ignored("", "has no end-of-archive mark: it may be cut short")
    elif last.strip(b"\0"):
        ignored("", f"damaged at byte {place - start:,}: what follows is not seen")
