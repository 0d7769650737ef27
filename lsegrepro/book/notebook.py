"""What the notebooks share: tables, the line of provenance, pictures, and whether a person is there.

Arrays and small records in, pieces of a page or figures out; no torch.
"""

from __future__ import annotations

import html
import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from .. import __version__, paper
from ..evaluation import Interval
from ..evidence import Regions
from ..figures.style import BLUE, GREEN, INK, MODEL_STYLE, MUTED, PURPLE, VERMILLION, WIDTH, Html, picture, styled
from ..files import LsegreproError
from ..runs.results import coverage
from ..runs.folder import RunFolder, has_images


def live() -> bool:
    """Whether a person sits at this notebook, so that a widget can answer.

    papermill, nbclient and the tests run notebooks through a front end that cannot be asked for
    input; there, and outside a notebook, a figure takes the place of a widget.

    >>> live()
    False
    """
    try:
        import ipywidgets  # noqa: F401
        from IPython import get_ipython
    except ImportError:
        return False
    return bool(getattr(getattr(get_ipython(), "kernel", None), "_allow_stdin", False))


def percent(value: float, digits: int = 1) -> str:
    """A fraction in percent, a dash for nan.

    >>> percent(0.1234), percent(float("nan"))
    ('12.3 %', '–')
    """
    return "–" if np.isnan(value) else f"{100 * value:.{digits}f} %"


def bounded(share: float) -> str:
    """A part that may be none, as a sentence names it.

    >>> bounded(0.0), bounded(0.004), bounded(0.12)
    ('none', 'less than 1 %', 'at most 12 %')
    """
    return "none" if share == 0 else "less than 1 %" if share < 0.01 else f"at most {percent(share, 0)}"


def power(value: float, digits: int = 0) -> str:
    """A number of whatever size by its power of ten.

    >>> power(3.2e-8), power(0.0), power(12.5, 1)
    ('3·10⁻⁸', '0', '1.2·10¹')
    """
    figures, exponent = f"{value:.{digits}e}".split("e")
    raised = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{figures}·10{raised}" if value else "0"


def span(values: Sequence[float], said: Callable[[float], str] = percent) -> str:
    """The least and the largest of some numbers, each as `said` spells it; one where both read alike.

    >>> span([0.2, 0.123]), span([0.1, 0.1]), span([3, 1], str)
    ('12.3 % to 20.0 %', '10.0 %', '1 to 3')
    """
    return " to ".join(dict.fromkeys(map(said, (min(values), max(values)))))


def class_spans(values: Mapping[str, Sequence[float]], said: Callable[[float], str] = percent) -> str:
    """The `span` of each class that has values.

    >>> class_spans({"cat": [0.2, 0.1], "dog": [0.3], "bird": []})
    '10.0 % to 20.0 % for cat and 30.0 % for dog'
    """
    return " and ".join(f"{span(of, said)} for {cls}" for cls, of in values.items() if len(of))


def keep(key: str, text: str) -> None:
    """Put a computed text aside for other pages of the book, which quote it with MyST's ``glue``."""
    try:
        from myst_nb import glue
    except ImportError:  # a notebook by itself: nobody quotes it
        return
    glue(key, text, display=False)


def between(interval: Interval, digits: int = 1) -> str:
    """A fraction with its interval, in percent.

    >>> between(Interval(0.25, 0.2, 0.3))
    '25.0 [20.0, 30.0]'
    """
    value, low, high = (100 * number for number in (interval.value, interval.low, interval.high))
    if np.isnan(value):
        return "–"
    return f"{value:.{digits}f}" + ("" if np.isnan(low) else f" [{low:.{digits}f}, {high:.{digits}f}]")


def table(header: Sequence[str], rows: Sequence[Sequence[object]], caption: str, name: str = "") -> Html:
    """A table: the first column names the row, columns of numbers stand to the right. Everything is escaped.

    A column is one of numbers if every cell of it is that says something. The book numbers the table; `name`
    is what ``{ref}`` then finds it by.

    Raises
    ------
    LsegreproError
        If a row has another number of cells than the header.

    >>> table(["model", "AP"], [["LSE1", 3]], "One row.")
    One row. model: LSE1, AP: 3.
    """
    if any(len(row) != len(header) for row in rows):
        raise LsegreproError(f"each row needs {len(header)} cells, one for each of {', '.join(header)}")
    texts = [[f"{v:,}" if isinstance(v, (int, np.integer)) else str(v) for v in row] for row in rows]
    numbers = [i > 0 and _numbers([row[i] for row in texts]) for i in range(len(header))]

    def cell(text: str, tag: str, attributes: str, number: bool) -> str:
        side = "right" if number else "left"
        style = f' style="text-align:{side}"' if number or tag == "th" else ""
        return f"<{tag}{attributes}{style}>{html.escape(unbroken(text))}</{tag}>"

    head = "".join(cell(text, "th", ' scope="col"', number) for text, number in zip(header, numbers, strict=True))
    body = "".join(
        "<tr>" + cell(row[0], "th", ' scope="row"', False)
        + "".join(cell(text, "td", "", number) for text, number in zip(row[1:], numbers[1:], strict=True)) + "</tr>"
        for row in texts
    )
    said = "; ".join(", ".join(f"{n}: {v}" for n, v in zip(header, row, strict=True)) for row in rows)
    above = f'<caption style="caption-side:top;text-align:left">{html.escape(caption)}</caption>'
    named = f' id="{html.escape(name)}"' if name else ""
    return Html(
        f'<table class="lsegrepro"{named}>{above}'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>",
        f"{caption} {said}.",
    )


def _numbers(column: Sequence[str]) -> bool:
    """Whether the cells of a column that say something are numbers, with what is written about them.

    Digests are none, and neither are lists.

    >>> _numbers(["12.5 [9.1, 16.0]", "", "–"]), _numbers(["0.5 chance of it", "none"])
    (True, False)
    >>> _numbers(["3cde0ffdf497"]), _numbers(["2 of 4 for, 1 against"])
    (False, False)
    """
    other = re.compile(r"[0-9a-f]{8,}|.*, .*")
    said = [text for text in column if text]
    return bool(said) and all(
        text[0] in "0123456789+-−–[<" and not other.fullmatch(re.sub(r"\[.*?\]", "", text)) for text in said)


def unbroken(text: str) -> str:
    """The same words, with no new line inside the brackets of an interval or before the unit of a number.

    >>> unbroken("1.4 [0.7, 2.2] points, 3 % [of all]").replace("\N{NO-BREAK SPACE}", "_")
    '1.4 [0.7,_2.2]_points, 3_% [of all]'
    """
    glued = r"\[[-+−\d., %]+\]|(?<=[\d\]]) (?=%|points?\b)"
    return re.sub(glued, lambda found: found[0].replace(" ", "\N{NO-BREAK SPACE}"), text)


def provenance(run: RunFolder, *splits: Regions, also: Sequence[str] = ()) -> Html:
    """The last line of a chapter: what made it.

    Profile, seeds, samples, device, how much of each list was measured, what the chapter adds in `also`,
    and the version. The book repeats it under each figure and table of the page.
    """
    cards = [(n, run.card(*n) if run.card_path(*n).is_file() else {}) for n in run.networks()]
    trained = [(n, card) for n, card in cards if card]
    parts = [f"profile {run.profile.name}", "seed " + ", ".join(map(str, run.profile.seeds))]
    for round in (1, 2):
        seen = sorted({card["samples"] for (_, _, r, _), card in trained if r == round})
        if seen:
            parts.append(f"round {round}: " + " or ".join(f"{n:,}" for n in seen) + " samples a network")
    if len(trained) < len(cards):
        parts.append(f"{len(trained)} of {len(cards)} networks trained")
    parts += sorted({f"trained on {card['device']}" for _, card in trained})
    parts += [f"{coverage(regions)} (data {regions.data_digest})" for regions in splits]
    line = "; ".join([*parts, *also, f"lsegrepro {__version__}"])
    return Html(f'<div class="provenance"><p>{html.escape(line)}</p></div>', line)


# Pictures


@dataclass(frozen=True, eq=False)
class Example:
    """A picture a page may show: image (H, W, 3) uint8, mask (H, W) uint8 or None, and what it is."""

    image: np.ndarray
    mask: np.ndarray | None
    said: str


def shows(run: RunFolder, stand_in: bool) -> bool:
    """Whether pictures of the run's own data may be shown on this page."""
    return has_images(run) and (not stand_in or run.segmentation("val").redistributable)


def example(run: RunFolder, cls: str, stand_in: bool = False) -> Example:
    """A picture of a class for a figure: of the run's val set, or what stands in for it.

    The first val image of which the class covers between a fifth and three fifths; where no
    photograph may be shown, scikit-image's free cat, or a drawn dog.
    """
    if shows(run, stand_in):
        data, said = run.segmentation("val"), "an image of the val set of this run"
    elif cls == "cat":
        from skimage.data import chelsea

        said = "the free cat that scikit-image ships, in place of a photograph of the data"
        return Example(chelsea(), None, said)
    else:
        from ..data.drawn import DrawnSegmentation

        data, said = DrawnSegmentation("val", 24), "a drawn picture, in place of a photograph of the data"
    largest, best = -1.0, 0
    for i in range(len(data)):
        share = float((data.mask(i) == paper.VOC_INDEX[cls]).mean())
        if 0.2 <= share <= 0.6:
            best = i
            break
        if share <= 0.6 and share > largest:
            largest, best = share, i
    return Example(data.image(best), data.mask(best), said)


@styled
def sheet(pictures: Sequence[np.ndarray], titles: Sequence[str], alt: str, columns: int = 6) -> Figure:
    """Pictures (H, W, 3) uint8 in rows, each under its title; `alt` says what they show."""
    if not pictures or len(pictures) != len(titles):
        raise LsegreproError(f"{len(pictures)} pictures need as many titles, at least one; got {len(titles)}")
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    tallest = max(p.shape[0] / p.shape[1] for p in pictures)
    side = min(WIDTH / columns, 3.2)
    figure = Figure(figsize=(columns * side, rows * (tallest * side + 0.3 * any(titles))))
    for axes in figure.subplots(rows, columns, squeeze=False).flat:
        axes.set_axis_off()
    for axes, image, title in zip(figure.axes, pictures, titles, strict=False):
        axes.set_axis_on()
        picture(axes, image)
        axes.set_title(title, fontsize=8.5, fontweight="normal")
    figure.alt = alt
    return figure


def mosaic(filters: np.ndarray, columns: int = 8, zoom: int = 6) -> np.ndarray:
    """Filters of a first layer as one picture, zero in mid-grey, the largest weight of the layer in full.

    Parameters
    ----------
    filters : ndarray
        (n, 3, k, k) float.

    Returns
    -------
    ndarray
        (H, W, 3) uint8.

    >>> mosaic(np.zeros((3, 3, 2, 2)), columns=2, zoom=1).shape
    (5, 5, 3)
    """
    count, _, k, _ = filters.shape
    cells = np.round(127.5 + 127.5 * filters / max(np.abs(filters).max(), 1e-12)).astype(np.uint8)
    cells = cells.transpose(0, 2, 3, 1).repeat(zoom, axis=1).repeat(zoom, axis=2)  # (n, k zoom, k zoom, 3)
    step = k * zoom + max(1, zoom // 3)
    rows = -(-count // columns)
    page = np.full((rows * step - step + k * zoom, columns * step - step + k * zoom, 3), 255, np.uint8)
    for i, cell in enumerate(cells):
        y, x = (step * place for place in divmod(i, columns))
        page[y : y + k * zoom, x : x + k * zoom] = cell
    return page


# Charts


@styled
def lines(
    x: Sequence[float], values: dict[str, Sequence[float]], *, title: str, xlabel: str, alt: str,
    levels: dict[str, float] | None = None, dashed: Sequence[str] = (), marker: str = "",
) -> Figure:
    """Lines of fractions, in percent, over one axis; a line named after a model has its colour.

    Parameters
    ----------
    x : sequence of float
    values : dict
        Name to (len(x),) fractions.
    levels : dict, optional
        Name to a fraction: a dashed line across, named at the right.
    dashed : sequence of str
        Names of lines to draw dashed.
    """
    figure = Figure(figsize=(WIDTH, 3.0))
    axes = figure.subplots()
    others = itertools.cycle((BLUE, VERMILLION, GREEN, PURPLE, MUTED))
    for name, y in values.items():
        model = name.replace(",", " ").split(" ")[0]
        axes.plot(x, 100 * np.asarray(y, float), label=name, marker=marker, markersize=4,
                  color=MODEL_STYLE[model][0] if model in MODEL_STYLE else next(others),
                  linestyle=(0, (3, 2)) if name in dashed else "-")
    for name, level in (levels or {}).items():
        axes.axhline(100 * level, color=INK, linewidth=1, dashes=(4, 2))
        axes.annotate(name, (1, 100 * level), (0, 3), xycoords=axes.get_yaxis_transform(), ha="right",
                      textcoords="offset points", fontsize=8)
    axes.set(title=title, xlabel=xlabel, xlim=(min(x), max(x)), ylim=(0, None))
    axes.legend(loc="best")
    figure.alt = alt
    return figure
