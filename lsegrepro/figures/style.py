"""Style of the figures: colours, matplotlib settings, parts that several share, and figures as HTML.

Matplotlib without pyplot: a figure belongs to its caller, and no state is shared between figures.
"""

from __future__ import annotations

import contextlib
import functools
import html
import io
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from ..evaluation import Interval
from ..files import LsegreproError, data_uri

WIDTH = 7.6
"""Width of a figure in inches, 730 CSS pixels: that of a page's column."""

LARGEST = 400_000
"""Bytes one figure may add to a page."""

# Okabe and Ito's palette, told apart with any colour vision. LSE is cool, max is warm.
BLUE, GREEN, VERMILLION, PURPLE = "#0072B2", "#009E73", "#D55E00", "#CC79A7"
ORANGE, SKY = "#E69F00", "#56B4E9"
INK, MUTED, RULE = "#1d2733", "#5b6673", "#d5dae1"
MODEL_STYLE = {
    "max1": (VERMILLION, "s"), "LSE1": (BLUE, "o"), "max2": (PURPLE, "D"), "LSE2": (GREEN, "^"),
}
"""Colour and marker of each model of Table 2; use `model_style` for a name that may be another."""

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


# The later fonts of the list are for the reader's machine, not for this one: that they are absent here is no news.
logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Draw and save inside this context, whatever the user's own matplotlib settings are."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        yield


def model_style(model: str) -> tuple[str, str]:
    """Colour and marker of a model; ink and a circle for one that is not in Table 2.

    >>> model_style("LSE1")
    ('#0072B2', 'o')
    """
    return MODEL_STYLE.get(model, (INK, "o"))


def styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Run a figure function in the common style."""

    @functools.wraps(draw)
    def wrapper(*args, **kwargs) -> Figure:
        with style():
            return draw(*args, **kwargs)

    return wrapper


def picture(axes: Axes, image: np.ndarray, title: str = "") -> None:
    """Show (H, W, 3) uint8, or a (H, W) bool mask as white on black, without axes."""
    if image.dtype == bool:
        image = np.repeat(image[..., None] * np.uint8(255), 3, axis=2)
    axes.imshow(image, interpolation="antialiased")
    axes.set_title(title)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    axes.grid(False)


def in_percent(intervals: Sequence[Interval]) -> np.ndarray:
    """Values, low and high ends of intervals, fractions, as percent: (3, n).

    >>> in_percent([Interval(0.5, 0.25, 0.75)]).tolist()
    [[50.0], [25.0], [75.0]]
    """
    return 100 * np.array([(i.value, i.low, i.high) for i in intervals]).T


def interval_text(interval: Interval, unit: str = "", sign: str = "-") -> str:
    """A fraction and its interval as percent; the interval is left out where it has no ends.

    >>> interval_text(Interval(0.12, 0.1, 0.145), " %"), interval_text(Interval(0.12, np.nan, np.nan))
    ('12.0 % [10.0, 14.5]', '12.0')
    """
    value, low, high = (f"{number:{sign}.1f}" for number in in_percent([interval])[:, 0])
    return f"{value}{unit}" + ("" if np.isnan(interval.low) else f" [{low}, {high}]")


def plot_interval(axes: Axes, interval: Interval, y: float, colour: str, marker: str = "o", label: str | None = None
                  ) -> None:
    """Draw an interval of fractions, as percent, in row `y`: a bar, and a marker at its value."""
    value, low, high = in_percent([interval])[:, 0]
    axes.plot([low, high], [y, y], color=colour, linewidth=2.2, solid_capstyle="round", zorder=4)
    axes.plot(value, y, marker, color=colour, markersize=7, zorder=5, label=label)


def plot_points(axes: Axes, x: Sequence[float], intervals: Sequence[Interval], colour: str, **look) -> None:
    """Draw intervals of fractions, as percent, at places along x: markers with upright bars."""
    values, low, high = in_percent(intervals)
    axes.errorbar(x, values, yerr=np.abs([values - low, high - values]), color=colour, elinewidth=1, **look)


def label_rows(axes: Axes, names: Sequence[str]) -> None:
    """Name the rows of a horizontal chart, from the top."""
    axes.set(yticks=range(len(names)), yticklabels=names, ylim=(len(names) - 0.5, -0.5))
    axes.tick_params(axis="y", length=0)


def level_line(axes: Axes, level: float, name: str, left: bool = False) -> None:
    """Draw a dashed line across at a level, with its name above one of its ends."""
    axes.axhline(level, color=INK, linewidth=1, dashes=(1.5, 2))
    axes.annotate(name, (0 if left else 1, level), (3 if left else 0, 3), xycoords=axes.get_yaxis_transform(),
                  ha="left" if left else "right", textcoords="offset points", fontsize=8, annotation_clip=True)


# Figures as HTML


_ON_THE_PAGE = (
    "<style>html[data-theme=dark] .bd-content div.cell_output .text_html:not(:has(table.dataframe)) "
    "{background: none; color: inherit; padding: 0}</style>"
)
"""The book's theme puts a light panel under any output in HTML; ours need none and stand on the page."""


@dataclass(frozen=True)
class Html:
    """A piece of HTML that a notebook shows; `text` replaces it where there is no page."""

    html: str
    text: str

    def _repr_html_(self) -> str:
        return _ON_THE_PAGE + self.html

    def __repr__(self) -> str:
        return self.text


def show(figure: Figure, alt: str | None = None, caption: str | None = None, name: str = "") -> Html:
    """A figure as HTML: an image with alternative text and a caption, which the book numbers.

    A drawing becomes SVG with its text kept as text; a figure with pictures in it, or one too complex, becomes WebP at
    twice the screen's resolution. Either has at most `LARGEST` bytes. `alt` is what the figure says to one who cannot
    see it, by default ``figure.alt``; without either, `LsegreproError`. `caption` is plain text under the figure, and
    `name` a target of ``{ref}`` in the book.

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
    frame = 'class="lsegrepro" style="margin:0 0 1rem;padding:0"'
    named = f' id="{html.escape(name)}"' if name else ""
    return Html(f"<figure {frame}{named}>{image}{below}</figure>", f"figure: {alt}")


def encode(figure: Figure) -> tuple[str, bytes]:
    """A figure as (media type, bytes), at most `LARGEST` of them; the same figure gives the same bytes."""
    file = io.BytesIO()
    if not any(axes.images for axes in figure.axes):
        with style():
            figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
        if len(file.getvalue()) <= LARGEST:
            return "image/svg+xml", file.getvalue()
        file = io.BytesIO()
    with style():
        figure.savefig(file, format="png", dpi=192)
    pixels = Image.open(file).convert("RGB")
    for quality in (88, 75, 60, 40, 20):
        file = io.BytesIO()
        pixels.save(file, "WEBP", quality=quality, method=4, use_sharp_yuv=True)
        if len(file.getvalue()) <= LARGEST:
            break
    return "image/webp", file.getvalue()
