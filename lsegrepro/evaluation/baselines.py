"""What a number must be set beside: answers that see nothing, the labels of images, three classes at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .. import paper
from ..evidence import COLUMNS, Regions, Scores
from ..files import LsegreproError
from .counts import accuracy, ap, balanced_accuracy, class_totals, complete, threshold


def everything_foreground(regions: Regions, cls: str) -> np.ndarray:
    """Counts of each image when every pixel is called foreground: (n, 4) int64."""
    totals = class_totals(regions, cls)
    return complete(totals, totals)


def nothing_foreground(regions: Regions, cls: str) -> np.ndarray:
    """Counts of each image when no pixel is called foreground, as a classifier that says "no" does: (n, 4) int64."""
    totals = class_totals(regions, cls)
    return complete(np.zeros_like(totals), totals)


def centred_box_counts(regions: Regions, cls: str) -> np.ndarray:
    """Counts of each image when a centred box is called foreground, whatever the image.

    Returns
    -------
    ndarray
        (20, n, 4) int64, one box for each of `evidence.BOX_FRACTIONS`: its sides as parts of the image's.
    """
    totals = class_totals(regions, cls)
    inside = regions.boxes[:, :, COLUMNS.index(cls)]  # (n, 20)
    found = np.stack([inside, regions.boxes.sum(axis=2) - inside], axis=2).swapaxes(0, 1)
    return complete(found, np.broadcast_to(totals, found.shape))


@dataclass(frozen=True)
class Classification:
    """Image classification beside the classifier that gives every image the commoner answer."""

    accuracy: float
    trivial: float
    balanced: float


def classification_counts(image_scores: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Each image as counts (n, 4), for `bootstrap` with `accuracy` or `balanced_accuracy`.

    >>> classification_counts([[0.9, 0.1], [0.5, 0.5]], [True, True]).tolist()
    [[1, 0, 0, 0], [0, 0, 1, 0]]
    """
    scores, present = np.asarray(image_scores), np.asarray(present)
    if scores.shape != (len(present), 2) or present.dtype != bool:
        raise LsegreproError(f"want scores (n, 2) and present (n,) bool, got {scores.shape}, {present.shape}")
    answer = scores[:, 0] > scores[:, 1]
    cases = (answer & present, answer & ~present, ~answer & present, ~answer & ~present)
    return np.stack(cases, axis=1).astype(np.int64)


def classification_accuracy(image_scores: np.ndarray, present: np.ndarray) -> Classification:
    """Part of the images given the right label (Section 4), beside the trivial part.

    Parameters
    ----------
    image_scores : ndarray
        (n, 2), largest foreground and background score of the N patches. Foreground if the
        first is larger; a tie is background.
    present : ndarray
        (n,) bool, whether the image holds the class.

    >>> classification_accuracy([[1, 0], [0, 1], [1, 0], [1, 0]], np.array([True, False, False, False]))
    Classification(accuracy=0.5, trivial=0.75, balanced=0.6666666666666666)
    """
    counts = classification_counts(image_scores, present).sum(axis=0)
    trivial = trivial_classification(present).sum(axis=0)
    return Classification(*map(float, (accuracy(counts), accuracy(trivial), balanced_accuracy(counts))))


def trivial_classification(present: np.ndarray) -> np.ndarray:
    """Each image as counts (n, 4) when all are given the commoner label; for paired differences.

    >>> trivial_classification(np.array([True, False, False])).tolist()
    [[0, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 1]]
    """
    answer = [1.0, 0.0] if np.mean(present) > 0.5 else [0.0, 1.0]
    return classification_counts(np.tile(answer, (len(present), 1)), present)


@dataclass(frozen=True, eq=False)
class ThreeWay:
    """Background, cat and dog at once.

    Attributes
    ----------
    confusion : ndarray
        (n, 3, 3) int64, pixels of each image by truth (rows) and answer (columns), in the
        order `NAMES`. Other classes are background, void is left out.
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
    """Join the cat and the dog model into one labelling of the superpixels.

    A superpixel takes the class whose order statistic stands furthest above its threshold,
    the argmax of (0, code_cat - 65535 theta_cat, code_dog - 65535 theta_dog); background when
    neither exceeds it, cat when the two are equal. This is the metric of later papers, with
    three classes for their twenty-one.

    Returns
    -------
    ThreeWay
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
    answer = margins.argmax(axis=0)  # the first of equals
    truth = regions.counts.astype(np.int64)[:, [2, 0, 1]]  # other, cat, dog
    cells = truth[:, :, None] * (answer[:, None, None] == np.arange(3))  # (T, 3, 3)
    return ThreeWay(np.add.reduceat(cells, regions.offsets[:-1], axis=0))
