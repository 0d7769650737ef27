"""Baselines of AP: constant predictions, centred boxes, a box where the image score is high. Three classes at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .. import paper
from ..evidence import COLUMNS, Regions, Scores
from ..files import LsegreproError
from .classification import image_margin
from .counts import ap, class_totals, counts_from_positives, threshold


def everything_foreground(regions: Regions, cls: str) -> np.ndarray:
    """Counts of each image when every pixel is predicted foreground: (n, 4) int64."""
    totals = class_totals(regions, cls)
    return counts_from_positives(totals, totals)


def nothing_foreground(regions: Regions, cls: str) -> np.ndarray:
    """Counts of each image when no pixel is predicted foreground: (n, 4) int64."""
    totals = class_totals(regions, cls)
    return counts_from_positives(np.zeros_like(totals), totals)


def centred_box_counts(regions: Regions, cls: str) -> np.ndarray:
    """Counts of each image when a centred box is predicted foreground, the same in every image.

    Returns
    -------
    ndarray
        (20, n, 4) int64, one box for each of `evidence.BOX_FRACTIONS`: its sides as parts of the image's.
    """
    totals = class_totals(regions, cls)
    inside = regions.boxes[:, :, COLUMNS.index(cls)]  # (n, 20)
    positives = np.stack([inside, regions.boxes.sum(axis=2) - inside], axis=2).swapaxes(0, 1)
    return counts_from_positives(positives, np.broadcast_to(totals, positives.shape))


def gated_box(regions: Regions, scores: Scores, gates: Sequence[float]) -> np.ndarray:
    """Counts of each image when a centred box is predicted, but only where the network's image score passes a gate.

    The control for the outlines of a network: it knows which images hold the class as well as the network does
    (`image_margin`), and nothing of where. The box is predicted in images with

        foreground image score - background image score > gate

    and all other images are left background.

    Parameters
    ----------
    gates : sequence of float
        Such as ``np.quantile(image_margin(train_scores), np.arange(50) / 50)``.

    Returns
    -------
    ndarray
        (g, 20, n, 4) int64: each gate with the box of each of `evidence.BOX_FRACTIONS`.

    Examples
    --------
    Choose gate and side on train, where images count with their weights, and measure on val:

    >>> def gated_box_ap(train, val, gates, weights):  # two pairs of Regions and Scores
    ...     on_train, on_val = (gated_box(*pair, gates).reshape(-1, len(pair[0]), 4) for pair in (train, val))
    ...     best = np.nanargmax(ap(np.einsum("n,tnk->tk", weights, on_train)))
    ...     return ap(on_val[best].sum(axis=0))

    For an interval, choose again in each resample with `resampled_counts` and `best_answers`.
    """
    scores.check(regions)
    boxes, nothing = centred_box_counts(regions, scores.cls), nothing_foreground(regions, scores.cls)
    passes = image_margin(scores) > np.asarray(gates, np.float64)[:, None]  # (g, n)
    return np.where(passes[:, None, :, None], boxes, nothing)


@dataclass(frozen=True, eq=False)
class ThreeWay:
    """Background, cat and dog at once.

    Attributes
    ----------
    confusion : ndarray
        (n, 3, 3) int64, pixels of each image by ground truth (rows) and prediction (columns), in
        the order `NAMES`. Other classes are background, void is left out.
    """

    NAMES = ("background", *paper.CLASSES)
    confusion: np.ndarray

    def counts(self, name: str) -> np.ndarray:
        """Counts of each image for one of `NAMES`: (n, 4) int64, ready for `bootstrap`."""
        i = self.NAMES.index(name)
        tp = self.confusion[:, i, i]
        fp, fn = (self.confusion.sum(axis=axis)[:, i] - tp for axis in (1, 2))
        return np.stack([tp, fp, fn, self.confusion.sum(axis=(1, 2)) - tp - fp - fn], axis=1)

    @property
    def iou(self) -> dict[str, float]:
        """IoU of each of `NAMES`, pixels pooled over images, and their ``"mean"``."""
        values = {name: float(ap(self.counts(name).sum(axis=0))) for name in self.NAMES}
        return {**values, "mean": float(np.mean(list(values.values())))}


def three_way(
    regions: Regions, cat_scores: Scores, dog_scores: Scores, theta_cat: float, theta_dog: float
) -> ThreeWay:
    """Combine the cat and the dog network into one labelling of the superpixels.

    A superpixel takes the class whose order statistic stands furthest above its threshold,
    the argmax of (0, p_cat - theta_cat, p_dog - theta_dog); background when neither exceeds
    it, cat when the two are equal. The mean IoU of later papers, with three classes for their
    twenty-one.
    """
    for scores, cls in ((cat_scores, "cat"), (dog_scores, "dog")):
        if scores.cls != cls:
            raise LsegreproError(f"three_way takes cat scores, then dog scores; got {scores.cls} for {cls}")
        scores.check(regions)
    threshold(np.array([theta_cat, theta_dog]))  # refuses a theta outside [0, 1)
    margins = np.stack([
        np.zeros(len(regions.counts)),
        cat_scores.statistics - theta_cat * 65535,
        dog_scores.statistics - theta_dog * 65535,
    ])
    prediction = margins.argmax(axis=0)  # the first of equals
    truth = regions.counts.astype(np.int64)[:, [2, 0, 1]]  # other, cat, dog
    cells = truth[:, :, None] * (prediction[:, None, None] == np.arange(3))  # (T, 3, 3)
    return ThreeWay(np.add.reduceat(cells, regions.offsets[:-1], axis=0))
