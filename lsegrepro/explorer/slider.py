"""The theta slider: one photograph, its probability map and its mask, in some fifty kilobytes."""

import numpy as np

from ..figures.overlays import GREEN, heat
from ..figures.style import Html
from . import packing
from .fragment import fragment


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
