"""Unpack an archive that nobody vouches for: whole or not at all, and nothing outside its folder."""

from __future__ import annotations

import gzip
import os
import shutil
import tarfile
import zlib
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO

from ..files import LsegreproError, one_line

CHUNK = 1 << 20
"""Bytes copied at a time."""

_DAMAGED = (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, ValueError, OverflowError, RecursionError)
"""What tarfile and gzip raise on bytes that are not theirs."""

_KINDS = {tarfile.SYMTYPE: "a symbolic link", tarfile.LNKTYPE: "a hard link", tarfile.CHRTYPE: "a device",
          tarfile.BLKTYPE: "a device", tarfile.FIFOTYPE: "a pipe"}

# Python 3.11.0 to 3.11.3 have no filter; `_path` refuses by itself all that the filter would.
_filter = getattr(tarfile, "data_filter", lambda member, folder: member)


def extract(
    archive: str | Path, target: str | Path, *, limit: int, prefix: str = "", wanted: Sequence[str] = ("*",)
) -> int:
    """Unpack one folder of a tar, plain or gzip, into a new folder.

    The files are written to a hidden folder beside `target`, which is renamed when all are there. A kill
    leaves that folder; the next call begins again. Files and folders get the permissions of new ones,
    whatever the archive says.

    Parameters
    ----------
    archive : path
    target : path
        The new folder. Only one process at a time may unpack into it.
    limit : int
        Bytes that the archive may have when it is decompressed.
    prefix : str
        Folder of the archive that becomes `target`; what lies elsewhere is left out.
    wanted : sequence of str
        Shell patterns of the files to take, relative to `prefix`; ``*`` matches a slash too.

    Returns
    -------
    int
        How many files were written.

    Raises
    ------
    LsegreproError
        If `target` exists; if the archive is damaged, cut short, too large or holds nothing that is wanted;
        if any member, wanted or not, has an absolute name or ``..`` in it, is neither a file nor a folder, or
        has the name of another. The message names the member, and nothing is left.

    >>> import io, tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with tarfile.open(folder / "a.tar", "w") as tar:
    ...     member = tarfile.TarInfo("set/images/one.jpg")
    ...     member.size = 3
    ...     tar.addfile(member, io.BytesIO(b"abc"))
    >>> extract(folder / "a.tar", folder / "new", prefix="set", limit=100_000)
    1
    >>> (folder / "new" / "images" / "one.jpg").read_bytes()
    b'abc'
    """
    archive, target = Path(archive), Path(target)
    if os.path.lexists(target):
        raise LsegreproError(f"{target} is there already: move it away to unpack {archive} in its place")
    staging = target.with_name(f".{target.name}.unpacking")
    try:
        if os.path.lexists(staging):  # of a process that was killed
            shutil.rmtree(staging)
        staging.mkdir(parents=True)
        count = _unpack(archive, staging, limit, PurePosixPath(prefix), wanted)
        if not count:
            raise LsegreproError(f"{archive} holds no {' or '.join(wanted)} below {prefix or 'its root'}")
        os.rename(staging, target)
        return count
    except LsegreproError:
        raise
    except _DAMAGED as error:
        raise LsegreproError(f"{archive} is damaged ({one_line(error)}): delete it and fetch it again") from error
    except OSError as error:
        raise LsegreproError(f"cannot unpack {archive} to {target}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _unpack(archive: Path, folder: Path, limit: int, prefix: PurePosixPath, wanted: Sequence[str]) -> int:
    count = 0
    with open(archive, "rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        stream = _Bounded(gzip.GzipFile(fileobj=file) if zipped else file, limit, archive)
        with tarfile.open(fileobj=stream, mode="r|", tarinfo=_Member) as tar:
            while member := tar.next():
                path = _path(archive, member)
                if not 0 <= member.size <= limit - member.offset_data:
                    raise LsegreproError(f"{archive}: member {member.name!r} says it has {member.size:,} bytes, and "
                                         f"the archive may have no more than {limit:,}")
                _filter(member, str(folder))
                if not path.is_relative_to(prefix):
                    continue
                path = path.relative_to(prefix)
                if member.isreg() and any(fnmatchcase(str(path), pattern) for pattern in wanted):
                    _write(archive, tar, member, folder / path)
                    count += 1
        while stream.read(CHUNK):  # to the end, where gzip has its checksum
            pass
    return count


def _path(archive: Path, member: tarfile.TarInfo) -> PurePosixPath:
    """Where a member wants to go; raises `LsegreproError` if it is not plainly a file or folder below."""
    name = member.name
    path, windows = PurePosixPath(name), PureWindowsPath(name)
    wrong = None
    if not name or "\0" in name or path.is_absolute() or windows.drive or windows.root or ".." in windows.parts:
        wrong = "has a name that leads out of the folder"
    elif member.issparse() or not (member.isreg() or member.isdir()):
        wrong = f"is {_KINDS.get(member.type, 'of another kind')}, not a file or a folder"
    if wrong:
        raise LsegreproError(f"{archive}: member {name!r} {wrong}; nothing was unpacked: fetch the archive from its "
                             "own site")
    return path


def _write(archive: Path, tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    content = tar.extractfile(member)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "xb") as file:  # never over another member, never through a link
            shutil.copyfileobj(content, file, CHUNK)
    except gzip.BadGzipFile:  # an OSError too, but of the source
        raise
    except OSError as error:
        raise LsegreproError(
            f"cannot unpack member {member.name!r} of {archive}: {error.strerror or error}; nothing was unpacked"
        ) from error


class _Member(tarfile.TarInfo):
    """Takes nothing but the end mark for the end: `tarfile` would take a damaged header for it too."""

    @classmethod
    def fromtarfile(cls, tar: tarfile.TarFile) -> _Member:
        try:
            return super().fromtarfile(tar)
        except tarfile.EOFHeaderError:
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(str(error)) from error


class _Bounded:
    """A stream that refuses to give more than so many bytes: a small gzip can hold terabytes."""

    def __init__(self, stream: IO[bytes], limit: int, archive: Path) -> None:
        self.stream, self.limit, self.archive, self.given = stream, limit, archive, 0

    def read(self, size: int) -> bytes:
        data = self.stream.read(size)
        self.given += len(data)
        if self.given > self.limit:
            raise LsegreproError(f"{self.archive} has more than the {self.limit:,} bytes it may have unpacked: "
                                 "fetch it from its own site")
        return data
