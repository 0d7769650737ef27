"""Theta, chosen on VOC train from the evidence of a run. Neither torch nor photographs are needed."""

import numpy as np

from .. import evaluation, evidence, paper
from ..evaluation import Curve
from ..evidence import Regions, Scores
from ..files import LsegreproError
from .folder import RunFolder

GRID_STEP = 1 / evidence.GRID
"""Theta is chosen among multiples of this, the grid search of Section 4."""

THETAS = {"train": "θ chosen on train", "paper": "the paper's θ", "oracle": "best θ on val (an oracle)"}
"""Where a theta comes from. The first is the headline; nobody may choose the last."""


def present_weights(regions: Regions) -> np.ndarray:
    """Sampling weight of each image, how many listed images it stands for: (n,) float64.

    Where images of the list are absent, every image with a cat or a dog is assumed to be at hand (checked for the
    published run), and each of the others stands for its share of the absent. Without this, a set that is short of
    background images would make a low theta look better than it is.
    """
    with_class = (regions.totals[:, : len(paper.CLASSES)] > 0).any(axis=1)
    others = int((~with_class).sum())
    weight = 1 + len(regions.absent) / others if others else 1.0
    return np.where(with_class, 1.0, weight)


def train_curve(regions: Regions, scores: Scores) -> Curve:
    """The smoothed curve that theta is chosen on, each image counted `present_weights` times."""
    return evaluation.smoothed_curve(regions, scores, weights=present_weights(regions))


def choose_theta(
    run: RunFolder, model: str, cls: str, round: int = 1, seed: int = 0, *, at: str = "train", smoothed: bool = True
) -> float:
    """Theta of largest AP on the train split, on the grid of 0.005; val takes no part.

    Each image counts `present_weights` times. Of equal thetas the smallest is taken. `at` is one of `THETAS`, for the
    others. Raises `LsegreproError` if no train image holds the class.
    """
    if at == "paper":
        return paper.THETA[cls]
    if at == "oracle":
        return run.smoothed(model, cls, round, seed).best(step=GRID_STEP)[0]
    regions, scores = run.regions("train"), run.scores(model, cls, round, seed, "train")
    if smoothed:
        return train_curve(regions, scores).best(step=GRID_STEP)[0]
    if not evaluation.present(regions, cls).any():
        raise LsegreproError(f"no train image holds a {cls}: the AP is 0/0 at every theta")
    counts = evaluation.raw_grid_counts(regions, scores)  # (200, n, 4)
    return int(np.argmax(evaluation.ap(present_weights(regions) @ counts))) / evidence.GRID


def last_network(run: RunFolder, model: str, cls: str) -> tuple[int, float] | None:
    """The last round of a network that the run holds, and the theta to use it with; None if it holds none.

    Theta is the one chosen on VOC train (`choose_theta`), or the paper's where train was not scored.
    """
    for round in (2, 1):
        if run.weights_path(model, cls, round).is_file():
            scored = run.has_scores(model, cls, round, split="train")
            return round, choose_theta(run, model, cls, round) if scored else paper.THETA[cls]
    return None


def coverage(regions: Regions) -> str:
    """How much of the list was measured, to stand beside every number.

    An AP on part of a list that lacks only images without the class is an upper bound.
    """
    if not regions.absent:
        return f"all {regions.listed:,} {regions.split} images"
    return f"{len(regions):,} of {regions.listed:,} {regions.split} images"
