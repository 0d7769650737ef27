"""The theta explorer without a kernel: HTML that needs a browser and nothing else."""

from __future__ import annotations

import base64
import io
import json
import zlib
from importlib import resources
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from .. import paper, views
from ..evaluation import ap, threshold
from ..evidence import VOID
from ..figures.style import Html, data_uri

if TYPE_CHECKING:
    from . import Scene

STEPS = 882
"""Positions of the slider, 0 to 0.881 by 0.001. The last is above the ceiling, 0.8808: no pixel is left."""


def pack(levels: np.ndarray) -> str:
    """A map of integers 0 .. 32767 as text: differences along both axes, two byte planes, deflate, base64.

    A browser inflates it by itself and gets back every number exactly; through a picture and
    a canvas it might not, since browsers may blur what a page reads back.
    """
    steps = np.diff(np.diff(levels.astype(np.int32), axis=0, prepend=0), axis=1, prepend=0)
    zigzag = (steps << 1) ^ (steps >> 31)
    planes = np.stack([zigzag & 255, zigzag >> 8]).astype(np.uint8)
    return _deflate(planes.tobytes())


def _deflate(content: bytes) -> str:
    return base64.b64encode(zlib.compress(content, 9)).decode("ascii")


def levels(codes: np.ndarray) -> np.ndarray:
    """How many positions of the slider each code exceeds: foreground at position k if ``levels > k``.

    >>> levels(np.array([0, 65, 66, 65535], np.uint16)).tolist()
    [0, 1, 2, 882]
    """
    return np.searchsorted(threshold(np.arange(STEPS) / 1000), codes)


def static_html(scene: Scene, theta: float | None = None) -> Html:
    """The explorer as one piece of HTML, exact at each of the slider's positions.

    Works from a file, with no network; by keyboard (arrows, page keys, home, end); in light and
    dark; and says its numbers to a screen reader. Plain ASCII, about 150 kB for 300 x 450 pixels.

    Parameters
    ----------
    scene : Scene
    theta : float, optional
        Where the slider starts; by default at the paper's.
    """
    height, width = scene.codes.shape
    with io.BytesIO() as file:
        Image.fromarray(scene.image).save(file, "WEBP", quality=82, method=4)
        picture = data_uri("image/webp", file.getvalue())
    truth = None
    if scene.truth is not None:
        inside = scene.truth == paper.VOC_INDEX[scene.cls]
        truth = pack(np.where(scene.truth == VOID, 2, inside))
    curve = None
    if scene.curve is not None:
        values = ap(scene.curve.at_many(np.arange(STEPS) / 1000))
        curve = [None if np.isnan(value) else round(float(value), 6) for value in values]
    data = {
        "width": width, "height": height, "steps": STEPS, "cls": scene.cls, "on": scene.on,
        "theta": paper.THETA[scene.cls] if theta is None else theta, "marks": list(scene.marks.items()),
        "floor": views.FLOOR, "ceiling": views.CEILING, "green": views.GREEN,
        "colours": _deflate(views.heat_table().tobytes()), "image": picture,
        "raw": pack(levels(scene.codes)), "smoothed": pack(levels(scene.smoothed)),
        "truth": truth, "ap": curve,
    }  # fmt: skip
    text = json.dumps(data, separators=(",", ":")).replace("</", "<\\/")
    page = resources.files(__package__).joinpath("page.html").read_text(encoding="ascii")
    said = f"theta explorer of a {width} x {height} image, {scene.cls}"
    return Html(page.replace("@DATA@", text), said)
