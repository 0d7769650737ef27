"""Serialise a scene as text that a browser decodes to exactly the same numbers."""

from __future__ import annotations

import base64
import io
import zlib

import numpy as np
from PIL import Image

from .. import paper
from ..evaluation import Curve, ap, threshold
from ..evidence import VOID
from ..figures import overlays
from ..figures.style import model_style
from ..files import data_uri
from .fragment import script_json
from .scene import Picture, Scene, ScoredNetwork

STEPS = 882
"""Positions of the slider, 0 to 0.881 by 0.001. The last is above the ceiling, 0.8808: no pixel is left."""


def pack(values: np.ndarray) -> str:
    """A (H, W) map of integers 0 .. 65535 as text.

    Differences along both axes (modulo 2^16), zigzag, two byte planes, deflate, base64. A browser inflates it and
    decodes every number exactly; through an image and a canvas it might not, since browsers may alter what a page
    reads back.
    """
    steps = np.diff(np.diff(values.astype(np.uint16), axis=0, prepend=np.uint16(0)), axis=1, prepend=np.uint16(0))
    signed = steps.view(np.int16)
    zigzag = ((signed << 1) ^ (signed >> 15)).view(np.uint16)
    return _deflate(np.stack([zigzag & 255, zigzag >> 8]).astype(np.uint8).tobytes())


def _deflate(content: bytes) -> str:
    return base64.b64encode(zlib.compress(content, 9)).decode("ascii")


def levels(prob_u16: np.ndarray) -> np.ndarray:
    """How many positions of the slider each probability exceeds: foreground at position k if ``levels > k``.

    >>> levels(np.array([0, 65, 66, 65535], np.uint16)).tolist()
    [0, 1, 2, 882]
    """
    return np.searchsorted(threshold(np.arange(STEPS) / 1000), prob_u16)


def webp(image: np.ndarray) -> str:
    """An image (H, W, 3) uint8 as a data URI, slightly lossy."""
    with io.BytesIO() as file:
        Image.fromarray(image).save(file, "WEBP", quality=82, method=4)
        return data_uri("image/webp", file.getvalue())


def position(theta: float) -> int:
    """The slider's position nearest to a theta.

    >>> position(0.6), position(0.95)
    (600, 881)
    """
    threshold(theta)  # refuses one outside [0, 1)
    return min(STEPS - 1, round(1000 * theta))


def payload(scene: Scene) -> str:
    """A scene as JSON, exact at each position of the slider; safe inside ``<script>``."""
    data = {
        "steps": STEPS, "on": scene.on, "floor": paper.FLOOR, "ceiling": paper.CEILING, "green": overlays.GREEN,
        "colours": _deflate(overlays.heat_table().tobytes()),
        "networks": [_network(network) for network in scene.networks],
        "pictures": [_picture(picture, scene.networks) for picture in scene.pictures],
    }  # fmt: skip
    return script_json(data)


def _network(network: ScoredNetwork) -> dict:
    return {
        "name": network.name, "model": network.model, "cls": network.cls, "group": network.group,
        "truth": 1 + paper.CLASSES.index(network.cls), "colour": model_style(network.model)[0],
        "marks": list(network.marks.items()), "ap": _line(network.curve), "raw": _line(network.raw_curve),
    }  # fmt: skip


def _line(curve: Curve | None) -> list[float | None] | None:
    """AP at each position of the slider, to six digits."""
    if curve is None:
        return None
    values = ap(curve.at_many(np.arange(STEPS) / 1000))
    return [None if np.isnan(value) else round(float(value), 6) for value in values]


def _picture(picture: Picture, networks) -> dict:
    truth = None
    if picture.truth is not None:  # 0 neither, 1 the first class, and so on; the last is void
        kinds = [picture.truth == paper.VOC_INDEX[cls] for cls in paper.CLASSES] + [picture.truth == VOID]
        truth = pack(sum((i * kind for i, kind in enumerate(kinds, start=1)), np.zeros(picture.truth.shape, int)))
    maps = [picture.maps[network.name] for network in networks]
    return {
        "name": picture.name, "width": picture.image.shape[1], "height": picture.image.shape[0],
        "image": webp(picture.image),
        "truth": truth, "void": 1 + len(paper.CLASSES),
        "maps": [{"raw": pack(levels(raw)), "voted": pack(levels(voted))} for raw, voted in maps],
    }  # fmt: skip
