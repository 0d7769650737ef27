"""Error analysis: where the AP is lost, by the kind of wrong pixel and by image."""

from typing import NamedTuple

import numpy as np

from .counts import ap

PARTS = {"hit": "hit", "missed": "missed", "spilled": "false, in images with the class",
         "false_alarms": "false, in images without it"}
"""Keys of `union_shares` to their names."""


def without_false_alarms(counts: np.ndarray, holds: np.ndarray) -> np.ndarray:
    """Counts as if every image without the class were left all background: (..., n, 4).

    What a prediction reaches that is told which images hold the class; `holds` is (n,) bool, `evaluation.present`.

    >>> without_false_alarms(np.array([[1, 2, 3, 4], [0, 5, 0, 6]]), np.array([True, False])).tolist()
    [[1, 2, 3, 4], [0, 0, 0, 11]]
    """
    counts = np.array(counts)
    counts[..., ~holds, 3] += counts[..., ~holds, 1]
    counts[..., ~holds, 1] = 0
    return counts


def union_shares(counts: np.ndarray, holds: np.ndarray) -> dict[str, float]:
    """The `PARTS` of the union of ground truth and prediction: the hits are the AP, the others are where it is lost.

    Pixels are pooled over the images of counts (n, 4) and holds (n,) bool.

    >>> union_shares(np.array([[2, 1, 1, 6], [0, 4, 0, 6]]), np.array([True, False]))
    {'hit': 0.25, 'missed': 0.125, 'spilled': 0.125, 'false_alarms': 0.5}
    """
    tp, _, fn, _ = counts.sum(axis=0)
    spilled, alarms = counts[holds, 1].sum(), counts[~holds, 1].sum()
    union = tp + fn + spilled + alarms
    return {name: float(part / union) for name, part in zip(PARTS, (tp, fn, spilled, alarms), strict=True)}


class Exemplar(NamedTuple):
    """An image selected by rank."""

    index: int  # in the set
    title: str  # of its rank
    iou: float
    false_pixels: int


def exemplars(counts: np.ndarray, holds: np.ndarray) -> list[Exemplar]:
    """Images to show, selected by rank and not by eye.

    Of the images that hold the class: the best, the quartiles, the median and the worst by their own IoU (of equals the
    first in the set ranks higher). Of the others: the one with the most false pixels, if any. An image comes once,
    under its first title.

    >>> picked = exemplars(np.array([[3, 1, 0, 0], [1, 3, 0, 0], [0, 4, 0, 0]]), np.array([True, True, False]))
    >>> [(e.title, e.index) for e in picked]
    [('best', 0), ('worst', 1), ('most false alarms', 2)]
    """
    inside, outside = np.flatnonzero(holds), np.flatnonzero(~holds)
    ious = ap(counts)
    ranked = inside[np.argsort(-ious[inside], kind="stable")]
    titles: dict[int, str] = {}  # by rank
    # The ends first: of two images one is the best and the other the worst.
    for title, part in (("best", 0), ("worst", 1), ("median", 0.5), ("upper quartile", 0.25), ("lower quartile", 0.75)):
        titles.setdefault(int(part * (len(ranked) - 1) + 0.5), title)
    picked = [(int(ranked[rank]), titles[rank]) for rank in sorted(titles) if len(ranked)]
    if counts[outside, 1].any():
        picked.append((int(outside[np.argmax(counts[outside, 1])]), "most false alarms"))
    return [Exemplar(i, title, float(ious[i]), int(counts[i, 1])) for i, title in picked]
