"""Charts of the chapters: aggregation, training, scaling, temperature, and where the AP is lost.

Arrays and small records in, a matplotlib figure with ``figure.alt`` out. Fractions come in, percent is drawn.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from ..evaluation import Growth, Interval
from ..evaluation.mistakes import PARTS, Exemplar, UnionShares
from ..files import LsegreproError
from ..paper import LOSS_FLOOR, LOSS_START
from .style import (
    BLUE,
    GREEN,
    INK,
    MUTED,
    ORANGE,
    VERMILLION,
    WIDTH,
    in_percent,
    interval_text,
    label_rows,
    level_line,
    model_style,
    picture,
    plot_points,
    styled,
)  # fmt: skip


@styled
def gradient_weights(scores: np.ndarray, weights: Mapping[str, np.ndarray], patches: np.ndarray) -> Figure:
    """Bars: the share of the gradient of an image's score that each aggregation gives to each patch.

    `scores` (N,) in [-1, 1] are one class's column of F; `weights` has, for the name of each aggregation, (N,), the
    derivative of the image's score by each patch's; `patches` (N, sz, sz, 3) uint8 are shown above their scores.
    """
    count = len(scores)
    figure = Figure(figsize=(WIDTH, 2.4 + 1.05 * len(weights)))
    top, *panels = figure.subplots(2 + len(weights), 1, sharex=True, height_ratios=[0.75] + [1] * (1 + len(weights)))
    places = np.arange(1, count + 1)
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
    panels[-1].set(xticks=places, xlabel="patch", xlim=(0.4, count + 0.6))
    shares = "; ".join(f"{name} gives the best patch {100 * np.max(w):.0f} %" for name, w in weights.items())
    figure.alt = (f"Bars for {count} patches. Scores run from {np.min(scores):.2f} to {np.max(scores):.2f}. "
                  f"Share of the gradient: {shares}.")
    return figure


@styled
def tempered_family(scores: np.ndarray) -> Figure:
    """The tempered log-sum-exp of N scores (1/r log 1/N sum exp(r F)) against r: its value, and each patch's gradient.

    >>> tempered_family(np.array([0.5, -0.5])).alt
    'As r grows from 0.01 to 100, the aggregated score goes from the mean, 0.00, to the maximum, 0.50.'
    """
    scores = np.sort(np.asarray(scores, float))
    r = np.geomspace(0.01, 100, 161)
    powers = np.exp(r[:, None] * (scores - scores[-1]))  # (161, N), about the maximum
    values = scores[-1] + np.log(powers.mean(axis=1)) / r
    weights = powers / powers.sum(axis=1, keepdims=True)
    figure = Figure(figsize=(WIDTH, 3.1))
    left, right = figure.subplots(1, 2)
    left.plot(r, values, color=BLUE)
    best = np.isclose(scores, scores[-1])  # several, if their scores are equal
    right.plot(r, weights[:, ~best], color=MUTED, linewidth=1, alpha=0.7)
    right.plot(r, weights[:, best], color=VERMILLION)
    mean, top = scores.mean(), scores[-1]
    for axes, level, name in ((left, mean, "mean"), (left, top, "max"), (right, 1 / len(scores), "1/N")):
        level_line(axes, level, name, left=True)
    right.annotate("best patch" if best.sum() == 1 else f"each of {best.sum()} best patches", (r[-1], weights[-1, -1]),
                   (-4, 5), textcoords="offset points", ha="right", color=VERMILLION, fontsize=8.5)
    margin = 0.3 * max(np.ptp(values), 1e-3)
    left.set(title="Aggregated score", ylim=(values[0] - margin, scores[-1] + margin))
    right.set(title="Share of the gradient of each patch", ylim=(0, 1.04))
    for axes in (left, right):
        axes.set(xscale="log", xlim=(r[0], r[-1]), xlabel="r (1 is the paper's LSE)")
        axes.axvline(1, color=MUTED, linewidth=1, dashes=(1, 2))
        axes.xaxis.set_major_formatter("{x:g}")
    figure.alt = (f"As r grows from {r[0]:g} to {r[-1]:g}, the aggregated score goes from the mean, {mean:.2f}, to the "
                  f"maximum, {top:.2f}.")
    return figure


@styled
def training_curves(runs: Mapping[str, Sequence[Mapping[str, float]]], levels: Mapping[str, float] | None = None
                    ) -> Figure:
    """Loss and held-out accuracy against the number of images seen.

    `runs` has, for a label such as "LSE1", the rows of a training's curve file: ``samples``, ``loss`` in nats, and in
    some rows ``heldout_loss`` and ``heldout_accuracy`` (balanced, a fraction). `levels` are losses by name, in nats, to
    compare with: dashed lines, beside those of chance and of the floor.
    """
    figure = Figure(figsize=(WIDTH, 2.9 + 0.2 * (1 + len(runs) // 4)))  # a line of the legend holds four names
    left, right = figure.subplots(1, 2, sharex=True)
    dashed = {"linewidth": 1, "dashes": (4, 2)}
    texts = []
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
    lowest = min([left.dataLim.ymin, *(levels or {}).values()])
    left.set(title="Loss (nats)", ylim=(max(0, lowest - 0.06), max(0.75, left.dataLim.ymax + 0.03)))
    levels = {"chance": LOSS_START, **(levels or {}), "floor": LOSS_FLOOR}
    for name, level in levels.items():
        level_line(left, level, f"{name}, {level:.3f}", left=name not in ("chance", "floor"))
    level_line(right, 50, "chance")
    right.set(title="Held-out accuracy, balanced (%)", ylim=(min(45, right.get_ylim()[0]), 100))
    for axes in (left, right):
        axes.set(xlabel="images seen")
        axes.set_xlim(left=0)
        axes.xaxis.set_major_formatter(lambda x, _: f"{x / 1000:g}k" if x >= 1000 else f"{x:g}")
    figure.legend(*left.get_legend_handles_labels(), loc="outside upper left", ncols=4)
    compared = ", ".join(f"{name} {level:.3f}" for name, level in levels.items())
    figure.alt = f"Training curves. {'; '.join(texts)}. Losses to compare with: {compared}."
    return figure


def _scale_amounts(axes: Axes) -> None:
    """A logarithmic axis of whole numbers, such as 50,000 and 100,000."""
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.minorticks_off()


@styled
def images_seen_curve(series: Mapping[str, Sequence[tuple[int, Interval]]], dashed: Sequence[str] = ()) -> Figure:
    """AP of finished networks against the images they saw in training, a line for each series.

    `series` has (images seen, AP as a fraction) of each network, by a name that begins with the model; those whose
    names are in `dashed` are dashed.

    >>> images_seen_curve({"LSE1": [(50_000, Interval(0.1, 0.08, 0.12))]}).alt
    'AP against images seen. LSE1: 10.0 % at 50,000.'
    """
    figure = Figure(figsize=(WIDTH, 3.3))
    axes = figure.subplots()
    for name, points in series.items():
        colour, marker = model_style(name.split(" ")[0])
        images, aps = zip(*sorted(points, key=lambda point: point[0]), strict=True)
        line = "--" if name in dashed else "-"
        plot_points(axes, images, aps, colour, fmt=f"{marker}{line}", capsize=3, label=name)
    axes.set(xlabel="images seen in training", title="AP (%)", ylim=(0, None))
    _scale_amounts(axes)
    figure.legend(loc="outside upper left", ncols=2)
    figure.alt = "AP against images seen. " + "; ".join(
        f"{name}: " + ", ".join(f"{100 * ap.value:.1f} % at {n:,}" for n, ap in points)
        for name, points in series.items()) + "."
    return figure


@styled
def growth_curve(amounts: Sequence[int], aps: Sequence[Interval], laws: Sequence[Growth], cls: str) -> Figure:
    """AP against the number of training photographs with a class, with the AP that each scaling law predicts.

    `aps` are measured at `amounts`; the line of each fitted law is drawn at the amounts of ``law.at``.
    """
    figure = Figure(figsize=(WIDTH, 3.3))
    axes, texts = figure.subplots(), []
    for law, colour in zip(laws, (BLUE, GREEN), strict=False):
        places = sorted(law.at)
        values, low, high = in_percent([law.at[n] for n in places])
        axes.plot(places, values, color=colour, label=law.law)
        axes.fill_between(places, low, high, color=colour, alpha=0.15, linewidth=0)
        texts.append(f"{law.law}: {values[-1]:.1f} % [{low[-1]:.1f}, {high[-1]:.1f}] at {places[-1]:,}")
    plot_points(axes, amounts, aps, VERMILLION, fmt="o", ecolor=INK, label="measured, with interval", zorder=3)
    axes.set(xlabel=f"training photographs with a {cls}", title="AP (%)", ylim=(0, None))
    _scale_amounts(axes)
    figure.legend(loc="outside upper left", ncols=3)
    points = ", ".join(f"{100 * ap.value:.1f} % at {n:,}" for n, ap in zip(amounts, aps, strict=True))
    figure.alt = f"AP for {cls} against the number of training photographs: {points}. " + "; ".join(texts) + "."
    return figure


@styled
def temperature_curve(aps: Mapping[str, Mapping[float, Interval]], chance: Mapping[str, float]) -> Figure:
    """AP against r of the tempered log-sum-exp, a panel for each class, from the mean to the maximum.

    `aps` has, for each class and r, the AP as a fraction: r = 0 is the mean, 1 the paper's log-sum-exp, infinity the
    maximum. `chance` has the difference that another seed alone makes: a band about the AP at r = 1.

    >>> temperature_curve({"cat": {0.0: Interval(0.1, 0.09, 0.11), 0.25: Interval(0.12, 0.1, 0.14)}}, {}).alt
    'AP by the r of the aggregation. cat: 10.0 [9.0, 11.0] at 0, the mean, 12.0 [10.0, 14.0] at 1/4.'
    """
    figure = Figure(figsize=(WIDTH, 3.1))
    panels, texts = figure.subplots(1, len(aps), sharey=True, squeeze=False)[0], []
    special = {0.0: "0\nmean", 1.0: "1\nLSE", math.inf: "∞\nmax"}
    for axes, (cls, points) in zip(panels, aps.items(), strict=True):
        points = {special.get(r) or str(Fraction(r).limit_denominator(100)): points[r] for r in sorted(points)}
        if cls in chance and special[1.0] in points:
            middle, half = 100 * points[special[1.0]].value, 100 * abs(chance[cls])
            axes.axhspan(middle - half, middle + half, color=MUTED, alpha=0.2, linewidth=0)
        plot_points(axes, range(len(points)), list(points.values()), VERMILLION, fmt="-o", ecolor=INK, zorder=3)
        axes.set(title=f"{cls.capitalize()}, AP (%)", xlabel="r", xticks=range(len(points)), xticklabels=list(points),
                 ylim=(0, None))
        texts.append(f"{cls}: " + ", ".join(
            f"{interval_text(ap)} at {name}".replace("\n", ", the ") for name, ap in points.items()))
    figure.alt = f"AP by the r of the aggregation. {'. '.join(texts)}."
    return figure


@styled
def iou_ranks(ious: Mapping[str, np.ndarray], marks: Sequence[Exemplar] = (), cls: str = "cat") -> Figure:
    """IoU of each image that holds the class, from the best to the worst, a line for each model.

    `ious` has (n,) fractions for each model, one an image; `marks` are images of the first model to name.
    """
    if not ious or not all(len(values) for values in ious.values()):
        raise LsegreproError(f"no image holds a {cls}: there is nothing to rank")
    figure = Figure(figsize=(WIDTH, 3.2))
    axes, texts = figure.subplots(), []
    ranked = {model: np.sort(np.asarray(values, float))[::-1] for model, values in ious.items()}
    for model, values in ranked.items():
        colour, marker = model_style(model)
        axes.plot(np.arange(1, len(values) + 1), 100 * values, marker=marker, color=colour,
                  markersize=4 if len(values) <= 40 else 2.5, label=model, linewidth=0.8)
        texts.append(f"{model}: best {100 * values[0]:.0f} %, median {100 * np.median(values):.0f} %, "
                     f"{(values == 0).sum()} of {len(values)} at 0")
    first, titles = next(iter(ranked.values())), {}  # images of one IoU share a place and a label
    for mark in marks:
        titles.setdefault(int(np.argmin(np.abs(first - mark.iou))), []).append(mark.title)
    for place, names in titles.items():
        axes.annotate(", ".join(names), (place + 1, 100 * first[place]), (6, 12), textcoords="offset points",
                      fontsize=8, arrowprops={"arrowstyle": "-", "linewidth": 0.8}, zorder=4,
                      bbox={"facecolor": "white", "edgecolor": "none", "pad": 1, "alpha": 0.85})
    axes.set(title=f"IoU of each image with a {cls} (%)", xlabel="rank of the image", ylim=(-2, 112),
             xlim=(0, max(map(len, ranked.values())) + 1), yticks=range(0, 101, 20))
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(loc="upper right")
    figure.alt = f"IoU of each image with a {cls}, by rank. " + "; ".join(texts) + "."
    return figure


@styled
def union_share_bars(shares: Mapping[str, UnionShares]) -> Figure:
    """A bar for each network: the union of ground truth and prediction, divided into hits and three kinds of errors."""
    figure = Figure(figsize=(WIDTH, 0.9 + 0.5 * len(shares)))
    axes, texts = figure.subplots(), []
    for y, (name, of_union) in enumerate(shares.items()):
        parts = {title: 100 * getattr(of_union, field) for field, title in PARTS.items()}
        left = np.cumsum([0, *parts.values()])
        for (title, share), x, colour in zip(parts.items(), left, (GREEN, MUTED, ORANGE, VERMILLION), strict=False):
            axes.barh(y, share, left=x, height=0.62, color=colour, label=None if y else title)
            if share >= 4:
                axes.text(x + share / 2, y, f"{share:.0f} %", ha="center", va="center", color="white", fontsize=8.5,
                          fontweight="bold")
        texts.append(f"{name}: " + ", ".join(f"{title} {share:.0f} %" for title, share in parts.items()))
    label_rows(axes, list(shares))
    axes.set(xlim=(0, 100), xlabel="share of the pixels that are foreground in ground truth or prediction (%)")
    axes.grid(visible=False)
    figure.legend(loc="outside upper left", ncols=4, columnspacing=1.2, handlelength=1.2)
    figure.alt = "The union of ground truth and prediction, divided. " + "; ".join(texts) + "."
    return figure
