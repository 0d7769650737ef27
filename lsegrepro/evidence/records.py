"""Records of evidence: `Regions`, the ground truth in each superpixel, and `Scores`, the scores of a network there."""

from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from .. import paper
from ..config import Superpixels
from ..files import LsegreproError
from .archive import content_digest, read_archive, write_archive

VOID = 255
"""Mask value of pixels that are not counted, as in VOC's own evaluation."""

COLUMNS = (*paper.CLASSES, "other")
"""Columns of `Regions.counts`; other is background and every other class, void left out."""

BOX_FRACTIONS = tuple(step / 20 for step in range(1, 21))
"""Sides of the centred boxes that are counted, as parts of the image's sides."""

GRID = 200
"""The histograms of each image are exact at theta = b / GRID, b = 0 .. GRID - 1 (steps of 0.005)."""

GRID_LIMITS = np.floor(np.arange(GRID) / GRID * 65535).astype(np.int64)
"""prob_u16 > GRID_LIMITS[b] exactly when prob_u16 > theta * 65535 at theta = b / GRID."""

GRID_BINS = np.searchsorted(GRID_LIMITS, np.arange(65536))
"""(65536,) int64, how many thetas of the grid each 16-bit probability exceeds: its bin in the histograms."""


@dataclass(frozen=True, eq=False)
class Regions:
    """Pixels of each class in each superpixel of a split; n images, T superpixels in all.

    Attributes
    ----------
    data_digest : of the segmentation set
    ids, absent : images counted, in order, and images of the official list that are missing
    listed : number of images on the official list
    sizes : (n, 2) int32, height and width in pixels
    offsets : (n + 1,) int64; superpixels offsets[i] : offsets[i + 1] belong to image i
    counts : (T, 3) uint32, pixels of cat, dog and other in each superpixel, void left out
    rings : (n, 20, 3) uint32, the same of the pixels that lie in the centred box of each of `BOX_FRACTIONS` and in no
        smaller one; `boxes` is their cumulative sum, rings compress better
    label_checksums : (n,) uint32, CRC-32 of each label map: tells whether two machines over-segment an image alike
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
    rings: np.ndarray
    label_checksums: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def totals(self) -> np.ndarray:
        """Pixels of cat, dog and other in each image: (n, 3) int64."""
        return np.add.reduceat(self.counts.astype(np.int64), self.offsets[:-1], axis=0)

    @cached_property
    def boxes(self) -> np.ndarray:
        """Pixels of cat, dog and other inside the centred box of each of `BOX_FRACTIONS`: (n, 20, 3) int64."""
        return self.rings.cumsum(axis=1, dtype=np.int64)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the whole content; scores name the regions they belong to by it."""
        return content_digest(*self._parts())

    def summary(self) -> dict[str, Any]:
        """Description of the regions in the header of scores, so that a mismatch can be named."""
        return {"split": self.split, "images": len(self), "superpixels": asdict(self.superpixels),
                "data_digest": self.data_digest, "digest": self.digest}

    def pixels(self, cls: str) -> tuple[np.ndarray, np.ndarray]:
        """Foreground and background pixels of each superpixel for a class: (T,), (T,) int64."""
        counts = self.counts.astype(np.int64)
        foreground = counts[:, COLUMNS.index(cls)]
        return foreground, counts.sum(axis=1) - foreground

    def _parts(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        header = {"split": self.split, "data_digest": self.data_digest, "listed": self.listed,
                  "superpixels": asdict(self.superpixels), "ids": list(self.ids), "absent": list(self.absent)}
        names = ("sizes", "offsets", "counts", "rings", "label_checksums")
        return header, {name: getattr(self, name) for name in names}


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores of one network, for one class, in each superpixel and image.

    A probability p is stored in 16 bits as floor(p * 65535), `prob_u16` throughout.

    Attributes
    ----------
    meta : how they were made: model, class, round, seed, split, weights_sha256, arguments, device, code_digest, regions
        (`Regions.summary`) and package_version
    statistics : (T,) uint16, order statistic of the prob_u16 of each superpixel (`superpixels.order_statistic`)
    foreground, background : (n, GRID + 1) uint32, histograms of the pixels' prob_u16 inside and outside the class mask,
        void left out. Bin b holds the pixels that exceed exactly b thetas of the grid, so the pixels above
        theta = b / GRID are those of the bins b + 1 and up.
    image_scores : (n, 2) float32, largest foreground and background score of the N test patches; of a tanh in [-1, 1]
    foreground_codes, background_codes : (65536,) uint32, histograms of prob_u16 itself over all images, exact at every
        theta (the names are those of the stored arrays). None for train: what is chosen there without superpixels is
        chosen on the grid.
    """

    meta: dict[str, Any]
    statistics: np.ndarray
    foreground: np.ndarray
    background: np.ndarray
    image_scores: np.ndarray
    foreground_codes: np.ndarray | None = None
    background_codes: np.ndarray | None = None

    @property
    def exact(self) -> bool:
        """Whether the histograms are here that are exact at every theta."""
        return self.foreground_codes is not None

    @property
    def cls(self) -> str:
        """The class scored, cat or dog."""
        return self.meta["class"]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the whole content, header included."""
        return content_digest(*self._parts())

    def check(self, regions: Regions) -> None:
        """Raise `LsegreproError`, saying what differs, unless these scores belong to `regions`."""
        stated = self.meta["regions"]
        differing = [f"{key} {stated.get(key)!r} against {value!r}"
                     for key, value in regions.summary().items() if stated.get(key) != value]
        require(not differing, "the scores belong to other regions: " + "; ".join(differing))
        require(len(self.statistics) == len(regions.counts) and len(self.image_scores) == len(regions),
                "the scores have another number of superpixels or images than their regions")
        totals = regions.totals[:, COLUMNS.index(self.cls)]
        wrong = ((self.foreground.sum(axis=1, dtype=np.int64) != totals)
                 | (self.background.sum(axis=1, dtype=np.int64) != regions.totals.sum(axis=1) - totals))
        require(not wrong.any(), "the histograms do not add up to the pixels of "
                f"{regions.ids[int(wrong.argmax())]} ({int(wrong.sum())} images in all)")

    def _parts(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        names = ("statistics", "foreground", "background", "image_scores")
        exact = ("foreground_codes", "background_codes") if self.exact else ()
        return self.meta, {name: getattr(self, name) for name in (*names, *exact)}


def write_regions(path: str | Path, regions: Regions) -> None:
    """Write regions atomically; the same content gives the same bytes."""
    write_archive(path, "lsegrepro regions", *regions._parts())


def read_regions(path: str | Path) -> Regions:
    """Read regions; `LsegreproError` names the file and what is wrong with it."""
    header, arrays = read_archive(path, "lsegrepro regions")
    header |= {"superpixels": Superpixels(**header["superpixels"]), "ids": tuple(header["ids"]),
               "absent": tuple(header["absent"])}
    return Regions(**header, **arrays)


def write_scores(path: str | Path, scores: Scores) -> None:
    """Write scores atomically; the same content gives the same bytes."""
    write_archive(path, "lsegrepro scores", *scores._parts())


def read_scores(path: str | Path, regions: Regions) -> Scores:
    """Read scores of some regions; those of others are refused, saying what differs."""
    header, arrays = read_archive(path, "lsegrepro scores")
    scores = Scores(header, **arrays)
    try:
        scores.check(regions)
    except LsegreproError as error:
        raise LsegreproError(f"{path} is refused: {error}") from error
    return scores


def require(good: object, message: str) -> None:
    """Raise `LsegreproError` unless `good`."""
    if not good:
        raise LsegreproError(message)
