"""Helpers of the notebooks: numbers as text, tables, glued values, pictures, and simple charts. No torch."""

import html
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from .. import __version__, paper
from ..evidence import Regions
from ..figures.style import BLUE, GREEN, MUTED, PURPLE, VERMILLION, WIDTH, Html, level_line, picture, style
from ..runs.folder import Network, RunFolder, has_images
from ..runs.results import coverage

# Numbers as text


def percent(value: float, digits: int = 1) -> str:
    """Format a fraction in percent; nan is a dash.

    >>> percent(0.1234), percent(float("nan"))
    ('12.3 %', '–')
    """
    return "–" if np.isnan(value) else f"{100 * value:.{digits}f} %"


def span(values: Sequence[float], format: Callable[[float], str] = percent) -> str:
    """Format the range of some numbers; a single text where both ends read alike.

    >>> span([0.2, 0.123]), span([0.1, 0.1]), span([3, 1], str)
    ('12.3 % to 20.0 %', '10.0 %', '1 to 3')
    """
    return " to ".join(dict.fromkeys(map(format, (min(values), max(values)))))


def label(run: RunFolder, network: Network) -> str:
    """Name a network for a table or a legend, by model and class; by seed too where the run has several."""
    model, cls, _, seed = network
    return f"{model} {cls}" + (f", seed {seed}" if len(run.profile.seeds) > 1 else "")


def keep(key: str, text: str) -> None:
    """Store a computed text that other pages of the book quote with MyST's ``glue`` role."""
    from myst_nb import glue

    glue(key, text, display=False)


_NUMBER = re.compile(r"[-+−<]?\d[\d,.]*( %)?( \[.*\])?( %)?( of [\d,]+)?|–?")


def table(header: Sequence[str], rows: Sequence[Sequence[object]], caption: str, name: str = "") -> Html:
    """Make an HTML table: the first column names the row, columns of numbers are aligned to the right.

    Integers get thousands separators, all else is ``str``, and all of it is escaped. The book puts "Table 5.1." before
    the caption; `name` is a label for MyST's ``{ref}`` role.

    >>> table(["model", "AP"], [["LSE1", 3]], "One row.")
    One row. LSE1: 3.
    """
    texts = [[f"{v:,}" if isinstance(v, (int, np.integer)) else str(v) for v in row] for row in rows]
    classes = [' class="number"' if i and any(column) and all(map(_NUMBER.fullmatch, column)) else ""
               for i, column in enumerate(zip(*texts, strict=True))] or [""] * len(header)

    def cell(tag: str, attributes: str, text: str) -> str:
        return f"<{tag}{attributes}>{html.escape(text)}</{tag}>"

    head = "".join(cell("th", f' scope="col"{kind}', text) for kind, text in zip(classes, header, strict=True))
    body = "".join(
        "<tr>" + cell("th", ' scope="row"', first)
        + "".join(cell("td", kind, text) for kind, text in zip(classes[1:], others, strict=True)) + "</tr>"
        for first, *others in texts
    )
    label = f' id="{html.escape(name)}"' if name else ""
    return Html(
        f'<table class="lsegrepro"{label}><caption>{html.escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>",
        f"{caption} {'; '.join(f'{row[0]}: ' + ', '.join(row[1:]) for row in texts)}.",
    )


def provenance(run: RunFolder, *splits: Regions) -> Html:
    """Make the last line of a chapter: profile, seeds, samples, device, coverage of each list measured on, version."""
    networks = run.networks()
    cards = {network: run.card(*network) for network in networks if run.card_path(*network).is_file()}
    parts = [f"profile {run.profile.name}", "seed " + ", ".join(map(str, run.profile.seeds))]
    for round in (1, 2):
        samples = sorted({card["samples"] for network, card in cards.items() if network[2] == round})
        if samples:
            parts.append(f"round {round}: {' or '.join(f'{n:,}' for n in samples)} samples a network")
    if len(cards) < len(networks):
        parts.append(f"{len(cards)} of {len(networks)} networks trained")
    parts += sorted({f"trained on {card['device']}" for card in cards.values()})
    parts += [f"{coverage(regions)} (data {regions.data_digest})" for regions in splits]
    line = "; ".join([*parts, f"lsegrepro {__version__}"])
    return Html(f'<div class="provenance"><p>{html.escape(line)}</p></div>', line)


# Pictures


class Example(NamedTuple):
    """A picture for a figure, and where it comes from."""

    image: np.ndarray  # (H, W, 3) uint8
    mask: np.ndarray | None  # (H, W) uint8
    source: str


def example(run: RunFolder, cls: str, stand_in: bool = False) -> Example:
    """Choose a picture that holds a class: the first val image of which it covers between 20 and 60 %.

    No photograph is published: where none may be shown or none is at hand, scikit-image's free cat or a drawn dog takes
    its place.
    """
    if has_images(run) and (not stand_in or run.segmentation("val").redistributable):
        data, source = run.segmentation("val"), "an image of the val set of this run"
    elif cls == "cat":
        from skimage.data import chelsea

        return Example(chelsea(), None, "the free cat that scikit-image ships, in place of a photograph of the data")
    else:
        from ..data.drawn import DrawnSegmentation

        data, source = DrawnSegmentation("val", 24), "a drawn picture, in place of a photograph of the data"
    suitable = (i for i in range(len(data)) if 0.2 <= (data.mask(i) == paper.VOC_INDEX[cls]).mean() <= 0.6)
    index = next(suitable, 0)
    return Example(data.image(index), data.mask(index), source)


@style()
def sheet(pictures: Sequence[np.ndarray], titles: Sequence[str], alt: str, columns: int = 6) -> Figure:
    """Draw pictures (H, W, 3) uint8 in rows, each under its title; `alt` is the alternative text."""
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    side = min(WIDTH / columns, 3.2)
    height = max(p.shape[0] / p.shape[1] for p in pictures) * side + 0.3 * any(titles)
    figure = Figure(figsize=(columns * side, rows * height))
    for i, (image, title) in enumerate(zip(pictures, titles, strict=True), 1):
        axes = figure.add_subplot(rows, columns, i)
        picture(axes, image)
        axes.set_title(title, fontsize=8.5, fontweight="normal")
    figure.alt = alt
    return figure


def mosaic(filters: np.ndarray) -> np.ndarray:
    """Draw the filters of a first layer, (n, 3, k, k) float, in rows of 8, six times as large: (H, W, 3) uint8.

    Zero is mid-grey.

    >>> mosaic(np.zeros((16, 3, 2, 2))).shape
    (30, 114, 3)
    """
    from skimage.util import montage

    pixels = np.round(127.5 + 127.5 * filters / max(np.abs(filters).max(), 1e-12)).astype(np.uint8)
    pixels = pixels.transpose(0, 2, 3, 1).repeat(6, axis=1).repeat(6, axis=2)  # (n, 6 k, 6 k, 3)
    shape = (-(-len(pixels) // 8), 8)
    return montage(pixels, fill=(255, 255, 255), grid_shape=shape, padding_width=2, channel_axis=-1)


@style()
def lines(x: Sequence[float], values: dict[str, Sequence[float]], level: tuple[str, float], title: str, xlabel: str,
          alt: str) -> Figure:
    """Draw lines of fractions, (len(x),) each, in percent; `level` names and places a dashed horizontal line."""
    figure = Figure(figsize=(WIDTH, 3.0))
    axes = figure.subplots()
    axes.set_prop_cycle(color=(BLUE, VERMILLION, GREEN, PURPLE, MUTED))
    for name, fractions in values.items():
        axes.plot(x, 100 * np.asarray(fractions, float), label=name, marker="o", markersize=4)
    level_line(axes, 100 * level[1], level[0])
    axes.set(title=title, xlabel=xlabel, xlim=(min(x), max(x)), ylim=(0, None))
    axes.legend(loc="best")
    figure.alt = alt
    return figure
