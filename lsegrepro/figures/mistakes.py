"""Where the AP is lost, drawn: the images by their IoU, and the pixels by what became of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from ..evaluation.mistakes import PARTS, Division, Exemplar
from ..files import LsegreproError
from .style import GREEN, MUTED, VERMILLION, WIDTH, model_style, styled

_COLOURS = {"found": GREEN, "missed": MUTED, "spilled": "#E69F00", "false_alarms": VERMILLION}


@styled
def iou_ranks(ious: Mapping[str, np.ndarray], marks: Sequence[Exemplar] = (), cls: str = "cat") -> Figure:
    """IoU of each image that holds the class, from the best to the worst.

    Parameters
    ----------
    ious : mapping
        Model to (n,) fractions, one an image that holds the class.
    marks : sequence of Exemplar
        Images of the first model to name.
    """
    if not ious or not all(len(values) for values in ious.values()):
        raise LsegreproError(f"no image holds a {cls}: there is nothing to rank")
    figure = Figure(figsize=(WIDTH, 3.2))
    axes = figure.subplots()
    said = []
    for k, (model, values) in enumerate(ious.items()):
        values = np.sort(np.asarray(values, float))[::-1]
        colour, marker = model_style(model)
        axes.plot(np.arange(1, len(values) + 1), 100 * values, marker=marker, color=colour,
                  markersize=4 if len(values) <= 40 else 2.5, label=model, linewidth=0.8)
        said.append(f"{model}: best {100 * values[0]:.0f} %, median {100 * np.median(values):.0f} %, "
                    f"{(values == 0).sum()} of {len(values)} at 0")
        titles: dict[int, list[str]] = {}  # images of one IoU share a place and a label
        for mark in marks if k == 0 else ():
            titles.setdefault(int(np.argmin(np.abs(values - mark.iou))), []).append(mark.title)
        for place, named in titles.items():
            axes.annotate(", ".join(named), (place + 1, 100 * values[place]), (6, 12), textcoords="offset points",
                          fontsize=8, arrowprops={"arrowstyle": "-", "linewidth": 0.8}, zorder=4,
                          bbox={"facecolor": "white", "edgecolor": "none", "pad": 1, "alpha": 0.85})
    axes.set(title=f"IoU of each image with a {cls} (%)", xlabel="rank of the image", ylim=(-2, 112),
             xlim=(0, max(len(values) for values in ious.values()) + 1))
    axes.set_yticks(range(0, 101, 20))
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(loc="upper right")
    figure.alt = f"IoU of each image with a {cls}, by rank. " + "; ".join(said) + "."
    return figure


@styled
def division_bars(divisions: Mapping[str, Division]) -> Figure:
    """One bar a network: the union of truth and answer, divided into what was found and what was not."""
    if not divisions:
        raise LsegreproError("a chart of divisions needs at least one")
    figure = Figure(figsize=(WIDTH, 0.9 + 0.5 * len(divisions)))
    axes = figure.subplots()
    said = []
    for y, (name, division) in enumerate(divisions.items()):
        left = 0.0
        for field, title in PARTS.items():
            share = 100 * getattr(division, field)
            axes.barh(y, share, left=left, height=0.62, color=_COLOURS[field], label=None if y else title)
            if share >= 4:
                axes.text(left + share / 2, y, f"{share:.0f} %", ha="center", va="center", color="white",
                          fontsize=8.5, fontweight="bold")
            left += share
        parts = ", ".join(f"{title} {100 * getattr(division, field):.0f} %" for field, title in PARTS.items())
        said.append(f"{name}: {parts}")
    axes.set(yticks=range(len(divisions)), yticklabels=list(divisions), ylim=(len(divisions) - 0.5, -0.5),
             xlim=(0, 100), xlabel="share of the pixels that are foreground in truth or answer (%)")
    axes.grid(visible=False)
    axes.tick_params(axis="y", length=0)
    figure.legend(loc="outside upper left", ncols=4, columnspacing=1.2, handlelength=1.2)
    figure.alt = "The union of truth and answer, divided. " + "; ".join(said) + "."
    return figure
