"""AP against the number of training photographs, and what two laws make of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from ..evaluation import Growth, Interval
from ..files import LsegreproError
from .style import BLUE, GREEN, INK, VERMILLION, WIDTH, styled


@styled
def growth_curve(amounts: Sequence[int], aps: Sequence[Interval], laws: Sequence[Growth], cls: str) -> Figure:
    """Points with their intervals, and the AP that each law foretells at its amounts.

    Parameters
    ----------
    amounts : sequence of int
        Training photographs with the class.
    aps : sequence of Interval
        Fractions.
    laws : sequence of Growth
        Fitted to these points, with the amounts that the lines are drawn at.
    cls : str
    """
    if len(amounts) != len(aps) or not len(amounts) or not all(law.at for law in laws):
        raise LsegreproError("a curve of growth needs an AP for each amount, and laws that foretell something")
    figure = Figure(figsize=(WIDTH, 3.3))
    axes = figure.subplots()
    said = []
    for law, colour in zip(laws, (BLUE, GREEN), strict=False):
        places = sorted(law.at)
        values, low, high = (100 * np.array([getattr(law.at[n], end) for n in places])
                             for end in ("value", "low", "high"))
        axes.plot(places, values, color=colour, label=law.law)
        axes.fill_between(places, low, high, color=colour, alpha=0.15, linewidth=0)
        said.append(f"{law.law}: {values[-1]:.1f} % [{low[-1]:.1f}, {high[-1]:.1f}] at {places[-1]:,}")
    values = 100 * np.array([(ap.value, ap.low, ap.high) for ap in aps])
    axes.errorbar(amounts, values[:, 0], yerr=np.abs(values[:, 1:] - values[:, :1]).T, fmt="o", color=VERMILLION,
                  ecolor=INK, elinewidth=1, label="measured, with interval", zorder=3)
    axes.set(xscale="log", xlabel=f"training photographs with a {cls}", title="AP (%)", ylim=(0, None))
    figure.legend(loc="outside upper left", ncols=3)
    points = ", ".join(f"{v:.1f} % at {n:,}" for n, v in zip(amounts, values[:, 0], strict=True))
    figure.alt = f"AP for {cls} against the number of training photographs: {points}. " + "; ".join(said) + "."
    return figure
