"""AP against the temperature parameter of the aggregation, from the mean to the maximum."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction

import numpy as np
from matplotlib.figure import Figure

from ..evaluation import Interval
from ..files import LsegreproError
from .style import INK, MUTED, VERMILLION, WIDTH, styled

_NAMED = {0.0: "mean", 1.0: "LSE", math.inf: "max"}


@styled
def temperature_curve(aps: Mapping[str, Mapping[float, Interval]], chance: Mapping[str, float]) -> Figure:
    """A panel for each class: AP at each r, in equal steps from the mean to the maximum.

    Parameters
    ----------
    aps : mapping
        Class to r to AP, a fraction; r = 0 is the mean, 1 the paper's log-sum-exp, infinity the maximum.
    chance : mapping
        Class to the difference, a fraction, that another seed alone makes: a band about the AP at r = 1.

    Raises
    ------
    LsegreproError
        If there is no class, or one without a point.

    >>> temperature_curve({"cat": {0.0: Interval(0.1, 0.09, 0.11), 0.25: Interval(0.12, 0.1, 0.14)}}, {}).alt
    'AP by the r of the aggregation. cat: 10.0 [9.0, 11.0] at 0 (mean), 12.0 [10.0, 14.0] at 1/4.'
    """
    if not aps or not all(aps.values()):
        raise LsegreproError("a curve over r needs an AP for each class")
    figure = Figure(figsize=(WIDTH, 3.1))
    panels = figure.subplots(1, len(aps), sharey=True, squeeze=False)[0]
    said = []
    for axis, (cls, points) in zip(panels, aps.items(), strict=True):
        at = sorted(points)
        names = ["∞" if math.isinf(r) else str(Fraction(r).limit_denominator(100)) for r in at]
        value, low, high = (100 * np.array([getattr(points[r], end) for r in at]) for end in ("value", "low", "high"))
        if cls in chance and 1.0 in points:
            middle, half = 100 * points[1.0].value, 100 * abs(chance[cls])
            axis.axhspan(middle - half, middle + half, color=MUTED, alpha=0.2, linewidth=0)
        axis.errorbar(range(len(at)), value, yerr=np.abs([value - low, high - value]), fmt="-o", color=VERMILLION,
                      ecolor=INK, elinewidth=1, zorder=3)
        axis.set(title=f"{cls.capitalize()}, AP (%)", xlabel="r", xticks=range(len(at)), ylim=(0, None),
                 xticklabels=[f"{n}\n{_NAMED[r]}" if r in _NAMED else n for n, r in zip(names, at, strict=True)])
        said.append(f"{cls}: " + ", ".join(
            f"{v:.1f} [{lo:.1f}, {hi:.1f}] at {n}" + (f" ({_NAMED[r]})" if r in _NAMED else "")
            for v, lo, hi, n, r in zip(value, low, high, names, at, strict=True)))
    figure.alt = f"AP by the r of the aggregation. {'. '.join(said)}."
    return figure
