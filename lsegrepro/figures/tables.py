"""Table 2, the paper's numbers beside ours: as an HTML table, and as a chart."""

from __future__ import annotations

import html
import itertools
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .. import paper
from ..evaluation import TableRow
from ..files import LsegreproError
from .style import INK, RULE, WIDTH, Html, in_percent, interval_text, label_rows, model_style, plot_interval, styled

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


def _by_model(rows: Sequence[TableRow]) -> dict[str, dict[str, TableRow]]:
    """Rows by model and class: the paper's four models, then others in the order given."""
    models: dict[str, dict[str, TableRow]] = {model: {} for model in paper.TABLE_2}
    for row in rows:
        if row.cls not in paper.CLASSES:
            raise LsegreproError(f"unknown class {row.cls!r}; choose one of {', '.join(paper.CLASSES)}")
        if row.cls in models.setdefault(row.model, {}):
            raise LsegreproError("two rows of Table 2 have the same model and class; choose one of them")
        models[row.model][row.cls] = row
    return models


def table_2_html(rows: Sequence[TableRow], caption: str, level: float = 0.95) -> Html:
    """Table 2 as HTML: for each model the paper's numbers, then ours with their intervals.

    All four models of the paper appear; what was not run is a dash that says so. `caption`, plain text, says what was
    measured, on how many images; `level` is that of the intervals.

    >>> from lsegrepro.evaluation import Interval
    >>> table_2_html([TableRow("LSE1", "cat", None, None, Interval(0.3, 0.25, 0.35))], "Ours.").text
    'Ours. LSE1 cat AP: paper 34.36 %, here 30.0 %.'
    """
    columns = [(cls, field) for cls in paper.CLASSES for field in METRICS]
    head = "".join(f'<th scope="col">{cls} {METRICS[field]}</th>' for cls, field in columns)
    lines, texts = [], []

    def line(kind: str, name: str, cells: Iterable[str]) -> str:
        return f'<tr class="{kind}"><th scope="row">{html.escape(name)}</th>{"".join(cells)}</tr>'

    for model, ours in _by_model(rows).items():
        printed = paper.TABLE_2.get(model)
        if printed:
            lines.append(line("paper", f"{model}, paper",
                              (f"<td>{getattr(printed[cls], field):.2f}</td>" for cls, field in columns)))
        lines.append(line("ours", f"{model}, here" if printed else model,
                          (_cell(ours.get(cls), field) for cls, field in columns)))
        texts += [f"{model} {cls} AP: " + (f"paper {printed[cls].ap:.2f} %, " if printed else "")
                  + f"here {100 * row.ap.value:.1f} %" for cls, row in ours.items() if row.ap]
    note = f" Percent; in brackets the {100 * level:g} % interval over images."
    return Html(f'<style>{_CSS}</style><table class="table-2"><caption>{html.escape(caption)}{note}</caption>'
                f"<thead><tr><td></td>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>",
                f"{caption} {'; '.join(texts)}.")


def _cell(row: TableRow | None, field: str) -> str:
    interval = None if row is None else getattr(row, field)
    if interval is None or np.isnan(interval.value):
        why = NOT_RUN if row is None else "undefined"
        return f'<td><span role="img" aria-label="{why}" title="{why}">—</span></td>'
    value, low, high = in_percent([interval])[:, 0]
    brackets = "" if np.isnan(low) else f"<small>[{low:.1f}, {high:.1f}]</small>"
    return f"<td>{value:.2f}{brackets}</td>"


@styled
def table_2_dots(
    rows: Sequence[TableRow], metrics: Sequence[str] = ("ap",), baselines: Mapping[str, float] | None = None
) -> Figure:
    """Table 2 as a dot chart: ours filled, with its interval; the paper's hollow.

    `metrics` are some of `METRICS`, a row of panels each. `baselines` has, for a class, the AP of predicting everything
    foreground, a fraction: a line in the AP panels.
    """
    if not metrics or set(metrics) - set(METRICS):
        raise LsegreproError(f"metrics must be some of {', '.join(METRICS)}, got {list(metrics)}")
    models, texts = _by_model(rows), []
    figure = Figure(figsize=(WIDTH, 0.75 + len(metrics) * (0.55 + 0.34 * len(models))))
    panels = figure.subplots(len(metrics), len(paper.CLASSES), sharey=True, sharex="row", squeeze=False)
    for axes, (field, cls) in zip(panels.flat, itertools.product(metrics, paper.CLASSES), strict=True):
        for y, (model, ours) in enumerate(models.items()):
            colour, marker = model_style(model)
            interval = getattr(ours.get(cls), field, None)
            measured = interval is not None and not np.isnan(interval.value)
            if measured:
                plot_interval(axes, interval, y, colour, marker)
                texts.append(f"{model} {cls} {METRICS[field]} {interval_text(interval, ' %')}")
            if model in paper.TABLE_2:
                printed = getattr(paper.TABLE_2[model][cls], field)
                axes.plot(printed, y, marker, color=INK, mfc="white", markersize=7, zorder=4.5)
                if measured:
                    texts[-1] += f", paper {printed:.2f} %"
        label_rows(axes, list(models))
        if field == "ap" and baselines and cls in baselines:
            axes.set_ylim(top=-0.9)  # room for the name of the line
            axes.axvline(100 * baselines[cls], color=INK, linewidth=1, dashes=(1.5, 2))
            axes.annotate("everything foreground", (100 * baselines[cls], 1), (3, -2), va="top",
                          xycoords=axes.get_xaxis_transform(), textcoords="offset points", fontsize=8)
        axes.set(title=f"{cls.capitalize()}, {'AP' if field == 'ap' else f'{METRICS[field]} accuracy'} (%)")
        axes.grid(axis="y", color=RULE)
    for field, axes in zip(metrics, panels[:, 0], strict=True):  # last: limits once set no longer follow what is drawn
        if field != "background":
            axes.set_xlim(left=0)
    handles = [Line2D([], [], linestyle="", marker="o", markersize=6, color=INK, markerfacecolor=fill, label=name)
               for name, fill in (("this run, with interval", INK), ("paper", "white"))]
    figure.legend(handles=handles, loc="outside upper left", ncols=2)
    figure.alt = "Table 2 as dots. " + ("; ".join(texts) or "Nothing was run") + "."
    return figure
