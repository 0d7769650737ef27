"""From evidence to numbers: exact curves, AP, accuracies, intervals and baselines. NumPy alone.

What the paper calls AP is intersection over union, TP / (TP + FP + FN), with the pixels of
all images pooled (its footnote 2); here too, and `ap` is IoU throughout. Void pixels are in no
count. Counts of pixels travel as integer arrays (..., 4) in the order TP, FP, FN, TN.

A probability is kept as a 16-bit code, floor(p * 65535), and "p > theta" is
``code > theta * 65535``. So a curve over theta changes at no more than 65,536 places and is
held whole: nothing is sampled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from . import evidence, paper
from .errors import LsegreproError
from .evidence import Regions, Scores

Statistic = Callable[[np.ndarray], np.ndarray]
"""Counts (..., 4) to values (...): `ap`, `foreground_accuracy`, `accuracy`, ..."""


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


@dataclass(frozen=True, eq=False)
class Curve:
    """Counts at every theta in [0, 1): a step function, held by its steps.

    Attributes
    ----------
    limits : ndarray
        (m,) int64, ascending from 0; step i holds for limits[i] <= threshold(theta) < limits[i + 1].
    counts : ndarray
        (m, 4) int64, TP, FP, FN, TN on each step.
    grid : int or None
        If given, the curve is known at theta = b / grid only, and asking elsewhere is an error.
    """

    limits: np.ndarray
    counts: np.ndarray
    grid: int | None = None

    @cached_property
    def thetas(self) -> np.ndarray:
        """(m,) float64, the theta at which each step begins."""
        # Exact: floor(c / 65535 * 65535) is c for each of the 65,536 codes (checked in the tests).
        return self.limits / 65535 if self.grid is None else np.arange(self.grid) / self.grid

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
            If a theta is outside [0, 1), or off the grid of a curve that has one.
        """
        codes = threshold(thetas)
        if self.grid is not None:
            codes = threshold(on_grid(thetas, self.grid))
        return self.counts[np.searchsorted(self.limits, codes, side="right") - 1]

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


def on_grid(thetas: np.ndarray, grid: int = evidence.GRID) -> np.ndarray:
    """The grid's own spelling b / grid of each theta; refuses one that is further off than rounding."""
    steps = np.round(np.asarray(thetas, np.float64) * grid)
    if (np.abs(steps / grid - thetas) > 1e-9).any():
        raise LsegreproError(
            f"raw scores are kept at multiples of {1 / grid:g} in theta, got {thetas}; "
            f"round it, or choose theta with best(step={1 / grid:g})"
        )
    return steps / grid


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
    """Curve of the pixels themselves, exact at the multiples of 0.005 in theta."""
    return histogram_curve(*(h.sum(axis=0, dtype=np.int64) for h in (scores.foreground, scores.background)))


def histogram_curve(fg: np.ndarray, bg: np.ndarray) -> Curve:
    """Curve of two histograms of `evidence.Scores`, (GRID + 1,) int64 each, on their grid of theta."""
    fn, tn = (np.cumsum(h)[:-1] for h in (fg, bg))  # bin b exceeds b thetas: not theta = b / 200
    counts = np.stack([fg.sum() - fn, bg.sum() - tn, fn, tn], axis=1)
    return Curve(evidence.GRID_CODES, counts, evidence.GRID)


def per_image_counts(
    regions: Regions, scores: Scores, cls: str | None = None, theta: float = 0.5, smoothed: bool = True
) -> np.ndarray:
    """Counts of each image at one theta, the input of the bootstrap: (n, 4) int64.

    With ``smoothed=False`` the pixels themselves, of the class scored, at a multiple of 0.005.
    """
    scores.check(regions)
    cls = cls or scores.cls
    if smoothed:
        fg, bg = regions.pixels(cls)
        above = scores.statistics > threshold(theta)
        tp, fp = (np.add.reduceat(weights * above, regions.offsets[:-1]) for weights in (fg, bg))
    else:
        if cls != scores.cls:
            raise LsegreproError(f"raw histograms are kept for the class scored, {scores.cls}, not for {cls}")
        above = evidence.GRID_CODES <= threshold(on_grid(theta))  # (200,): thetas up to this one
        first = int(above.sum())
        tp, fp = (h[:, first:].sum(axis=1, dtype=np.int64) for h in (scores.foreground, scores.background))
    return _complete(regions, cls, tp, fp)


def _complete(regions: Regions, cls: str, tp: np.ndarray, fp: np.ndarray) -> np.ndarray:
    positives = regions.totals[:, evidence.COLUMNS.index(cls)]
    negatives = regions.totals.sum(axis=1) - positives
    return np.stack([tp, fp, positives - tp, negatives - fp], axis=1)


# Intervals


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
    return _interval(_mean_statistic(runs, statistic), draws, level)


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
    return _interval(value, first - second, level)


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
    rng = np.random.default_rng(seed)
    n = groups[0].shape[1]
    chunk = max(1, 2**20 // n)  # weights of a chunk: 8 MiB
    parts: list[list[np.ndarray]] = [[] for _ in groups]
    for start in range(0, resamples, chunk):
        size = min(chunk, resamples - start)
        drawn = rng.integers(0, n, (size, n)) + n * np.arange(size)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n).astype(np.float64)
        for runs, part in zip(groups, parts, strict=True):
            values = statistic(weights @ runs)  # (s, size)
            if len(runs) > 1:
                values = np.take_along_axis(values, rng.integers(0, len(runs), values.shape), axis=0)
            part.append(values.mean(axis=0))
    return [np.concatenate(part) for part in parts]


def _interval(value: float, draws: np.ndarray, level: float) -> Interval:
    if not 0 < level < 1:
        raise LsegreproError(f"level must lie in (0, 1), got {level}")
    draws = draws[~np.isnan(draws)]
    if not draws.size:
        return Interval(value, np.nan, np.nan)
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high))


# Classification of images


@dataclass(frozen=True)
class Classification:
    """Image classification beside the classifier that gives every image the commoner answer."""

    accuracy: float
    trivial: float
    balanced: float


def classification_counts(image_scores: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Each image as counts (n, 4), for `bootstrap` with `accuracy` or `balanced_accuracy`.

    >>> classification_counts([[0.9, 0.1], [0.5, 0.5]], [True, True]).tolist()
    [[1, 0, 0, 0], [0, 0, 1, 0]]
    """
    scores, present = np.asarray(image_scores), np.asarray(present)
    if scores.shape != (len(present), 2) or present.dtype != bool:
        raise LsegreproError(f"want scores (n, 2) and present (n,) bool, got {scores.shape}, {present.shape}")
    answer = scores[:, 0] > scores[:, 1]
    cases = (answer & present, answer & ~present, ~answer & present, ~answer & ~present)
    return np.stack(cases, axis=1).astype(np.int64)


def classification_accuracy(image_scores: np.ndarray, present: np.ndarray) -> Classification:
    """Part of the images given the right label (Section 4), beside the trivial part.

    Parameters
    ----------
    image_scores : ndarray
        (n, 2), largest foreground and background score of the N patches. Foreground if the
        first is larger; a tie is background.
    present : ndarray
        (n,) bool, whether the image holds the class.

    >>> classification_accuracy([[1, 0], [0, 1], [1, 0], [1, 0]], np.array([True, False, False, False]))
    Classification(accuracy=0.5, trivial=0.75, balanced=0.6666666666666666)
    """
    counts = classification_counts(image_scores, present).sum(axis=0)
    share = float(np.mean(present))
    return Classification(float(accuracy(counts)), max(share, 1 - share), float(balanced_accuracy(counts)))


def present(regions: Regions, cls: str) -> np.ndarray:
    """Whether each image holds a pixel of the class: (n,) bool."""
    regions.pixels(cls)  # refuses an unknown class
    return regions.totals[:, evidence.COLUMNS.index(cls)] > 0


# Baselines, and three classes at once


def everything_foreground(regions: Regions, cls: str) -> np.ndarray:
    """Counts of each image when every pixel is called foreground: (n, 4) int64."""
    fg, bg = (np.add.reduceat(pixels, regions.offsets[:-1]) for pixels in regions.pixels(cls))
    return _complete(regions, cls, fg, bg)


def centred_box_counts(
    masks: Iterable[np.ndarray], index: int, fraction: float | Sequence[float]
) -> np.ndarray:
    """Counts of each image when a centred box is called foreground, whatever the image.

    Parameters
    ----------
    masks : iterable of ndarray
        (H, W) uint8 VOC masks.
    index : int
        Mask value of the class, `paper.VOC_INDEX`.
    fraction : float or sequence of float
        Side of the box as a part of the image's, in both directions, in [0, 1]. Several
        fractions read the masks once.

    Returns
    -------
    ndarray
        (n, 4) int64; (f, n, 4) for several fractions.

    >>> mask = np.zeros((10, 10), np.uint8); mask[3:7, 3:7] = 8
    >>> centred_box_counts([mask], 8, 0.6).tolist()
    [[16, 20, 0, 64]]
    """
    fractions = np.atleast_1d(np.asarray(fraction, np.float64))
    if not ((fractions >= 0) & (fractions <= 1)).all():
        raise LsegreproError(f"a box fraction must lie in [0, 1], got {fraction}")
    rows = []
    for mask in masks:
        fg = mask == index
        bg = ~fg & (mask != evidence.VOID)
        inside = np.empty((len(fractions), 2), np.int64)
        for row, part in zip(inside, fractions, strict=True):
            box = tuple(_central(side, part) for side in mask.shape)
            row[:] = np.count_nonzero(fg[box]), np.count_nonzero(bg[box])
        totals = np.array([np.count_nonzero(fg), np.count_nonzero(bg)])
        rows.append(np.concatenate([inside, totals - inside], axis=1))
    counts = np.stack(rows, axis=1)  # (f, n, 4)
    return counts if np.ndim(fraction) else counts[0]


def _central(side: int, part: float) -> slice:
    length = round(side * part)
    start = (side - length) // 2
    return slice(start, start + length)


@dataclass(frozen=True, eq=False)
class ThreeWay:
    """Background, cat and dog at once.

    Attributes
    ----------
    confusion : ndarray
        (n, 3, 3) int64, pixels of each image by truth (rows) and answer (columns), in the
        order `NAMES`. Other classes are background, void is left out.
    """

    NAMES = ("background", *paper.CLASSES)
    confusion: np.ndarray

    def counts(self, name: str) -> np.ndarray:
        """Counts of each image for one of `NAMES`: (n, 4) int64, ready for `bootstrap`."""
        i = self.NAMES.index(name)
        tp = self.confusion[:, i, i]
        fp, fn = (self.confusion.sum(axis=axis)[:, i] - tp for axis in (1, 2))
        return np.stack([tp, fp, fn, self.confusion.sum(axis=(1, 2)) - tp - fp - fn], axis=1)

    @property
    def iou(self) -> dict[str, float]:
        """IoU of each of `NAMES`, pixels pooled over images, and their ``"mean"``."""
        values = {name: float(ap(self.counts(name).sum(axis=0))) for name in self.NAMES}
        return {**values, "mean": float(np.mean(list(values.values())))}


def three_way(
    regions: Regions, cat_scores: Scores, dog_scores: Scores, theta_cat: float, theta_dog: float
) -> ThreeWay:
    """Join the cat and the dog model into one labelling of the superpixels.

    A superpixel takes the class whose order statistic stands furthest above its threshold,
    the argmax of (0, code_cat - 65535 theta_cat, code_dog - 65535 theta_dog); background when
    neither exceeds it, cat when the two are equal. This is the metric of later papers, with
    three classes for their twenty-one.

    Returns
    -------
    ThreeWay
    """
    for scores, cls in ((cat_scores, "cat"), (dog_scores, "dog")):
        if scores.cls != cls:
            raise LsegreproError(f"three_way takes cat scores, then dog scores; got {scores.cls} for {cls}")
        scores.check(regions)
    threshold(np.array([theta_cat, theta_dog]))  # refuses a theta outside [0, 1)
    margins = np.stack([
        np.zeros(len(regions.counts)),
        cat_scores.statistics - theta_cat * 65535,
        dog_scores.statistics - theta_dog * 65535,
    ])
    answer = margins.argmax(axis=0)  # the first of equals
    truth = regions.counts.astype(np.int64)[:, [2, 0, 1]]  # other, cat, dog
    cells = truth[:, :, None] * (answer[:, None, None] == np.arange(3))  # (T, 3, 3)
    return ThreeWay(np.add.reduceat(cells, regions.offsets[:-1], axis=0))
