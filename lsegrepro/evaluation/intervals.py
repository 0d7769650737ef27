"""Bootstrap over images (and seeds): confidence intervals and p-values, paired for a difference.

`bootstrap` takes a theta as given; but the theta of the largest AP on the train images would have been another one on
other images. `chosen_counts` makes the choice again in each resample.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from .counts import ap

Statistic = Callable[[np.ndarray], np.ndarray]
"""Counts (..., 4) to values (...): `ap`, `foreground_accuracy`, `accuracy`, ..."""


class Interval(NamedTuple):
    """A value and its bootstrap interval; an end is nan where there is none."""

    value: float
    low: float
    high: float


class TableRow(NamedTuple):
    """One class of one row of our Table 2: pixel accuracies and AP, fractions, None where there is no such number."""

    model: str
    cls: str
    foreground: Interval | None
    background: Interval | None
    ap: Interval | None


@dataclass(frozen=True)
class Difference:
    """AP of one network minus AP of another, such as ``"LSE1 − max1"``, and the same in the paper's Table 2."""

    name: str
    cls: str
    interval: Interval | None
    paper: float | None = None


def bootstrap(
    per_image: np.ndarray, statistic: Statistic = ap, *, resamples: int = 10_000, seed: int = 0
) -> Interval:
    """95 % percentile interval of a statistic of pooled counts, images drawn with replacement.

    `per_image` holds counts (n, 4) of each image; or (s, n, 4), s runs that differ in seed, on the same images. With
    runs the value is the mean of their statistics, and each resample draws runs with replacement as well as images (the
    same images for every run). With few runs the variance between seeds is underestimated, by a factor of (s - 1)/s.
    Resamples where the statistic is nan (no image of the class was drawn) are left out.

    >>> ap = bootstrap(np.array([[4, 1, 0, 9], [1, 2, 0, 9], [0, 3, 4, 5]] * 9), resamples=200)
    >>> round(ap.value, 3), ap.low < ap.value < ap.high
    (0.333, True)
    """
    (draws,) = bootstrap_draws([per_image], statistic, resamples=resamples, seed=seed)
    return interval(draws)


def bootstrap_difference(a: np.ndarray, b: np.ndarray, *, resamples: int = 10_000, seed: int = 0) -> Interval:
    """95 % interval of the AP of a less that of b, paired: each resample gives both the same images.

    Parameters as in `bootstrap`. Where the two hold several runs, the runs of each are drawn on their own, since seeds
    do not pair.

    >>> both = np.array([[4, 1, 0, 9], [1, 2, 0, 9], [0, 3, 4, 5]])
    >>> bootstrap_difference(both, both, resamples=100)
    Interval(value=0.0, low=0.0, high=0.0)
    """
    first, second = bootstrap_draws([a, b], resamples=resamples, seed=seed)
    return interval(first - second)


def bootstrap_draws(
    groups: Sequence[np.ndarray], statistic: Statistic = ap, *, resamples: int = 10_000, seed: int = 0
) -> np.ndarray:
    """A statistic of each of several groups, then its resamples, all with the same images: (g, 1 + resamples).

    >>> bootstrap_draws([np.array([[4, 1, 0, 9], [4, 1, 0, 9]])] * 2, resamples=2).tolist()
    [[0.8, 0.8, 0.8], [0.8, 0.8, 0.8]]
    """
    rng = np.random.default_rng([seed, 1])  # for the runs; the images of a seed are the same with one run and several
    draws = []
    for group in map(np.asarray, groups):
        runs = group[None] if group.ndim == 2 else group
        values = statistic(resampled_counts(runs, resamples=resamples, seed=seed, dtype=np.float64))
        draws.append(np.append(values[:, 0].mean(), mean_of_drawn_runs(values[:, 1:], rng)))
    return np.stack(draws)


def resampled_counts(
    counts: np.ndarray, *, resamples: int = 2000, seed: int | tuple[int, ...] = 0, dtype: type = np.float32
) -> np.ndarray:
    """Pooled counts of several answers on the same images, with each image once, then of each bootstrap resample.

    `counts` (t, n, 4) are of t answers (such as the masks at t thetas) on n images, or these times a weight of the
    image. Gives (t, 1 + resamples, 4) of `dtype`: float32 is exact to seven digits, float64 to the last pixel.

    >>> resampled_counts(np.array([[[4, 1, 0, 9], [4, 1, 0, 9]]]), resamples=2).tolist()
    [[[8.0, 2.0, 0.0, 18.0], [8.0, 2.0, 0.0, 18.0], [8.0, 2.0, 0.0, 18.0]]]
    """
    answers, images, _ = counts.shape
    columns = np.ascontiguousarray(counts.swapaxes(0, 1), dtype).reshape(images, answers * 4)
    drawn = image_draws(images, resamples, seed).astype(dtype, copy=False) @ columns  # one matrix product for all
    pooled = np.concatenate([columns.sum(axis=0, dtype=np.float64)[None].astype(dtype), drawn])
    return pooled.reshape(1 + resamples, answers, 4).swapaxes(0, 1)


def best_answers(pooled: np.ndarray) -> np.ndarray:
    """Which answer has the largest AP in each resample: (r,) from pooled counts (t, r, 4); the first of equals."""
    values = ap(pooled)
    return np.argmax(np.where(np.isnan(values), -1, values), axis=0)


def chosen_counts(train: np.ndarray, val: np.ndarray, *, resamples: int = 2000) -> np.ndarray:
    """Pooled counts on val of the answer that is best on train; in each resample the choice is made again.

    `train` (t, n, 4) and `val` (t, m, 4) are counts of the same t answers, those of train times the weight of the
    image; the splits are drawn independently. Gives (1 + resamples, 4) float32: the value, then its resamples.

    >>> train = val = np.array([[[1, 9, 0, 0]] * 3, [[9, 1, 0, 0]] * 3])
    >>> chosen_counts(train, val, resamples=1).tolist()
    [[27.0, 3.0, 0.0, 0.0], [27.0, 3.0, 0.0, 0.0]]
    """
    best = best_answers(resampled_counts(train, resamples=resamples, seed=(0, 2)))
    used, place = np.unique(best, return_inverse=True)  # of a thousand answers only some are ever the best
    return resampled_counts(val[used], resamples=resamples)[place, np.arange(len(best))]


def bootstrap_p_value(draws: np.ndarray) -> float:
    r"""Two-sided bootstrap p-value of resampled differences (resamples,) against a difference of 0.

    .. math:: p = \min\left(1,\; 2\,\frac{1 + \min(\#\{d \le 0\}, \#\{d \ge 0\})}{1 + R}\right)

    Of R draws it is never below 2 / (R + 1). Draws that are nan are left out; nan if none is left.

    >>> bootstrap_p_value(np.array([0.1, 0.2, -0.1, 0.3, 0.1, 0.2, 0.4, 0.1, 0.2]))
    0.4
    """
    draws = draws[~np.isnan(draws)]
    if not draws.size:
        return float("nan")
    tail = min((draws <= 0).sum(), (draws >= 0).sum())
    return float(min(1.0, 2 * (1 + tail) / (1 + draws.size)))


def holm(p_values: Sequence[float]) -> np.ndarray:
    r"""Holm's correction: adjusted p-values of several tests, in the order given (Holm, 1979).

    With p-values sorted to :math:`p_{(1)} \le \dots \le p_{(m)}`, the adjusted one is
    :math:`\max_{j \le i} \min(1, (m - j + 1)\, p_{(j)})`. Rejecting those below alpha makes any false rejection
    among the m tests less likely than alpha, whatever their dependence.

    >>> holm([0.01, 0.04, 0.03]).round(3).tolist()
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, np.float64)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(len(p))
    adjusted[order] = np.maximum.accumulate(np.minimum(1, p[order] * np.arange(len(p), 0, -1)))
    return adjusted


def mean_of_drawn_runs(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Mean over the runs of each resample (s, resamples), the runs drawn with replacement: (resamples,)."""
    if len(values) > 1:
        values = np.take_along_axis(values, rng.integers(0, len(values), values.shape), axis=0)
    return values.mean(axis=0)


@lru_cache(maxsize=3)  # a table asks for the same draws again and again
def image_draws(n: int, resamples: int, seed: int | tuple[int, ...]) -> np.ndarray:
    """How often each resample draws each of n images: (resamples, n) float32, exact for BLAS."""
    rng = np.random.default_rng(seed)
    weights = np.empty((resamples, n), np.float32)
    chunk = max(1, 2**20 // n)
    for start in range(0, resamples, chunk):
        size = min(chunk, resamples - start)
        drawn = rng.integers(0, n, (size, n)) + n * np.arange(size)[:, None]
        weights[start : start + size] = np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n)
    weights.flags.writeable = False
    return weights


def interval(draws: np.ndarray) -> Interval:
    """The 95 % interval of a value and its resamples, (1 + r,), in this order; resamples that are nan are left out."""
    resamples = draws[1:][~np.isnan(draws[1:])]
    ends = np.quantile(resamples, [(1 - 0.95) / 2, (1 + 0.95) / 2]) if resamples.size else (np.nan, np.nan)
    return Interval(*map(float, (draws[0], *ends)))
