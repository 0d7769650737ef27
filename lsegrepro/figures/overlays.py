"""Arrays as pictures: a probability map in colour, a mask over its image, superpixels. No matplotlib figure."""

from functools import cache

import numpy as np
from skimage.segmentation import find_boundaries

from ..paper import CEILING, FLOOR

GREEN = (0, 200, 83)
"""The green of the paper's overlays, RGB."""


@cache
def heat_table() -> np.ndarray:
    """The 256 colours of a probability from `FLOOR` to `CEILING`, (256, 3) uint8; warm is high.

    matplotlib's inferno: perceptually uniform, and monotone in lightness, so it survives a grey print.
    """
    from matplotlib import colormaps  # only here: a bare machine that segments has no matplotlib

    return np.round(colormaps["inferno"](np.arange(256))[:, :3] * 255).astype(np.uint8)


def heat(prob_u16: np.ndarray) -> np.ndarray:
    """Colour a probability map, (H, W) uint16 of floor(p * 65535), over the range that is possible: RGB uint8."""
    part = (prob_u16.astype(np.float32) / 65535 - FLOOR) / (CEILING - FLOOR)
    return heat_table()[np.clip(np.rint(part * 255), 0, 255).astype(np.uint8)]


def outline(mask: np.ndarray) -> np.ndarray:
    """Pixels of a mask that touch, along an axis, a pixel outside it: (H, W) bool."""
    return find_boundaries(mask, mode="inner")


def overlay(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Blend the foreground of a mask, (H, W) bool, with green, as the paper does (Figure 4): (H, W, 3) uint8.

    The edge of the mask is drawn in the pure colour, so that it shows on a green background too.
    """
    tinted = np.rint((image + np.array(GREEN, np.float32)) / 2).astype(np.uint8)
    shown = np.where(mask[..., None], tinted, image)
    shown[outline(mask)] = GREEN
    return shown


def superpixel_view(image: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Each superpixel in its mean colour, its borders in white: (H, W, 3) uint8.

    >>> superpixel_view(np.full((2, 4, 3), 9, np.uint8), np.array([[0, 0, 0, 1]] * 2))[0].tolist()
    [[9, 9, 9], [9, 9, 9], [255, 255, 255], [9, 9, 9]]
    """
    sums = [np.bincount(labels.ravel(), image[..., channel].ravel()) for channel in range(3)]
    view = (np.stack(sums, axis=1) // np.bincount(labels.ravel()).clip(1)[:, None]).astype(np.uint8)[labels]
    view[:, :-1][labels[:, :-1] != labels[:, 1:]] = 255
    view[:-1][labels[:-1] != labels[1:]] = 255
    return view
