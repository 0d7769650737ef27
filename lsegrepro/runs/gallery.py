"""Pictures with their scores, for the pages that look at single images.

Evidence holds no map of an image, so a network must be at hand; `refusal` says when it is not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from importlib.util import find_spec

import numpy as np

from .. import evaluation
from ..explorer import image_counts
from .folder import Run
from ..evidence.superpixels import oversegment, smooth


@dataclass(frozen=True, eq=False)
class Scored:
    """One picture, scored.

    Attributes
    ----------
    image : ndarray
        (H, W, 3) uint8.
    codes : ndarray
        (H, W) uint16, floor(p * 65535).
    labels : ndarray
        (H, W) int32, superpixels.
    theta : float
    """

    image: np.ndarray
    codes: np.ndarray
    labels: np.ndarray
    theta: float

    @cached_property
    def smoothed(self) -> np.ndarray:
        """(H, W) uint16, the order statistic of each pixel's superpixel."""
        return smooth(self.codes, self.labels)

    @property
    def mask(self) -> np.ndarray:
        """(H, W) bool, foreground after the majority vote."""
        return self.smoothed > evaluation.threshold(self.theta)

    def iou(self, truth: np.ndarray, cls: str) -> float:
        """IoU with a mask (H, W) of VOC indices; nan if neither has the class."""
        return image_counts(self.mask, truth, cls).ap


def refusal(run: Run, model: str, cls: str, round: int = 1, seed: int = 0) -> str:
    """Why no picture can be scored with a network here, as a sentence; empty if one can."""
    if find_spec("torch") is None:
        return "Scoring a picture needs PyTorch, which is not installed here."
    if run.has_scores(model, cls, round, seed) and not run.weights_path(model, cls, round, seed).is_file():
        return f"Only the evidence of {model} for {cls} is at hand, not its weights, to score a picture."
    return ""


def score(
    run: Run, network: tuple[str, str, int, int], image: np.ndarray, theta: float, name: str | None = None
) -> Scored:
    """Score one picture (H, W, 3) uint8 with a network (model, class, round, seed) of a run.

    Parameters
    ----------
    name : str, optional
        The image's id in the val set: it is then scored as the run's evidence was, and its map taken from the
        run's cache, or kept there. Any other picture is scored in float32, as by `segment`.

    Raises
    ------
    LsegreproError
        If the weights can neither be read nor made.
    """
    from ..evidence.scoring import score_image  # torch

    weights = run.weights(*network)
    cache = run.maps_path(weights) / f"{name}.npz" if name else None
    arguments = run.profile.scoring if name else replace(run.profile.scoring, precision="float32")
    codes, _ = score_image(weights, image, arguments, cache)
    return Scored(image, codes, oversegment(image, run.profile.superpixels), theta)
