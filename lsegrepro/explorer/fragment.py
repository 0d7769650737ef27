"""A piece of a page that answers by itself: its style, its script and its data in one HTML fragment.

The scripts and styles are the files beside this one, ``web/``. They need a browser and nothing
else: no network, no server, no file beside the page.
"""

from __future__ import annotations

import html
from importlib import resources

from ..figures.style import Html

THETA = ("theta-data", "theta-chart", "theta-panels", "theta")
BAG = ("aggregate", "bag-charts", "bag")


def script(*names: str) -> str:
    """One ECMAScript module: ``piece.js``, which all pieces share, and then each named one."""
    return "\n".join(_read(f"{name}.js") for name in ("piece", *names))


def style(name: str) -> str:
    """The style that all pieces share, and that of one."""
    return _read("piece.css") + _read(f"{name}.css")


def static(kind: str, label: str, data: str, names: tuple[str, ...], said: str) -> Html:
    """The fragment: it starts where it is read, and leaves pieces that were started alone.

    Parameters
    ----------
    kind : str
        Class of the section, ``lse-{kind}``, and name of its style and of the script that starts it.
    label : str
        What a screen reader calls the section.
    data : str
        JSON (`packing.embed`).
    names : tuple of str
        The scripts.
    said : str
        What stands for the fragment where there is no page.
    """
    trouble = "This figure answers to the hand only with JavaScript. The rest of the page does without."
    return Html(
        f'<section class="lse-piece lse-{kind}" aria-label="{html.escape(label)}">'
        f"<style>{style(kind)}</style>"
        f'<noscript><p class="lse-trouble">{trouble}</p></noscript>'
        f'<script type="application/json">{data}</script>'
        f'<script type="module">{script(*names, f"{kind}-static")}</script></section>',
        said,
    )


def _read(name: str) -> str:
    return resources.files(__package__).joinpath("web", name).read_text(encoding="ascii")
