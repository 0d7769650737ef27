"""Where photographs come from. Two kinds of set, whatever the source.

A *weak set* yields an image and its label::

    len(s), s.labels: list[str], s.names: list[str], s.image(i) -> (300, 300, 3) uint8

A *segmentation set* yields an image and its mask::

    len(s), s.ids: list[str], s.absent: list[str], s.listed: int,
    s.image(i) -> (H, W, 3) uint8, s.mask(i) -> (H, W) uint8 of VOC indices, 255 void

Both have a ``digest`` (of the list, not of the pixels) and a ``description`` for the reader.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np


class WeakSet(Protocol):
    """Images known by their label only."""

    labels: list[str]
    names: list[str]
    digest: str
    description: str

    def __len__(self) -> int: ...
    def image(self, index: int) -> np.ndarray: ...


class SegmentationSet(Protocol):
    """Images with a mask of their pixels; used for evaluation, never for training."""

    ids: list[str]
    absent: list[str]
    listed: int
    digest: str
    description: str
    redistributable: bool

    def __len__(self) -> int: ...
    def image(self, index: int) -> np.ndarray: ...
    def mask(self, index: int) -> np.ndarray: ...
