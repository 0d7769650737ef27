"""Numbers, anchors and origins for the figures and tables in a piece of HTML that a notebook left."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from dataclasses import dataclass

_SHOWN = re.compile(r'<(figure|table)\b[^>]*\bclass="(?:lsegrepro|table-2|method)"[^>]*>')
_CAPTION = {"figure": "figcaption", "table": "caption"}


@dataclass(frozen=True)
class Label:
    """A figure or a table of a page: its anchor there, and what a reference to it reads."""

    anchor: str
    title: str


def number(
    piece: str, chapter: str, counts: dict[str, int], made_by: Callable[[], str] = str
) -> tuple[str, list[Label]]:
    """Number what `pages.table` and `figures.style.show` have made.

    Parameters
    ----------
    piece : str
        HTML of one output.
    chapter : str
        The first part of each number.
    counts : dict
        How many figures and tables the page has so far; counted on in place.
    made_by : callable
        HTML to put at the end of each caption.

    Returns
    -------
    str
        The piece, with an id on each figure and table, and its caption begun with its number.
    list of Label
        One for each, in order.

    >>> counts = {}
    >>> number('<figure class="lsegrepro"></figure>', "5", counts)[0]
    '<figure class="lsegrepro" id="figure-5-1"><figcaption><b class="number">Figure 5.1.</b></figcaption></figure>'
    >>> number('<table class="lsegrepro" id="peaks"><caption>Peaks.</caption></table>', "5", counts)[1]
    [Label(anchor='peaks', title='Table 5.1')]
    """
    labels, done, place = [], [], 0
    while found := _SHOWN.search(piece, place):
        kind, opening = found[1], found[0]
        counts[kind] = counts.get(kind, 0) + 1
        title = f"{kind.capitalize()} {chapter}.{counts[kind]}"
        named = re.search(r'\bid="([^"]+)"', opening)
        anchor = named[1] if named else f"{kind}-{chapter}-{counts[kind]}".lower()
        if not named:
            opening = f'{opening[:-1]} id="{anchor}">'
        end = piece.index(f"</{kind}>", found.end())
        body = _captioned(piece[found.end() : end], _CAPTION[kind], html.escape(title), made_by())
        done += [piece[place : found.start()], opening, body]
        labels.append(Label(anchor, title))
        place = end
    return "".join([*done, piece[place:]]), labels


def _captioned(body: str, tag: str, title: str, after: str) -> str:
    first = f'<b class="number">{title}.</b>'
    found = re.search(rf"<{tag}\b[^>]*>", body)
    if not found:
        caption = f"<{tag}>{first}{after}</{tag}>"
        return caption + body if tag == "caption" else body + caption
    end = body.index(f"</{tag}>", found.end())
    return f"{body[: found.end()]}{first} {body[found.end() : end]}{after}{body[end:]}"


def details(summary: str, items: dict[str, str]) -> str:
    """A line that opens: where a figure or a table comes from.

    >>> details("cell 3", {"run": "<1>"})
    '<details class="made-by"><summary>cell 3</summary><dl><div><dt>run</dt><dd>&lt;1&gt;</dd></div></dl></details>'
    """
    rows = "".join(f"<div><dt>{html.escape(k)}</dt><dd>{html.escape(v)}</dd></div>" for k, v in items.items() if v)
    return f'<details class="made-by"><summary>{html.escape(summary)}</summary><dl>{rows}</dl></details>'


def provenance_line(piece: str) -> str:
    """The text of the line that `pages.provenance` has made, or nothing.

    >>> provenance_line('<div class="provenance"><p>profile local; seed 0</p></div>')
    'profile local; seed 0'
    """
    found = re.search(r'<div class="provenance">\s*<p>(.*?)</p>', piece, re.S)
    return html.unescape(found[1]) if found else ""
