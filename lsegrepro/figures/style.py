"""Style of the figures: colours, matplotlib settings, parts that several share, and figures as HTML.

Matplotlib without pyplot: a figure belongs to its caller, and no state is shared between figures.
"""

import contextlib
import html
import io
import logging
from collections.abc import Iterator, Sequence
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

# Okabe and Ito's palette, told apart with any colour vision. LSE is cool, max is warm.
BLUE, GREEN, VERMILLION, PURPLE, ORANGE = "#0072B2", "#009E73", "#D55E00", "#CC79A7", "#E69F00"
INK, MUTED, RULE = "#1d2733", "#5b6673", "#d5dae1"

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
    """Draw and save in this context, whatever the user's own matplotlib settings are; ``@style()`` for a function."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        yield


def model_style(model: str) -> tuple[str, str]:
    """Colour and marker of a model of Table 2; ink and a circle for any other."""
    styles = {"max1": (VERMILLION, "s"), "LSE1": (BLUE, "o"), "max2": (PURPLE, "D"), "LSE2": (GREEN, "^")}
    return styles.get(model, (INK, "o"))


def picture(axes: Axes, image: np.ndarray, title: str = "") -> None:
    """Show (H, W, 3) uint8, or a (H, W) bool mask as white on black, without axes."""
    if image.dtype == bool:
        image = np.repeat(image[..., None] * np.uint8(255), 3, axis=2)
    axes.imshow(image, interpolation="antialiased")
    axes.set(title=title, xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    axes.grid(False)


def in_percent(intervals: Sequence[Interval]) -> np.ndarray:
    """Values, low and high ends of intervals, fractions, as percent: (3, n)."""
    return 100 * np.array([(i.value, i.low, i.high) for i in intervals]).T


def between(interval: Interval | None, digits: int = 1) -> str:
    """Format a fraction and its interval in percent, without the sign; None and nan are a dash.

    >>> between(Interval(0.25, 0.2, 0.3)), between(Interval(0.25, np.nan, np.nan), 2), between(None)
    ('25.0 [20.0, 30.0]', '25.00', '–')
    """
    if interval is None or np.isnan(interval.value):
        return "–"
    value, low, high = (f"{number:.{digits}f}" for number in in_percent([interval])[:, 0])
    return value if np.isnan(interval.low) else f"{value} [{low}, {high}]"


def label_rows(axes: Axes, names: Sequence[str]) -> None:
    """Name the rows of a horizontal chart, from the top."""
    axes.set(yticks=range(len(names)), yticklabels=names, ylim=(len(names) - 0.5, -0.5))
    axes.tick_params(axis="y", length=0)


def level_line(axes: Axes, level: float, name: str, left: bool = False, below: bool = False) -> None:
    """Draw a dashed line across at a level, with its name above or below one of its ends."""
    axes.axhline(level, color=INK, linewidth=1, dashes=(1.5, 2))
    axes.annotate(name, (0 if left else 1, level), (3 if left else 0, -3 if below else 3), textcoords="offset points",
                  xycoords=axes.get_yaxis_transform(), ha="left" if left else "right",
                  va="top" if below else "baseline", fontsize=8, annotation_clip=True)


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


def show(figure: Figure, caption: str = "", name: str = "") -> Html:
    """A figure as HTML: an image with alternative text and a caption, which the book numbers.

    A drawing becomes SVG with its text kept as text, a figure with pictures WebP at twice the screen's resolution.
    ``figure.alt`` is what it says to one who cannot see it; without, `LsegreproError`. `caption` is plain text under
    the figure, `name` a target of ``{ref}`` in the book.
    """
    alt = getattr(figure, "alt", "")
    if not alt.strip():
        raise LsegreproError("a figure needs alternative text: set figure.alt to what it says")
    kind, content = encode(figure)
    width, height = (round(96 * inches) for inches in figure.get_size_inches())
    named = f' id="{html.escape(name)}"' if name else ""
    below = f"<figcaption>{html.escape(caption)}</figcaption>" if caption else ""
    # "dark-light" keeps the book's dark theme from filtering the colours, which are data here.
    return Html(
        f'<figure class="lsegrepro" style="margin:0 0 1rem;padding:0"{named}>'
        f'<img class="dark-light" src="{data_uri(kind, content)}" alt="{html.escape(alt)}" width="{width}" '
        f'height="{height}" style="max-width:100%;height:auto;background:#fff;padding:0;border-radius:4px">'
        f"{below}</figure>",
        f"figure: {alt}",
    )


@style()
def encode(figure: Figure) -> tuple[str, bytes]:
    """A figure as (media type, bytes); the same figure gives the same bytes."""
    with io.BytesIO() as file:
        if not any(axes.images for axes in figure.axes):
            figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
            return "image/svg+xml", file.getvalue()
        figure.savefig(file, format="png", dpi=192)
        return "image/webp", webp(np.asarray(Image.open(file).convert("RGB")), 88)


def webp(image: np.ndarray, quality: int) -> bytes:
    """An image (H, W, 3) uint8 as WebP."""
    with io.BytesIO() as file:
        Image.fromarray(image).save(file, "WEBP", quality=quality, method=4, use_sharp_yuv=True)
        return file.getvalue()
