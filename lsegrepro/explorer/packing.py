"""Serialise maps, pictures and curves as text that a browser decodes to exactly the same numbers."""

import base64
import zlib

import numpy as np

from ..evaluation import Curve, ap, threshold
from ..figures.style import webp
from ..files import data_uri

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
    return deflate(np.stack([zigzag & 255, zigzag >> 8]).astype(np.uint8))


def deflate(values: np.ndarray) -> str:
    """The bytes of an array, compressed, in base64."""
    return base64.b64encode(zlib.compress(values.tobytes(), 9)).decode("ascii")


def levels(prob_u16: np.ndarray) -> np.ndarray:
    """How many positions of the slider each probability exceeds: foreground at position k if ``levels > k``.

    >>> levels(np.array([0, 65, 66, 65535], np.uint16)).tolist()
    [0, 1, 2, 882]
    """
    return np.searchsorted(threshold(np.arange(STEPS) / 1000), prob_u16)


def position(theta: float) -> int:
    """The slider's position nearest to a theta; `LsegreproError` if it is outside [0, 1).

    >>> position(0.6), position(0.95)
    (600, 881)
    """
    threshold(theta)
    return min(STEPS - 1, round(1000 * theta))


def picture(image: np.ndarray) -> str:
    """An image (H, W, 3) uint8 as a data URI, slightly lossy."""
    return data_uri("image/webp", webp(image, 82))


def line(curve: Curve | None) -> list[float | None] | None:
    """AP of a curve at each position of the slider, to six digits; None where it is 0/0."""
    if curve is None:
        return None
    values = ap(curve.at(np.arange(STEPS) / 1000))
    return [None if np.isnan(value) else round(float(value), 6) for value in values]
