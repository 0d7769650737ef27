"""Charts of the chapters on the aggregation and on training.

As `figures`: arrays in, a matplotlib figure with ``figure.alt`` out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from . import style
from .style import INK, LOSS_FLOOR, LOSS_START, MUTED, VERMILLION, WIDTH, picture, styled


@styled
def gradient_weights(
    scores: np.ndarray, weights: Mapping[str, np.ndarray], patches: np.ndarray | None = None
) -> Figure:
    """How each aggregation divides the gradient of an image's score among its patches.

    Parameters
    ----------
    scores : ndarray
        (N,) in [-1, 1], one class's column of F.
    weights : mapping
        Name of an aggregation to (N,), the derivative of the image's score by each patch's.
    patches : ndarray, optional
        (N, sz, sz, 3) uint8, shown above their scores.
    """
    scores = np.asarray(scores)
    count, shown = len(scores), patches is not None
    rows = int(shown) + 1 + len(weights)
    figure = Figure(figsize=(WIDTH, 0.55 + 1.05 * (rows - shown) + shown * min(0.85, 6.6 / count)))
    axes = figure.subplots(rows, 1, sharex=True, squeeze=False,
                           height_ratios=[0.75] * shown + [1.0] * (rows - shown))[:, 0]
    places = np.arange(1, count + 1)
    if shown:
        strip = axes[0]
        for place, patch in zip(places, patches, strict=True):
            inset = strip.inset_axes((place - 0.42, 0, 0.84, 1), transform=strip.get_xaxis_transform())
            picture(inset, patch)
        strip.set_axis_off()
    panels = [(None, scores), *weights.items()]
    for axis, (name, values) in zip(axes[int(shown) :], panels, strict=True):
        first = name is None
        bars = axis.bar(places, values, width=0.62, color=MUTED if first else style.BLUE)
        said = [f"{value:.2f}".replace("-", "\N{MINUS SIGN}") for value in values]
        axis.bar_label(bars, said, fontsize=8, padding=2)
        axis.grid(axis="x", visible=False)
        axis.axhline(0, color=MUTED, linewidth=0.8)
        axis.set(ylim=(-1.45, 1.45) if first else (0, 1.25), yticks=[-1, 0, 1] if first else [0, 0.5, 1])
        axis.set_title("Score of each patch" if first else f"Share of the gradient: {name}")
    axes[-1].set(xticks=places, xlabel="patch", xlim=(0.4, count + 0.6))
    shares = "; ".join(f"{name} gives the best patch {100 * np.max(w):.0f} %" for name, w in weights.items())
    figure.alt = (
        f"Bars for {count} patches. Scores run from {scores.min():.2f} to {scores.max():.2f}. "
        f"Share of the gradient: {shares}."
    )
    return figure


@styled
def tempered_family(
    r: np.ndarray, values: Mapping[str, np.ndarray], weights: np.ndarray, mean: float, maximum: float
) -> Figure:
    """The tempered log-sum-exp as r grows: its value, and the weight of each patch.

    Parameters
    ----------
    r : ndarray
        (K,) positive, ascending.
    values : mapping
        Name of a convention, such as "with 1/N", to (K,), the aggregated score.
    weights : ndarray
        (K, N), the derivative by each patch's score; the same under both conventions.
    mean, maximum : float
        The limits r -> 0 and r -> infinity.
    """
    figure = Figure(figsize=(WIDTH, 3.1))
    left, right = figure.subplots(1, 2)
    colours = (style.BLUE, VERMILLION, style.GREEN, style.PURPLE)
    for (name, line), colour in zip(values.items(), colours, strict=False):
        left.plot(r, line, label=name, color=colour)
    for value, name in ((mean, "mean"), (maximum, "max")):
        left.axhline(value, color=INK, linewidth=1, dashes=(4, 2))
        left.annotate(name, (1, value), (-2, 3), xycoords=left.get_yaxis_transform(), ha="right",
                      textcoords="offset points", fontsize=8.5)
    room = 0.15 * max(maximum - mean, 1e-3)
    at_1 = [np.interp(1, r, line) for line in values.values()]
    left.set(title="Aggregated score", xlabel="r", ylim=(mean - 2 * room, max(maximum, *at_1) + 2 * room))
    left.legend(loc="upper right")
    best = int(np.argmax(weights[-1]))
    equals = int(np.isclose(weights[-1], weights[-1, best]).sum())
    for i in np.argsort(weights[-1]):
        first = np.isclose(weights[-1, i], weights[-1, best])
        right.plot(r, weights[:, i], color=VERMILLION if first else MUTED, linewidth=2.2 if first else 1,
                   alpha=1 if first else 0.7)
    half = int(np.argmax(weights[:, best] >= (weights[0, best] + weights[-1, best]) / 2))
    name = "best patch" if equals == 1 else f"each of {equals} best patches"
    right.annotate(name, (r[half], weights[half, best]), (-6, 0), ha="right", va="center",
                   textcoords="offset points", color=VERMILLION, fontsize=8.5)
    right.axhline(1 / weights.shape[1], color=INK, linewidth=1, dashes=(4, 2))
    right.annotate("1/N", (0, 1 / weights.shape[1]), (3, 3), xycoords=right.get_yaxis_transform(),
                   textcoords="offset points", fontsize=8.5)
    right.set(title="Weight of each patch", xlabel="r", ylim=(0, 1.04))
    for axis in (left, right):
        axis.set(xscale="log", xlim=(r[0], r[-1]))
        axis.axvline(1, color=MUTED, linewidth=1, dashes=(1, 2))
        axis.annotate("r = 1", (1, 1), (-3, -2), xycoords=axis.get_xaxis_transform(), va="top", ha="right",
                      textcoords="offset points", fontsize=8.5, color=MUTED)
        axis.xaxis.set_major_formatter("{x:g}")
    figure.alt = (
        f"As r grows from {r[0]:g} to {r[-1]:g}, the score with 1/N goes from the mean, {mean:.2f}, to the "
        f"maximum, {maximum:.2f}, and the weight of the best patch from {weights[0, best]:.2f} to "
        f"{weights[-1, best]:.2f}."
    )
    return figure


@styled
def training_curves(runs: Mapping[str, Sequence[Mapping[str, float]]], log: bool = False) -> Figure:
    """Loss and held-out accuracy against the number of images seen.

    Parameters
    ----------
    runs : mapping
        Label, such as "LSE1", to the rows of a training's curve file: ``samples``, ``loss`` in
        nats, and in some rows ``heldout_loss`` and ``heldout_accuracy`` (balanced, a fraction).
    log : bool
        A logarithmic axis of samples.
    """
    figure = Figure(figsize=(WIDTH, 2.9 + 0.2 * (1 + len(runs) // 4)))  # a line of the legend holds four names
    left, right = figure.subplots(1, 2, sharex=True)
    said = []
    others = iter(("#E69F00", "#56B4E9", INK, MUTED))
    for label, rows in runs.items():
        colour, marker = style.MODEL_STYLE.get(label.split(" ")[0], (None, "o"))
        if colour is None or any(line.get_color() == colour for line in left.lines):
            colour = next(others, INK)
        left.plot(*_columns(rows, "loss"), color=colour, label=label)
        samples, loss = _columns(rows, "heldout_loss")
        left.plot(samples, loss, color=colour, linewidth=1, dashes=(4, 2), marker=marker, markersize=3)
        samples, accuracy = _columns(rows, "heldout_accuracy")
        right.plot(samples, 100 * accuracy, color=colour, marker=marker, markersize=4)
        said.append(
            f"{label} reaches a loss of {rows[-1]['loss']:.3f} after {rows[-1]['samples']:,.0f} samples"
            + (f" and a held-out accuracy of {100 * accuracy[-1]:.1f} %" if len(accuracy) else "")
        )
    left.plot([], [], color=INK, linewidth=1, dashes=(4, 2), label="held out")
    for level, name in ((LOSS_START, "chance, ln 2"), (LOSS_FLOOR, f"floor, {LOSS_FLOOR:.4f}")):
        left.axhline(level, color=INK, linewidth=1, dashes=(1.5, 2))
        left.annotate(name, (1, level), (0, 3), xycoords=left.get_yaxis_transform(), ha="right",
                      textcoords="offset points", fontsize=8)
    right.axhline(50, color=INK, linewidth=1, dashes=(1.5, 2))
    right.annotate("chance", (1, 50), (0, 3), xycoords=right.get_yaxis_transform(), ha="right",
                   textcoords="offset points", fontsize=8)
    left.set(title="Loss (nats)", ylim=(0, max(0.78, left.get_ylim()[1])))
    right.set(title="Held-out accuracy, balanced (%)", ylim=(min(45, right.get_ylim()[0]), 100))
    for axis in (left, right):
        axis.set(xlabel="images seen", xscale="log" if log else "linear")
        if log:
            axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.xaxis.set_minor_formatter("")
        else:
            axis.set_xlim(left=0)
        axis.xaxis.set_major_formatter(lambda x, _: f"{x / 1000:g}k" if x >= 1000 else f"{x:g}")
    handles, names = left.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper left", ncols=4)
    limits = f"Chance is {LOSS_START:.3f}, the floor {LOSS_FLOOR:.4f}."
    figure.alt = f"Training curves. {'; '.join(said)}. {limits}"
    return figure


def _columns(rows: Sequence[Mapping[str, float]], key: str) -> tuple[np.ndarray, np.ndarray]:
    pairs = [(row["samples"], row[key]) for row in rows if row.get(key) is not None]
    return np.array([x for x, _ in pairs], float), np.array([y for _, y in pairs], float)
