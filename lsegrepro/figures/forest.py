"""Forest plots, a row for each network or change with its interval: differences, Table 2, and all claims."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .. import paper
from ..evaluation import Difference, Interval, TableRow
from .style import BLUE, GREEN, INK, MUTED, RULE, VERMILLION, WIDTH, between, in_percent, label_rows, model_style, style

MARKS = {
    "for": dict(marker="o", color=GREEN, markersize=8),
    "undecided": dict(marker="o", color=INK, markerfacecolor="white", markersize=8),
    "against": dict(marker="X", color=VERMILLION, markersize=9),
    "not measured": dict(marker=".", color=MUTED, markersize=4),
}
"""Mark of a comparison by its result; shape as well as colour tells them apart."""


def _row(axes: Axes, y: float, name: str, interval: Interval | None, printed: float | None = None, colour: str = BLUE,
         marker: str = "o") -> str:
    """Draw an interval of fractions, as percent, and the paper's value, in percent, hollow; return both in words."""
    if interval:
        value, low, high = in_percent([interval])[:, 0]
        axes.plot([low, high], [y, y], color=colour, linewidth=2.2, solid_capstyle="round", zorder=4)
        axes.plot(value, y, marker, color=colour, markersize=7, zorder=5)
    if printed is None:
        return f"{name} {between(interval)}"
    axes.plot(printed, y, marker, color=INK, markerfacecolor="white", markersize=7, zorder=4.5)
    return f"{name} {between(interval)}, paper {printed:.1f}"


def _legend(figure: Figure, colour: str) -> None:
    dots = [Line2D([], [], linestyle="", marker="o", markersize=7, label=name, color=edge, markerfacecolor=fill)
            for name, edge, fill in (("this run, with interval", colour, colour), ("paper", INK, "white"))]
    figure.legend(handles=dots, loc="outside upper left", ncols=2)


@style()
def forest(differences: Sequence[Difference], measure: str = "difference of AP (points)",
           chance: Mapping[str, float] | None = None) -> Figure:
    """Forest plot of differences and their intervals, a panel for each class; the paper's values are hollow.

    Differences are fractions, drawn as percent; `measure` says for the titles what they are. `chance` has, for a class,
    the difference that another seed alone makes: a band of both signs.
    """
    classes, names = (list(dict.fromkeys(texts)) for texts in zip(*((d.cls, d.name) for d in differences), strict=True))
    printed = any(d.paper is not None for d in differences)
    figure, texts = Figure(figsize=(WIDTH, 0.9 + 0.2 * printed + 0.3 * len(names))), []
    panels = figure.subplots(1, len(classes), sharey=True, sharex=True, squeeze=False)[0]
    for axes, cls in zip(panels, classes, strict=True):
        axes.axvline(0, color=INK, linewidth=1, dashes=(1.5, 2))
        parts = [_row(axes, names.index(d.name), d.name, d.interval, None if d.paper is None else 100 * d.paper)
                 for d in differences if d.cls == cls]
        if chance and cls in chance:
            width = 100 * abs(chance[cls])
            axes.axvspan(-width, width, color=MUTED, alpha=0.2, linewidth=0)
            parts.append(f"another seed makes {width:.1f}")
        title = f"{cls.capitalize()}, {measure}"
        axes.set(title=title)
        label_rows(axes, names)
        texts.append(f"{title}: {'; '.join(parts)}.")
    if printed:
        _legend(figure, BLUE)
    figure.alt = " ".join(texts)
    return figure


@style()
def table_2_dots(rows: Sequence[TableRow], foreground: Mapping[str, float]) -> Figure:
    """Table 2 as dots, a panel for each metric and class: ours filled, with its interval; the paper's hollow.

    `foreground` has, for a class, the AP of predicting everything foreground, a fraction: a line in the panels of AP.
    """
    metrics = {"ap": "AP (%)", "foreground": "foreground accuracy (%)", "background": "background accuracy (%)"}
    models, texts = list(dict.fromkeys([*paper.TABLE_2, *(row.model for row in rows)])), []
    figure = Figure(figsize=(WIDTH, 0.75 + len(metrics) * (0.55 + 0.34 * len(models))))
    panels = figure.subplots(len(metrics), len(paper.CLASSES), sharey=True, sharex="row")
    for (field, metric), line in zip(metrics.items(), panels, strict=True):
        for axes, cls in zip(line, paper.CLASSES, strict=True):
            ours = {row.model: getattr(row, field) for row in rows if row.cls == cls}
            parts = [_row(axes, y, model, ours.get(model), getattr(paper.TABLE_2.get(model, {}).get(cls), field, None),
                          *model_style(model)) for y, model in enumerate(models)]
            title = f"{cls.capitalize()}, {metric}"
            label_rows(axes, models)
            axes.set(title=title)
            axes.grid(axis="y", color=RULE)
            if field == "ap" and cls in foreground:
                axes.axvline(100 * foreground[cls], color=INK, linewidth=1, dashes=(1.5, 2))
            texts.append(f"{title}: {'; '.join(parts)}.")
        if field != "background":
            line[0].set_xlim(left=0)  # after both panels: a limit once set no longer follows what is drawn
    _legend(figure, INK)
    figure.alt = " ".join(texts)
    return figure


@style()
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
