"""Table 2, the paper's numbers beside ours: as a table for a page, and as a chart."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .. import paper
from ..files import LsegreproError
from ..runs.comparisons import Row
from .style import INK, RULE, WIDTH, Html, model_style, styled

METRICS = {"foreground": "foreground", "background": "background", "ap": "AP"}
"""Columns of Table 2: field of `comparison.Row` (and of `paper.Row`) to heading."""

NOT_RUN = "not run in this profile"


def _by_place(rows: Sequence[Row]) -> dict[tuple[str, str], Row]:
    places = {(row.model, row.cls): row for row in rows}
    if len(places) != len(rows):
        raise LsegreproError("two rows of Table 2 have the same model and class; choose one of them")
    unknown = {row.cls for row in rows} - set(paper.CLASSES)
    if unknown:
        raise LsegreproError(f"unknown class {unknown.pop()!r}; choose one of {', '.join(paper.CLASSES)}")
    return places


def _models(rows: Sequence[Row]) -> list[str]:
    """The paper's four, then others in the order given."""
    return list(dict.fromkeys([*paper.TABLE_2, *(row.model for row in rows)]))


_CSS = """
table.table-2 {border-collapse: collapse; font-size: .8rem; font-variant-numeric: tabular-nums;
  margin: 0 0 1rem}
table.table-2 caption {caption-side: top; text-align: left; padding: 0 0 .5rem; color: inherit}
table.table-2 tr :is(th, td) {padding: .2rem .3rem; text-align: right; vertical-align: baseline;
  border: 0; background: none; white-space: nowrap}
table.table-2 tr th:is([scope=row], [scope=rowgroup]) {text-align: left; vertical-align: top}
table.table-2 tr th[scope=row] {font-weight: 400}
table.table-2 tr th[scope=rowgroup] {font-weight: 600; white-space: normal}
table.table-2 tr th[scope=colgroup] {text-align: center}
table.table-2 tr.ours td {font-weight: 600}
table.table-2 thead th {border: 0}
table.table-2 :is(tbody, thead) {border-bottom: 1px solid rgb(128 128 128 / .6)}
table.table-2 small {display: block; font-size: .8em; font-weight: 400; opacity: .85}
table.table-2 .hidden {position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%)}
"""


def table_2_html(rows: Sequence[Row], caption: str, level: float = 0.95) -> Html:
    """Table 2 for a page: under each model the paper's numbers, then ours with their intervals.

    All four models of the paper appear; what was not run is a dash that says so.

    Parameters
    ----------
    rows : sequence of Row
    caption : str
        Plain text: what was measured, on how many images.
    level : float
        Of the intervals, for the caption.

    Examples
    --------
    >>> from lsegrepro.evaluation import Interval
    >>> table_2_html([Row("LSE1", "cat", None, None, Interval(0.3, 0.25, 0.35))], "Ours.").text
    'Ours. LSE1 cat AP: paper 34.36 %, here 30.0 %.'
    """
    places = _by_place(rows)
    bodies = []
    for model in _models(rows):
        printed, lines = paper.TABLE_2.get(model), []
        if printed:
            cells = "".join(
                f"<td>{getattr(printed[cls], field):.2f}</td>" for cls in paper.CLASSES for field in METRICS
            )
            lines.append(f'<th scope="row">paper</th>{cells}')
        cells = "".join(_cell(places.get((model, cls)), field) for cls in paper.CLASSES for field in METRICS)
        lines.append(f'<th scope="row">here</th>{cells}')
        head = f'<th scope="rowgroup" rowspan="{len(lines)}">{html.escape(model)}</th>'
        kinds = ["paper", "ours"][-len(lines) :]
        body = "".join(
            f'<tr class="{kind}">{head if line is lines[0] else ""}{line}</tr>'
            for kind, line in zip(kinds, lines, strict=True)
        )
        bodies.append(f"<tbody>{body}</tbody>")
    groups = "".join(f'<th scope="colgroup" colspan="{len(METRICS)}">{cls}</th>' for cls in paper.CLASSES)
    columns = "".join(f'<th scope="col">{name}</th>' for _ in paper.CLASSES for name in METRICS.values())
    said = [
        f"{row.model} {row.cls} AP: "
        + (f"paper {paper.TABLE_2[row.model][row.cls].ap:.2f} %, " if row.model in paper.TABLE_2 else "")
        + f"here {100 * row.ap.value:.1f} %"
        for row in rows
        if row.ap is not None
    ]
    note = f" Percent; in brackets the {100 * level:g} % interval over images."
    return Html(
        f'<style>{_CSS}</style><table class="table-2"><caption>{html.escape(caption)}{note}</caption>'
        f'<colgroup span="2"></colgroup>{f"<colgroup span={len(METRICS)}></colgroup>" * len(paper.CLASSES)}'
        f'<thead><tr><td colspan="2" rowspan="2"></td>{groups}</tr><tr>{columns}</tr></thead>'
        f"{''.join(bodies)}</table>",
        f"{caption} {'; '.join(said)}.",
    )


def _cell(row: Row | None, field: str) -> str:
    interval = None if row is None else getattr(row, field)
    if interval is None or np.isnan(interval.value):
        why = NOT_RUN if row is None else "undefined"
        dash = f'<span aria-hidden="true">—</span><span class="hidden">{why}</span>'
        return f'<td><span title="{why}">{dash}</span></td>'
    value, low, high = (100 * number for number in (interval.value, interval.low, interval.high))
    brackets = "" if np.isnan(low) else f"<small>[{low:.1f}, {high:.1f}]</small>"
    return f"<td>{value:.2f}{brackets}</td>"


@styled
def table_2_dots(
    rows: Sequence[Row], metrics: Sequence[str] = ("ap",), baselines: Mapping[str, float] | None = None
) -> Figure:
    """Table 2 as dots: ours filled, with its interval; the paper's hollow.

    Parameters
    ----------
    rows : sequence of Row
    metrics : sequence of str
        Of `METRICS`, a row of panels each.
    baselines : mapping, optional
        Class to the AP, a fraction, of calling everything foreground: a line in the AP panels.
    """
    if not metrics or set(metrics) - set(METRICS):
        raise LsegreproError(f"metrics must be some of {', '.join(METRICS)}, got {list(metrics)}")
    places, models = _by_place(rows), _models(rows)
    figure = Figure(figsize=(WIDTH, 0.75 + len(metrics) * (0.55 + 0.34 * len(models))))
    panels = figure.subplots(len(metrics), len(paper.CLASSES), sharey=True, sharex="row", squeeze=False)
    said = []
    for line, field in zip(panels, metrics, strict=True):
        for axis, cls in zip(line, paper.CLASSES, strict=True):
            for y, model in enumerate(models):
                colour, marker = model_style(model)
                printed = getattr(paper.TABLE_2[model][cls], field) if model in paper.TABLE_2 else None
                if printed is not None:
                    axis.plot(printed, y, marker, color=INK, mfc="white", markersize=7, zorder=4.5)
                row = places.get((model, cls))
                ours = None if row is None else getattr(row, field)
                if ours is None or np.isnan(ours.value):
                    continue
                axis.plot([100 * ours.low, 100 * ours.high], [y, y], color=colour, linewidth=2.2, zorder=4,
                          solid_capstyle="round")
                axis.plot(100 * ours.value, y, marker, color=colour, markersize=7, zorder=5)
                text = f"{model} {cls} {METRICS[field]} {100 * ours.value:.1f} %"
                text += "" if np.isnan(ours.low) else f" [{100 * ours.low:.1f}, {100 * ours.high:.1f}]"
                said.append(text if printed is None else f"{text}, paper {printed:.2f} %")
            if field == "ap" and baselines and cls in baselines:
                axis.axvline(100 * baselines[cls], color=INK, linewidth=1, dashes=(1.5, 2))
                axis.annotate("everything foreground", (100 * baselines[cls], 1), (3, -2), va="top",
                              xycoords=axis.get_xaxis_transform(), textcoords="offset points", fontsize=8)
            name = "AP" if field == "ap" else f"{METRICS[field]} accuracy"
            axis.set(title=f"{cls.capitalize()}, {name} (%)", yticks=range(len(models)), yticklabels=models,
                     ylim=(len(models) - 0.5, -0.9 if baselines else -0.6))
            axis.tick_params(axis="y", length=0)
            axis.grid(axis="y", color=RULE)
        if field != "background":
            line[0].set_xlim(left=0)
    handles = [
        Line2D([], [], linestyle="", marker="o", markersize=6, color=INK, markerfacecolor=fill, label=name)
        for name, fill in (("this run, with interval", INK), ("paper", "white"))
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=2)
    figure.alt = "Table 2 as dots. " + ("; ".join(said) or "Nothing was run") + "."
    return figure
