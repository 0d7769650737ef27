"""Charts of the chapters: aggregation, training, Figure 5, scaling, temperature, and where the AP is lost.

Arrays and small records in, a matplotlib figure with ``figure.alt`` out. Fractions come in, percent is drawn.
"""

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import zip_longest

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator

from .. import evaluation, paper
from ..evaluation import Curve, Interval
from ..evaluation.mistakes import PARTS, Exemplar
from ..paper import CEILING, FLOOR, LOSS_FLOOR, LOSS_START
from .style import (
    BLUE,
    GREEN,
    INK,
    MUTED,
    ORANGE,
    RULE,
    VERMILLION,
    WIDTH,
    between,
    in_percent,
    label_rows,
    level_line,
    model_style,
    picture,
    style,
)


@style()
def gradient_weights(scores: np.ndarray, weights: Mapping[str, np.ndarray], patches: np.ndarray) -> Figure:
    """Bars: the share of the gradient of an image's score that each aggregation gives to each patch.

    `scores` (N,) in [-1, 1] are one class's column of F; `weights` has, for the name of each aggregation, (N,), the
    derivative of the image's score by each patch's; `patches` (N, sz, sz, 3) uint8 are shown above their scores.
    """
    places = np.arange(1, len(scores) + 1)
    figure = Figure(figsize=(WIDTH, 2.4 + 1.05 * len(weights)))
    top, *panels = figure.subplots(2 + len(weights), 1, sharex=True, height_ratios=[0.75] + [1] * (1 + len(weights)))
    for place, patch in zip(places, patches, strict=True):
        picture(top.inset_axes((place - 0.42, 0, 0.84, 1), transform=top.get_xaxis_transform()), patch)
    top.set_axis_off()
    for axes, (name, values) in zip(panels, [("", scores), *weights.items()], strict=True):
        bars = axes.bar(places, values, width=0.62, color=BLUE if name else MUTED)
        axes.bar_label(bars, [f"{value:.2f}".replace("-", "\N{MINUS SIGN}") for value in values], fontsize=8, padding=2)
        axes.grid(axis="x", visible=False)
        axes.axhline(0, color=MUTED, linewidth=0.8)
        axes.set(ylim=(0, 1.25) if name else (-1.45, 1.45), yticks=[0, 0.5, 1] if name else [-1, 0, 1],
                 title=f"Share of the gradient: {name}" if name else "Score of each patch")
    panels[-1].set(xticks=places, xlabel="patch", xlim=(0.4, len(scores) + 0.6))
    shares = "; ".join(f"{name} gives the best patch {100 * np.max(w):.0f} %" for name, w in weights.items())
    figure.alt = (f"Bars for {len(scores)} patches. Scores run from {np.min(scores):.2f} to {np.max(scores):.2f}. "
                  f"Share of the gradient: {shares}.")
    return figure


@style()
def tempered_family(scores: np.ndarray) -> Figure:
    """The tempered log-sum-exp of N scores (1/r log 1/N sum exp(r F)) against r: value, and gradient of each patch."""
    mean, top = np.mean(scores), np.max(scores)
    r = np.geomspace(0.01, 100, 161)
    powers = np.exp(r[:, None] * (scores - top))  # (161, N), about the maximum
    values = top + np.log(powers.mean(axis=1)) / r
    weights = powers / powers.sum(axis=1, keepdims=True)
    best = np.isclose(scores, top)  # several, if their scores are equal
    figure = Figure(figsize=(WIDTH, 3.1))
    left, right = figure.subplots(1, 2)
    left.plot(r, values, color=BLUE)
    right.plot(r, weights[:, ~best], color=MUTED, linewidth=1, alpha=0.7)
    right.plot(r, weights[:, best], color=VERMILLION)
    for axes, level, name in ((left, mean, "mean"), (left, top, "max"), (right, 1 / len(scores), "1/N")):
        level_line(axes, level, name, left=True)
    right.annotate("best patch" if best.sum() == 1 else f"each of {best.sum()} best patches",
                   (r[-1], weights[-1, best][0]), (-4, 5), textcoords="offset points", ha="right", color=VERMILLION,
                   fontsize=8.5)
    left.set(title="Aggregated score", ymargin=0.2)
    right.set(title="Share of the gradient of each patch", ylim=(0, 1.04))
    for axes in (left, right):
        axes.set(xscale="log", xlim=(r[0], r[-1]), xlabel="r (1 is the paper's LSE)")
        axes.axvline(1, color=MUTED, linewidth=1, dashes=(1, 2))
        axes.xaxis.set_major_formatter("{x:g}")
    figure.alt = (f"As r grows from {r[0]:g} to {r[-1]:g}, the aggregated score goes from the mean, {mean:.2f}, to the "
                  f"maximum, {top:.2f}.")
    return figure


@style()
def training_curves(runs: Mapping[str, Sequence[Mapping[str, float]]], levels: Mapping[str, float]) -> Figure:
    """Loss and held-out accuracy against the number of images seen.

    `runs` has, for a label such as "LSE1", the rows of a training's curve file: ``samples``, ``loss`` in nats, and in
    some rows ``heldout_loss`` and ``heldout_accuracy`` (balanced, a fraction). `levels` are losses by name, in nats, to
    compare with: dashed lines, beside those of chance and of the floor.
    """
    figure = Figure(figsize=(WIDTH, 2.9 + 0.2 * (1 + len(runs) // 4)))  # a line of the legend holds four names
    left, right = figure.subplots(1, 2, sharex=True)
    dashed, texts = {"linewidth": 1, "dashes": (4, 2)}, []
    for label, rows in runs.items():
        colour, marker = model_style(label.split(" ")[0])
        heldout = [row for row in rows if "heldout_loss" in row]
        samples, accuracy = [row["samples"] for row in heldout], [100 * row["heldout_accuracy"] for row in heldout]
        left.plot([row["samples"] for row in rows], [row["loss"] for row in rows], color=colour, label=label)
        left.plot(samples, [row["heldout_loss"] for row in heldout], f"{marker}-", color=colour, markersize=3, **dashed)
        right.plot(samples, accuracy, color=colour, marker=marker, markersize=4)
        texts.append(f"{label} reaches a loss of {rows[-1]['loss']:.3f} after {rows[-1]['samples']:,.0f} images"
                     + (f" and a held-out accuracy of {accuracy[-1]:.1f} %" if accuracy else ""))
    left.plot([], [], color=INK, label="held out", **dashed)
    lowest = min([left.dataLim.ymin, *levels.values()])
    left.set(title="Loss (nats)", ylim=(max(0, lowest - 0.06), max(0.75, left.dataLim.ymax + 0.03)))
    levels = {"chance": LOSS_START, **levels, "floor": LOSS_FLOOR}
    for name, level in levels.items():
        level_line(left, level, f"{name}, {level:.3f}", left=name not in ("chance", "floor"), below=name == "floor")
    level_line(right, 50, "chance")
    right.set(title="Held-out accuracy, balanced (%)", ylim=(min(45, right.get_ylim()[0]), 100))
    for axes in (left, right):
        axes.set(xlabel="images seen", xlim=(0, None))
        axes.xaxis.set_major_formatter(lambda x, _: f"{x / 1000:g}k" if x >= 1000 else f"{x:g}")
    figure.legend(*left.get_legend_handles_labels(), loc="outside upper left", ncols=4)
    compared = ", ".join(f"{name} {level:.3f}" for name, level in levels.items())
    figure.alt = f"Training curves. {'; '.join(texts)}. Losses to compare with: {compared}."
    return figure


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


def _points(axes: Axes, points: Mapping[float | str, Interval], colour: str, **look) -> str:
    """Draw AP with its interval, fractions, as percent at each place along x; return both in words."""
    values, low, high = in_percent(list(points.values()))
    axes.errorbar(list(points), values, yerr=np.abs([values - low, high - values]), color=colour, elinewidth=1, **look)
    return ", ".join(f"{between(ap)} at {x if isinstance(x, str) else f'{x:,}'}" for x, ap in points.items())


@style()
def ap_against_images(series: Mapping[str, Mapping[int, Interval]], xlabel: str, dashed: Sequence[str] = ()) -> Figure:
    """AP against a number of images, on a logarithmic axis, a line for each series.

    `series` has the AP, a fraction, for each number, by a name that begins with the model; those whose names are in
    `dashed` are dashed, with hollow marks. `xlabel` says which images are counted: those seen in training, the
    photographs with a class.
    """
    figure = Figure(figsize=(WIDTH, 3.3))
    axes, texts = figure.subplots(), []
    for name, points in series.items():
        colour, marker = model_style(name.split(" ")[0])
        look = {"fmt": f"{marker}--", "markerfacecolor": "white"} if name in dashed else {"fmt": f"{marker}-"}
        points = dict(sorted(points.items()))
        texts.append(f"{name}: " + _points(axes, points, colour, capsize=3, label=name, **look))
    axes.set(xlabel=xlabel, title="AP (%)", ylim=(0, None), xscale="log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.minorticks_off()
    figure.legend(loc="outside upper left", ncols=2)
    figure.alt = f"AP (%) against {xlabel}. {'; '.join(texts)}."
    return figure


@style()
def temperature_curve(aps: Mapping[str, Mapping[float, Interval]], chance: Mapping[str, float]) -> Figure:
    """AP against r of the tempered log-sum-exp, a panel for each class, from the mean to the maximum.

    `aps` has, for each class and r, the AP as a fraction: r = 0 is the mean, 1 the paper's log-sum-exp, infinity the
    maximum. `chance` has the difference that another seed alone makes: a band about the AP at r = 1.
    """
    figure = Figure(figsize=(WIDTH, 3.1))
    panels, texts = figure.subplots(1, len(aps), sharey=True, squeeze=False)[0], []
    special = {0.0: "0\nmean", 1.0: "1\nLSE", math.inf: "∞\nmax"}
    for axes, (cls, by_r) in zip(panels, aps.items(), strict=True):
        if cls in chance and 1.0 in by_r:
            middle, half = 100 * by_r[1.0].value, 100 * abs(chance[cls])
            axes.axhspan(middle - half, middle + half, color=MUTED, alpha=0.2, linewidth=0)
        points = {special.get(r) or str(Fraction(r).limit_denominator(100)): by_r[r] for r in sorted(by_r)}
        text = _points(axes, points, VERMILLION, fmt="-o", ecolor=INK, zorder=3)
        axes.set(title=f"{cls.capitalize()}, AP (%)", xlabel="r", ylim=(0, None))
        texts.append(f"{cls}: " + text.replace("\n", ", the "))
    figure.alt = f"AP (%) by the r of the aggregation. {'. '.join(texts)}."
    return figure


@style()
def iou_ranks(ious: np.ndarray, marks: Sequence[Exemplar], model: str, cls: str) -> Figure:
    """IoU of each image that holds the class, (n,) fractions, from the best to the worst; `marks` are named."""
    figure = Figure(figsize=(WIDTH, 3.2))
    axes, values, (colour, marker) = figure.subplots(), np.sort(ious)[::-1], model_style(model)
    axes.plot(np.arange(1, len(values) + 1), 100 * values, marker=marker, color=colour,
              markersize=4 if len(values) <= 40 else 2.5, label=model, linewidth=0.8)
    titles: dict[int, list[str]] = {}  # images of one IoU share a place and a label
    for mark in marks:
        titles.setdefault(int(np.argmin(np.abs(values - mark.iou))), []).append(mark.title)
    for place, names in titles.items():
        axes.annotate(", ".join(names), (place + 1, 100 * values[place]), (6, 12), textcoords="offset points",
                      fontsize=8, arrowprops={"arrowstyle": "-", "linewidth": 0.8}, zorder=4,
                      bbox={"facecolor": "white", "edgecolor": "none", "pad": 1, "alpha": 0.85})
    axes.set(title=f"IoU of each image with a {cls} (%)", xlabel="rank of the image", ylim=(-2, 112),
             xlim=(0, len(values) + 1), yticks=range(0, 101, 20))
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(loc="upper right")
    figure.alt = (f"IoU of each image with a {cls}, by rank. {model}: best {100 * values[0]:.0f} %, median "
                  f"{100 * np.median(values):.0f} %, {(values == 0).sum()} of {len(values)} at 0.")
    return figure


@style()
def union_share_bars(shares: Mapping[str, Mapping[str, float]]) -> Figure:
    """A bar for each network: the union of ground truth and prediction, divided into hits and three kinds of errors."""
    figure = Figure(figsize=(WIDTH, 0.9 + 0.5 * len(shares)))
    axes, left = figure.subplots(), np.zeros(len(shares))
    for (field, title), colour in zip(PARTS.items(), (GREEN, MUTED, ORANGE, VERMILLION), strict=True):
        parts = np.array([100 * of_union[field] for of_union in shares.values()])
        bars = axes.barh(range(len(shares)), parts, left=left, height=0.62, color=colour, label=title)
        axes.bar_label(bars, [f"{part:.0f} %" if part >= 4 else "" for part in parts], label_type="center",
                       color="white", fontsize=8.5, fontweight="bold")
        left = left + parts
    label_rows(axes, list(shares))
    axes.set(xlim=(0, 100), xlabel="share of the pixels that are foreground in ground truth or prediction (%)")
    axes.grid(visible=False)
    figure.legend(loc="outside upper left", ncols=4, columnspacing=1.2, handlelength=1.2)
    texts = []
    for name, of_union in shares.items():
        parts = (f"{title} {100 * of_union[field]:.0f} %" for field, title in PARTS.items())
        texts.append(f"{name}: {', '.join(parts)}")
    figure.alt = f"The union of ground truth and prediction, divided. {'; '.join(texts)}."
    return figure


METHODS = {"patches": "patch by patch", "shifts": "shifted passes", "dilation": "dilated convolutions",
           "ours": "fragments, float32", "ours-bfloat16": "fragments, bfloat16"}
"""Key in a record of ``benchmarks.measure`` to the name of the method."""


def machine_name(record: dict) -> str:
    """The machine of a record of ``benchmarks.measure``, such as "EPYC 9B14, 2 threads, no GPU, torch 2.13"."""
    machine, gpu = record["machine"], record["machine"]["gpu"] or "no GPU"
    return f"{machine['processor']}, {machine['threads']} threads, {gpu}, torch {machine['torch']}"


@style()
def speed_chart(record: dict) -> Figure:
    """Bars: the time of each method over that of matrix products with as many operations, a panel a network.

    `record` is as ``benchmarks.measure`` writes it; its ratios are of one run on one machine.
    """
    figure = Figure(figsize=(WIDTH, 2.6))
    panels, texts = figure.subplots(1, len(record["models"]), sharey=True, sharex=True, squeeze=False)[0], []
    for axes, (model, measured) in zip(panels, record["models"].items(), strict=True):
        ratios = {METHODS[key]: way["times_floor"] for key, way in measured["ways"].items()}
        bars = axes.barh(range(len(ratios)), list(ratios.values()), height=0.62, color=model_style(model)[0])
        axes.bar_label(bars, [f"{ratio:.3g}" for ratio in ratios.values()], padding=4, fontsize=8.5,
                       bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5})  # over the line of the floor
        axes.axvline(1, color=INK, linewidth=1, dashes=(4, 2))
        axes.set(title=model, xscale="log", xlim=(0.3, 5 * max(ratios.values())), xlabel="time in units of the floor")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.grid(axis="y", visible=False)
        label_rows(axes, list(ratios))
        texts += [f"{model}, {name}: {ratio:.3g}" for name, ratio in ratios.items()]
    figure.alt = "Time of one image in units of the floor. " + "; ".join(texts) + "."
    return figure
