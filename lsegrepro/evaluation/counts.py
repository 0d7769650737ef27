"""Pixel counts (TP, FP, FN, TN), AP and accuracies, and the counts of each image at a theta."""

import numpy as np

from ..evidence import GRID, Regions, Scores
from ..files import LsegreproError


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.true_divide(numerator, denominator)


def ap(counts: np.ndarray) -> np.ndarray:
    """AP = IoU = TP / (TP + FP + FN) of counts (..., 4); 0/0, no foreground in truth or prediction, is nan.

    >>> float(ap(np.array([2, 1, 1, 96])))
    0.5
    """
    return _ratio(counts[..., 0], counts[..., :3].sum(axis=-1))


def foreground_accuracy(counts: np.ndarray) -> np.ndarray:
    """Recall, the foreground accuracy of Table 2: TP / (TP + FN); nan if there is no foreground."""
    return _ratio(counts[..., 0], counts[..., 0] + counts[..., 2])


def background_accuracy(counts: np.ndarray) -> np.ndarray:
    """Specificity, the background accuracy of Table 2: TN / (TN + FP); nan if there is no background."""
    return _ratio(counts[..., 3], counts[..., 3] + counts[..., 1])


def accuracy(counts: np.ndarray) -> np.ndarray:
    """Accuracy, (TP + TN) / (TP + FP + FN + TN)."""
    return _ratio(counts[..., 0] + counts[..., 3], counts.sum(axis=-1))


def balanced_accuracy(counts: np.ndarray) -> np.ndarray:
    """Mean of foreground and background accuracy; 1/2 for any prediction that ignores the image."""
    return (foreground_accuracy(counts) + background_accuracy(counts)) / 2


def threshold(theta: float | np.ndarray) -> np.ndarray:
    """A theta in 16 bits, floor(theta * 65535): p > theta is ``prob_u16 > threshold(theta)``.

    Raises `LsegreproError` if theta is outside [0, 1).

    >>> int(threshold(0.6))
    39321
    """
    values = np.asarray(theta, np.float64)
    if not ((values >= 0) & (values < 1)).all():
        raise LsegreproError(f"theta must lie in [0, 1), got {theta}")
    return np.floor(values * 65535).astype(np.int64)


def present(regions: Regions, cls: str) -> np.ndarray:
    """Whether each image holds a pixel of the class: (n,) bool."""
    return class_totals(regions, cls)[:, 0] > 0


def class_totals(regions: Regions, cls: str) -> np.ndarray:
    """Foreground and background pixels of each image for a class: (n, 2) int64."""
    pixels = np.stack(regions.pixels(cls), axis=1)  # (T, 2)
    return np.add.reduceat(pixels, regions.offsets[:-1])


def counts_from_positives(positives: np.ndarray, totals: np.ndarray) -> np.ndarray:
    """Counts (..., 4) from TP, FP (..., 2) and the foreground and background pixels (..., 2).

    >>> counts_from_positives(np.array([[2, 1]]), np.array([[3, 97]])).tolist()
    [[2, 1, 1, 96]]
    """
    return np.concatenate([positives, totals - positives], axis=-1)


def per_image_counts(regions: Regions, scores: Scores, theta: float = 0.5, smoothed: bool = True) -> np.ndarray:
    """Counts of each image at one theta, ready for `bootstrap`: (n, 4) int64.

    `smoothed` is after the majority vote of the superpixels (Section 3.3). The pixels themselves have counts at
    multiples of 0.005 in theta only; anything else raises `LsegreproError`.
    """
    if not smoothed:
        index, _ = round(theta * GRID), threshold(theta)
        if index == GRID or abs(index / GRID - theta) > 1e-9:  # further off than rounding
            raise LsegreproError(f"the pixels of an image are counted at multiples of {1 / GRID:g} in theta, got "
                                 f"{theta}: round it")
        return raw_grid_counts(regions, scores)[index]
    scores.check(regions)
    above = scores.statistics > threshold(theta)
    weights = np.stack(regions.pixels(scores.cls), axis=1) * above[:, None]  # (T, 2)
    return counts_from_positives(np.add.reduceat(weights, regions.offsets[:-1]), class_totals(regions, scores.cls))


def raw_grid_counts(regions: Regions, scores: Scores) -> np.ndarray:
    """Counts of each image without superpixels at theta = 0, 0.005 ... 0.995, the bins of the evidence: (200, n, 4)."""
    scores.check(regions)
    histograms = np.stack([scores.foreground, scores.background], axis=-1)  # (n, GRID + 1, 2)
    below = histograms.cumsum(axis=1, dtype=np.int64)[:, :-1]  # bin b exceeds b thetas: not theta = b / GRID
    totals = class_totals(regions, scores.cls)[:, None]
    return counts_from_positives(totals - below, totals).swapaxes(0, 1)


def smoothed_grid_counts(regions: Regions, scores: Scores) -> np.ndarray:
    """Counts of each image after the vote of the superpixels at theta = 0, 0.005 ... 0.995: (200, n, 4) int64."""
    scores.check(regions)
    bins = np.searchsorted(threshold(np.arange(GRID) / GRID), scores.statistics)  # thetas that each exceeds
    images = np.repeat(np.arange(len(regions)), np.diff(regions.offsets))
    histograms = np.stack([
        np.bincount(images * (GRID + 1) + bins, pixels, len(regions) * (GRID + 1)).reshape(-1, GRID + 1)
        for pixels in regions.pixels(scores.cls)
    ], axis=-1).astype(np.int64)
    above = histograms[:, ::-1].cumsum(axis=1)[:, ::-1][:, 1:]
    return counts_from_positives(above, class_totals(regions, scores.cls)[:, None]).swapaxes(0, 1)
