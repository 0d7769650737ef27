"""Photographs with image labels for training, and photographs with masks for evaluation.

Every source of images is a `WeakSet` or a `SegmentationSet`. Both have a ``digest`` (of the list, not of the pixels)
and a ``description`` for the reader.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from .. import paper
from ..files import LsegreproError

LABELS = (*paper.CLASSES, "background")
"""The image labels; the code of a label is its position here: cat 0, dog 1, background 2."""


class WeakSet(Protocol):
    """Images known by their label only, (300, 300, 3) uint8.

    A set may also have ``sources``, a list of str: where each image comes from, for `sources="balanced"`.
    """

    labels: list[str] | np.ndarray
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
    """Labels of a set as (n,) uint8 positions in `LABELS`, whether it holds words or such codes.

    Raises
    ------
    LsegreproError
        If a label is none of those.
    """
    if isinstance(weak.labels, np.ndarray) and weak.labels.dtype == np.uint8:
        return weak.labels
    code = {label: position for position, label in enumerate(LABELS)}
    try:
        return np.fromiter((code[label] for label in weak.labels), np.uint8, len(weak.labels))
    except KeyError as error:
        raise LsegreproError(f"unknown label {error.args[0]!r}: weak labels are {', '.join(LABELS)}") from error
