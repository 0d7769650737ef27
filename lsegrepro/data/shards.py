"""Photographs prepared once and for all: WebDataset tars of 300-pixel JPEGs, with an index.

A folder of shards holds::

    000000.tar ...   members {key}.jpg and {key}.json (label, class, name); key is the photograph's number in the source
    000000.json ...  the tar's SHA-256, where each photograph lies in it with its CRC-32, and which could not be read
    index.npz        `data.index.Index` of all of them: training reads the tars in place by it
    shards.json      what was prepared and how, the digests, and every defective photograph with its reason

A JPEG of quality 95 with colour at full resolution (4:4:4) moves a pixel's value by 0.45 grey levels
on average, 1.3 in the worst photograph (120 of VOC and Oxford-IIIT Pet, mean of absolute differences).
Of a prepared photograph nothing more is scaled when it is read.
"""

from __future__ import annotations

import io
import json
import tarfile
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from .. import paper
from ..files import LsegreproError
from ..oldfiles import atomic, digest, is_file, is_lost, read_json, sha256, write_json
from . import WeakSet
from .index import INDEX, LABELS, Index, index_path, part_of, read_index
from .names import Names

QUALITY = 95
RECORD = "shards.json"


def spread(codes: np.ndarray, shards: int) -> list[np.ndarray]:
    """Assign photographs to shards: as many of each label in each, and mixed inside, whatever their order.

    Parameters
    ----------
    codes : ndarray
        (n,) uint8 labels.
    shards : int
        How many; at most n are made.

    Returns
    -------
    list of ndarray
        Numbers of the photographs of each shard, (about n / shards,) int64. The counts of a label, and
        of all, differ by one at most between two shards.

    >>> codes = np.array([0, 0, 1, 1, 2, 2, 2], np.uint8)
    >>> [np.bincount(codes[part]).tolist() for part in spread(codes, 2)]
    [[1, 1, 2], [1, 1, 1]]
    """
    mixed = _mix(np.arange(len(codes), dtype=np.uint64))
    order = np.lexsort((mixed, codes))  # label by label, in an order that has nothing to do with names
    shards = max(1, min(shards, len(codes)))
    parts = (order[k::shards] for k in range(shards))
    return [part[np.argsort(mixed[part])] for part in parts]


def _mix(number: np.ndarray) -> np.ndarray:
    """Scramble 64-bit numbers one to one (the finaliser of SplitMix64): the same on every machine, for ever."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        number = (number ^ (number >> np.uint64(shift))) * np.uint64(factor)
    return number ^ (number >> np.uint64(31))


@dataclass(frozen=True)
class Shard:
    """What `Maker.shard` did: whether it made the shard, of how many photographs, in which processor time."""

    made: bool
    photographs: int
    cpu_seconds: float


@dataclass(frozen=True)
class Maker:
    """Makes one shard at a time, in whatever process.

    Attributes
    ----------
    source : weak set
    codes : ndarray
        (n,) uint8, its labels.
    out : Path
        Folder of the shards.
    plan : dict
        What is prepared and how; a shard of another plan is made anew.
    """

    source: WeakSet
    codes: np.ndarray
    out: Path
    plan: dict

    def shard(self, number: int, rows: np.ndarray) -> Shard:
        """Write a shard and, when it is whole, its record; or find both there."""
        tar, record = (self.out / f"{number:06d}{suffix}" for suffix in (".tar", ".json"))
        if self._is_there(tar, record):
            return Shard(False, 0, 0.0)
        begun = time.process_time()
        found, defective = [], {}
        with atomic(tar) as temporary:
            with tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as archive:
                for row in rows.tolist():
                    try:
                        image = self.source.image(row)
                    except LsegreproError as error:
                        if is_lost(error):
                            raise
                        defective[row] = str(error)
                        continue
                    data, label = encode(image), int(self.codes[row])
                    said = {"label": LABELS[label], "class": label, "name": self.source.names[row]}
                    found.append((row, _add(archive, f"{row:09d}.jpg", data), len(data), zlib.crc32(data)))
                    _add(archive, f"{row:09d}.json", json.dumps(said).encode())
            whole = sha256(temporary)
        row, offset, size, crc = map(list, zip(*found, strict=True)) if found else ([], [], [], [])
        said = {"plan": self.plan, "sha256": whole, "row": row, "offset": offset, "size": size, "crc": crc,
                "defective": {str(row): reason for row, reason in defective.items()}}
        write_json(record, said | {"digest": digest(said)})
        return Shard(True, len(rows), time.process_time() - begun)

    def _is_there(self, tar: Path, record: Path) -> bool:
        try:
            said = read_json(record)
            seal = said.pop("digest", None)
            return seal == digest(said) and said["plan"] == self.plan and is_file(tar) and said["sha256"] == sha256(tar)
        except (LsegreproError, OSError, KeyError):
            return False


def encode(image: np.ndarray) -> bytes:
    """A prepared photograph (300, 300, 3) uint8 as JPEG.

    >>> encode(np.zeros((300, 300, 3), np.uint8))[:2].hex()
    'ffd8'
    """
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=QUALITY, subsampling="4:4:4")
    return file.getvalue()


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> int:
    """Append a member that bears neither date nor owner; return where its data begin."""
    member = tarfile.TarInfo(name)
    member.size = len(data)
    offset = archive.offset + tarfile.BLOCKSIZE  # after the header, one block in this format
    archive.addfile(member, io.BytesIO(data))
    return offset


def gather(
    source: WeakSet, codes: np.ndarray, out: Path, shards: int
) -> tuple[Index, dict[str, str], list[dict[str, object]]]:
    """Index, defective photographs and digests, from the records of all shards."""
    pieces, reasons, tars = [], {}, []
    for number in range(shards):
        said = read_json(out / f"{number:06d}.json")
        here = np.array([said["row"], said["offset"], said["size"], said["crc"]], np.int64)  # (4, photographs)
        pieces.append(np.vstack([here, np.full_like(here[:1], number)]))
        reasons |= {int(row): reason for row, reason in said["defective"].items()}
        tars.append({"file": f"{number:06d}.tar", "sha256": said["sha256"], "photographs": here.shape[1]})
    rows, offset, size, crc, container = (found := np.hstack(pieces))[:, np.argsort(found[0])]
    index = Index(
        out, codes[rows], Names.pack(source.names[i] for i in rows.tolist()),
        Names.pack(str(tar["file"]) for tar in tars), container.astype(np.int32), offset.copy(), size.copy(),
        f"prepared at {paper.IMAGE_SIDE} pixels", crc.astype(np.uint32),
    )
    return index, {source.names[row]: reasons[row] for row in sorted(reasons)}, tars


def is_indexed(folder: str | Path) -> bool:
    """Whether photographs have an index (`index.index_path`), or are shards, be they finished or not."""
    return index_path(folder) is not None or is_file(Path(folder) / RECORD)


def open_indexed(
    folder: str | Path, split: str = "train", *, heldout: float = 0.15, fraction: float = 1.0
) -> Index:
    """Open a folder of shards, or any other photographs that have an index (`index.index_path`), as a weak set.

    Parameters
    ----------
    split, heldout, fraction
        As in `weak.WeakFolder`: the same photographs are held out as in the folder that was prepared.

    Raises
    ------
    LsegreproError
        If the preparation was not finished, or the index is damaged or refused.
    """
    path = index_path(folder)
    if path is None:
        raise LsegreproError(f"{folder} has no {INDEX}: the preparation was not finished; run it again, it goes on")
    return part_of(read_index(path), split, heldout=heldout, fraction=fraction)


def reading_rate(weak: WeakSet, *, images: int = 256, threads: int = 1, seed: int = 0) -> dict[str, float]:
    """How fast photographs are read and decoded, in random order as training reads them.

    Parameters
    ----------
    weak : weak set
        Shards (`open_indexed`), a folder, or any other.
    images : int
        How many are read.

    Returns
    -------
    dict
        ``images_per_second``, ``images_per_second_per_core`` (of processor time), ``images``, ``threads``.
    """
    rows = np.random.default_rng(seed).integers(0, len(weak), images).tolist()
    weak.image(rows[0])  # open what is opened once
    begun, cpu = time.monotonic(), time.process_time()
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(weak.image, rows):
            pass
    seconds, cpu = time.monotonic() - begun, time.process_time() - cpu
    return {"images_per_second": images / seconds, "images_per_second_per_core": images / max(cpu, 1e-9),
            "images": images, "threads": threads}
