"""Table 2, the paper's numbers beside ours: as an HTML table, and as a chart."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .. import paper
from ..evaluation import TableRow
from ..files import LsegreproError
from .style import INK, RULE, WIDTH, Html, interval_text, label_rows, model_style, plot_interval, styled

METRICS = {"foreground": "foreground", "background": "background", "ap": "AP"}
"""Columns of Table 2: field of `evaluation.TableRow` (and of `paper.Row`) to heading."""

NOT_RUN = "not run in this profile"

_CSS = """
table.table-2 {border-collapse: collapse; font-size: .8rem; font-variant-numeric: tabular-nums; margin: 0 0 1rem}
table.table-2 caption {caption-side: top; text-align: left; padding: 0 0 .5rem; color: inherit}
table.table-2 tr :is(th, td) {padding: .2rem .3rem; text-align: right; vertical-align: baseline; border: 0;
  background: none; white-space: nowrap}
table.table-2 tr th[scope=row] {text-align: left; font-weight: 400; white-space: normal}
table.table-2 tr.ours :is(td, th) {font-weight: 600; border-bottom: 1px solid rgb(128 128 128 / .6)}
table.table-2 small {display: block; font-size: .8em; font-weight: 400; opacity: .85}
"""


def _by_model_and_class(rows: Sequence[TableRow]) -> dict[tuple[str, str], TableRow]:
    places = {(row.model, row.cls): row for row in rows}
    if len(places) != len(rows):
        raise LsegreproError("two rows of Table 2 have the same model and class; choose one of them")
    if unknown := {row.cls for row in rows} - set(paper.CLASSES):
        raise LsegreproError(f"unknown class {unknown.pop()!r}; choose one of {', '.join(paper.CLASSES)}")
    return places


def _models(rows: Sequence[TableRow]) -> list[str]:
    """The paper's four, then others in the order given."""
    return list(dict.fromkeys([*paper.TABLE_2, *(row.model for row in rows)]))


def table_2_html(rows: Sequence[TableRow], caption: str, level: float = 0.95) -> Html:
    """Table 2 as HTML: for each model the paper's numbers, then ours with their intervals.

    All four models of the paper appear; what was not run is a dash that says so.

    Parameters
    ----------
    rows : sequence of TableRow
    caption : str
        Plain text: what was measured, on how many images.
    level : float
        Of the intervals, for the caption.

    Examples
    --------
    >>> from lsegrepro.evaluation import Interval
    >>> table_2_html([TableRow("LSE1", "cat", None, None, Interval(0.3, 0.25, 0.35))], "Ours.").text
    'Ours. LSE1 cat AP: paper 34.36 %, here 30.0 %.'
    """
    places = _by_model_and_class(rows)
    columns = [(cls, field) for cls in paper.CLASSES for field in METRICS]
    head = "".join(f'<th scope="col">{cls} {METRICS[field]}</th>' for cls, field in columns)
    lines = []
    for model in _models(rows):
        if model in paper.TABLE_2:
            cells = "".join(f"<td>{getattr(paper.TABLE_2[model][cls], field):.2f}</td>" for cls, field in columns)
            lines.append(f'<tr class="paper"><th scope="row">{model}, paper</th>{cells}</tr>')
        cells = "".join(_cell(places.get((model, cls)), field) for cls, field in columns)
        here = ", here" if model in paper.TABLE_2 else ""
        lines.append(f'<tr class="ours"><th scope="row">{html.escape(model)}{here}</th>{cells}</tr>')
    texts = [
        f"{row.model} {row.cls} AP: "
        + (f"paper {paper.TABLE_2[row.model][row.cls].ap:.2f} %, " if row.model in paper.TABLE_2 else "")
        + f"here {100 * row.ap.value:.1f} %"
        for row in rows if row.ap is not None
    ]  # fmt: skip
    note = f" Percent; in brackets the {100 * level:g} % interval over images."
    return Html(f'<style>{_CSS}</style><table class="table-2"><caption>{html.escape(caption)}{note}</caption>'
                f"<thead><tr><td></td>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>",
                f"{caption} {'; '.join(texts)}.")


def _cell(row: TableRow | None, field: str) -> str:
    interval = None if row is None else getattr(row, field)
    if interval is None or np.isnan(interval.value):
        why = NOT_RUN if row is None else "undefined"
        return f'<td><span role="img" aria-label="{why}" title="{why}">—</span></td>'
    value, low, high = (100 * number for number in (interval.value, interval.low, interval.high))
    brackets = "" if np.isnan(low) else f"<small>[{low:.1f}, {high:.1f}]</small>"
    return f"<td>{value:.2f}{brackets}</td>"


@styled
def table_2_dots(
    rows: Sequence[TableRow], metrics: Sequence[str] = ("ap",), baselines: Mapping[str, float] | None = None
) -> Figure:
    """Table 2 as a dot chart: ours filled, with its interval; the paper's hollow.

    Parameters
    ----------
    rows : sequence of TableRow
    metrics : sequence of str
        Of `METRICS`, a row of panels each.
    baselines : mapping, optional
        Class to the AP, a fraction, of predicting everything foreground: a line in the AP panels.
    """
    if not metrics or set(metrics) - set(METRICS):
        raise LsegreproError(f"metrics must be some of {', '.join(METRICS)}, got {list(metrics)}")
    places, models = _by_model_and_class(rows), _models(rows)
    figure = Figure(figsize=(WIDTH, 0.75 + len(metrics) * (0.55 + 0.34 * len(models))))
    panels = figure.subplots(len(metrics), len(paper.CLASSES), sharey=True, sharex="row", squeeze=False)
    texts = []
    for panel_row, field in zip(panels, metrics, strict=True):
        for axes, cls in zip(panel_row, paper.CLASSES, strict=True):
            for y, model in enumerate(models):
                colour, marker = model_style(model)
                printed = getattr(paper.TABLE_2[model][cls], field) if model in paper.TABLE_2 else None
                if printed is not None:
                    axes.plot(printed, y, marker, color=INK, mfc="white", markersize=7, zorder=4.5)
                ours = getattr(places.get((model, cls)), field, None)
                if ours is not None and not np.isnan(ours.value):
                    plot_interval(axes, ours, y, colour, marker)
                    texts.append(f"{model} {cls} {METRICS[field]} {interval_text(ours, ' %')}"
                                 + ("" if printed is None else f", paper {printed:.2f} %"))
            label_rows(axes, models)
            if field == "ap" and baselines and cls in baselines:
                axes.set_ylim(top=-0.9)  # room for the name of the line
                axes.axvline(100 * baselines[cls], color=INK, linewidth=1, dashes=(1.5, 2))
                axes.annotate("everything foreground", (100 * baselines[cls], 1), (3, -2), va="top",
                              xycoords=axes.get_xaxis_transform(), textcoords="offset points", fontsize=8)
            axes.set(title=f"{cls.capitalize()}, {'AP' if field == 'ap' else f'{METRICS[field]} accuracy'} (%)")
            axes.grid(axis="y", color=RULE)
        if field != "background":
            panel_row[0].set_xlim(left=0)
    handles = [
        Line2D([], [], linestyle="", marker="o", markersize=6, color=INK, markerfacecolor=fill, label=name)
        for name, fill in (("this run, with interval", INK), ("paper", "white"))
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=2)
    figure.alt = "Table 2 as dots. " + ("; ".join(texts) or "Nothing was run") + "."
    return figure
