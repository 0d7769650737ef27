"""A list of a million photographs that lie in folders or inside tar files, small in memory, read in place.

A photograph is a run of bytes in a file: a file of its own, or a member of a tar, which lies there
uncompressed. So one number says where it begins, also in a tar inside a tar, and nothing is unpacked.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path, PurePosixPath

import numpy as np

from .. import paper
from ..evidence.archive import read_archive, write_archive
from ..files import LsegreproError, one_line
from ..oldfiles import MAX_BYTES, is_file, open_plain
from . import WeakSet, images
from .names import Names
from .weak import in_split

LABELS = (*paper.CLASSES, "background")
"""Label of each code: cat 0, dog 1, background 2."""

FORMAT = "photograph index"
INDEX = "index.npz"
"""Name of the index inside a folder."""

OPEN_FILES = 64


def label_codes(weak: WeakSet) -> np.ndarray:
    """Labels of a set as (n,) uint8 positions in `LABELS`, whether it holds words or such codes.

    Raises
    ------
    LsegreproError
        If a label is none of those.
    """
    if isinstance(weak.labels, np.ndarray) and weak.labels.dtype == np.uint8:
        return weak.labels
    place = {label: code for code, label in enumerate(LABELS)}
    try:
        return np.fromiter((place[label] for label in weak.labels), np.uint8, len(weak.labels))
    except KeyError as error:
        raise LsegreproError(f"unknown label {error.args[0]!r}: weak labels are {', '.join(LABELS)}") from error


@dataclass(frozen=True, eq=False)
class Index:
    """Where each photograph lies, and its label.

    Attributes
    ----------
    root : Path
        Folder of the files.
    labels : ndarray
        (n,) uint8 codes into `LABELS`.
    names : Names
        What each photograph is called, wherever it lies; of ImageNet ``n02121620/n02121620_10.JPEG``.
    files : Names
        Paths relative to the root. Of plain files it may be `names` itself, which saves its memory.
    container : ndarray
        (n,) int32: which of the files holds the photograph.
    offset, size : ndarray
        (n,) int64: its first byte there and how many bytes it has. A plain file has offset 0.
    description : str
    checksum : ndarray or None
        (n,) uint32: CRC-32 of each photograph's bytes, where they were known when the index was made (shards).
    """

    root: Path
    labels: np.ndarray
    names: Names
    files: Names
    container: np.ndarray
    offset: np.ndarray
    size: np.ndarray
    description: str = ""
    checksum: np.ndarray | None = None

    def __post_init__(self) -> None:
        n = len(self.names)
        wanted = {"labels": np.uint8, "container": np.int32, "offset": np.int64, "size": np.int64}
        wanted |= {"checksum": np.uint32} if self.checksum is not None else {}
        for name, dtype in wanted.items():
            array = getattr(self, name)
            if array.shape != (n,) or array.dtype != dtype:
                raise LsegreproError(f"an index of {n} photographs needs {name} of shape ({n},) and type "
                                     f"{np.dtype(dtype)}, got {array.shape} and {array.dtype}")
        for name, top in (("labels", len(LABELS)), ("container", len(self.files))):
            array = getattr(self, name)
            if n and not 0 <= array.min() <= array.max() < top:
                raise LsegreproError(f"an index has {name} outside [0, {top})")
        if n and (self.offset.min() < 0 or self.size.min() <= 0):
            raise LsegreproError("an index has a photograph with a negative offset or no bytes")
        if n and self.size.max() > MAX_BYTES:
            raise LsegreproError(f"an index has a photograph of more than {MAX_BYTES:,} bytes")

    def __len__(self) -> int:
        return len(self.names)

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays in memory."""
        names = {id(n): n.blob.nbytes + n.ends.nbytes for n in (self.names, self.files)}
        return sum(names.values()) + sum(getattr(self, a).nbytes for a in ("labels", "container", "offset", "size"))

    @property
    def counts(self) -> dict[str, int]:
        """Photographs of each label."""
        found = np.bincount(self.labels, minlength=len(LABELS))
        return {label: int(found[code]) for code, label in enumerate(LABELS)}

    @cached_property
    def digest(self) -> str:
        """SHA-256 of labels, names and sizes: the same photographs have one digest in folders and in tars."""
        total = hashlib.sha256()
        for array in (self.labels, self.names.blob, self.names.ends, self.size):
            total.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")))
        return total.hexdigest()

    def take(self, rows: np.ndarray) -> Index:
        """The index of those rows, in their order; the files stay."""
        names = self.names.take(rows)
        files, container = self.files, self.container[rows]
        if files is self.names:
            files, container = names, np.arange(len(rows), dtype=np.int32)
        checksum = None if self.checksum is None else self.checksum[rows]
        return Index(self.root, self.labels[rows], names, files, container, self.offset[rows], self.size[rows],
                     self.description, checksum)

    def where(self, index: int) -> str:
        """A photograph and the file it lies in, for a reader."""
        name, file = self.names[index], self.files[int(self.container[index])]
        return f"{self.root / file}" if file.endswith(name) else f"{name} in {self.root / file}"

    def read(self, index: int) -> bytes:
        """The encoded bytes of photograph `index`. Threads and forked processes may call it at once.

        Raises
        ------
        LsegreproError
            If its file is gone, ends before the photograph does, or holds other bytes than were prepared.
        """
        try:
            file = self._opened(int(self.container[index]))
            offset, size = int(self.offset[index]), int(self.size[index])
            # Before memory is taken for them: an index may say anything.
            data = os.pread(file.descriptor, max(0, min(size, os.fstat(file.descriptor).st_size - offset)), offset)
            while len(data) < size and (more := os.pread(file.descriptor, size - len(data), offset + len(data))):
                data += more  # one call reads two gigabytes at most, and a network's file system may give less
        except OSError as error:
            raise LsegreproError(f"cannot read {self.where(index)}: {error.strerror or error}; index the photographs "
                                 "again if they have moved") from error
        if len(data) < size:
            raise LsegreproError(f"{self.where(index)} ends after {len(data):,} of {size:,} bytes: it changed since it "
                                 "was indexed; index the photographs again")
        if self.checksum is not None and zlib.crc32(data) != self.checksum[index]:
            raise LsegreproError(f"{self.where(index)} was altered or is damaged: prepare the photographs again")
        return data

    def image(self, index: int) -> np.ndarray:
        """Photograph `index`, prepared: (300, 300, 3) uint8."""
        return images.prepare(images.decode_image(self.read(index), self.where(index)))

    @cached_property
    def _opened(self) -> Callable[[int], _File]:
        return lru_cache(OPEN_FILES)(self._open)

    def _open(self, container: int) -> _File:
        file = self.files[container]
        if PurePosixPath(file).is_absolute() or ".." in PurePosixPath(file).parts:
            raise LsegreproError(f"the index of {self.root} names {file}, outside of it: index the photographs again")
        return _File(self.root / file)

    def __getstate__(self) -> dict:
        return {key: value for key, value in self.__dict__.items() if key != "_opened"}

    def write(self, path: str | Path) -> None:
        """Write the index to a sealed ``.npz``; the root is kept relative to it where it lies beside or below."""
        path = Path(path).absolute()
        root = self.root.absolute()
        if root.is_relative_to(path.parent):
            root = root.relative_to(path.parent)
        arrays = {"labels": self.labels, "names": self.names.blob, "name_ends": self.names.ends,
                  "offset": self.offset, "size": self.size}
        if self.files is not self.names:
            arrays |= {"files": self.files.blob, "file_ends": self.files.ends, "container": self.container}
        if self.checksum is not None:
            arrays["checksum"] = self.checksum
        header = {"root": os.fsencode(root).hex(), "description": self.description, "labels": list(LABELS)}
        write_archive(path, FORMAT, header, arrays)


def read_index(path: str | Path, root: str | Path | None = None) -> Index:
    """Read what `Index.write` wrote.

    Parameters
    ----------
    root : path, optional
        Where the photographs are now; default where they were, as seen from the index.

    Raises
    ------
    LsegreproError
        If the file is absent, damaged or no index.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "a.jpg").write_bytes(b"12345")
    >>> names, zero = Names.pack(["a.jpg"]), np.zeros(1, np.int64)
    >>> index = Index(folder, np.array([1], np.uint8), names, names, np.zeros(1, np.int32), zero, zero + 5)
    >>> index.write(folder / "index.npz")
    >>> again = read_index(folder / "index.npz")
    >>> again.read(0), again.counts, again.digest == index.digest
    (b'12345', {'cat': 0, 'dog': 1, 'background': 0}, True)
    """
    path = Path(path)
    header, arrays = read_archive(path, FORMAT)
    try:
        if tuple(header["labels"]) != LABELS:
            raise LsegreproError(f"its labels are {', '.join(header['labels'])}")
        names = Names(arrays["names"], arrays["name_ends"])
        files, container = names, np.arange(len(names), dtype=np.int32)
        if "files" in arrays:
            files, container = Names(arrays["files"], arrays["file_ends"]), arrays["container"]
        kept = Path(os.fsdecode(bytes.fromhex(header["root"])))
        return Index(Path(root) if root else path.absolute().parent / kept, arrays["labels"], names, files, container,
                     arrays["offset"], arrays["size"], header["description"], arrays.get("checksum"))
    except Exception as error:  # sealed, so another program wrote it: it can hold anything
        raise LsegreproError(f"{path} is refused: {one_line(error)}; index the photographs again") from error


def index_path(source: str | Path) -> Path | None:
    """The index of photographs that a profile names, if there is one.

    It is the file itself, ``index.npz`` in the folder, or, where nothing is to be written into the folder or
    the tar, ``NAME.npz`` beside it.
    """
    source = Path(source)
    for path in (source, source / INDEX, source.parent / f"{source.name}.npz"):
        if path.suffix == ".npz" and is_file(path):
            return path
    return None


def part_of(index: Index, split: str = "train", *, heldout: float = 0.15, fraction: float = 1.0) -> Index:
    """The photographs of a split, by the last part of their names; arguments as in `weak.WeakFolder`."""
    keep = in_split(split, heldout, fraction)
    chosen = np.fromiter((keep(name.rpartition("/")[2]) for name in index.names), bool, len(index))
    part = index.take(np.flatnonzero(chosen))
    counts = ", ".join(f"{count:,} {label}" for label, count in part.counts.items())
    return dataclasses.replace(part, description=f"{len(part):,} photographs with weak labels ({counts}), "
                                                 f"split {split!r}; {index.description}")


class _File:
    """An open file that closes itself when the last thread that reads it lets go."""

    def __init__(self, path: Path) -> None:
        self.file = None
        self.file = open_plain(path, limit=2**63 - 1)  # of a tar only a photograph is read at a time
        self.descriptor = self.file.fileno()

    def __del__(self) -> None:
        if self.file is not None:
            self.file.close()
