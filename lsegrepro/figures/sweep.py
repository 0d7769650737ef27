"""Figure 5: AP against theta, exact at every theta."""

from collections.abc import Mapping
from itertools import zip_longest

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .. import evaluation, paper
from ..evaluation import Curve
from ..paper import CEILING, FLOOR
from .style import INK, RULE, WIDTH, model_style, style


@style()
def figure_5(curves: Mapping[tuple, Curve], chosen: Mapping[tuple, float], oracle: Mapping[tuple, float]) -> Figure:
    """Figure 5: AP on val against theta, step for step, a line for each network and a panel for each class.

    Keys begin with the model and the class. `chosen` has the theta chosen on train, a filled mark on the line; `oracle`
    the best on val, a hollow one.
    """
    classes = [cls for cls in paper.CLASSES if any(key[1] == cls for key in curves)]
    figure = Figure(figsize=(WIDTH, 3.7))
    panels, texts, models = figure.subplots(1, len(classes), sharey=True, squeeze=False)[0], [], {}
    for axes, cls in zip(panels, classes, strict=True):
        for key, curve in ((key, curve) for key, curve in curves.items() if key[1] == cls):
            colour, marker = model_style(key[0])
            axes.plot(curve.thetas, 100 * curve.ap, color=colour, drawstyle="steps-post", zorder=3)
            for theta, fill in ((chosen[key], colour), (oracle[key], "white")):
                ap = 100 * evaluation.ap(curve.at(theta))
                axes.plot(theta, ap, marker, markersize=7, markeredgewidth=1.5, zorder=4,
                          markeredgecolor=colour, markerfacecolor=fill, clip_on=False)
            models[key[0]] = Line2D([], [], color=colour, marker=marker, markersize=6, label=key[0])
            theta, ap = curve.best()
            texts.append(f"{cls}, {key[0]}: at most {100 * ap:.1f} %, at theta {theta:.3f}")
        axes.axvline(paper.THETA[cls], color=INK, linewidth=1, dashes=(1.5, 2))
        for low, high in ((0, FLOOR), (CEILING, 1)):  # where no probability can lie
            axes.axvspan(low, high, color=RULE, linewidth=0, alpha=0.6)
        place = {"xycoords": axes.get_xaxis_transform(), "textcoords": "offset points", "fontsize": 8}
        axes.annotate(f"paper: {paper.THETA[cls]:g}", (paper.THETA[cls], 1), (-3, -2), ha="right", va="top", **place)
        axes.annotate(f"ceiling {CEILING:.4f}", (CEILING, 0.5), (4, 0), rotation=90, va="center", **place)
        axes.set(title=cls.capitalize(), xlabel="θ", xlim=(0, 0.94))
    highest = max(0.01, *(np.nanmax(curve.ap) for curve in curves.values()))
    panels[0].set(ylabel="AP = IoU on val (%)", ylim=(0, 115 * highest))
    marks = [Line2D([], [], linestyle="", marker="o", markersize=6, color=INK, label=name, markerfacecolor=fill)
             for name, fill in (("θ chosen on train", INK), ("best on val (oracle)", "white"))]
    # matplotlib fills a legend column by column: models in its first line, marks in the second.
    pairs = zip_longest(models.values(), marks, fillvalue=Line2D([], [], linestyle="", label=" "))
    figure.legend(handles=[handle for pair in pairs for handle in pair], loc="outside upper left",
                  ncols=max(len(models), len(marks)), columnspacing=1.6)
    figure.alt = f"AP on val against theta. {'; '.join(texts)}. No pixel exceeds {CEILING:.4f}."
    return figure
