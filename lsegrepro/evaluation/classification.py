"""Image classification with the scores of the N test patches (Section 4): counts for accuracy, and AUC."""

import numpy as np

from .. import paper
from ..evidence import Regions, Scores
from .counts import present
from .intervals import Interval, image_draws, interval


def classification_counts(image_scores: np.ndarray, holds: np.ndarray) -> np.ndarray:
    """Classification of each image as counts (n, 4), for `bootstrap` with `accuracy` or `balanced_accuracy`.

    Of the image scores (n, 2) the first must be larger, a tie is background; `holds` (n,) is `present`.

    >>> classification_counts([[0.9, 0.1], [0.5, 0.5]], [True, True]).tolist()
    [[1, 0, 0, 0], [0, 0, 1, 0]]
    """
    scores, holds = np.asarray(image_scores), np.asarray(holds, bool)
    predicted = scores[:, 0] > scores[:, 1]
    cases = (predicted & holds, predicted & ~holds, ~predicted & holds, ~predicted & ~holds)
    return np.stack(cases, axis=1).astype(np.int64)


def auc(positives: np.ndarray, negatives: np.ndarray) -> float:
    """Area under the ROC curve: the probability that a positive has a larger score than a negative, ties counted half.

    AUC = (#{p > q} + #{p = q} / 2) / (m n) over the m n pairs (Mann and Whitney); nan without a pair.

    >>> auc(np.array([0.9, 0.4]), np.array([0.1, 0.4, 0.5]))  # 3 + 1.5 of 6 pairs
    0.75
    """
    positives, ordered = np.asarray(positives), np.sort(negatives)
    if not len(positives) or not len(ordered):
        return float("nan")
    wins = np.searchsorted(ordered, positives, "left") + np.searchsorted(ordered, positives, "right")
    return float(wins.sum() / (2 * len(positives) * len(ordered)))


def image_margin(scores: Scores) -> np.ndarray:
    """Foreground less background image score of each image, (n,) float64: above 0, the image is classified positive."""
    return scores.image_scores[:, 0].astype(np.float64) - scores.image_scores[:, 1]


def image_auc(regions: Regions, scores: Scores, *, resamples: int = 2000) -> dict[str, Interval]:
    """AUC of the images of the class, by `image_margin`, against three kinds of others, with 95 % intervals.

    ``"all"`` is against every image without the class; the name of the other class (``"dog"``) against images that hold
    it and not the class, where 0.5 says that cats and dogs are not told apart; ``"neither"`` against images with
    neither. Each resample draws from all images.
    """
    scores.check(regions)
    margin = image_margin(scores)
    (other,) = (cls for cls in paper.CLASSES if cls != scores.cls)
    with_class, with_other = present(regions, scores.cls), present(regions, other)
    negatives = {"all": ~with_class, other: with_other & ~with_class, "neither": ~with_class & ~with_other}
    draws = image_draws(len(margin), resamples, 0)
    aucs = {}
    for name, without in negatives.items():
        p, q = margin[with_class, None], margin[None, without]
        wins = ((p > q) + (p == q) / 2).astype(np.float32)  # of each pair
        m, n = draws[:, with_class], draws[:, without]  # how often each image of a pair is drawn
        with np.errstate(invalid="ignore"):
            drawn = ((m @ wins) * n).sum(axis=1) / (m.sum(axis=1) * n.sum(axis=1))
        aucs[name] = interval(np.append(auc(margin[with_class], margin[without]), drawn))
    return aucs
