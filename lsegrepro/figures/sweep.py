"""Figure 5: AP against theta, exact at every theta."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .. import evaluation, paper
from ..files import LsegreproError
from ..paper import CEILING, FLOOR
from .style import INK, RULE, WIDTH, level_line, model_style, styled

_DASHES = (0, (4, 2))


@dataclass(frozen=True, eq=False)
class ThetaLine:
    """A line of Figure 5: `ap` (m,) holds from each of `thetas` (m,) to the next. Dashed unless `smoothed`."""

    model: str
    cls: str
    thetas: np.ndarray
    ap: np.ndarray
    smoothed: bool = True

    @classmethod
    def of(cls_, model: str, cls: str, curve: evaluation.Curve, *, smoothed: bool = True) -> ThetaLine:
        """The line of a curve, step for step."""
        return cls_(model, cls, curve.thetas, curve.ap, smoothed)


@dataclass(frozen=True)
class ThetaMark:
    """A theta on a line of Figure 5: chosen on train (filled), or the best on val (hollow, an oracle)."""

    model: str
    cls: str
    theta: float
    ap: float
    oracle: bool = False


@styled
def figure_5(
    lines: Sequence[ThetaLine],
    marks: Sequence[ThetaMark] = (),
    split: str = "val",
    baselines: Mapping[str, float] | None = None,
) -> Figure:
    """Figure 5: AP against theta for each architecture, with exactly the data given; a panel for each class.

    `split` is what the AP was measured on, for the axis. `baselines` has, for a class, the AP of predicting everything
    foreground, a fraction: a dotted line.
    """
    classes = [cls for cls in paper.CLASSES if any(line.cls == cls for line in lines)]
    if not classes:
        raise LsegreproError(f"Figure 5 needs a line for one of {', '.join(paper.CLASSES)}")
    figure = Figure(figsize=(WIDTH, 3.7))
    panels, texts = figure.subplots(1, len(classes), sharey=True, squeeze=False)[0], []
    for axis, cls in zip(panels, classes, strict=True):
        texts += [_theta_line(axis, line) for line in lines if line.cls == cls]
        for mark in (mark for mark in marks if mark.cls == cls):
            colour, marker = model_style(mark.model)
            axis.plot(mark.theta, 100 * mark.ap, marker, markersize=7, markeredgewidth=1.5, markeredgecolor=colour,
                      markerfacecolor="white" if mark.oracle else colour, zorder=4, clip_on=False)
        if baselines and cls in baselines:
            level_line(axis, 100 * baselines[cls], "everything foreground", left=True)
            texts.append(f"{cls}, everything foreground: {100 * baselines[cls]:.1f} %")
        axis.axvline(paper.THETA[cls], color=INK, linewidth=1, dashes=(1.5, 2))
        for low, high in ((0, FLOOR), (CEILING, 1)):  # where no probability can lie
            axis.axvspan(low, high, color=RULE, linewidth=0, alpha=0.6)
        place = {"xycoords": axis.get_xaxis_transform(), "textcoords": "offset points", "fontsize": 8}
        axis.annotate(f"paper: {paper.THETA[cls]:g}", (paper.THETA[cls], 1), (-3, -2), ha="right", va="top", **place)
        axis.annotate(f"ceiling {CEILING:.4f}", (CEILING, 0.5), (4, 0), rotation=90, va="center", **place)
        axis.set(title=cls.capitalize(), xlabel="θ", xlim=(0, 0.94))
    top = max((axis.dataLim.ymax for axis in panels if np.isfinite(axis.dataLim.ymax)), default=0)
    panels[0].set(ylabel=f"AP = IoU on {split} (%)", ylim=(0, max(1.0, 1.15 * top)))
    _theta_legend(figure, lines, marks, split)
    figure.alt = f"AP on {split} against theta. " + "; ".join(texts) + f". No pixel exceeds {CEILING:.4f}."
    return figure


def _theta_line(axis: Axes, line: ThetaLine) -> str:
    """Draw one line; return in words where it peaks."""
    width, dash, name = (1.8, "-", "smoothed") if line.smoothed else (1.1, _DASHES, "raw")
    axis.plot(line.thetas, 100 * np.asarray(line.ap), color=model_style(line.model)[0], linewidth=width, linestyle=dash,
              zorder=3 if line.smoothed else 2.5, drawstyle="steps-post")
    if np.isnan(line.ap).all():
        return f"{line.cls}, {line.model}, {name}: undefined"
    best = int(np.nanargmax(line.ap))
    return f"{line.cls}, {line.model}, {name}: at most {100 * line.ap[best]:.1f} %, at theta {line.thetas[best]:.3f}"


def _theta_legend(figure: Figure, lines: Sequence[ThetaLine], marks: Sequence[ThetaMark], split: str) -> None:
    """Models in the first line of the legend, kinds of lines and marks in the second."""
    models = []
    for model in dict.fromkeys(line.model for line in lines):
        colour, marker = model_style(model)
        shape = marker if any(mark.model == model for mark in marks) else ""
        models.append(Line2D([], [], color=colour, marker=shape, markersize=6, label=model))
    kinds = []
    if len({line.smoothed for line in lines}) == 2:
        kinds += [Line2D([], [], color=INK, label="smoothed"),
                  Line2D([], [], color=INK, linewidth=1.1, linestyle=_DASHES, label="raw")]
    for oracle, name in ((False, "θ chosen on train"), (True, f"best on {split} (oracle)")):
        if any(mark.oracle == oracle for mark in marks):
            kinds.append(Line2D([], [], linestyle="", marker="o", markersize=6, color=INK, label=name,
                                markerfacecolor="white" if oracle else INK))
    # matplotlib fills a legend column by column.
    pairs = zip_longest(models, kinds, fillvalue=Line2D([], [], linestyle="", label=" "))
    handles = [handle for pair in pairs for handle in pair] if kinds else models
    figure.legend(handles=handles, loc="outside upper left", ncols=max(len(models), len(kinds)), columnspacing=1.6)
