"""Charts of differences with their intervals: effects of a change, pairs of networks, and all claims at a glance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ..evaluation import Difference, Interval
from ..files import LsegreproError
from .style import BLUE, GREEN, INK, MUTED, VERMILLION, WIDTH, interval_text, label_rows, plot_interval, styled


@styled
def effects(rows: Sequence[tuple[str, str, Interval]], chance: Mapping[str, float],
            measure: str = "change of AP (points)") -> Figure:
    """Effect of each change with its interval, a row each; a panel for each class.

    `rows` are (change, class, effect); effects are fractions, such as AP with the change minus AP without it, drawn as
    percent, and `measure` says for the titles what they are. `chance` has, for a class, the difference that another
    seed alone makes: a band of both signs.

    >>> effects([("no jitter", "cat", Interval(-0.01, -0.02, 0.0))], {"cat": 0.005}).alt
    'Effects, change of AP (points). cat: no jitter -1.0 [-2.0, 0.0]; another seed makes 0.5.'
    """
    classes = list(dict.fromkeys(cls for _, cls, _ in rows))
    if not classes:
        raise LsegreproError("a chart of effects needs at least one")
    changes = list(dict.fromkeys(change for change, _, _ in rows))
    figure = Figure(figsize=(WIDTH, 0.9 + 0.3 * len(changes)))
    texts = []
    panels = figure.subplots(1, len(classes), sharey=True, sharex=True, squeeze=False)[0]
    for axes, cls in zip(panels, classes, strict=True):
        effect_of = {change: effect for change, effect_cls, effect in rows if effect_cls == cls}
        parts = [f"{change} {interval_text(effect)}" for change, effect in effect_of.items()]
        if cls in chance:
            width = 100 * abs(chance[cls])
            axes.axvspan(-width, width, color=MUTED, alpha=0.2, linewidth=0)
            parts.append(f"another seed makes {width:.1f}")
        axes.axvline(0, color=INK, linewidth=1, dashes=(1.5, 2))
        for change, effect in effect_of.items():
            plot_interval(axes, effect, changes.index(change), BLUE)
        texts.append(f"{cls}: {'; '.join(parts)}")
        axes.set(title=f"{cls.capitalize()}, {measure}")
        label_rows(axes, changes)
    figure.alt = f"Effects, {measure}. {'. '.join(texts)}."
    return figure


@styled
def forest(differences: Sequence[Difference]) -> Figure:
    """Forest plot: differences of AP as dots with their intervals; the paper's are hollow."""
    figure = Figure(figsize=(WIDTH, 0.9 + 0.38 * len(differences)))
    axes, texts, names = figure.subplots(), [], [f"{d.name}, {d.cls}" for d in differences]
    for y, (name, difference) in enumerate(zip(names, differences, strict=True)):
        plot_interval(axes, difference.interval, y, VERMILLION, label=None if y else "this run, with interval")
        texts.append(f"{name}: {interval_text(difference.interval, ' points', sign='+')}")
        if difference.paper is not None:
            axes.plot(100 * difference.paper, y, "o", color=INK, markerfacecolor="white", markersize=7,
                      label=None if y else "paper")
            texts[-1] += f", paper {100 * difference.paper:+.1f}"
    axes.axvline(0, color=MUTED, linewidth=1)
    axes.set(xlabel="difference of AP (percentage points)")
    axes.grid(axis="y", visible=False)
    label_rows(axes, names)
    figure.legend(loc="outside upper left", ncols=2)
    figure.alt = "Differences of AP. " + "; ".join(texts) + "."
    return figure


MARKS = {
    "for": dict(marker="o", color=GREEN, markersize=8),
    "undecided": dict(marker="o", color=INK, markerfacecolor="white", markersize=8),
    "against": dict(marker="X", color=VERMILLION, markersize=9),
    "not measured": dict(marker=".", color=MUTED, markersize=4),
}
"""Mark of a comparison by its result; shape as well as colour tells them apart."""


@styled
def board(rows: Sequence[tuple[str, str, Sequence[str]]]) -> Figure:
    """All claims at a glance: a row for each (claim, verdict, results), a mark for each result, one of `MARKS`.

    >>> board([("LSE beats max.", "partly", ["for", "not measured"])]).alt
    'What each comparison says. LSE beats max: 1 for, 1 not measured; partly.'
    """
    figure = Figure(figsize=(WIDTH, 0.9 + 0.42 * len(rows)))
    axes, texts = figure.subplots(), []
    for y, (claim, verdict, results) in enumerate(rows):
        for x, word in enumerate(sorted(results, key=list(MARKS).index)):
            axes.plot(x, y, linestyle="none", **MARKS[word])
        axes.annotate(verdict, (1, y), (6, 0), xycoords=axes.get_yaxis_transform(), textcoords="offset points",
                      va="center", fontsize=9, fontweight="bold", annotation_clip=False)
        counts = ", ".join(f"{results.count(word)} {word}" for word in MARKS if word in results)
        texts.append(f"{claim.rstrip('.')}: {counts}; {verdict}")
    label_rows(axes, [claim.rstrip(".") for claim, _, _ in rows])
    axes.set(xlim=(-0.6, max(len(results) for _, _, results in rows) - 0.4), xticks=[])
    axes.grid(visible=False)
    figure.legend(handles=[Line2D([], [], linestyle="none", label=word, **look) for word, look in MARKS.items()],
                  loc="outside upper left", ncols=4)
    figure.alt = "What each comparison says. " + ". ".join(texts) + "."
    return figure
