"""Exact curves over theta (Figure 5): counts at every theta, a step function from one histogram."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..evidence import Regions, Scores
from ..files import LsegreproError
from .counts import ap, foreground_accuracy, threshold


@dataclass(frozen=True, eq=False)
class Curve:
    """Counts at every theta in [0, 1): a step function, stored as its steps.

    `limits` (m,) int64 ascend from 0: step i holds for limits[i] <= threshold(theta) < limits[i + 1]. `counts` (m, 4)
    int64 are TP, FP, FN, TN on each step.
    """

    limits: np.ndarray
    counts: np.ndarray

    @cached_property
    def thetas(self) -> np.ndarray:
        """(m,) float64, the theta at which each step begins."""
        # Exact: floor(c / 65535 * 65535) is c for each c of 0 .. 65535 (checked in the tests).
        return self.limits / 65535

    @cached_property
    def ap(self) -> np.ndarray:
        """(m,) float64, AP on each step."""
        return ap(self.counts)

    def at(self, theta: float | np.ndarray) -> np.ndarray:
        """Counts at each theta, (...,) to (..., 4) int64; `LsegreproError` if one is outside [0, 1).

        >>> curve([65535, 30000], [3, 1], [0, 2]).at(0.5).tolist()
        [3, 0, 1, 2]
        """
        return self.counts[np.searchsorted(self.limits, threshold(theta), side="right") - 1]

    @cached_property
    def false_positive_rates(self) -> np.ndarray:
        """(m,) float64, FP / (FP + TN) on each step."""
        return self.counts[:, 1] / self.counts[:, [1, 3]].sum(axis=1)

    def recall_at(self, false_positive_rate: float) -> float:
        """Largest recall, TP / (TP + FN), over all thetas with at most the false-positive rate given; 0 if none.

        >>> curve([60000, 40000, 10], [5, 3, 2], [1, 2, 7]).recall_at(0.3)
        0.8
        """
        return float(foreground_accuracy(self.counts)[self.false_positive_rates <= false_positive_rate].max(initial=0))

    def false_positive_rate_at(self, recall: float) -> float:
        """Smallest false-positive rate, FP / (FP + TN), over all thetas with at least the recall given; nan if none."""
        reached = self.false_positive_rates[foreground_accuracy(self.counts) >= recall]
        return float(reached.min()) if len(reached) else float("nan")

    def best(self, step: float | None = None) -> tuple[float, float]:
        """The smallest theta of largest AP, and that AP: a choice on train, an oracle on val.

        The choice is among multiples of `step`, such as 0.005, a grid search as in the paper, or without it among every
        theta. Raises `LsegreproError` if the AP is undefined everywhere, no pixel being foreground.
        """
        thetas = self.thetas if step is None else np.arange(0, 1 - 1e-9, step).round(12)
        values = self.ap if step is None else ap(self.at(thetas))
        if np.isnan(values).all():
            raise LsegreproError("no image holds the class: the AP is 0/0 at every theta")
        index = int(np.nanargmax(values))
        return float(thetas[index]), float(values[index])


def curve(prob_u16: np.ndarray, fg: np.ndarray, bg: np.ndarray) -> Curve:
    """The exact curve of weighted probabilities, from one histogram and its cumulative sums.

    `prob_u16` holds (T,) integers 0 .. 65535, such as the order statistic of each superpixel; `fg` and `bg` (T,)
    non-negative integers, the foreground and background pixels that have the probability.

    >>> c = curve([60000, 40000, 10], [5, 1, 0], [1, 2, 9])
    >>> (c.thetas * 65535).round().astype(int).tolist(), c.ap.round(3).tolist()
    ([0, 10, 40000, 60000], [0.333, 0.667, 0.714, 0.0])
    """
    prob_u16, fg, bg = (np.asarray(a).ravel() for a in (prob_u16, fg, bg))
    # float64 weights are exact up to 2^53 pixels.
    below = [np.cumsum(np.bincount(prob_u16, weights, 65536)).astype(np.int64) for weights in (fg, bg)]
    used = np.bincount(prob_u16, (fg > 0) | (bg > 0), 65536)[:65535] > 0
    used[0] = True
    limits = np.flatnonzero(used)
    fn, tn = below[0][limits], below[1][limits]
    return Curve(limits, np.stack([below[0][-1] - fn, below[1][-1] - tn, fn, tn], axis=1))


def smoothed_curve(regions: Regions, scores: Scores, weights: np.ndarray | None = None) -> Curve:
    """Curve after the majority vote of the superpixels, exact at every theta (Figure 5).

    `weights` (n,) says how often each image counts, weighted pixels being rounded, superpixel by superpixel.
    """
    scores.check(regions)
    fg, bg = regions.pixels(scores.cls)
    if weights is not None:
        of_image = np.repeat(weights, np.diff(regions.offsets))
        fg, bg = np.rint(fg * of_image), np.rint(bg * of_image)
    return curve(scores.statistics, fg, bg)


def raw_curve(scores: Scores) -> Curve:
    """Curve of the pixels themselves, before any smoothing, exact at every theta.

    Raises `LsegreproError` for scores of train, of which only the grid is stored (`evidence.Scores`).
    """
    if not scores.exact:
        raise LsegreproError(f"the scores of {scores.meta['split']} do not hold what the pixels' exact curve needs")
    return curve(np.arange(65536), scores.foreground_codes, scores.background_codes)
