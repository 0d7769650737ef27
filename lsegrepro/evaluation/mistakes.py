"""Where the AP is lost: per image, and by the kind of wrong pixel.

Counts of pixels travel as in `evaluation`: (..., 4) integers, TP, FP, FN, TN. No torch, no photographs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .. import evaluation, evidence, paper
from ..evidence import Regions, Scores
from ..files import LsegreproError

PARTS = {
    "found": "found",
    "missed": "missed",
    "spilled": "wrong, in images with the class",
    "false_alarms": "wrong, in images without it",
}
"""Fields of `Division` to their names."""


def without_false_alarms(counts: np.ndarray, holds: np.ndarray) -> np.ndarray:
    """Counts as if every image without the class were left all background: (..., n, 4).

    What an answer could reach if it were told which images hold the class: an upper bound, not a result.

    Parameters
    ----------
    counts : ndarray
        (..., n, 4).
    holds : ndarray
        (n,) bool, `evaluation.present`.

    >>> without_false_alarms(np.array([[1, 2, 3, 4], [0, 5, 0, 6]]), np.array([True, False])).tolist()
    [[1, 2, 3, 4], [0, 0, 0, 11]]
    """
    counts = np.array(counts)
    counts[..., ~holds, 3] += counts[..., ~holds, 1]
    counts[..., ~holds, 1] = 0
    return counts


@dataclass(frozen=True)
class Division:
    """The pixels that are foreground in the truth or in the answer, divided; the four add up to 1.

    `found` is the AP, the others are where it is lost.
    """

    found: float
    missed: float
    spilled: float
    false_alarms: float


def divide(counts: np.ndarray, holds: np.ndarray) -> Division:
    """Divide the union of truth and answer, pixels pooled over images.

    Parameters
    ----------
    counts : ndarray
        (n, 4).
    holds : ndarray
        (n,) bool, whether the image holds the class.

    Raises
    ------
    LsegreproError
        If nothing is foreground, neither in the truth nor in the answer.

    >>> divide(np.array([[2, 1, 1, 6], [0, 4, 0, 6]]), np.array([True, False]))
    Division(found=0.25, missed=0.125, spilled=0.125, false_alarms=0.5)
    """
    tp, _, fn, _ = counts.sum(axis=0)
    spilled, alarms = counts[holds, 1].sum(), counts[~holds, 1].sum()
    union = tp + fn + spilled + alarms
    if not union:
        raise LsegreproError("no pixel is foreground, neither in the truth nor in the answer")
    return Division(*(float(part / union) for part in (tp, fn, spilled, alarms)))


@dataclass(frozen=True)
class Exemplar:
    """An image picked by rule: its place in the set, the rule's name for it, and what was measured."""

    index: int
    title: str
    iou: float
    false_pixels: int


def exemplars(counts: np.ndarray, holds: np.ndarray) -> list[Exemplar]:
    """Images to look at, picked by rank and not by eye.

    Of the images that hold the class: the best, the quartiles, the median and the worst by their
    own IoU (the earlier of equals). Of the others: the one with the most false pixels, if there are
    any. An image comes once, under its first title.

    >>> found = exemplars(np.array([[3, 1, 0, 0], [1, 3, 0, 0], [0, 4, 0, 0]]), np.array([True, True, False]))
    >>> [(e.title, e.index) for e in found]
    [('best', 0), ('worst', 1), ('most false alarms', 2)]
    """
    inside, outside = np.flatnonzero(holds), np.flatnonzero(~holds)
    ious = evaluation.ap(counts)
    ranked = inside[np.argsort(-ious[inside], kind="stable")]
    picked: dict[int, str] = {}
    if len(ranked):
        last = len(ranked) - 1
        # The ends first: of two images one is the best and the other the worst.
        for title, part in (("best", 0), ("worst", 1), ("median", 0.5), ("upper quartile", 0.25),
                            ("lower quartile", 0.75)):
            picked.setdefault(int(ranked[int(part * last + 0.5)]), title)
    order = sorted(picked, key=lambda i: int(np.flatnonzero(ranked == i)[0]))
    if len(outside) and counts[outside, 1].any():
        worst = int(outside[np.argmax(counts[outside, 1])])
        picked[worst] = "most false alarms"
        order.append(worst)
    return [Exemplar(i, picked[i], float(ious[i]), int(counts[i, 1])) for i in order]


def false_alarm_rates(regions: Regions, scores: Scores, theta: float) -> dict[str, float]:
    """Part of the pixels called foreground: on the other animal, and on all else that is not the class.

    Returns
    -------
    dict
        ``"dog"`` (or ``"cat"``) and ``"all else"`` to a fraction, nan where there is no such pixel.
    """
    scores.check(regions)
    answer = scores.statistics > evaluation.threshold(theta)
    (other,) = (cls for cls in paper.CLASSES if cls != scores.cls)
    rates = {}
    for name, column in ((other, evidence.COLUMNS.index(other)), ("all else", 2)):
        pixels = regions.counts[:, column].astype(np.int64)
        rates[name] = float(pixels[answer].sum() / pixels.sum()) if pixels.any() else float("nan")
    return rates
