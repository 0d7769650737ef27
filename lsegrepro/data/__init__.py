"""Photographs with image labels for training, and photographs with masks for evaluation.

Every source of images is a `WeakSet` or a `SegmentationSet`. Both have a ``digest`` (of the list, not of the pixels)
and a ``description`` for the reader.
"""

from typing import Protocol

import numpy as np

from .. import paper

LABELS = (*paper.CLASSES, "background")
"""The image labels; the code of a label is its position here: cat 0, dog 1, background 2."""


class WeakSet(Protocol):
    """Images known by their label only, (300, 300, 3) uint8; ``sources`` (list of str) may say where each is from."""

    labels: list[str]
    names: list[str]
    digest: str
    description: str

    def __len__(self) -> int: ...
    def image(self, index: int) -> np.ndarray: ...


class SegmentationSet(Protocol):
    """Images (H, W, 3) uint8 with masks (H, W) uint8 of VOC indices, 255 void; for evaluation, never for training."""

    ids: list[str]
    absent: list[str]  # ids that are listed, and whose image or mask is not there
    listed: int
    digest: str
    description: str
    redistributable: bool

    def __len__(self) -> int: ...
    def image(self, index: int) -> np.ndarray: ...
    def mask(self, index: int) -> np.ndarray: ...


def label_codes(weak: WeakSet) -> np.ndarray:
    """Labels of a set as (n,) uint8 positions in `LABELS`; raises ValueError if one is none of those."""
    return np.array([LABELS.index(label) for label in weak.labels], np.uint8)
