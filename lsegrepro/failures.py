"""Where the AP is lost: per image, and by the kind of wrong pixel.

Counts of pixels travel as in `evaluation`: (..., 4) integers, TP, FP, FN, TN. No torch, no photographs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from . import evaluation, evidence, paper
from .errors import LsegreproError
from .evidence import Regions, Scores
from .figures.style import GREEN, MUTED, VERMILLION, WIDTH, model_style, styled

PARTS = {
    "found": "found",
    "missed": "missed",
    "spilled": "wrong, in images with the class",
    "false_alarms": "wrong, in images without it",
}
"""Fields of `Division` to their names."""

_COLOURS = {"found": GREEN, "missed": MUTED, "spilled": "#E69F00", "false_alarms": VERMILLION}


def without_false_alarms(counts: np.ndarray, holds: np.ndarray) -> np.ndarray:
    """Counts as if every image without the class were left all background: (..., n, 4).

    What an answer could reach if it were told which images hold the class: an upper bound, not a result.

    Parameters
    ----------
    counts : ndarray
        (..., n, 4).
    holds : ndarray
        (n,) bool, `evaluation.present`.

    >>> without_false_alarms(np.array([[1, 2, 3, 4], [0, 5, 0, 6]]), np.array([True, False])).tolist()
    [[1, 2, 3, 4], [0, 0, 0, 11]]
    """
    counts = np.array(counts)
    counts[..., ~holds, 3] += counts[..., ~holds, 1]
    counts[..., ~holds, 1] = 0
    return counts


@dataclass(frozen=True)
class Division:
    """The pixels that are foreground in the truth or in the answer, divided; the four add up to 1.

    `found` is the AP, the others are where it is lost.
    """

    found: float
    missed: float
    spilled: float
    false_alarms: float


def divide(counts: np.ndarray, holds: np.ndarray) -> Division:
    """Divide the union of truth and answer, pixels pooled over images.

    Parameters
    ----------
    counts : ndarray
        (n, 4).
    holds : ndarray
        (n,) bool, whether the image holds the class.

    Raises
    ------
    LsegreproError
        If nothing is foreground, neither in the truth nor in the answer.

    >>> divide(np.array([[2, 1, 1, 6], [0, 4, 0, 6]]), np.array([True, False]))
    Division(found=0.25, missed=0.125, spilled=0.125, false_alarms=0.5)
    """
    tp, _, fn, _ = counts.sum(axis=0)
    spilled, alarms = counts[holds, 1].sum(), counts[~holds, 1].sum()
    union = tp + fn + spilled + alarms
    if not union:
        raise LsegreproError("no pixel is foreground, neither in the truth nor in the answer")
    return Division(*(float(part / union) for part in (tp, fn, spilled, alarms)))


@dataclass(frozen=True)
class Exemplar:
    """An image picked by rule: its place in the set, the rule's name for it, and what was measured."""

    index: int
    title: str
    iou: float
    false_pixels: int


def exemplars(counts: np.ndarray, holds: np.ndarray) -> list[Exemplar]:
    """Images to look at, picked by rank and not by eye.

    Of the images that hold the class: the best, the quartiles, the median and the worst by their
    own IoU (the earlier of equals). Of the others: the one with the most false pixels, if there are
    any. An image comes once, under its first title.

    >>> found = exemplars(np.array([[3, 1, 0, 0], [1, 3, 0, 0], [0, 4, 0, 0]]), np.array([True, True, False]))
    >>> [(e.title, e.index) for e in found]
    [('best', 0), ('worst', 1), ('most false alarms', 2)]
    """
    inside, outside = np.flatnonzero(holds), np.flatnonzero(~holds)
    ious = evaluation.ap(counts)
    ranked = inside[np.argsort(-ious[inside], kind="stable")]
    picked: dict[int, str] = {}
    if len(ranked):
        last = len(ranked) - 1
        # The ends first: of two images one is the best and the other the worst.
        for title, part in (("best", 0), ("worst", 1), ("median", 0.5), ("upper quartile", 0.25),
                            ("lower quartile", 0.75)):
            picked.setdefault(int(ranked[int(part * last + 0.5)]), title)
    order = sorted(picked, key=lambda i: int(np.flatnonzero(ranked == i)[0]))
    if len(outside) and counts[outside, 1].any():
        worst = int(outside[np.argmax(counts[outside, 1])])
        picked[worst] = "most false alarms"
        order.append(worst)
    return [Exemplar(i, picked[i], float(ious[i]), int(counts[i, 1])) for i in order]


def false_alarm_rates(regions: Regions, scores: Scores, theta: float) -> dict[str, float]:
    """Part of the pixels called foreground: on the other animal, and on all else that is not the class.

    Returns
    -------
    dict
        ``"dog"`` (or ``"cat"``) and ``"all else"`` to a fraction, nan where there is no such pixel.
    """
    scores.check(regions)
    answer = scores.statistics > evaluation.threshold(theta)
    (other,) = (cls for cls in paper.CLASSES if cls != scores.cls)
    rates = {}
    for name, column in ((other, evidence.COLUMNS.index(other)), ("all else", 2)):
        pixels = regions.counts[:, column].astype(np.int64)
        rates[name] = float(pixels[answer].sum() / pixels.sum()) if pixels.any() else float("nan")
    return rates


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
