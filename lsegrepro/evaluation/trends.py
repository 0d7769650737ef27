"""Scaling with the amount of training data: fits of AP over log n, and what they predict, with intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..files import LsegreproError
from .intervals import Interval, bootstrap_draws, percentile_interval

LAWS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], Callable[[np.ndarray], np.ndarray]]] = {
    "log-linear": (lambda y: y, lambda y: np.clip(y, 0, 1)),
    "power": (np.log, lambda y: np.exp(np.minimum(y, 0))),
}
"""Scaling laws: what is a straight line over log n, as a name to (AP to the scale of the line, and back)."""


@dataclass(frozen=True)
class Growth:
    """A scaling law fitted to points, one of `LAWS`, and what it predicts."""

    law: str
    slope: Interval  # of the line, for each doubling of the data: a difference of AP, or of its logarithm
    at: dict[int, Interval]  # the AP predicted, a fraction, for an amount of data


def growth(
    amounts: Sequence[int], groups: Sequence[np.ndarray], law: str, targets: Sequence[int] = (), **options
) -> Growth:
    """Fit a scaling law by least squares to the AP of networks trained on different amounts of data.

    `amounts` are the training photographs of each group, `groups` counts (n, 4) or (s, n, 4) on the same images, `law`
    one of `LAWS`, `targets` the amounts to predict the AP at, `options` those of `bootstrap_draws`. Intervals of 95 %
    are over images (and seeds); they assume that the law holds beyond the points, and two laws that disagree there show
    how little is known. All nan where an AP of 0 has no logarithm. Raises `LsegreproError` if there are fewer than
    three amounts.

    >>> counts = [np.array([[k, 10 - k, 0, 90]] * 20) for k in (2, 3, 4)]
    >>> fit = growth([100, 200, 400], counts, "log-linear", [1600], resamples=20)
    >>> round(fit.slope.value, 3), round(fit.at[1600].value, 3)
    (0.1, 0.6)
    """
    if len(set(amounts)) < 3 or len(amounts) != len(groups):
        raise LsegreproError(f"growth needs three amounts of data or more, one for each group; got {list(amounts)}")
    to_line, to_ap = LAWS[law]
    values, draws = bootstrap_draws(groups, **options)
    with np.errstate(divide="ignore"):
        y = to_line(np.concatenate([values[:, None], draws], axis=1))  # (g, 1 + r); an AP of 0 has no logarithm
    if not np.isfinite(y[:, 0]).all():
        undefined = Interval(np.nan, np.nan, np.nan)
        return Growth(law, undefined, dict.fromkeys(targets, undefined))
    x = np.log2(np.asarray(amounts, float))
    line = np.linalg.lstsq(np.stack([np.ones_like(x), x], axis=1), y[:, np.isfinite(y).all(axis=0)], rcond=None)[0]
    slope, *aps = (percentile_interval(draws[0], draws[1:])
                   for draws in (line[1], *(to_ap(line[0] + line[1] * np.log2(n)) for n in targets)))
    return Growth(law, slope, dict(zip(targets, aps, strict=True)))
