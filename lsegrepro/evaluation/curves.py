"""Counts at every theta: a step function from one histogram, exact, with no loop over theta (Figure 5)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..evidence import Regions, Scores
from ..files import LsegreproError
from .counts import Counts, ap, threshold


@dataclass(frozen=True, eq=False)
class Curve:
    """Counts at every theta in [0, 1): a step function, held by its steps.

    Attributes
    ----------
    limits : ndarray
        (m,) int64, ascending from 0; step i holds for limits[i] <= threshold(theta) < limits[i + 1].
    counts : ndarray
        (m, 4) int64, TP, FP, FN, TN on each step.
    """

    limits: np.ndarray
    counts: np.ndarray

    @cached_property
    def thetas(self) -> np.ndarray:
        """(m,) float64, the theta at which each step begins."""
        # Exact: floor(c / 65535 * 65535) is c for each of the 65,536 codes (checked in the tests).
        return self.limits / 65535

    @cached_property
    def ap(self) -> np.ndarray:
        """(m,) float64, AP on each step."""
        return ap(self.counts)

    def at(self, theta: float) -> Counts:
        """Counts at one theta.

        >>> curve(np.array([65535, 30000]), np.array([3, 1]), np.array([0, 2])).at(0.5)
        Counts(tp=3, fp=0, fn=1, tn=2)
        """
        return Counts(*self.at_many(theta).tolist())

    def at_many(self, thetas: np.ndarray) -> np.ndarray:
        """Counts at each theta: (...,) to (..., 4) int64.

        Raises
        ------
        LsegreproError
            If a theta is outside [0, 1).
        """
        return self.counts[np.searchsorted(self.limits, threshold(thetas), side="right") - 1]

    def best(self, step: float | None = None) -> tuple[float, float]:
        """The smallest theta of largest AP, and that AP: a choice on train, an oracle on val.

        Parameters
        ----------
        step : float, optional
            Choose among multiples of it only, such as 0.005, a grid search as in the paper.
            Without it the choice is over every theta.

        Raises
        ------
        LsegreproError
            If the AP is undefined everywhere, no pixel being foreground.
        """
        if step is not None and not 0 < step < 1:
            raise LsegreproError(f"a step of theta must lie in (0, 1), got {step}")
        thetas = self.thetas if step is None else np.arange(0, 1 - 1e-9, step).round(12)
        values = self.ap if step is None else ap(self.at_many(thetas))
        if np.isnan(values).all():
            raise LsegreproError("no image holds the class: the AP is 0/0 at every theta")
        index = int(np.nanargmax(values))
        return float(thetas[index]), float(values[index])


def curve(codes: np.ndarray, fg: np.ndarray, bg: np.ndarray) -> Curve:
    """The exact curve of weighted codes, from one histogram and its cumulative sums.

    Parameters
    ----------
    codes : ndarray
        (T,) integers 0 .. 65535, such as the order statistic of each superpixel.
    fg, bg : ndarray
        (T,) non-negative integers, foreground and background pixels that carry the code.

    Raises
    ------
    LsegreproError
        If the three differ in shape or a code is out of range.

    Examples
    --------
    >>> c = curve(np.array([60000, 40000, 10]), np.array([5, 1, 0]), np.array([1, 2, 9]))
    >>> (c.thetas * 65535).round().astype(int).tolist(), c.ap.round(3).tolist()
    ([0, 10, 40000, 60000], [0.333, 0.667, 0.714, 0.0])
    """
    codes, fg, bg = (np.asarray(a).ravel() for a in (codes, fg, bg))
    if not codes.shape == fg.shape == bg.shape:
        raise LsegreproError(f"codes, fg and bg differ in shape: {codes.shape}, {fg.shape}, {bg.shape}")
    if codes.size and not (0 <= codes.min() and codes.max() <= 65535):
        raise LsegreproError(f"codes must be in 0 .. 65535, got {codes.min()} .. {codes.max()}")
    # float64 weights are exact up to 2^53 pixels.
    below = [np.cumsum(np.bincount(codes, weights, 65536)).astype(np.int64) for weights in (fg, bg)]
    used = np.bincount(codes, (fg > 0) | (bg > 0), 65536)[:65535] > 0
    used[0] = True
    limits = np.flatnonzero(used)
    fn, tn = below[0][limits], below[1][limits]
    return Curve(limits, np.stack([below[0][-1] - fn, below[1][-1] - tn, fn, tn], axis=1))


def smoothed_curve(regions: Regions, scores: Scores, cls: str | None = None) -> Curve:
    """Curve after the majority vote of the superpixels, exact at every theta (Figure 5).

    `cls` is the class of the mask, by default the one scored.

    Raises
    ------
    LsegreproError
        If the scores belong to other regions.
    """
    scores.check(regions)
    return curve(scores.statistics, *regions.pixels(cls or scores.cls))


def raw_curve(scores: Scores) -> Curve:
    """Curve of the pixels themselves, before any smoothing, exact at every theta.

    Raises
    ------
    LsegreproError
        If the scores are of train, of which the grid alone is kept (`evidence.Scores`).
    """
    if not scores.exact:
        raise LsegreproError(f"the scores of {scores.meta['split']} do not hold what the pixels' exact curve needs")
    return curve(np.arange(65536), scores.foreground_codes, scores.background_codes)
