"""Builders of evidence: regions and scores, image by image, from label maps, masks and probabilities."""

import json
import zlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .. import __version__, paper
from ..config import Superpixels
from .records import BOX_FRACTIONS, GRID_BINS, VOID, Regions, Scores, require
from .superpixels import order_statistic, superpixel_sizes


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
        require_mask(name, labels, mask)
        column = np.full(256, 2)
        column[[*(paper.VOC_INDEX[cls] for cls in paper.CLASSES), VOID]] = (0, 1, 3)
        truth = column[mask.ravel()]
        cells = np.bincount(labels.ravel() * 4 + truth, minlength=4 * superpixels)
        rings = np.bincount(smallest_box(*mask.shape).ravel() * 4 + truth, minlength=4 * len(BOX_FRACTIONS))
        counts = (c.reshape(-1, 4)[:, :3] for c in (cells, rings))
        self._rows.append((name, labels.shape, *counts, label_checksum(labels)))

    def build(self) -> Regions:
        """The regions of the images added so far, in their order."""
        require(self._rows, "no image was added")
        ids, sizes, counts, rings, checksums = zip(*self._rows, strict=True)
        return Regions(
            self.split, self.data_digest, self.superpixels, ids, tuple(self.absent), self.listed,
            sizes=np.array(sizes, np.int32), offsets=np.cumsum([0, *map(len, counts)], dtype=np.int64),
            counts=np.concatenate(counts).astype(np.uint32), rings=np.array(rings, np.uint32),
            label_checksums=np.array(checksums, np.uint32),
        )


@dataclass
class ScoresBuilder:
    """Assemble `Scores` image by image, in the order of the regions, checking each against them."""

    regions: Regions
    meta: dict[str, Any]  # of the network and how it scores
    _rows: list[tuple] = field(default_factory=list, repr=False)
    _histograms: np.ndarray = field(default_factory=lambda: np.zeros((2, 65536), np.int64), repr=False)

    def add(self, prob_u16: np.ndarray, labels: np.ndarray, mask: np.ndarray, image_scores: np.ndarray) -> None:
        """Add the next image; raises `LsegreproError` if its superpixels or its mask are not those of the regions.

        Takes prob_u16 (H, W) uint16, floor(p * 65535) of every pixel; the labels and the mask (H, W) that the regions
        were counted on; and the largest foreground and background score of the N test patches, (2,).
        """
        index = len(self._rows)
        name = self.regions.ids[index]
        require_mask(name, labels, mask)
        require(label_checksum(labels) == self.regions.label_checksums[index],
                f"the superpixels of {name} are not those of the regions; compute the regions again here")
        inside = mask == paper.VOC_INDEX[self.meta["class"]]
        rows = np.stack([np.bincount(prob_u16[part], minlength=65536) for part in (inside, ~inside & (mask != VOID))])
        grid = np.stack([np.bincount(GRID_BINS, row) for row in rows])  # (2, GRID + 1)
        self._rows.append((order_statistic(prob_u16, labels), *grid, np.asarray(image_scores, np.float32)))
        self._histograms += rows

    def build(self) -> Scores:
        """The scores; every image of the regions must have been added."""
        statistics, foreground, background, image_scores = zip(*self._rows, strict=True)
        exact = dict(zip(("foreground_codes", "background_codes"), self._histograms.astype(np.uint32), strict=True))
        meta = {**self.meta, "regions": self.regions.summary(), "package_version": __version__}
        scores = Scores(
            meta=json.loads(json.dumps(meta)),  # as it will be read back: lists, not tuples
            statistics=np.concatenate(statistics),
            foreground=np.array(foreground, np.uint32),
            background=np.array(background, np.uint32),
            image_scores=np.array(image_scores, np.float32),
            **(exact if self.regions.split != "train" else {}),
        )
        scores.check(self.regions)
        return scores


def smallest_box(height: int, width: int) -> np.ndarray:
    """For each pixel the place in `BOX_FRACTIONS` of the smallest centred box that holds it.

    The box of a fraction has the rounded fraction of each side; where it cannot be centred, it lies half a pixel
    towards the top or the left. So every box holds the smaller ones. Returns (height, width) int64 in 0 .. 19.

    >>> smallest_box(8, 8)[4].tolist()
    [16, 11, 6, 3, 3, 8, 13, 18]
    """
    rings = []
    for side in (height, width):
        ring = np.empty(side, np.int64)
        for place, fraction in reversed(list(enumerate(BOX_FRACTIONS))):
            length = round(side * fraction)
            start = (side - length) // 2
            ring[start : start + length] = place
        rings.append(ring)
    return np.maximum.outer(*rings)


def label_checksum(labels: np.ndarray) -> int:
    """CRC-32 of a label map, by which two machines tell whether they cut an image alike."""
    return zlib.crc32(np.ascontiguousarray(labels, "<i4"))


def require_mask(name: str, labels: np.ndarray, mask: np.ndarray) -> None:
    """Raise `LsegreproError` unless a mask has the size of its image and the type of masks."""
    require(mask.shape == labels.shape and mask.dtype == np.uint8,
            f"the mask of {name} must be {labels.shape} uint8, got {mask.shape} {mask.dtype}")
