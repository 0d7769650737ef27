"""Self-contained HTML of interactive figures, made of data and the files in ``web/``; the two that are one call."""

import html
import json
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

import numpy as np

from ..figures.overlays import GREEN, heat
from ..figures.style import Html
from . import packing

THETA_SCRIPTS = ("theta-data", "theta-chart", "theta-panels", "theta")


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


def theta_slider(image: np.ndarray, prob_u16: np.ndarray, smoothed: np.ndarray, theta: float, cls: str) -> Html:
    """An interactive figure of the threshold: photograph, probability and smoothed mask, over a slider of theta.

    Exact at each of the slider's positions, 0 to 0.881 by 0.001, computed in the browser. `image` is (H, W, 3) uint8;
    in a page that is published, one that may be redistributed. `prob_u16` and `smoothed` are (H, W) uint16:
    floor(p * 65535), and `superpixels.smooth` of it. Raises `LsegreproError` if theta, the initial one, is outside
    [0, 1).

    >>> prob_u16 = np.full((4, 6), 40000, np.uint16)
    >>> theta_slider(np.zeros((4, 6, 3), np.uint8), prob_u16, prob_u16, 0.6, "cat")
    a photograph, its probability of cat, and its mask over a slider of theta, now 0.600
    """
    height, width = smoothed.shape
    data = {"theta": packing.position(theta) / 1000, "cls": cls, "width": width, "height": height, "green": GREEN,
            "smoothed": packing.pack(packing.levels(smoothed))}
    pictures = {"Photograph": image, f"Probability of {cls}: bright is high": heat(prob_u16)}
    body = "".join(f'<figure><img src="{packing.picture(pixels)}" alt="{title}" width="{width}" height="{height}">'
                   f"<figcaption>{title}</figcaption></figure>" for title, pixels in pictures.items())
    text = f"a photograph, its probability of {cls}, and its mask over a slider of theta, now {data['theta']:.3f}"
    return fragment("slider", "Theta slider", data, ("theta-data", "slider"), text,
                    f'<div class="lse-panels">{body}</div>')


def bag_explorer(bags: Mapping[str, Sequence[float]]) -> Html:
    r"""An interactive figure of the aggregations of a bag of scores.

    Each score of one class is a slider in [-1, 1], the range of the tanh. Shown are the mean, the tempered LSE
    :math:`\frac{1}{r}\log\frac{1}{N}\sum_i e^{r F_i}`, the paper's LSE of equations (1) and (3), and the maximum
    (`model.mean`, `model.tempered`, `model.lse`, `model.maximum`); for each patch the derivative of the aggregated
    score by its own; and the aggregated score against `r`. Computed in the browser, in double precision.

    `bags` has N scores for each name, a button each; the first is the initial one.

    >>> bag_explorer({"two good": [0.9, 0.9, -0.5]})
    a bag of 3 scores: mean, LSE and max, and the gradient on each patch
    """
    text = f"a bag of {len(next(iter(bags.values())))} scores: mean, LSE and max, and the gradient on each patch"
    data = {"r": 1, "bags": [[name, [float(score) for score in scores]] for name, scores in bags.items()]}
    return fragment("bag", "LSE versus max, interactive", data, ("aggregate", "bag-charts", "bag"), text)
