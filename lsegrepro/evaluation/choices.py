"""Intervals of what was chosen before it was measured: the choice is made again in each resample.

A θ that is largest on the images of train would have been another one on other images. `bootstrap` takes it as chosen;
here train is drawn again too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..files import LsegreproError
from .counts import ap
from .intervals import Interval, Statistic, image_draws, mean_of_drawn_runs, percentile_interval


@dataclass(frozen=True, eq=False)
class Choice:
    """An answer among several, such as a mask at each θ: that of largest AP on train, measured on val.

    Attributes
    ----------
    train : ndarray or None
        (t, n, 4), counts of each of t answers on each train image, times the weight of the image. None where the choice
        is made on the images that it is measured on, an oracle.
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
    first, second = (_draws(group, statistic, resamples, seed, rng) if group else np.zeros(resamples + 1)
                     for group in (a, b))
    difference = first - second
    return percentile_interval(float(difference[0]), difference[1:], level)


def _draws(
    runs: Sequence[Choice], statistic: Statistic, resamples: int, seed: int, rng: np.random.Generator
) -> np.ndarray:
    """Mean over the runs of the statistic of what is chosen: (1 + resamples,), first with every image once."""
    values = []
    for run in runs:
        if run.train is not None and len(run.train) != len(run.val):
            raise LsegreproError(f"{len(run.train)} answers on train, and {len(run.val)} on val")
        on_val = _resampled(run.val, resamples, seed)
        # The images of train are drawn on their own, with another generator.
        merit = ap(on_val if run.train is None else _resampled(run.train, resamples, (seed, 2)))
        chosen = np.argmax(np.where(np.isnan(merit), -1, merit), axis=0)
        values.append(np.take_along_axis(statistic(on_val), chosen[None], axis=0)[0])
    whole = np.stack(values)
    return np.append(whole[:, 0].mean(), mean_of_drawn_runs(whole[:, 1:], rng))


def _resampled(counts: np.ndarray, resamples: int, seed: int | tuple[int, ...]) -> np.ndarray:
    """Pooled counts (t, 1 + resamples, 4) of counts (t, n, 4): of all images once, then of each resample."""
    drawn = image_draws(counts.shape[1], resamples, seed) @ counts.astype(np.float32)  # seven digits: enough here
    return np.concatenate([counts.sum(axis=1, keepdims=True, dtype=np.float64), drawn], axis=1)
