"""ImageNet as people have it, read in place: ILSVRC 2012 and the wider archive, in folders or in tars.

`scan` lists the photographs and labels them by synset, `defects.check` decodes each of them once, and what
both had to say is one report.
"""

from __future__ import annotations

import os
from array import array
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ..files import LsegreproError
from ..oldfiles import MAX_BYTES
from . import images, synsets
from .index import LABELS, Index
from .names import Names
from .report import Remark, Report
from .tars import members

INSIDE = ("", "train", "ILSVRC/Data/CLS-LOC/train", "Data/CLS-LOC/train")
"""Folders below a root where synsets may lie, as the copies in use have them."""


@dataclass(frozen=True)
class Part:
    """One synset's folder or tar, or a tar that holds folders of synsets."""

    file: str  # relative to the root; a folder's name ends with a slash
    synset: str = ""
    start: int = 0
    size: int | None = None


@dataclass(frozen=True)
class Batch:
    """Photographs of one synset in one part: names below the synset, first byte, length."""

    file: str
    names: Names
    offset: np.ndarray
    size: np.ndarray

    def file_of(self, name: str) -> str:
        """The file that holds a photograph."""
        return self.file + name if self.file.endswith("/") else self.file


@dataclass
class Found:
    """What has been found: batches by synset, remarks, and tars inside tars that are still to be looked into."""

    batches: dict[str, list[Batch]] = field(default_factory=lambda: defaultdict(list))
    remarks: list[Remark] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)

    def ignore(self, where: str, reason: str) -> None:
        """Remark on something that is passed over."""
        self.remarks.append(Remark("ignored", where, reason))

    def take(self, file: str, synset: str, photographs: list[tuple[str, int, int]]) -> None:
        """Add the photographs of a synset, each (name, offset, size)."""
        self.remarks += [Remark("defect", f"{synset}/{name}", f"no bytes, in {file}")
                         for name, _, size in photographs if not size]
        self.remarks += [Remark("defect", f"{synset}/{name}", f"{size:,} bytes, in {file}: no photograph has so many")
                         for name, _, size in photographs if size > MAX_BYTES]
        photographs = [p for p in photographs if 0 < p[2] <= MAX_BYTES]
        if photographs:
            names, offset, size = zip(*photographs, strict=True)
            self.batches[synset].append(
                Batch(file, Names.pack(names), np.array(offset, np.int64), np.array(size, np.int64)))


def scan(root: str | Path, *, progress: bool = True) -> tuple[Index, Report]:
    """List the photographs of an ImageNet and label them; nothing is unpacked, and of a tar only headers are read.

    A root may hold, together if need be:

    - folders of synsets with photographs in them, ``n02121620/n02121620_10.JPEG``, also below ``train`` or
      ``ILSVRC/Data/CLS-LOC/train``;
    - tars of synsets, ``n02121620.tar``, as the wider archive has them;
    - any other tar, ``ILSVRC2012_img_train.tar`` say, with tars or folders of synsets in it. The root may itself be
      such a tar.

    A photograph's label is that of its synset (`synsets.label`): cat and dog are what WordNet has below them;
    the photographs of synsets above them are left out, and counted, because they may hold a cat or a dog and so
    are no background. A photograph that occurs twice under one name is taken once, from the first place in the
    order of names. Everything that is passed over is in the report with its reason.

    Parameters
    ----------
    root : path
    progress : bool

    Returns
    -------
    Index
        Sorted by name, ``synset/file``; the same photographs in folders and in tars give the same names and digest.
    Report

    Raises
    ------
    LsegreproError
        If there is no such root, it cannot be read, or it holds no photograph in any synset.
    """
    root = Path(root)
    try:
        found = _scan(root, progress)
    except OSError as error:
        raise LsegreproError(f"cannot read {error.filename or root}: {error.strerror or error}") from error
    left_out = {}
    for synset in sorted(found.batches):
        if synsets.label(synset) is None:
            left_out[synset] = sum(len(batch.names) for batch in found.batches.pop(synset))
    if not found.batches:
        raise LsegreproError(f"no photograph of any synset in {root}: an ImageNet has folders nXXXXXXXX, tars "
                             "nXXXXXXXX.tar, or one tar of them")
    index = _index(root if root.is_dir() else root.parent, found)
    held = {label: sum(synsets.label(synset) == label for synset in found.batches) for label in LABELS}
    return index, Report(index.counts, held, left_out, found.remarks)


def is_imagenet(root: str | Path) -> bool:
    """Whether a folder holds synsets or ILSVRC's tar of them, by the names in it; any tar may be an ImageNet."""
    root = Path(root)
    try:
        return root.suffix == ".tar" if root.is_file() else any(
            part.synset or part.file.endswith("ILSVRC2012_img_train.tar") for part in _parts(root, Found()))
    except OSError:
        return False


def _scan(root: Path, progress: bool) -> Found:
    total = Found()
    if root.is_file():
        base, parts = root.parent, [_tar(root.name)]
    elif root.is_dir():
        base, parts = root, list(_parts(root, total))
    else:
        raise LsegreproError(f"no ImageNet at {root}: there is no such folder or tar")
    # The system's calls and the disk take the time, outside Python's lock; results come in the order of parts.
    with ThreadPoolExecutor() as pool, tqdm(desc="synsets", unit="synset", disable=not progress) as bar:
        while parts:
            deeper = []
            for found in pool.map(partial(_look, base), parts):
                for synset, batches in found.batches.items():
                    total.batches[synset] += batches
                total.remarks += found.remarks
                deeper += found.parts
                bar.update(not found.parts)
            parts = deeper
    return total


def _tar(file: str) -> Part:
    """A tar, and the synset whose it is by its name, if any."""
    name, dot, end = file.rpartition("/")[2].rpartition(".tar")
    return Part(file, name if dot and not end and synsets.PATTERN.fullmatch(name) else "")


def _parts(root: Path, found: Found) -> Iterator[Part]:
    """What a root holds, in the order of names; anything else in it is told to `found`."""
    for inside in INSIDE:
        if not (root / inside).is_dir():
            continue
        for name in sorted(os.listdir(root / inside)):
            path = f"{inside}/{name}" if inside else name
            folder = (root / path).is_dir()
            if folder and synsets.PATTERN.fullmatch(name):
                yield Part(f"{path}/", name)
            elif name.endswith(".tar") and (root / path).is_file():
                yield _tar(path)
            elif not any(f"{deeper}/".startswith(f"{path}/") for deeper in INSIDE):
                found.ignore(path, "neither a synset nor a tar")


def _look(base: Path, part: Part) -> Found:
    found = Found()
    if part.file.endswith("/"):
        _look_in_folder(base, part, found)
    else:
        _look_in_tar(base, part, found)
    return found


def _look_in_folder(base: Path, part: Part, found: Found) -> None:
    photographs = []
    with os.scandir(base / part.file) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if not _is_photograph(entry.name):
                found.ignore(part.file + entry.name, "no photograph, by its name")
            elif not entry.is_file():  # a link is followed: this is the user's own disk
                found.ignore(part.file + entry.name, "no file, or a link that leads nowhere")
            else:
                photographs.append((entry.name, 0, entry.stat().st_size))
    found.take(part.file, part.synset, photographs)


def _look_in_tar(base: Path, part: Part, found: Found) -> None:
    here = f"{part.file}/{part.synset}.tar" if part.size is not None else part.file  # the outer tar comes first

    def ignored(name: str, reason: str) -> None:
        found.ignore(f"{here}/{name}" if name else here, reason)

    photographs, nowhere = defaultdict(list), 0
    with open(base / part.file, "rb") as file:
        for member in members(file, ignored, part.start, part.size):
            *folders, name = [step for step in member.name.split("/") if step not in ("", ".")] or [""]
            synset = part.synset
            if folders and synsets.PATTERN.fullmatch(folders[-1]):
                synset, folders = folders[-1], []
            if not synset and (inner := _tar(name).synset):
                found.parts.append(Part(part.file, inner, member.offset, member.size))
            elif not _is_photograph(name):
                ignored(member.name, "no photograph, by its name")
            elif not synset:
                nowhere += 1
            else:
                photographs[synset].append(("/".join([*folders, name]), member.offset, member.size))
    for synset, held in photographs.items():
        found.take(part.file, synset, held)
    if nowhere:
        ignored("", f"{nowhere:,} photographs in no synset")


def _is_photograph(name: str) -> bool:
    """Whether a file's name says so. One that begins with a dot is a file system's own."""
    return not name.startswith(".") and name.lower().endswith(images.EXTENSIONS)


def _index(base: Path, found: Found) -> Index:
    order = sorted(found.batches)
    # The folder that holds the synsets, if all photographs are plain files in one: then a name is also a path.
    homes = {batch.file.removesuffix(f"{synset}/") if batch.file.endswith("/") else None
             for synset in order for batch in found.batches[synset]}
    plain = len(homes) == 1 and None not in homes
    codes, offsets, sizes, container = array("B"), array("q"), array("q"), array("i")
    numbers: dict[str, int] = {}

    def names() -> Iterator[str]:
        for synset in order:
            code = LABELS.index(synsets.label(synset))
            for name, batch, offset, size in _once(synset, found):
                codes.append(code)
                offsets.append(offset)
                sizes.append(size)
                container.append(len(container) if plain else
                                 numbers.setdefault(batch.file_of(name), len(numbers)))
                yield f"{synset}/{name}"

    packed = Names.pack(names())
    return Index(base / homes.pop() if plain else base, np.array(codes, np.uint8), packed,
                 packed if plain else Names.pack(numbers), np.array(container, np.int32),
                 np.array(offsets, np.int64), np.array(sizes, np.int64), "ImageNet, not checked")


def _once(synset: str, found: Found) -> Iterator[tuple[str, Batch, int, int]]:
    """Photographs of a synset in the order of names, each name once."""
    batches = found.batches[synset]
    rows = [(name, k, -int(offset), int(size)) for k, batch in enumerate(batches)
            for name, offset, size in zip(batch.names, batch.offset, batch.size, strict=True)]
    rows.sort()  # the first part comes first, and of one tar the last member: that is the one unpacking leaves
    kept = [row for i, row in enumerate(rows) if i == 0 or row[0] != rows[i - 1][0]]
    if len(kept) < len(rows):
        found.ignore(synset, f"{len(rows) - len(kept):,} photographs whose name occurs before")
    return ((name, batches[k], -offset, size) for name, k, offset, size in kept)
