"""All claims at a glance: one row a claim, one mark a comparison."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ..files import LsegreproError
from .style import GREEN, INK, MUTED, VERMILLION, WIDTH, styled

MARKS = {
    "for": dict(marker="o", color=GREEN, markersize=8),
    "undecided": dict(marker="o", color=INK, markerfacecolor="white", markersize=8),
    "against": dict(marker="X", color=VERMILLION, markersize=9),
    "not measured": dict(marker=".", color=MUTED, markersize=4),
}
"""How a comparison looks by what it says; shape as well as colour tells them apart."""


@styled
def board(rows: Sequence[tuple[str, str, Sequence[str]]]) -> Figure:
    """A chart of claims.

    Parameters
    ----------
    rows : sequence of (claim, verdict, says)
        `says` holds one word of `MARKS` for each comparison.

    >>> board([("LSE beats max.", "partly", ["for", "not measured"])]).alt
    'What each comparison says. LSE beats max: 1 for, 1 not measured; partly.'
    """
    if not rows or not all(word in MARKS for _, _, says in rows for word in says):
        raise LsegreproError(f"a board needs at least one claim, and comparisons that say one of {', '.join(MARKS)}")
    figure = Figure(figsize=(WIDTH, 0.9 + 0.42 * len(rows)))
    axes = figure.subplots()
    longest, said = max(len(says) for _, _, says in rows), []
    for y, (claim, verdict, says) in enumerate(rows):
        ordered = sorted(says, key=list(MARKS).index)
        for x, word in enumerate(ordered):
            axes.plot(x, y, linestyle="none", **MARKS[word])
        axes.annotate(verdict, (1, y), (6, 0), xycoords=axes.get_yaxis_transform(), textcoords="offset points",
                      va="center", fontsize=9, fontweight="bold", annotation_clip=False)
        counted = ", ".join(f"{says.count(word)} {word}" for word in MARKS if word in says)
        said.append(f"{claim.rstrip('.')}: {counted}; {verdict}")
    axes.set(yticks=range(len(rows)), yticklabels=[claim.rstrip(".") for claim, _, _ in rows],
             ylim=(len(rows) - 0.5, -0.5), xlim=(-0.6, longest - 0.4), xticks=[])
    axes.grid(visible=False)
    axes.tick_params(axis="y", length=0)
    figure.legend(handles=[Line2D([], [], linestyle="none", label=word, **look) for word, look in MARKS.items()],
                  loc="outside upper left", ncols=4)
    figure.alt = "What each comparison says. " + ". ".join(said) + "."
    return figure
