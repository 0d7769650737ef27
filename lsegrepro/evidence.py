"""What a scored model leaves behind: enough for every number of the book, and no photograph.

Two kinds of file. *Regions*: once per data split and superpixel parameters, how many
pixels of cat, of dog and of anything else each superpixel holds. *Scores*: per model,
class, round, seed and split, the order statistic of each superpixel (so the majority vote
at every theta), histograms of the raw pixel scores, and the image scores of the N patches.

Each is a compressed ``.npz`` that ``numpy.load`` opens without pickle, in the same bytes for
the same content. The last 64 bytes are the SHA-256 of all bytes before them (the zip
archive's comment), so any change of the file shows; the header holds a digest of the content,
which does not depend on the compressor. Needs numpy alone.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from . import __version__, files, paper
from .errors import LsegreproError
from .superpixels import Superpixels, order_statistic, superpixel_sizes

VERSION = 1
"""Version of both formats; a reader refuses any other."""

VOID = 255
"""Mask value that no count includes, as in VOC's own evaluation."""

COLUMNS = (*paper.CLASSES, "other")
"""Columns of `Regions.counts`; other is background and every other class, void left out."""

GRID = 200
"""The raw histograms are exact at theta = b / GRID, b = 0 .. GRID - 1 (steps of 0.005)."""

GRID_CODES = np.floor(np.arange(GRID) / GRID * 65535).astype(np.int64)
"""code > GRID_CODES[b] exactly when code > theta * 65535 at theta = b / GRID."""

META_KEYS = ("model", "class", "round", "seed", "split", "weights_sha256", "arguments", "device")
"""What the author of a scores file says; regions and package version are added."""

_BIN = np.searchsorted(GRID_CODES, np.arange(65536)).astype(np.int64)  # thetas of the grid a code exceeds


@dataclass(frozen=True, eq=False)
class Regions:
    """What the ground truth says of each superpixel; n images, T superpixels in all.

    Attributes
    ----------
    split : str
        For example ``"val"``.
    data_digest : str
        Digest of the segmentation set.
    superpixels : Superpixels
    ids, absent : tuple of str
        Images counted, in order, and images listed but not at hand.
    listed : int
        Images on the official list.
    sizes : ndarray
        (n, 2) int32, height and width in pixels.
    offsets : ndarray
        (n + 1,) int64; superpixels offsets[i] : offsets[i + 1] belong to image i.
    counts : ndarray
        (T, 3) uint32, pixels of cat, dog and other in each superpixel, void left out.
    label_checksums : ndarray
        (n,) uint32, CRC-32 of each label map: tells whether two machines cut an image alike.
    """

    split: str
    data_digest: str
    superpixels: Superpixels
    ids: tuple[str, ...]
    absent: tuple[str, ...]
    listed: int
    sizes: np.ndarray
    offsets: np.ndarray
    counts: np.ndarray
    label_checksums: np.ndarray

    def __post_init__(self) -> None:
        object.__setattr__(self, "ids", tuple(self.ids))
        object.__setattr__(self, "absent", tuple(self.absent))
        n, names = len(self.ids), (*self.ids, *self.absent)
        _require(n >= 1 and len(set(names)) == len(names) and all(isinstance(i, str) and i for i in names),
                 "image ids must be distinct names, at least one of them present")
        _require(isinstance(self.listed, int) and self.listed >= len(names),
                 f"listed is {self.listed} but {len(names)} images are named")
        _freeze(self, "sizes", np.int32, (n, 2))
        _freeze(self, "offsets", np.int64, (n + 1,))
        _require(self.offsets[0] == 0 and (np.diff(self.offsets) >= 1).all(),
                 "offsets must start at 0 and give each image a superpixel")
        _freeze(self, "counts", np.uint32, (int(self.offsets[-1]), len(COLUMNS)))
        _freeze(self, "label_checksums", np.uint32, (n,))
        areas = self.sizes.astype(np.int64).prod(axis=1)
        _require((self.sizes > 0).all() and (self.totals.sum(axis=1) <= areas).all()
                 and (np.diff(self.offsets) <= areas).all(), "an image has more pixels counted than it holds")

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def totals(self) -> np.ndarray:
        """Pixels of cat, dog and other in each image: (n, 3) int64."""
        return np.add.reduceat(self.counts.astype(np.int64), self.offsets[:-1], axis=0)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the whole content; scores name the regions they belong to by it."""
        return _content_digest(*self._parts())

    def summary(self) -> dict[str, Any]:
        """What scores repeat of their regions, so that a mismatch can be named."""
        return {"split": self.split, "images": len(self), "superpixels": asdict(self.superpixels),
                "data_digest": self.data_digest, "digest": self.digest}

    def pixels(self, cls: str) -> tuple[np.ndarray, np.ndarray]:
        """Foreground and background pixels of each superpixel for a class: (T,), (T,) int64."""
        if cls not in paper.CLASSES:
            raise LsegreproError(f"unknown class {cls!r}; choose one of {', '.join(paper.CLASSES)}")
        counts = self.counts.astype(np.int64)
        foreground = counts[:, COLUMNS.index(cls)]
        return foreground, counts.sum(axis=1) - foreground

    def _parts(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        header = {"split": self.split, "data_digest": self.data_digest, "listed": self.listed,
                  "superpixels": asdict(self.superpixels), "ids": list(self.ids), "absent": list(self.absent)}
        names = ("sizes", "offsets", "counts", "label_checksums")
        return header, {name: getattr(self, name) for name in names}


@dataclass(frozen=True, eq=False)
class Scores:
    """What one model says of each superpixel and image, for one class.

    Attributes
    ----------
    meta : dict
        `META_KEYS`, ``regions`` (`Regions.summary`) and ``package_version``.
    statistics : ndarray
        (T,) uint16, order statistic of the pixel codes of each superpixel.
    foreground, background : ndarray
        (n, GRID + 1) uint32, histograms of the pixel codes inside and outside the class
        mask, void left out. Bin b holds the pixels whose code exceeds exactly b thetas of
        the grid, so the pixels above theta = b / GRID are those of the bins b + 1 and up.
    image_scores : ndarray
        (n, 2) float32 in [-1, 1], largest foreground and background score of the N test patches.
    """

    meta: dict[str, Any]
    statistics: np.ndarray
    foreground: np.ndarray
    background: np.ndarray
    image_scores: np.ndarray

    def __post_init__(self) -> None:
        missing = [key for key in (*META_KEYS, "regions", "package_version") if key not in self.meta]
        _require(not missing, f"the header lacks {', '.join(missing)}")
        _require(self.meta["class"] in paper.CLASSES, f"unknown class {self.meta['class']!r}")
        _require(isinstance(self.meta["regions"], Mapping) and "digest" in self.meta["regions"],
                 "the header does not name its regions")
        n = len(self.image_scores)
        _freeze(self, "statistics", np.uint16, (len(self.statistics),))
        _freeze(self, "foreground", np.uint32, (n, GRID + 1))
        _freeze(self, "background", np.uint32, (n, GRID + 1))
        _freeze(self, "image_scores", np.float32, (n, 2))
        _require(np.isfinite(self.image_scores).all(), "image_scores holds values that are not finite")
        _require((np.abs(self.image_scores) <= 1).all(),
                 "image_scores must lie in [-1, 1]: a tanh bounds them")

    @property
    def cls(self) -> str:
        """The class scored, cat or dog."""
        return self.meta["class"]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the whole content, header included."""
        return _content_digest(*self._parts())

    def check(self, regions: Regions) -> None:
        """Raise `LsegreproError`, saying what differs, unless these scores belong to `regions`."""
        mine, theirs = self.meta["regions"], regions.summary()
        differing = [f"{k} {mine.get(k)!r} against {v!r}" for k, v in theirs.items() if mine.get(k) != v]
        _require(not differing, "the scores belong to other regions: " + "; ".join(differing))
        _require(len(self.statistics) == len(regions.counts) and len(self.image_scores) == len(regions),
                 f"{len(self.statistics)} superpixels of {len(self.image_scores)} images, the regions have "
                 f"{len(regions.counts)} of {len(regions)}")
        totals = regions.totals[:, COLUMNS.index(self.cls)]
        wrong = ((self.foreground.sum(axis=1, dtype=np.int64) != totals)
                 | (self.background.sum(axis=1, dtype=np.int64) != regions.totals.sum(axis=1) - totals))
        _require(not wrong.any(), "the histograms do not add up to the pixels of "
                 f"{regions.ids[int(wrong.argmax())]} ({int(wrong.sum())} images in all)")

    def _parts(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        names = ("statistics", "foreground", "background", "image_scores")
        return self.meta, {name: getattr(self, name) for name in names}


@dataclass
class RegionsBuilder:
    """Assemble `Regions` image by image.

    >>> builder = RegionsBuilder("val", "d1", Superpixels(), absent=["b"], listed=2)
    >>> builder.add("a", np.array([[0, 0, 1]]), np.array([[8, 0, 255]], np.uint8))
    >>> builder.build().counts.tolist()
    [[1, 0, 1], [0, 0, 0]]
    """

    split: str
    data_digest: str
    superpixels: Superpixels
    absent: list[str]
    listed: int
    _rows: list[tuple] = field(default_factory=list, repr=False)

    def add(self, name: str, labels: np.ndarray, mask: np.ndarray) -> None:
        """Count an image: labels (H, W) of `superpixels.oversegment`, mask (H, W) uint8 of VOC indices."""
        superpixels = len(superpixel_sizes(labels))
        _same_shape(name, labels, mask)
        column = np.full(256, 2)
        column[[*(paper.VOC_INDEX[cls] for cls in paper.CLASSES), VOID]] = (0, 1, 3)
        cells = np.bincount(labels.ravel() * 4 + column[mask.ravel()], minlength=4 * superpixels)
        self._rows.append((name, labels.shape, cells.reshape(-1, 4)[:, :3], _checksum(labels)))

    def build(self) -> Regions:
        """The regions of the images added so far, in their order."""
        _require(self._rows, "no image was added")
        ids, sizes, counts, checksums = zip(*self._rows, strict=True)
        return Regions(
            self.split, self.data_digest, self.superpixels, ids, tuple(self.absent), self.listed,
            sizes=np.array(sizes, np.int32),
            offsets=np.cumsum([0, *map(len, counts)], dtype=np.int64),
            counts=np.concatenate(counts).astype(np.uint32),
            label_checksums=np.array(checksums, np.uint32),
        )


@dataclass
class ScoresBuilder:
    """Assemble `Scores` image by image, in the order of the regions, checking each against them.

    Parameters
    ----------
    regions : Regions
    meta : dict
        Exactly `META_KEYS`.
    """

    regions: Regions
    meta: dict[str, Any]
    _rows: list[tuple] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        wrong = set(META_KEYS) ^ set(self.meta)
        _require(not wrong, f"meta must have exactly {', '.join(META_KEYS)}; wrong: {sorted(wrong)}")
        _require(self.meta["class"] in paper.CLASSES, f"unknown class {self.meta['class']!r}")

    def add(self, codes: np.ndarray, labels: np.ndarray, mask: np.ndarray, image_scores: np.ndarray) -> None:
        """Add the next image.

        Parameters
        ----------
        codes : ndarray
            (H, W) uint16, floor(p * 65535) of every pixel.
        labels, mask : ndarray
            (H, W), those the regions were made of.
        image_scores : array_like
            (2,), largest foreground and background score of the N test patches.

        Raises
        ------
        LsegreproError
            If the superpixels or the mask are not those of the regions.
        """
        index = len(self._rows)
        _require(index < len(self.regions), f"one image more than the {len(self.regions)} of the regions")
        name = self.regions.ids[index]
        _same_shape(name, labels, mask)
        _require(_checksum(labels) == self.regions.label_checksums[index],
                 f"the superpixels of {name} are not those of the regions; compute the regions again here")
        inside = mask == paper.VOC_INDEX[self.meta["class"]]
        bins = _BIN[codes]
        foreground = np.bincount(bins[inside], minlength=GRID + 1)
        background = np.bincount(bins[~inside & (mask != VOID)], minlength=GRID + 1)
        image_scores = np.asarray(image_scores, np.float32)
        self._rows.append((order_statistic(codes, labels), foreground, background, image_scores))

    def build(self) -> Scores:
        """The scores; every image of the regions must have been added."""
        _require(len(self._rows) == len(self.regions),
                 f"{len(self._rows)} of {len(self.regions)} images were added")
        statistics, foreground, background, image_scores = zip(*self._rows, strict=True)
        meta = {**self.meta, "regions": self.regions.summary(), "package_version": __version__}
        scores = Scores(
            meta=json.loads(json.dumps(meta)),  # as it will be read back: lists, not tuples
            statistics=np.concatenate(statistics),
            foreground=np.array(foreground, np.uint32),
            background=np.array(background, np.uint32),
            image_scores=np.array(image_scores, np.float32),
        )
        scores.check(self.regions)
        return scores


def write_regions(path: str | Path, regions: Regions) -> None:
    """Write regions atomically; the same content gives the same bytes."""
    _write(path, "lsegrepro regions", *regions._parts())


def read_regions(path: str | Path) -> Regions:
    """Read regions; `LsegreproError` names the file and what is wrong with it."""
    header, arrays = _read(path, "lsegrepro regions")
    try:
        return Regions(**{**header, "superpixels": Superpixels(**header["superpixels"])}, **arrays)
    except (LsegreproError, TypeError, KeyError) as error:
        raise LsegreproError(f"{path} is refused: {error}") from error


def write_scores(path: str | Path, scores: Scores) -> None:
    """Write scores atomically; the same content gives the same bytes."""
    _write(path, "lsegrepro scores", *scores._parts())


def read_scores(path: str | Path, regions: Regions | None = None) -> Scores:
    """Read scores; given `regions`, refuse scores that belong to others, saying what differs."""
    header, arrays = _read(path, "lsegrepro scores")
    try:
        scores = Scores(header, **arrays)
        if regions is not None:
            scores.check(regions)
    except (LsegreproError, TypeError) as error:
        raise LsegreproError(f"{path} is refused: {error}") from error
    return scores


def _write(path: str | Path, kind: str, header: dict, arrays: dict[str, np.ndarray]) -> None:
    head = {"format": kind, "version": VERSION, "digest": _content_digest(header, arrays), "content": header}
    text = np.frombuffer(json.dumps(head, sort_keys=True).encode(), np.uint8)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in {"header": text, **arrays}.items():
            # numpy.savez would stamp the hour into the file; these fields are the same for ever.
            info = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            info.compress_type, info.create_system = zipfile.ZIP_DEFLATED, 3
            member = io.BytesIO()
            np.lib.format.write_array(member, _little(array), version=(1, 0), allow_pickle=False)
            archive.writestr(info, member.getvalue(), compresslevel=9)
        archive.comment = b"0" * 64
    body = buffer.getvalue()[:-64]
    with files.atomic(path) as temporary:
        temporary.write_bytes(body + hashlib.sha256(body).hexdigest().encode())


def _read(path: str | Path, kind: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise LsegreproError(f"cannot read {path}: {error.strerror or error}") from error
    if hashlib.sha256(data[:-64]).hexdigest().encode() != data[-64:]:
        raise LsegreproError(f"{path} is refused: {_damage(data)}; fetch or compute it again")
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            arrays = {name: _native(archive[name]) for name in archive.files}
        head = json.loads(arrays.pop("header").tobytes())
        found, number = head["format"], head["version"]
    except Exception as error:  # the seal holds, so another program wrote it: it can hold anything
        raise LsegreproError(f"{path} is refused: not a file of the format {kind!r} ({error})") from error
    if (found, number) != (kind, VERSION):
        raise LsegreproError(
            f"{path} is refused: it is {found!r} version {number}, wanted {kind!r} version {VERSION}; "
            "use the lsegrepro that wrote it or compute it again"
        )
    actual = _content_digest(head["content"], arrays)
    if actual != head["digest"]:
        raise LsegreproError(f"{path} is refused: its content has the digest {actual[:16]}, its header says "
                             f"{str(head['digest'])[:16]}; it was altered")
    return head["content"], arrays


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


def _content_digest(header: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> str:
    total = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name in sorted(arrays):
        array = _little(arrays[name])
        total.update(f"\n{name} {array.dtype.str} {array.shape}\n".encode())
        total.update(array)
    return total.hexdigest()


def _little(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<"))


def _native(array: np.ndarray) -> np.ndarray:
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _checksum(labels: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(labels, "<i4"))


def _freeze(record: object, name: str, kind: type, shape: tuple[int, ...]) -> None:
    """Check the shape and type of an array and keep a read-only copy."""
    array = np.array(getattr(record, name))
    _require(array.shape == shape and array.dtype == kind,
             f"{name} must be {shape} {np.dtype(kind)}, got {array.shape} {array.dtype}")
    array.flags.writeable = False
    object.__setattr__(record, name, array)


def _same_shape(name: str, labels: np.ndarray, mask: np.ndarray) -> None:
    _require(mask.shape == labels.shape and mask.dtype == np.uint8,
             f"the mask of {name} must be {labels.shape} uint8, got {mask.shape} {mask.dtype}")


def _require(good: object, message: str) -> None:
    if not good:
        raise LsegreproError(message)
