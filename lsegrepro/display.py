"""One look for everything that is shown: style, colours, picture views, and the way into a page.

NumPy, Pillow and matplotlib, without pyplot: a figure belongs to whoever asked for it, and no
state is kept between figures.
"""

from __future__ import annotations

import base64
import contextlib
import html
import io
import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from .errors import LsegreproError

CEILING = 1 / (1 + math.exp(-2))
"""Largest probability of a patch, 0.8808: the tanh bounds both scores by 1 (equation 5)."""

FLOOR = 1 - CEILING
"""Smallest probability of a patch, 0.1192."""

LOSS_FLOOR = -math.log(CEILING)
"""Lowest loss of a sample, 0.1269, in nats: the two LSE scores differ by at most 2."""

LOSS_START = math.log(2)
"""Loss of a network that cannot tell the classes apart, in nats."""

WIDTH = 7.6
"""Width of a figure in inches, 730 CSS pixels: that of a page's column."""

LARGEST = 400_000
"""Bytes one figure may add to a page."""

# Okabe and Ito's palette, told apart with any colour vision. LSE is cool, max is warm.
BLUE, GREEN, VERMILLION, PURPLE = "#0072B2", "#009E73", "#D55E00", "#CC79A7"
INK, MUTED, RULE = "#1d2733", "#5b6673", "#d5dae1"
MODEL_STYLE = {
    "max1": (VERMILLION, "s"), "LSE1": (BLUE, "o"), "max2": (PURPLE, "D"), "LSE2": (GREEN, "^"),
}
"""Colour and marker of each model of Table 2; use `model_style` for a name that may be another."""

TINT = (0, 200, 83)
"""The green of the paper's overlays, RGB."""

_STYLE = {
    # Text stays text in SVG. Verdana is as wide as DejaVu, for readers who lack it.
    "svg.fonttype": "none", "svg.hashsalt": "lsegrepro", "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial", "sans-serif"],
    "font.size": 9.5, "axes.titlesize": 10.5, "axes.titleweight": "bold", "axes.titlelocation": "left",
    "axes.labelsize": 9.5, "xtick.labelsize": 8.5, "ytick.labelsize": 8.5, "legend.fontsize": 8.5,
    "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": MUTED, "axes.titlecolor": INK,
    "xtick.color": MUTED, "ytick.color": MUTED, "xtick.labelcolor": INK, "ytick.labelcolor": INK,
    "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.8, "axes.axisbelow": True,
    "axes.grid": True, "grid.color": RULE, "grid.linewidth": 0.6, "lines.linewidth": 1.8,
    "legend.frameon": False, "legend.handlelength": 2.2, "figure.constrained_layout.use": True,
    # A light panel of its own, so that a figure reads the same on a dark page and on paper.
    "figure.facecolor": "white", "savefig.facecolor": "white", "axes.facecolor": "white",
    # A curve of 50,000 steps keeps its data; what falls within 0.3 points is drawn once.
    "path.simplify": True, "path.simplify_threshold": 0.3,
}  # fmt: skip


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Draw and save inside this context, whatever the user's own matplotlib settings are.

    >>> with style():
    ...     matplotlib.rcParams["svg.fonttype"]
    'none'
    """
    fonts = logging.getLogger("matplotlib.font_manager")
    level = fonts.level
    fonts.setLevel(logging.ERROR)  # the later names of the list are for the reader's machine, not for ours
    try:
        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            matplotlib.rcParams.update(_STYLE)
            yield
    finally:
        fonts.setLevel(level)


def model_style(model: str) -> tuple[str, str]:
    """Colour and marker of a model; ink and a circle for one that is not in Table 2.

    >>> model_style("LSE1")
    ('#0072B2', 'o')
    """
    return MODEL_STYLE.get(model, (INK, "o"))


# Views of a picture


@cache
def heat_table() -> np.ndarray:
    """The 256 colours of a probability from `FLOOR` to `CEILING`, (256, 3) uint8; warm is high.

    matplotlib's inferno: perceptually uniform, and monotone in lightness, so it survives a grey print.
    """
    colours = matplotlib.colormaps["inferno"](np.arange(256))[:, :3]
    table = np.round(colours * 255).astype(np.uint8)
    table.setflags(write=False)
    return table


def heat(codes: np.ndarray) -> np.ndarray:
    """Colour a map of probability codes over the whole range that is possible.

    Parameters
    ----------
    codes : ndarray
        (H, W) uint16, floor(p * 65535).

    Returns
    -------
    ndarray
        (H, W, 3) uint8.

    >>> heat(np.array([[0, 7811, 57724, 65535]], np.uint16)).sum(axis=2).tolist()
    [[4, 4, 671, 671]]
    """
    part = (codes.astype(np.float32) / 65535 - FLOOR) / (CEILING - FLOOR)
    return heat_table()[np.clip(np.rint(part * 255), 0, 255).astype(np.uint8)]


def outline(mask: np.ndarray) -> np.ndarray:
    """Pixels of a mask that touch, along an axis, a pixel outside it: (H, W) bool.

    >>> outline(np.ones((3, 3), bool)).any()
    np.False_
    """
    inner = mask.copy()
    inner[1:] &= mask[:-1]
    inner[:-1] &= mask[1:]
    inner[:, 1:] &= mask[:, :-1]
    inner[:, :-1] &= mask[:, 1:]
    return mask & ~inner


def tint(image: np.ndarray, colour: tuple[int, int, int] = TINT, alpha: float = 0.5) -> np.ndarray:
    """An image seen through coloured glass: (H, W, 3) uint8."""
    mixed = image * np.float32(1 - alpha) + np.float32(alpha) * np.array(colour, np.float32)
    return np.rint(mixed).astype(np.uint8)


def overlay(
    image: np.ndarray, mask: np.ndarray, colour: tuple[int, int, int] = TINT, alpha: float = 0.5
) -> np.ndarray:
    """Show a mask as the paper does: foreground in green, the background in its own colours (Figure 4).

    The edge of the mask is drawn in the pure colour, so that it shows on a green background too.

    Parameters
    ----------
    image : ndarray
        (H, W, 3) uint8.
    mask : ndarray
        (H, W) bool.

    Returns
    -------
    ndarray
        (H, W, 3) uint8.

    Raises
    ------
    LsegreproError
        If the two differ in size.

    >>> overlay(np.zeros((1, 2, 3), np.uint8), np.array([[True, False]]), alpha=0.5).tolist()
    [[[0, 200, 83], [0, 0, 0]]]
    """
    if image.shape[:2] != mask.shape or image.ndim != 3:
        raise LsegreproError(f"the mask is {mask.shape}, the image {image.shape}: they must agree in size")
    shown = np.where(mask[..., None], tint(image, colour, alpha), image)
    shown[outline(mask)] = colour
    return shown


def superpixel_view(image: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Each superpixel in its mean colour, its borders in white: (H, W, 3) uint8.

    >>> superpixel_view(np.full((2, 4, 3), 9, np.uint8), np.array([[0, 0, 0, 1]] * 2))[0].tolist()
    [[9, 9, 9], [9, 9, 9], [255, 255, 255], [9, 9, 9]]
    """
    flat = labels.ravel()
    sizes = np.bincount(flat)
    sums = np.stack([np.bincount(flat, image[..., c].ravel()) for c in range(3)], axis=1)
    view = (sums / np.maximum(sizes, 1)[:, None]).astype(np.uint8)[labels]
    border = np.zeros(labels.shape, bool)
    border[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    border[:-1] |= labels[:-1] != labels[1:]
    view[border] = 255
    return view


# Into a page


@dataclass(frozen=True)
class Html:
    """A piece of a page. A notebook draws it; `text` stands for it where there is no page."""

    html: str
    text: str

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return self.text


def data_uri(kind: str, content: bytes) -> str:
    """Bytes as an address that needs no file: ``data:image/png;base64,...``."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def show(figure: Figure, alt: str | None = None, caption: str | None = None) -> Html:
    """The one way a notebook shows a figure: an image with alternative text, and nothing else.

    A drawing becomes SVG with its text kept as text; a figure with pictures in it, or one too
    complex, becomes WebP at twice the screen's resolution. Either has at most `LARGEST` bytes.

    Parameters
    ----------
    figure : Figure
    alt : str, optional
        What the figure says to one who cannot see it; default ``figure.alt``.
    caption : str, optional
        Plain text under the figure.

    Raises
    ------
    LsegreproError
        If there is no alternative text.

    Examples
    --------
    >>> show(Figure(), alt="nothing at all")
    figure: nothing at all
    """
    alt = alt or getattr(figure, "alt", "")
    if not alt.strip():
        raise LsegreproError("a figure needs alternative text: show(figure, alt='what it says')")
    kind, content = encode(figure)
    width, height = (round(96 * inches) for inches in figure.get_size_inches())
    # "dark-light" keeps the book's dark theme from filtering the colours, which are data here.
    image = (
        f'<img class="dark-light" src="{data_uri(kind, content)}" alt="{html.escape(alt)}" width="{width}" '
        f'height="{height}" style="max-width:100%;height:auto;background:#fff;padding:0;border-radius:4px">'
    )
    below = f"<figcaption>{html.escape(caption)}</figcaption>" if caption else ""
    return Html(f'<figure class="lsegrepro">{image}{below}</figure>', f"figure: {alt}")


def encode(figure: Figure) -> tuple[str, bytes]:
    """A figure as (media type, bytes), at most `LARGEST` of them; the same figure gives the same bytes."""
    pictures = any(axes.images for axes in figure.axes)
    if not pictures:
        content = _save(figure, format="svg", metadata={"Date": None, "Creator": None})
        if len(content) <= LARGEST:
            return "image/svg+xml", content
    with Image.open(io.BytesIO(_save(figure, format="png", dpi=192))) as drawn:
        pixels = drawn.convert("RGB")
    for quality in (88, 75, 60, 40, 20):
        with io.BytesIO() as file:
            pixels.save(file, "WEBP", quality=quality, method=4, use_sharp_yuv=True)
            content = file.getvalue()
        if len(content) <= LARGEST:
            break
    return "image/webp", content


def _save(figure: Figure, **options) -> bytes:
    with style(), io.BytesIO() as file:
        figure.savefig(file, **options)
        return file.getvalue()
