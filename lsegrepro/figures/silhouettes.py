"""Figure 6 without photographs: the true outline of an image, and a network's probability and region beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from ..files import LsegreproError
from .overlays import GREEN, heat, outline
from .pictures import _heat_bar
from .style import WIDTH, picture, styled

PAPER, EDGE = (236, 236, 236), (20, 20, 20)
"""Background and true outline, RGB."""


@dataclass(frozen=True, eq=False)
class Silhouette:
    """One image without its photograph, at most 300 pixels wide.

    Attributes
    ----------
    name, title : str
        Its id, and why it was picked.
    iou : float
        Of the region and the truth, at full size.
    truth, pixels, region : ndarray
        (h, w) bool: pixels of the class; pixels whose probability exceeds theta; those that the superpixels' vote
        leaves.
    probability : ndarray
        (h, w) uint8, in 255ths.
    """

    name: str
    title: str
    iou: float
    truth: np.ndarray
    pixels: np.ndarray
    region: np.ndarray
    probability: np.ndarray


@styled
def figure_6_silhouettes(shapes: Sequence[Silhouette], cls: str = "cat") -> Figure:
    """Figure 6 as silhouettes: a column an image; the probability, the pixels above theta, the smoothed result.

    The line is the true outline; an image without the class has none.
    """
    if not shapes:
        raise LsegreproError("Figure 6 needs at least one image")
    aspects = [shape.truth.shape[1] / shape.truth.shape[0] for shape in shapes]
    row = min((WIDTH - 1.1) / sum(aspects), 2.3)
    figure = Figure(figsize=(WIDTH, 3 * row + 0.75))
    axes = figure.subplots(3, len(shapes), width_ratios=aspects, squeeze=False)
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0.01, hspace=0.01)
    for column, shape in zip(axes.T, shapes, strict=True):
        edge = _thick(outline(shape.truth))
        warm = heat(shape.probability.astype(np.uint16) * 257)
        warm[edge] = 255
        for axis, shown in zip(column, (warm, *(_region(mask, edge) for mask in (shape.pixels, shape.region))),
                               strict=True):
            picture(axis, shown)
        value = f"IoU {100 * shape.iou:.0f} %" if shape.truth.any() else f"no {cls}"
        column[0].set_title(f"{shape.title}\n{shape.name}\n{value}", fontsize=7.5, fontweight="normal", loc="center")
    for axis, name in zip(axes[:, 0], ("probability", "p > θ", "result"), strict=True):
        axis.set_ylabel(name)
    _heat_bar(figure, axes)
    figure.alt = f"{len(shapes)} images in columns, as silhouettes. " + "; ".join(
        f"{shape.title}, {shape.name}: " + (f"IoU {100 * shape.iou:.0f} %" if shape.truth.any() else f"no {cls}")
        + f", {100 * shape.region.mean():.0f} % called {cls}" for shape in shapes) + "."
    return figure


def _thick(edge: np.ndarray) -> np.ndarray:
    """An outline two pixels wide."""
    wide = edge.copy()
    wide[1:] |= edge[:-1]
    wide[:, 1:] |= edge[:, :-1]
    return wide


def _region(mask: np.ndarray, edge: np.ndarray) -> np.ndarray:
    """A mask in green with the true outline: (h, w, 3) uint8."""
    shown = np.where(mask[..., None], np.array(GREEN, np.uint8), np.array(PAPER, np.uint8))
    shown[edge] = EDGE
    return shown
