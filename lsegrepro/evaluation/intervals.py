"""How sure a number is: percentile bootstrap over images, paired for a difference, with seeds if there are several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ..files import LsegreproError
from .counts import ap

Statistic = Callable[[np.ndarray], np.ndarray]
"""Counts (..., 4) to values (...): `ap`, `foreground_accuracy`, `accuracy`, ..."""


@dataclass(frozen=True)
class Interval:
    """A value and its bootstrap interval."""

    value: float
    low: float
    high: float


def bootstrap(
    per_image: np.ndarray,
    statistic: Statistic = ap,
    *,
    resamples: int = 10_000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Percentile interval of a statistic of pooled counts, images drawn with replacement.

    Parameters
    ----------
    per_image : ndarray
        (n, 4) counts of each image; or (s, n, 4), s runs that differ in seed, on the same images.
        With runs the value is the mean of the runs' statistics, and each resample draws
        runs with replacement as well as images (the same images for every run). Few runs
        make the share of the seeds too small: of s runs it sees (s - 1)/s of the variance.
    statistic : callable
        Pooled counts (..., 4) to values (...). Resamples where it is nan (no image of the
        class was drawn) are left out.
    resamples, seed, level
        Draws, seed of their generator, and the part of them inside the interval.

    Raises
    ------
    LsegreproError
        If the counts have another shape, or no image.

    Examples
    --------
    >>> interval = bootstrap(np.array([[4, 1, 0, 9], [1, 2, 0, 9], [0, 3, 4, 5]] * 9), resamples=200)
    >>> round(interval.value, 3), interval.low < interval.value < interval.high
    (0.333, True)
    """
    (runs,) = _as_runs(per_image)
    draws = _resample([runs], statistic, resamples, seed)[0]
    return percentile_interval(_mean_statistic(runs, statistic), draws, level)


def bootstrap_difference(
    a: np.ndarray,
    b: np.ndarray,
    statistic: Statistic = ap,
    *,
    resamples: int = 10_000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Interval of statistic(a) - statistic(b), paired: each resample gives both the same images.

    Parameters as in `bootstrap`; `a` and `b` have the same images in the same order. Where
    they hold several runs, the runs of each are drawn on their own, since seeds do not pair.

    >>> both = np.array([[4, 1, 0, 9], [1, 2, 0, 9], [0, 3, 4, 5]])
    >>> bootstrap_difference(both, both, resamples=100)
    Interval(value=0.0, low=0.0, high=0.0)
    """
    runs = _as_runs(a, b)
    first, second = _resample(runs, statistic, resamples, seed)
    value = _mean_statistic(runs[0], statistic) - _mean_statistic(runs[1], statistic)
    return percentile_interval(value, first - second, level)


def bootstrap_draws(
    groups: Sequence[np.ndarray], statistic: Statistic = ap, *, resamples: int = 10_000, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """A statistic of several groups, and its resamples, each drawn with the same images for all groups.

    For what depends on more than two of them, such as a line through them. Groups as `a` and `b` of
    `bootstrap_difference`.

    Returns
    -------
    values : ndarray
        (g,).
    draws : ndarray
        (g, resamples).

    >>> values, draws = bootstrap_draws([np.array([[4, 1, 0, 9], [1, 2, 0, 9]])] * 2, resamples=50)
    >>> values.round(3).tolist(), draws.shape, bool((draws[0] == draws[1]).all())
    ([0.625, 0.625], (2, 50), True)
    """
    runs = _as_runs(*groups)
    values = np.array([_mean_statistic(each, statistic) for each in runs])
    return values, np.stack(_resample(runs, statistic, resamples, seed))


def _as_runs(*arrays: np.ndarray) -> list[np.ndarray]:
    runs = [np.asarray(array, np.float64) for array in arrays]  # for BLAS; exact up to 2^53 pixels
    runs = [array[None] if array.ndim == 2 else array for array in runs]
    if any(array.ndim != 3 or array.shape[2] != 4 or 0 in array.shape for array in runs):
        raise LsegreproError(f"counts must be (n, 4) or (s, n, 4), got {[np.shape(a) for a in arrays]}")
    if len({array.shape[1] for array in runs}) > 1:
        raise LsegreproError(f"a paired bootstrap needs the same images, got {[a.shape[1] for a in runs]}")
    return runs


def _mean_statistic(runs: np.ndarray, statistic: Statistic) -> float:
    return float(np.mean(statistic(runs.sum(axis=1))))


def _resample(
    groups: Sequence[np.ndarray], statistic: Statistic, resamples: int, seed: int
) -> list[np.ndarray]:
    """Resampled statistic of each group of runs (s, n, 4): a list of (resamples,)."""
    if resamples < 1:
        raise LsegreproError(f"resamples must be at least 1, got {resamples}")
    weights = image_draws(groups[0].shape[1], resamples, seed)
    rng = np.random.default_rng([seed, 1])  # for the runs; the images of a seed are the same with one run and several
    parts = []
    for runs in groups:
        parts.append(mean_of_drawn_runs(statistic(weights @ runs), rng))
    return parts


def mean_of_drawn_runs(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Mean over the runs of each resample (s, resamples), the runs drawn with replacement: (resamples,)."""
    if len(values) > 1:
        values = np.take_along_axis(values, rng.integers(0, len(values), values.shape), axis=0)
    return values.mean(axis=0)


@lru_cache(maxsize=3)
def image_draws(n: int, resamples: int, seed: int | tuple[int, ...]) -> np.ndarray:
    """How often each resample draws each of n images: (resamples, n) float32, exact for BLAS.

    Kept, since a table asks for the same draws again and again.
    """
    rng = np.random.default_rng(seed)
    weights = np.empty((resamples, n), np.float32)
    chunk = max(1, 2**20 // n)
    for start in range(0, resamples, chunk):
        size = min(chunk, resamples - start)
        drawn = rng.integers(0, n, (size, n)) + n * np.arange(size)[:, None]
        weights[start : start + size] = np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n)
    weights.flags.writeable = False
    return weights


def percentile_interval(value: float, draws: np.ndarray, level: float) -> Interval:
    """The interval that holds that part of the draws; those that are nan are left out."""
    if not 0 < level < 1:
        raise LsegreproError(f"level must lie in (0, 1), got {level}")
    draws = draws[~np.isnan(draws)]
    if not draws.size:
        return Interval(value, np.nan, np.nan)
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high))


def bootstrap_p_value(draws: np.ndarray) -> float:
    """Two-sided p-value of "the effect is 0", from bootstrap resamples of the effect; those that are nan are left out.

    Twice the smaller share of resamples on one side of 0, with one added to each count, so that it is never 0
    (Davison and Hinkley, 1997, equation 4.11).

    >>> bootstrap_p_value(np.arange(1, 100)), bootstrap_p_value(np.array([-1, 1]))
    (0.02, 1.0)
    """
    draws = draws[~np.isnan(draws)]
    smaller = min((draws <= 0).sum(), (draws >= 0).sum())
    return float(min(1.0, 2 * (1 + smaller) / (1 + len(draws))))


def holm(p_values: Sequence[float]) -> np.ndarray:
    """p-values corrected for their number by Holm's step-down method (Holm, 1979), in the order given.

    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, float)
    order = np.argsort(p, kind="stable")
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1)
    return corrected
