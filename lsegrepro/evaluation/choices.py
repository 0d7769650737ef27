"""Bootstrap of an answer that was chosen before it was measured: the choice is made again in each resample.

The theta of the largest AP on the train images would have been another one on other images. `bootstrap` takes it as
given; here the images that it was chosen on are drawn again too.
"""

from __future__ import annotations

import numpy as np

from .counts import ap
from .intervals import image_draws


def resampled_counts(
    counts: np.ndarray, *, resamples: int = 2000, seed: int | tuple[int, ...] = 0, dtype: type = np.float32
) -> np.ndarray:
    """Pooled counts of several answers on the same images, with each image once, then of each bootstrap resample.

    `counts` (t, n, 4) are of t answers (such as the masks at t thetas) on n images, or these times a weight of the
    image. The same seed draws the same images. Gives (t, 1 + resamples, 4) of `dtype`: float32 is exact to seven
    digits, float64 to the last pixel.

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
