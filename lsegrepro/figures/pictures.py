"""Figures 2, 4 and 6 of the paper: patches, the steps to a mask, and results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import ConnectionPatch, Rectangle

from .. import evaluation
from ..files import LsegreproError
from ..paper import CEILING, FLOOR
from .overlays import heat, heat_table, overlay, superpixel_view
from .style import INK, MUTED, VERMILLION, WIDTH, picture, styled


def _heat_bar(figure: Figure, axes: Axes | Sequence[Axes], theta: float | None = None) -> None:
    """The colour bar of `overlays.heat`, over the whole range that is possible, with a line at theta."""
    colours = ListedColormap(heat_table() / 255)
    bar = figure.colorbar(ScalarMappable(Normalize(FLOOR, CEILING), colours), ax=axes, shrink=0.6, aspect=28, pad=0.02)
    marked = theta is not None and FLOOR < theta < CEILING
    middle, name = (theta, f"θ = {theta:g}") if marked else (0.5, "0.5")
    bar.set_ticks([FLOOR, middle, CEILING], labels=[f"{FLOOR:.2f}", name, f"{CEILING:.2f}"])
    bar.set_label("probability of foreground")
    bar.outline.set_visible(False)
    if marked:
        bar.ax.axhline(theta, color="white", linewidth=1.4)


def _frame(axes: Axes, top: float, left: float, side: float) -> None:
    """Frame a square of pixels in orange, with a white edge that shows on any picture."""
    for colour, thickness in (("white", 3.2), (VERMILLION, 1.7)):
        axes.add_patch(Rectangle((left - 0.5, top - 0.5), side, side, fill=False, color=colour, linewidth=thickness))


@styled
def figure_2(
    image: np.ndarray,
    cells: Sequence[tuple[int, int, int, int]],
    corners: np.ndarray,
    size: int,
    original: np.ndarray | None = None,
) -> Figure:
    """Figure 2: a training image, its sqrt(N) x sqrt(N) grid, and one random patch of each cell.

    `image` (S, S, 3) uint8 is the prepared training image, `original` (H, W, 3) uint8 the photograph before its central
    crop. `cells` are N tuples (top, left, height, width) of `patches.grid`, `corners` (N, 2) int the top and left of
    each patch, from `patches.random_corners`, and `size` is the side of a patch, sz, in pixels.
    """
    corners = np.asarray(corners)
    if corners.shape != (len(cells), 2):
        raise LsegreproError(f"{len(cells)} cells need ({len(cells)}, 2) corners, got {corners.shape}")
    n = round(len(cells) ** 0.5)
    ratios = [1.0, 1.0] if original is None else [original.shape[1] / original.shape[0], 1.0, 1.0]
    side = min((WIDTH - 0.2 * len(ratios)) / sum(ratios), 3.2)
    figure = Figure(figsize=(side * sum(ratios) + 0.2 * len(ratios), side + 0.4))
    *first, middle, last = figure.subplots(1, len(ratios), width_ratios=ratios)
    figure.get_layout_engine().set(w_pad=0.05, wspace=0.02)
    for axes in first:
        picture(axes, original, "Central crop")
        height, width = original.shape[:2]
        short = min(height, width)
        _frame(axes, (height - short) / 2, (width - short) / 2, short)
    picture(middle, image, f"A patch in each of {n * n} cells")
    for top, left, *_ in cells:
        for draw, edge in ((middle.axhline, top), (middle.axvline, left)):
            if edge:
                draw(edge - 0.5, color="white", linewidth=2.2)
                draw(edge - 0.5, color=INK, linewidth=0.9, dashes=(4, 2))
    step = size + max(2, size // 16)  # a patch and the gap behind it
    sheet = np.full((n * step - step + size,) * 2 + (3,), 255, np.uint8)
    for k, (top, left) in enumerate(corners):
        y, x = (step * place for place in divmod(k, n))
        sheet[y : y + size, x : x + size] = image[top : top + size, left : left + size]
        _frame(middle, top, left, size)
        for axes, row, column in ((middle, top, left), (last, y, x)):
            axes.text(column + 0.06 * size, row + 0.07 * size, str(k + 1), color="white", fontsize=7.5, va="top",
                      bbox={"facecolor": INK, "edgecolor": "none", "pad": 1.6, "alpha": 0.85})
    picture(last, sheet, "The patches")
    figure.alt = (
        f"A training image of {image.shape[0]} by {image.shape[1]} pixels, cut by a grid into {n * n} cells; "
        f"one patch of {size} by {size} pixels lies at random in each cell. Beside it the {n * n} patches."
    )
    return figure


@styled
def figure_4(
    image: np.ndarray, prob_u16: np.ndarray, labels: np.ndarray, theta: float, cls: str = "cat"
) -> Figure:
    """Figure 4: from an image, (H, W, 3) uint8, to its smoothed mask, in six panels.

    `prob_u16` (H, W) uint16 is floor(p * 65535) of every pixel, `labels` (H, W) int are superpixels 0 .. S-1, and
    foreground is p > theta.
    """
    raw = prob_u16 > evaluation.threshold(theta)
    sizes = np.bincount(labels.ravel())
    votes = np.bincount(labels.ravel(), raw.ravel(), len(sizes))
    final = (2 * votes > sizes)[labels]  # a tie is background
    grey = np.rint(255 * votes / np.maximum(sizes, 1)).astype(np.uint8)[labels]
    figure = Figure(figsize=(WIDTH, 0.8 + 2 * (WIDTH - 1.5) / 3 * image.shape[0] / image.shape[1]))
    axes = figure.subplots(2, 3)
    figure.get_layout_engine().set(w_pad=0.08, h_pad=0.06, wspace=0.08, hspace=0.1)
    panels = (
        (image, "Image"), (heat(prob_u16), "Probability"), (raw, f"Per pixel, p > {theta:g}"),
        (superpixel_view(image, labels), "Superpixels"),
        (np.stack([grey] * 3, axis=2), "Share of votes"), (overlay(image, final), f"Majority: “{cls}”"),
    )  # fmt: skip
    for axis, (shown, title) in zip(axes.flat, panels, strict=True):
        picture(axis, shown, title)
    right, left = (1, 0.5), (0, 0.5)
    for start, a, end, b, gap in (
        (axes[0, 0], right, axes[0, 1], left, 1), (axes[0, 1], right, axes[0, 2], left, 1),
        (axes[1, 0], right, axes[1, 1], left, 1), (axes[1, 1], right, axes[1, 2], left, 1),
        (axes[0, 0], (0.5, 0), axes[1, 0], (0.5, 1), 14), (axes[0, 2], (0, 0), axes[1, 1], (1, 1), 3),
    ):  # fmt: skip
        figure.add_artist(ConnectionPatch(a, b, start.transAxes, end.transAxes, arrowstyle="-|>", mutation_scale=10,
                                          color=MUTED, linewidth=1.4, shrinkA=1, shrinkB=gap))
    _heat_bar(figure, axes, theta)
    figure.alt = (
        f"Six panels: an image; its probability map; the {100 * raw.mean():.1f} % of pixels above theta "
        f"{theta:g}; its {len(sizes)} superpixels; the share of foreground votes in each; and the "
        f"{100 * final.mean():.1f} % of pixels that the majority labels {cls}, in green."
    )
    return figure


@dataclass(frozen=True, eq=False)
class Figure6Column:
    """One column of Figure 6: image (H, W, 3) uint8, prob_u16 (H, W) uint16, mask (H, W) bool."""

    image: np.ndarray
    prob_u16: np.ndarray
    mask: np.ndarray
    title: str = ""


@styled
def figure_6(results: Sequence[Figure6Column], cls: str = "cat") -> Figure:
    """Figure 6: a column an image; the original, the probability of each pixel, the smoothed result."""
    if not results:
        raise LsegreproError("Figure 6 needs at least one result")
    aspects = [r.image.shape[1] / r.image.shape[0] for r in results]
    figure = Figure(figsize=(WIDTH, 3 * min((WIDTH - 1.1) / sum(aspects), 2.3) + 0.5))
    axes = figure.subplots(3, len(results), width_ratios=aspects, squeeze=False)
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0.01, hspace=0.01)
    for column, r in zip(axes.T, results, strict=True):
        for axis, shown in zip(column, (r.image, heat(r.prob_u16), overlay(r.image, r.mask)), strict=True):
            picture(axis, shown)
        column[0].set_title(r.title, fontsize=8.5, fontweight="normal", loc="center")
    for axis, name in zip(axes[:, 0], ("image", "probability", "result"), strict=True):
        axis.set_ylabel(name)
    _heat_bar(figure, axes)
    shares = ", ".join(f"{100 * r.mask.mean():.0f} %" for r in results)
    figure.alt = (
        f"{len(results)} images in columns; under each the probability of {cls} at every pixel, and "
        f"the image with the pixels labelled {cls} in green: {shares} of the pixels."
    )
    return figure
