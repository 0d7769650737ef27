"""Self-contained HTML of an interactive figure: its data, and the styles and scripts in ``web/``."""

import html
import json
from importlib import resources
from typing import Any

from ..figures.style import Html

THETA_SCRIPTS = ("theta-data", "theta-chart", "theta-panels", "theta")
BAG_SCRIPTS = ("aggregate", "bag-charts", "bag")


def script(*names: str) -> str:
    """One ECMAScript module: ``shared.js``, then each named script."""
    return "\n".join(_read(f"{name}.js") for name in ("shared", *names))


def css(name: str) -> str:
    """The style that all fragments share, and that of one."""
    return _read("shared.css") + _read(f"{name}.css")


def script_json(data: Any) -> str:
    """JSON in ASCII that cannot end the ``<script>`` it stands in.

    >>> script_json({"a": "</script>"})
    '{"a":"<\\\\/script>"}'
    """
    return json.dumps(data, separators=(",", ":")).replace("</", "<\\/")


def fragment(kind: str, label: str, data: Any, names: tuple[str, ...], text: str, body: str = "") -> Html:
    """An interactive figure as HTML; its script starts every figure of its kind that has not been started.

    `kind` names its style and the script that starts it, `label` is what a screen reader calls it, `names` are its
    scripts. `text` replaces the figure where there is no page, `body` is HTML that shows before the script starts.
    """
    trouble = "This figure is interactive and needs JavaScript. The rest of the page does without."
    return Html(
        f'<section class="lse-piece lse-{kind}" aria-label="{html.escape(label)}">'
        f"<style>{css(kind)}</style>"
        f'{body}<noscript><p class="lse-trouble">{trouble}</p></noscript>'
        f'<script type="application/json">{script_json(data)}</script>'
        f'<script type="module">{script(*names, f"{kind}-static")}</script></section>',
        text,
    )


def _read(name: str) -> str:
    return resources.files(__package__).joinpath("web", name).read_text(encoding="ascii")
