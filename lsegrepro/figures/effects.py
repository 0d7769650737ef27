"""Differences with their intervals: between networks, and by a change of one thing beside what chance does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from ..evaluation import Interval
from ..files import LsegreproError
from ..runs.comparisons import Difference
from .style import BLUE, INK, MUTED, VERMILLION, WIDTH, styled


@styled
def effects(rows: Sequence[tuple[str, str, Interval]], chance: Mapping[str, float]) -> Figure:
    """A panel for each class: a row for each change, its effect on AP with its interval.

    Parameters
    ----------
    rows : sequence of (change, class, effect)
        Effects are fractions: AP with the change minus AP without it.
    chance : mapping
        Class to the difference, a fraction, that another seed alone makes: a band of both signs.

    >>> effects([("no jitter", "cat", Interval(-0.01, -0.02, 0.0))], {"cat": 0.005}).alt
    'AP with one thing changed, minus AP without. cat: no jitter -1.0 [-2.0, 0.0]; another seed makes 0.5.'
    """
    classes = list(dict.fromkeys(cls for _, cls, _ in rows))
    if not classes:
        raise LsegreproError("a chart of effects needs at least one")
    changes = list(dict.fromkeys(change for change, _, _ in rows))
    figure = Figure(figsize=(WIDTH, 0.9 + 0.3 * len(changes)))
    panels = figure.subplots(1, len(classes), sharey=True, sharex=True, squeeze=False)[0]
    said = []
    for axis, cls in zip(panels, classes, strict=True):
        mine = {change: effect for change, of, effect in rows if of == cls}
        if cls in chance:
            axis.axvspan(-100 * abs(chance[cls]), 100 * abs(chance[cls]), color=MUTED, alpha=0.2, linewidth=0)
        axis.axvline(0, color=INK, linewidth=1, dashes=(1.5, 2))
        for change, effect in mine.items():
            value, low, high = (100 * np.array([effect.value, effect.low, effect.high])).tolist()
            axis.plot([low, high], [changes.index(change)] * 2, color=BLUE, linewidth=2.2, solid_capstyle="round")
            axis.plot(value, changes.index(change), "o", color=BLUE, markersize=6)
        parts = [f"{change} {100 * e.value:.1f} [{100 * e.low:.1f}, {100 * e.high:.1f}]" for change, e in mine.items()]
        if cls in chance:
            parts.append(f"another seed makes {100 * abs(chance[cls]):.1f}")
        said.append(f"{cls}: {'; '.join(parts)}")
        axis.set(title=f"{cls.capitalize()}, change of AP (points)", yticks=range(len(changes)), yticklabels=changes,
                 ylim=(len(changes) - 0.5, -0.5))
        axis.tick_params(axis="y", length=0)
    figure.alt = f"AP with one thing changed, minus AP without. {'. '.join(said)}."
    return figure


@styled
def forest(differences: Sequence[Difference]) -> Figure:
    """Differences of AP as dots with their intervals; the paper's are hollow."""
    if not differences:
        raise LsegreproError("a chart of differences needs at least one")
    figure = Figure(figsize=(WIDTH, 0.9 + 0.38 * len(differences)))
    axes = figure.subplots()
    said = []
    for y, one in enumerate(differences):
        value, low, high = (100 * number for number in
                            (one.interval.value, one.interval.low, one.interval.high))
        axes.plot([low, high], [y, y], color=VERMILLION, linewidth=2.2, solid_capstyle="round")
        axes.plot(value, y, "o", color=VERMILLION, markersize=7,
                  label=None if y else "this run, with interval")
        text = f"{one.name}, {one.cls}: {value:+.1f} points [{low:+.1f}, {high:+.1f}]"
        if one.paper is not None:
            axes.plot(100 * one.paper, y, "o", color=INK, markerfacecolor="white", markersize=7,
                      label=None if y else "paper")
            text += f", paper {100 * one.paper:+.1f}"
        said.append(text)
    axes.axvline(0, color=MUTED, linewidth=1)
    axes.set(yticks=range(len(differences)), yticklabels=[f"{d.name}, {d.cls}" for d in differences],
             ylim=(len(differences) - 0.5, -0.5), xlabel="difference of AP (percentage points)")
    axes.grid(axis="y", visible=False)
    figure.legend(loc="outside upper left", ncols=2)
    figure.alt = "Differences of AP. " + "; ".join(said) + "."
    return figure
