"""Figures 2, 4 and 6 of the paper: patches, the steps to a mask, and results, with and without photographs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import ConnectionPatch, Rectangle
from skimage.morphology import dilation

from .. import evaluation
from ..paper import CEILING, FLOOR
from .overlays import GREEN, heat, outline, overlay, superpixel_view
from .style import INK, MUTED, VERMILLION, WIDTH, picture, style


def _heat_bar(figure: Figure, axes: np.ndarray, theta: float | None = None) -> None:
    """The colour bar of `overlays.heat`, over the whole range that is possible, with a line at theta."""
    colours = ScalarMappable(Normalize(FLOOR, CEILING), "inferno")
    bar = figure.colorbar(colours, ax=axes, shrink=0.6, aspect=28, pad=0.02)
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


@style()
def figure_2(
    image: np.ndarray, cells: Sequence[tuple[int, int, int, int]], corners: np.ndarray, size: int, original: np.ndarray
) -> Figure:
    """Figure 2: a photograph, the training image in sqrt(N) x sqrt(N) cells, and one random patch of each cell.

    `image` (S, S, 3) uint8 is the prepared training image, `original` (H, W, 3) uint8 the photograph before its central
    crop. `cells` are N tuples (top, left, height, width) of `patches.grid`, `corners` (N, 2) int the top and left of
    each patch, from `patches.random_corners`, and `size` is the side of a patch, sz, in pixels.
    """
    n = round(len(cells) ** 0.5)
    height, width = original.shape[:2]
    ratios = [width / height, 1, 1]
    side = min((WIDTH - 0.6) / sum(ratios), 3.2)
    figure = Figure(figsize=(side * sum(ratios) + 0.6, side + 0.4))
    first, middle, last = figure.subplots(1, 3, width_ratios=ratios)
    figure.get_layout_engine().set(w_pad=0.05, wspace=0.02)
    picture(first, original, "Central crop")
    short = min(height, width)
    _frame(first, (height - short) / 2, (width - short) / 2, short)
    picture(middle, image, f"A patch in each of {n * n} cells")
    for edge in {top for top, *_ in cells if top}:  # the grid is square
        for draw in (middle.axhline, middle.axvline):
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
    figure.alt = (f"A training image of {image.shape[0]} by {image.shape[1]} pixels, cut by a grid into {n * n} cells; "
                  f"one patch of {size} by {size} pixels lies at random in each cell. Beside it the {n * n} patches.")
    return figure


@style()
def figure_4(image: np.ndarray, prob_u16: np.ndarray, labels: np.ndarray, theta: float, cls: str) -> Figure:
    """Figure 4: from an image, (H, W, 3) uint8, to its smoothed mask, in six panels.

    `prob_u16` (H, W) uint16 is floor(p * 65535) of every pixel, `labels` (H, W) int are superpixels 0 .. S-1, and
    foreground is p > theta.
    """
    raw = prob_u16 > evaluation.threshold(theta)
    sizes = np.bincount(labels.ravel())
    votes = np.bincount(labels.ravel(), raw.ravel())
    final = (2 * votes > sizes)[labels]  # a tie is background
    grey = np.rint(255 * votes / sizes.clip(1)).astype(np.uint8)[labels]
    figure = Figure(figsize=(WIDTH, 0.8 + 2 * (WIDTH - 1.5) / 3 * image.shape[0] / image.shape[1]))
    axes = figure.subplots(2, 3)
    figure.get_layout_engine().set(w_pad=0.08, h_pad=0.06, wspace=0.08, hspace=0.1)
    panels = {
        "Image": image, "Probability": heat(prob_u16), f"Per pixel, p > {theta:g}": raw,
        "Superpixels": superpixel_view(image, labels), "Share of votes": np.dstack([grey] * 3),
        f"Majority: “{cls}”": overlay(image, final),
    }  # fmt: skip
    for axis, (title, shown) in zip(axes.flat, panels.items(), strict=True):
        picture(axis, shown, title)
    right, left = (1, 0.5), (0, 0.5)
    arrows = [((row, column), right, (row, column + 1), left, 1) for row in (0, 1) for column in (0, 1)]
    arrows += [((0, 0), (0.5, 0), (1, 0), (0.5, 1), 14), ((0, 2), (0, 0), (1, 1), (1, 1), 3)]
    for start, a, end, b, gap in arrows:
        figure.add_artist(ConnectionPatch(a, b, axes[start].transAxes, axes[end].transAxes, arrowstyle="-|>",
                                          mutation_scale=10, color=MUTED, linewidth=1.4, shrinkA=1, shrinkB=gap))
    _heat_bar(figure, axes, theta)
    figure.alt = (f"Six panels: an image; its probability map; the {100 * raw.mean():.1f} % of pixels above theta "
                  f"{theta:g}; its {len(sizes)} superpixels; the share of foreground votes in each; and the "
                  f"{100 * final.mean():.1f} % of pixels that the majority labels {cls}, in green.")
    return figure


@style()
def image_columns(titles: Sequence[str], pictures: Sequence[Sequence[np.ndarray]], rows: Sequence[str]) -> Figure:
    """A column of pictures (H, W, 3) uint8 under each title, a name for each row, and the bar of probabilities."""
    aspects = [first.shape[1] / first.shape[0] for first, *_ in pictures]
    lines = max(title.count("\n") for title in titles)
    figure = Figure(figsize=(WIDTH, len(rows) * min((WIDTH - 1.1) / sum(aspects), 2.3) + 0.5 + 0.125 * lines))
    axes = figure.subplots(len(rows), len(titles), width_ratios=aspects, squeeze=False)
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0.01, hspace=0.01)
    for column, title, shown in zip(axes.T, titles, pictures, strict=True):
        for axis, image in zip(column, shown, strict=True):
            picture(axis, image)
        column[0].set_title(title, fontsize=7.5 if lines else 8.5, fontweight="normal", loc="center")
    for axis, name in zip(axes[:, 0], rows, strict=True):
        axis.set_ylabel(name)
    _heat_bar(figure, axes)
    return figure


def figure_6(results: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]], cls: str) -> Figure:
    """Figure 6: a column an image; the original, the probability of each pixel, the smoothed result.

    `results` has, for each title, an image (H, W, 3) uint8, its prob_u16 (H, W) uint16, and its mask (H, W) bool.
    """
    pictures = [(image, heat(prob_u16), overlay(image, mask)) for image, prob_u16, mask in results.values()]
    figure = image_columns(list(results), pictures, ("image", "probability", "result"))
    shares = ", ".join(f"{100 * mask.mean():.0f} %" for _, _, mask in results.values())
    figure.alt = (f"{len(results)} images in columns; under each the probability of {cls} at every pixel, and "
                  f"the image with the pixels labelled {cls} in green: {shares} of the pixels.")
    return figure


@dataclass(frozen=True, eq=False)
class Silhouette:
    """One image without its photograph, at most 300 pixels wide; arrays are (h, w)."""

    name: str
    title: str  # why it was picked
    iou: float  # of the region and the truth, at full size
    truth: np.ndarray  # bool: pixels of the class
    pixels: np.ndarray  # bool: pixels whose probability exceeds theta
    region: np.ndarray  # bool: pixels that the superpixels' vote leaves
    probability: np.ndarray  # uint8, in 255ths


def figure_6_silhouettes(shapes: Sequence[Silhouette], cls: str) -> Figure:
    """Figure 6 as silhouettes: a column an image; the probability, the pixels above theta, the smoothed result.

    The line is the true outline; an image without the class has none.
    """
    titles, pictures, texts = [], [], []
    for shape in shapes:
        edge = dilation(outline(shape.truth), np.ones((2, 2)))  # two pixels wide
        warm = heat(shape.probability.astype(np.uint16) * 257)
        warm[edge] = 255
        pictures.append((warm, _region(shape.pixels, edge), _region(shape.region, edge)))
        value = f"IoU {100 * shape.iou:.0f} %" if shape.truth.any() else f"no {cls}"
        titles.append(f"{shape.title}\n{shape.name}\n{value}")
        texts.append(f"{shape.title}, {shape.name}: {value}, {100 * shape.region.mean():.0f} % called {cls}")
    figure = image_columns(titles, pictures, ("probability", "p > θ", "result"))
    figure.alt = f"{len(shapes)} images in columns, as silhouettes. {'; '.join(texts)}."
    return figure


def _region(mask: np.ndarray, edge: np.ndarray) -> np.ndarray:
    """A mask in green on grey, with the true outline in black: (h, w, 3) uint8."""
    shown = np.where(mask[..., None], GREEN, (236, 236, 236)).astype(np.uint8)
    shown[edge] = 20
    return shown
