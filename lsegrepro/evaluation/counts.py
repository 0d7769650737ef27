"""Counts of pixels, what is computed from them, and the counts of each image in the evidence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..evidence import COLUMNS, GRID, Regions, Scores
from ..files import LsegreproError


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.true_divide(numerator, denominator)


def ap(counts: np.ndarray) -> np.ndarray:
    """AP = IoU = TP / (TP + FP + FN) of counts (..., 4); 0/0, nothing there and nothing found, is nan.

    >>> float(ap(np.array([2, 1, 1, 96])))
    0.5
    """
    counts = np.asarray(counts)
    return _ratio(counts[..., 0], counts[..., :3].sum(axis=-1))


def foreground_accuracy(counts: np.ndarray) -> np.ndarray:
    """Part of the foreground pixels found, TP / (TP + FN); nan if there are none."""
    counts = np.asarray(counts)
    return _ratio(counts[..., 0], counts[..., 0] + counts[..., 2])


def background_accuracy(counts: np.ndarray) -> np.ndarray:
    """Part of the background pixels left alone, TN / (TN + FP); nan if there are none."""
    counts = np.asarray(counts)
    return _ratio(counts[..., 3], counts[..., 3] + counts[..., 1])


def accuracy(counts: np.ndarray) -> np.ndarray:
    """Part of all that is right, (TP + TN) / all."""
    counts = np.asarray(counts)
    return _ratio(counts[..., 0] + counts[..., 3], counts.sum(axis=-1))


def balanced_accuracy(counts: np.ndarray) -> np.ndarray:
    """Mean of foreground and background accuracy; 1/2 for any answer that ignores the image."""
    return (foreground_accuracy(counts) + background_accuracy(counts)) / 2


@dataclass(frozen=True)
class Counts:
    """Pixels (or images) by truth and answer.

    >>> Counts(tp=2, fp=1, fn=1, tn=96).ap
    0.5
    """

    tp: int
    fp: int
    fn: int
    tn: int

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return np.array([self.tp, self.fp, self.fn, self.tn], dtype or np.int64)

    @property
    def ap(self) -> float:
        """AP = IoU, a fraction; nan for 0/0."""
        return float(ap(self))

    @property
    def foreground(self) -> float:
        """Foreground pixel accuracy, a fraction."""
        return float(foreground_accuracy(self))

    @property
    def background(self) -> float:
        """Background pixel accuracy, a fraction."""
        return float(background_accuracy(self))


def threshold(theta: float | np.ndarray) -> np.ndarray:
    """The largest code not above theta: p > theta is ``code > threshold(theta)``.

    Raises
    ------
    LsegreproError
        If theta is outside [0, 1).

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
    regions.pixels(cls)  # refuses an unknown class
    positives = regions.totals[:, COLUMNS.index(cls)]
    return np.stack([positives, regions.totals.sum(axis=1) - positives], axis=1)


def complete(found: np.ndarray, totals: np.ndarray) -> np.ndarray:
    """Counts from the pixels called foreground and all pixels: TP, FP (..., 2) and totals to (..., 4).

    >>> complete(np.array([[2, 1]]), np.array([[3, 97]])).tolist()
    [[2, 1, 1, 96]]
    """
    return np.concatenate([found, totals - found], axis=-1)


def per_image_counts(
    regions: Regions, scores: Scores, cls: str | None = None, theta: float = 0.5, smoothed: bool = True
) -> np.ndarray:
    """Counts of each image at one theta, the input of the bootstrap: (n, 4) int64.

    Parameters
    ----------
    cls : str, optional
        Class of the mask, by default the one scored.
    theta : float
        In [0, 1); without superpixels a multiple of 0.005.
    smoothed : bool
        After the majority vote of the superpixels (Section 3.3), or the pixels themselves.

    Raises
    ------
    LsegreproError
        If the scores belong to other regions, or raw counts are asked for off the grid or for
        another class than the one scored.
    """
    cls = cls or scores.cls
    if not smoothed:
        if cls != scores.cls:
            raise LsegreproError(f"raw histograms are kept for the class scored, {scores.cls}, not for {cls}")
        return raw_grid_counts(regions, scores)[_place_on_grid(theta)]
    scores.check(regions)
    above = scores.statistics > threshold(theta)
    weights = np.stack(regions.pixels(cls), axis=1) * above[:, None]  # (T, 2)
    return complete(np.add.reduceat(weights, regions.offsets[:-1]), class_totals(regions, cls))


def raw_grid_counts(regions: Regions, scores: Scores) -> np.ndarray:
    """Counts of each image without superpixels at theta = 0, 0.005 ... 0.995: (200, n, 4) int64.

    The evidence keeps the histogram of an image in bins of 0.005; between two of them only the sum over
    images is known (`raw_curve`).

    Raises
    ------
    LsegreproError
        If the scores belong to other regions.
    """
    scores.check(regions)
    histograms = np.stack([scores.foreground, scores.background], axis=-1)  # (n, GRID + 1, 2)
    below = histograms.cumsum(axis=1, dtype=np.int64)[:, :-1]  # bin b exceeds b thetas: not theta = b / GRID
    totals = class_totals(regions, scores.cls)[:, None]
    return complete(totals - below, totals).swapaxes(0, 1)


def smoothed_grid_counts(regions: Regions, scores: Scores) -> np.ndarray:
    """Counts of each image after the vote of the superpixels at theta = 0, 0.005 ... 0.995: (200, n, 4) int64.

    Raises
    ------
    LsegreproError
        If the scores belong to other regions.
    """
    scores.check(regions)
    limits = threshold(np.arange(GRID) / GRID)
    passed = np.searchsorted(limits, scores.statistics)  # so many thetas of the grid a superpixel exceeds
    images = np.repeat(np.arange(len(regions)), np.diff(regions.offsets))
    histograms = np.stack([
        np.bincount(images * (GRID + 1) + passed, pixels, len(regions) * (GRID + 1)).reshape(-1, GRID + 1)
        for pixels in regions.pixels(scores.cls)
    ], axis=-1).astype(np.int64)
    above = histograms[:, ::-1].cumsum(axis=1)[:, ::-1][:, 1:]
    return complete(above, class_totals(regions, scores.cls)[:, None]).swapaxes(0, 1)


def _place_on_grid(theta: float) -> int:
    """The b of theta = b / GRID; refuses a theta that is further off than rounding."""
    threshold(theta)  # refuses a theta outside [0, 1)
    place = round(theta * GRID)
    if place == GRID or abs(place / GRID - theta) > 1e-9:
        raise LsegreproError(
            f"the raw scores of an image are kept at multiples of {1 / GRID:g} in theta, got {theta}; "
            f"round it, or choose theta with best(step={1 / GRID:g})"
        )
    return place
