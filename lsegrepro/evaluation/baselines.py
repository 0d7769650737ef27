"""Baselines of AP: constant predictions, centred boxes, a box where the image score is high. Three classes at once."""

from collections.abc import Sequence

import numpy as np

from .. import paper
from ..evidence import COLUMNS, Regions, Scores
from .classification import image_margin
from .counts import class_totals, counts_from_positives


def everything_foreground(regions: Regions, cls: str) -> np.ndarray:
    """Counts of each image when every pixel is predicted foreground: (n, 4) int64."""
    totals = class_totals(regions, cls)
    return counts_from_positives(totals, totals)


def nothing_foreground(regions: Regions, cls: str) -> np.ndarray:
    """Counts of each image when no pixel is predicted foreground: (n, 4) int64."""
    totals = class_totals(regions, cls)
    return counts_from_positives(np.zeros_like(totals), totals)


def centred_box_counts(regions: Regions, cls: str) -> np.ndarray:
    """Counts of each image when the centred box of each of `evidence.BOX_FRACTIONS` is predicted: (20, n, 4) int64."""
    totals = class_totals(regions, cls)
    inside = regions.boxes[:, :, COLUMNS.index(cls)]  # (n, 20)
    positives = np.stack([inside, regions.boxes.sum(axis=2) - inside], axis=2).swapaxes(0, 1)
    return counts_from_positives(positives, np.broadcast_to(totals, positives.shape))


def gated_box(regions: Regions, scores: Scores, gates: Sequence[float]) -> np.ndarray:
    """Counts of each image when a centred box is predicted, but only where `image_margin` is above a gate.

    The control for the outlines of a network: it knows which images hold the class as well as the network does, and
    nothing of where. Gives (20 g, n, 4) int64: the first of the g gates with each of `evidence.BOX_FRACTIONS`, then the
    second ... Choose among them on train, and measure the choice on val (`chosen_counts`).
    """
    scores.check(regions)
    boxes, nothing = centred_box_counts(regions, scores.cls), nothing_foreground(regions, scores.cls)
    passes = image_margin(scores) > np.asarray(gates, np.float64)[:, None]  # (g, n)
    return np.where(passes[:, None, :, None], boxes, nothing).reshape(-1, *nothing.shape)


def three_way(
    regions: Regions, cat_scores: Scores, dog_scores: Scores, theta_cat: float, theta_dog: float
) -> dict[str, np.ndarray]:
    """Combine the cat and the dog network into one labelling of the superpixels: background, cat or dog.

    A superpixel takes the class whose order statistic stands furthest above its threshold, the argmax of
    (0, p_cat - theta_cat, p_dog - theta_dog); background when neither exceeds it, cat when the two are equal. Gives
    counts of each image, (n, 4) int64, for ``"background"``, ``"cat"`` and ``"dog"``; other classes are background.
    """
    for scores in (cat_scores, dog_scores):
        scores.check(regions)
    margins = np.stack([np.zeros(len(regions.counts)), cat_scores.statistics - theta_cat * 65535,
                        dog_scores.statistics - theta_dog * 65535])
    prediction = margins.argmax(axis=0)  # the first of equals
    truth = regions.counts.astype(np.int64)[:, [2, 0, 1]]  # other, cat, dog
    pixels, counts = truth.sum(axis=1), {}
    for i, name in enumerate(("background", *paper.CLASSES)):
        of_class = np.stack([truth[:, i], pixels - truth[:, i]], axis=1)
        both = np.stack([of_class * (prediction == i)[:, None], of_class])
        counts[name] = counts_from_positives(*np.add.reduceat(both, regions.offsets[:-1], axis=1))
    return counts
