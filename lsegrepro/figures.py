"""The paper's figures, and those of the chapters on the aggregation and on training.

Every function takes arrays or small records, and returns a matplotlib figure that carries its
own alternative text as ``figure.alt``. `display.show` puts it into a page. No torch, no files.
Fractions come in (AP 0.25), percent is printed (25 %), as in Table 2.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import ConnectionPatch, Rectangle

from . import display, evaluation, paper
from .display import CEILING, FLOOR, INK, LOSS_FLOOR, LOSS_START, MUTED, VERMILLION, WIDTH, model_style
from .errors import LsegreproError

_HALO = {"facecolor": INK, "edgecolor": "none", "pad": 1.6, "alpha": 0.85}


def _styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Run a figure function in the common style."""

    @functools.wraps(draw)
    def wrapper(*args, **kwargs) -> Figure:
        with display.style():
            return draw(*args, **kwargs)

    return wrapper


def _picture(axes: Axes, image: np.ndarray, title: str = "") -> None:
    """Show (H, W, 3) uint8, or a (H, W) bool mask as white on black, without axes."""
    if image.dtype == bool:
        image = np.repeat(image[..., None] * np.uint8(255), 3, axis=2)
    axes.imshow(image, interpolation="antialiased")
    axes.set_title(title)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    axes.grid(False)


def _heat_bar(figure: Figure, axes: Axes | Sequence[Axes], theta: float | None = None, **place) -> None:
    """The colour bar of `display.heat`, over the whole range that is possible."""
    colours = ListedColormap(display.heat_table() / 255)
    bar = figure.colorbar(ScalarMappable(Normalize(FLOOR, CEILING), colours), ax=axes, **place)
    bar.set_ticks([FLOOR, 0.5, CEILING], labels=[f"{FLOOR:.2f}", "0.5", f"{CEILING:.2f}"])
    bar.set_label("probability of foreground")
    bar.outline.set_visible(False)
    if theta is not None and FLOOR < theta < CEILING:
        bar.ax.axhline(theta, color="white", linewidth=2.6)
        bar.ax.axhline(theta, color=INK, linewidth=1.2)


# Figure 2: patches


@_styled
def figure_2(
    image: np.ndarray,
    cells: Sequence[tuple[int, int, int, int]],
    corners: np.ndarray,
    size: int,
    original: np.ndarray | None = None,
) -> Figure:
    """Figure 2: a training image, its sqrt(N) x sqrt(N) grid, and one random patch of each cell.

    Parameters
    ----------
    image : ndarray
        (S, S, 3) uint8, the prepared training image.
    cells : sequence of tuple
        N cells as (top, left, height, width), from `patches.grid`.
    corners : ndarray
        (N, 2) int, top and left of each patch, from `patches.random_corners`.
    size : int
        Side of a patch, sz, in pixels.
    original : ndarray, optional
        (H, W, 3) uint8, the photograph before its central crop.
    """
    corners = np.asarray(corners)
    if corners.shape != (len(cells), 2):
        raise LsegreproError(f"{len(cells)} cells need ({len(cells)}, 2) corners, got {corners.shape}")
    n = round(len(cells) ** 0.5)
    ratios = [1.0, 1.0] if original is None else [original.shape[1] / original.shape[0], 1.0, 1.0]
    figure = Figure(figsize=(WIDTH, min(WIDTH / sum(ratios), 3.4) + 0.35))
    axes = figure.subplots(1, len(ratios), width_ratios=ratios, squeeze=False)[0]
    if original is not None:
        height, width = original.shape[:2]
        side = min(height, width)
        _picture(axes[0], original, "Central crop")
        place = ((width - side) / 2 - 0.5, (height - side) / 2 - 0.5)
        for colour, thickness in (("white", 3.5), (VERMILLION, 1.8)):
            axes[0].add_patch(Rectangle(place, side, side, fill=False, color=colour, linewidth=thickness))
    _picture(axes[-2], image, f"A {n} × {n} grid, a patch in each cell")
    for top, left, *_ in cells:
        for draw, edge in ((axes[-2].axhline, top), (axes[-2].axvline, left)):
            if edge:
                draw(edge - 0.5, color="white", linewidth=2.2)
                draw(edge - 0.5, color=INK, linewidth=0.9, dashes=(4, 2))
    for number, (top, left) in enumerate(corners, start=1):
        for colour, thickness in (("white", 3), (VERMILLION, 1.6)):
            axes[-2].add_patch(Rectangle((left - 0.5, top - 0.5), size, size, fill=False, color=colour,
                                         linewidth=thickness))
        _number(axes[-2], left, top, number, size)
    gap = max(2, size // 16)
    sheet = np.full((n * (size + gap) - gap,) * 2 + (3,), 255, np.uint8)
    _picture(axes[-1], sheet, f"The {n * n} patches the network sees")
    for k, (top, left) in enumerate(corners):
        y, x = (int(step) * (size + gap) for step in divmod(k, n))
        sheet[y : y + size, x : x + size] = image[top : top + size, left : left + size]
        _number(axes[-1], x, y, k + 1, size)
    axes[-1].images[0].set_data(sheet)
    figure.alt = (
        f"A training image of {image.shape[0]} by {image.shape[1]} pixels, cut by a grid into {n * n} cells; "
        f"one patch of {size} by {size} pixels lies at random in each cell. Beside it the {n * n} patches."
    )
    return figure


def _number(axes: Axes, x: float, y: float, number: int, size: int) -> None:
    axes.text(x + size * 0.06, y + size * 0.07, str(number), color="white", fontsize=7.5, va="top", bbox=_HALO)


# LSE versus max


@_styled
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
            _picture(inset, patch)
        strip.set_axis_off()
    panels = [("score", scores), *weights.items()]
    for axis, (name, values) in zip(axes[int(shown) :], panels, strict=True):
        first = name == "score"
        bars = axis.bar(places, values, width=0.62, color=MUTED if first else display.BLUE)
        axis.bar_label(bars, [f"{value:.2f}" for value in values], fontsize=8, padding=2)
        axis.grid(axis="x", visible=False)
        axis.axhline(0, color=MUTED, linewidth=0.8)
        axis.set(ylim=(-1.45, 1.45) if first else (0, 1.25), yticks=[-1, 0, 1] if first else [0, 0.5, 1])
        axis.set_title("score $F_i$ of each patch" if first else f"{name}: share of the gradient")
    axes[-1].set(xticks=places, xlabel="patch", xlim=(0.4, count + 0.6))
    shares = "; ".join(f"{name} gives the best patch {100 * np.max(w):.0f} %" for name, w in weights.items())
    figure.alt = (
        f"Bars for {count} patches. Scores run from {scores.min():.2f} to {scores.max():.2f}. "
        f"Share of the gradient: {shares}."
    )
    return figure


@_styled
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
    colours = (display.BLUE, VERMILLION, display.GREEN, display.PURPLE)
    for (name, line), colour in zip(values.items(), colours, strict=False):
        left.plot(r, line, label=name, color=colour)
    for value, name in ((mean, "mean"), (maximum, "max")):
        left.axhline(value, color=INK, linewidth=1, dashes=(4, 2))
        left.annotate(name, (1, value), (-2, 3), xycoords=left.get_yaxis_transform(), ha="right",
                      textcoords="offset points", fontsize=8.5)
    room = 0.9 * max(maximum - mean, 1e-3)
    left.set(title="Aggregated score", xlabel="r", ylim=(mean - 0.4 * room, maximum + 1.6 * room))
    left.legend(loc="upper right")
    best = int(np.argmax(weights[-1]))
    for i in np.argsort(weights[-1]):
        right.plot(r, weights[:, i], color=VERMILLION if i == best else MUTED,
                   linewidth=2.2 if i == best else 1, alpha=1 if i == best else 0.7)
    right.annotate("best patch", (r[-1], weights[-1, best]), (-4, -4), ha="right", va="top",
                   textcoords="offset points", color=VERMILLION, fontsize=8.5)
    right.axhline(1 / weights.shape[1], color=INK, linewidth=1, dashes=(4, 2))
    right.annotate("1/N", (0, 1 / weights.shape[1]), (3, 3), xycoords=right.get_yaxis_transform(),
                   textcoords="offset points", fontsize=8.5)
    right.set(title="Weight of each patch", xlabel="r", ylim=(0, 1.04))
    for axis in (left, right):
        axis.set(xscale="log", xlim=(r[0], r[-1]))
        axis.axvline(1, color=MUTED, linewidth=1, dashes=(1, 2))
        axis.annotate("r = 1", (1, 0), (3, 3), xycoords=axis.get_xaxis_transform(), textcoords="offset points",
                      fontsize=8.5, color=MUTED)
    figure.alt = (
        f"As r grows from {r[0]:g} to {r[-1]:g}, the score with 1/N goes from the mean, {mean:.2f}, to the "
        f"maximum, {maximum:.2f}, and the weight of the best patch from {weights[0, best]:.2f} to "
        f"{weights[-1, best]:.2f}."
    )
    return figure


# Training


@_styled
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
    figure = Figure(figsize=(WIDTH, 3.2))
    left, right = figure.subplots(1, 2)
    said = []
    others = iter(("#E69F00", "#56B4E9", INK, MUTED))
    for label, rows in runs.items():
        colour, marker = display.MODEL_STYLE.get(label.split(" ")[0], (None, "o"))
        if colour is None or any(line.get_color() == colour for line in left.lines):
            colour = next(others, INK)
        left.plot(*_columns(rows, "loss"), color=colour, label=label)
        samples, loss = _columns(rows, "heldout_loss")
        left.plot(samples, loss, color=colour, linewidth=1, dashes=(2, 1.5), marker=marker, markersize=3)
        samples, accuracy = _columns(rows, "heldout_accuracy")
        right.plot(samples, 100 * accuracy, color=colour, marker=marker, markersize=4)
        said.append(
            f"{label} reaches a loss of {rows[-1]['loss']:.3f} after {rows[-1]['samples']:,.0f} samples"
            + (f" and a held-out accuracy of {100 * accuracy[-1]:.1f} %" if len(accuracy) else "")
        )
    left.plot([], [], color=INK, linewidth=1, dashes=(2, 1.5), label="held out")
    for level, name in ((LOSS_START, "chance, ln 2"), (LOSS_FLOOR, f"floor, {LOSS_FLOOR:.4f}")):
        left.axhline(level, color=INK, linewidth=1, dashes=(4, 2))
        left.annotate(name, (1, level), (0, 3), xycoords=left.get_yaxis_transform(), ha="right",
                      textcoords="offset points", fontsize=8)
    right.axhline(50, color=INK, linewidth=1, dashes=(4, 2))
    right.annotate("chance", (1, 50), (0, 3), xycoords=right.get_yaxis_transform(), ha="right",
                   textcoords="offset points", fontsize=8)
    left.set(title="Loss (nats)", ylim=(0, max(0.78, left.get_ylim()[1])))
    right.set(title="Held-out accuracy, balanced (%)", ylim=(min(45, right.get_ylim()[0]), 100))
    for axis in (left, right):
        axis.set(xlabel="images seen", xscale="log" if log else "linear")
        if not log:
            axis.set_xlim(left=0)
            axis.xaxis.set_major_locator("auto") if False else None
        axis.xaxis.set_major_formatter(lambda x, _: f"{x / 1000:g}k" if x >= 1000 else f"{x:g}")
    left.legend(loc="lower left", bbox_to_anchor=(0, 0.17))
    figure.alt = "Training curves. " + "; ".join(said) + f". Chance is {LOSS_START:.3f}, floor {LOSS_FLOOR:.4f}."
    return figure


def _columns(rows: Sequence[Mapping[str, float]], key: str) -> tuple[np.ndarray, np.ndarray]:
    pairs = [(row["samples"], row[key]) for row in rows if row.get(key) is not None]
    return np.array([x for x, _ in pairs], float), np.array([y for _, y in pairs], float)


# Figures 4 and 6: what the maps look like


@_styled
def figure_4(
    image: np.ndarray, codes: np.ndarray, labels: np.ndarray, theta: float, cls: str = "cat"
) -> Figure:
    """Figure 4: from an image to its smoothed mask, in six panels.

    Parameters
    ----------
    image : ndarray
        (H, W, 3) uint8.
    codes : ndarray
        (H, W) uint16, floor(p * 65535) of every pixel.
    labels : ndarray
        (H, W) int, superpixels 0 .. S-1.
    theta : float
        Foreground is p > theta.
    """
    raw = codes > evaluation.threshold(theta)
    sizes = np.bincount(labels.ravel())
    votes = np.bincount(labels.ravel(), raw.ravel(), len(sizes))
    final = (2 * votes > sizes)[labels]  # a tie is background
    share = np.repeat(np.rint(255 * votes / np.maximum(sizes, 1)).astype(np.uint8)[labels][..., None], 3, axis=2)
    height, width = image.shape[:2]
    figure = Figure(figsize=(WIDTH, 0.8 + 2 * (WIDTH - 1.5) / 3 * height / width))
    axes = figure.subplots(2, 3)
    figure.get_layout_engine().set(w_pad=0.08, h_pad=0.06, wspace=0.08, hspace=0.1)
    panels = (
        (image, "Image"), (display.heat(codes), "Probability"), (raw, f"Per pixel, p > {theta:g}"),
        (display.superpixel_view(image, labels), "Superpixels"), (share, "Share of votes"),
        (display.overlay(image, final), f"Majority: “{cls}”"),
    )  # fmt: skip
    for axis, (picture, title) in zip(axes.flat, panels, strict=True):
        _picture(axis, picture, title)
    for start, end in (((0, 0), (0, 1)), ((0, 1), (0, 2)), ((1, 0), (1, 1)), ((1, 1), (1, 2))):
        _arrow(figure, axes[start], (1, 0.5), axes[end], (0, 0.5))
    _arrow(figure, axes[0, 0], (0.5, 0), axes[1, 0], (0.5, 1), shorten=14)
    _arrow(figure, axes[0, 2], (0, 0), axes[1, 1], (1, 1), shorten=3)
    _heat_bar(figure, axes, theta, shrink=0.6, aspect=28, pad=0.02)
    figure.alt = (
        f"Six panels: an image; its probability map; the {100 * raw.mean():.1f} % of pixels above theta "
        f"{theta:g}; its {len(sizes)} superpixels; the share of foreground votes in each; and the "
        f"{100 * final.mean():.1f} % of pixels that the majority labels {cls}, in green."
    )
    return figure


def _arrow(figure: Figure, start: Axes, a: tuple, end: Axes, b: tuple, shorten: float = 1) -> None:
    figure.add_artist(ConnectionPatch(
        a, b, start.transAxes, end.transAxes, arrowstyle="-|>", mutation_scale=10, color=MUTED, linewidth=1.4,
        shrinkA=1, shrinkB=shorten,
    ))  # fmt: skip


@dataclass(frozen=True, eq=False)
class Result:
    """One column of Figure 6: image (H, W, 3) uint8, codes (H, W) uint16, mask (H, W) bool."""

    image: np.ndarray
    codes: np.ndarray
    mask: np.ndarray
    title: str = ""


@_styled
def figure_6(results: Sequence[Result], cls: str = "cat") -> Figure:
    """Figure 6: a column an image; the original, the probability of each pixel, the smoothed result."""
    if not results:
        raise LsegreproError("Figure 6 needs at least one result")
    aspects = [r.image.shape[1] / r.image.shape[0] for r in results]
    row = min((WIDTH - 1.1) / sum(aspects), 2.3)
    figure = Figure(figsize=(WIDTH, 3 * row + 0.5))
    axes = figure.subplots(3, len(results), width_ratios=aspects, squeeze=False)
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0.01, hspace=0.01)
    for column, result in zip(axes.T, results, strict=True):
        green = display.overlay(result.image, result.mask)
        for axis, picture in zip(column, (result.image, display.heat(result.codes), green), strict=True):
            _picture(axis, picture)
        column[0].set_title(result.title, fontsize=8.5, fontweight="normal", loc="center")
    for axis, name in zip(axes[:, 0], ("image", "probability", "result"), strict=True):
        axis.set_ylabel(name)
    _heat_bar(figure, axes, shrink=0.6, aspect=28, pad=0.02)
    shares = ", ".join(f"{100 * r.mask.mean():.0f} %" for r in results)
    figure.alt = (
        f"{len(results)} images in columns; under each the probability of {cls} at every pixel, and the image "
        f"with the pixels labelled {cls} in green: {shares} of the pixels."
    )
    return figure
