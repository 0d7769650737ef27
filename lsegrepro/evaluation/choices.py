"""Bootstrap of an answer that was chosen before it was measured: the choice is made again in each resample.

The theta of the largest AP on the train images would have been another one on other images. `bootstrap` takes it as
given; here the images that it was chosen on are drawn again too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..files import LsegreproError
from .counts import ap
from .intervals import Interval, Statistic, image_draws, mean_of_drawn_runs, percentile_interval


def resampled_counts(
    counts: np.ndarray, *, resamples: int = 2000, seed: int | tuple[int, ...] = 0, dtype: type = np.float32
) -> np.ndarray:
    """Pooled counts of several answers on the same images, with each image once, then of each bootstrap resample.

    Parameters
    ----------
    counts : ndarray
        (t, n, 4), TP, FP, FN, TN of each of t answers (such as the masks at t thetas) on each of n images, or these
        times a weight of the image.
    resamples, seed
        Number of resamples, and the seed of their draws: the same images for the same seed.
    dtype
        float32 is exact to seven digits, float64 to the last pixel.

    Returns
    -------
    ndarray
        (t, 1 + resamples, 4) of `dtype`.

    >>> resampled_counts(np.array([[[4, 1, 0, 9], [4, 1, 0, 9]]]), resamples=2).tolist()
    [[[8.0, 2.0, 0.0, 18.0], [8.0, 2.0, 0.0, 18.0], [8.0, 2.0, 0.0, 18.0]]]
    """
    answers, images, _ = counts.shape
    columns = np.ascontiguousarray(counts.swapaxes(0, 1), dtype).reshape(images, answers * 4)
    drawn = image_draws(images, resamples, seed).astype(dtype, copy=False) @ columns  # one matrix product for all
    pooled = np.concatenate([columns.sum(axis=0, dtype=np.float64)[None].astype(dtype), drawn])
    return pooled.reshape(1 + resamples, answers, 4).swapaxes(0, 1)


def best_answers(pooled: np.ndarray) -> np.ndarray:
    """Which answer has the largest AP in each resample: (r,) int64 from pooled counts (t, r, 4); the first of equals.

    >>> best_answers(np.array([[[1, 1, 0, 9]], [[1, 0, 0, 10]]])).tolist()
    [1]
    """
    values = ap(pooled)
    return np.argmax(np.where(np.isnan(values), -1, values), axis=0)


@dataclass(frozen=True, eq=False)
class Choice:
    """A choice among several answers, such as the masks at each theta: that of largest AP on train, measured on val.

    Attributes
    ----------
    train : ndarray or None
        (t, n, 4), counts of each of t answers on each train image, times the weight of the image. None where the
        choice is made on the images that it is measured on, an oracle.
    val : ndarray
        (t, m, 4), counts of each answer on each val image. Of one answer nothing is chosen.
    """

    train: np.ndarray | None
    val: np.ndarray


def bootstrap_choices(
    a: Sequence[Choice], b: Sequence[Choice] = (), statistic: Statistic = ap, *, resamples: int = 2000, seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Interval of the statistic of `a`, less that of `b` if given, images of train and of val drawn with replacement.

    Parameters
    ----------
    a, b : sequence of Choice
        Runs that differ in seed, one choice each. Every choice has the same images of train, and the same of val; a
        resample draws them once for all, so that a difference is paired.
    statistic, resamples, seed, level
        As of `bootstrap`, whose resamples of val these are too.

    Raises
    ------
    LsegreproError
        If train and val of a choice differ in the number of answers.

    >>> val = np.array([[[4, 1, 0, 9], [1, 2, 0, 9]], [[2, 0, 2, 10], [1, 0, 0, 11]]])  # two answers, two images
    >>> round(bootstrap_choices([Choice(val[::-1], val)], [Choice(None, val)], resamples=50).value, 3)
    -0.025
    """
    rng = np.random.default_rng([seed, 1])
    first, second = (_mean_of_chosen(group, statistic, resamples, seed, rng) if group else np.zeros(resamples + 1)
                     for group in (a, b))
    difference = first - second
    return percentile_interval(difference[0], difference[1:], level)


def _mean_of_chosen(
    runs: Sequence[Choice], statistic: Statistic, resamples: int, seed: int, rng: np.random.Generator
) -> np.ndarray:
    """Mean over the runs of the statistic of what is chosen: (1 + resamples,), first with every image once."""
    values = []
    for run in runs:
        if run.train is not None and len(run.train) != len(run.val):
            raise LsegreproError(f"{len(run.train)} answers on train, and {len(run.val)} on val")
        on_val = resampled_counts(run.val, resamples=resamples, seed=seed, dtype=np.float64)
        # The images of train are drawn on their own, with another generator.
        chosen = best_answers(on_val if run.train is None else resampled_counts(
            run.train, resamples=resamples, seed=(seed, 2), dtype=np.float64))
        values.append(np.take_along_axis(statistic(on_val), chosen[None], axis=0)[0])
    values = np.stack(values)
    return np.append(values[:, 0].mean(), mean_of_drawn_runs(values[:, 1:], rng))
