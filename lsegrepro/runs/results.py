"""The results of a run, computed from its evidence: Table 2, its baselines, its classification.

Neither torch nor photographs are needed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .. import evaluation, evidence, paper
from ..evaluation import Curve, Interval
from ..evidence import Regions, Scores
from ..files import LsegreproError
from .folder import RunFolder

GRID_STEP = 1 / evidence.GRID
"""Theta is chosen among multiples of this, the grid search of Section 4."""


@dataclass(frozen=True)
class Cell:
    """One network at one theta on val: AP and both accuracies, as fractions, with 95 % intervals."""

    theta: float
    ap: Interval
    foreground: Interval
    background: Interval


@dataclass(frozen=True)
class Result:
    """What one network achieves on val.

    Attributes
    ----------
    model, cls : str
    round, seed : int
    chosen : Cell
        At the theta of largest AP on the train split: the headline.
    papers : Cell
        At the paper's theta.
    oracle : Cell
        At the best theta on val itself, which nobody may choose; it bounds the choice.
    raw : Cell
        Without superpixels, at the theta chosen for raw scores on the train split.
    samples : int
        Training images seen, with repetition.
    """

    model: str
    cls: str
    round: int
    seed: int
    chosen: Cell
    papers: Cell
    oracle: Cell
    raw: Cell
    samples: int


def present_weights(regions: Regions) -> np.ndarray:
    """Sampling weight of each image, how many listed images it stands for: (n,) float64.

    Where images of the list are absent, every image with a cat or a dog is assumed to be at hand (checked for the
    published run), and each of the others stands for its share of the absent. Without this, a set that is short of
    background images would make a low theta look better than it is.

    >>> from lsegrepro.config import Superpixels
    >>> builder = evidence.RegionsBuilder("train", "digest", Superpixels(), absent=["c", "d"], listed=4)
    >>> for name, index in (("a", 8), ("b", 0)):
    ...     builder.add(name, np.array([[0]]), np.array([[index]], np.uint8))
    >>> present_weights(builder.build()).tolist()
    [1.0, 3.0]
    """
    with_class = (regions.totals[:, : len(paper.CLASSES)] > 0).any(axis=1)
    others = int((~with_class).sum())
    weight = 1 + len(regions.absent) / others if others else 1.0
    return np.where(with_class, 1.0, weight)


def train_curve(regions: Regions, scores: Scores) -> Curve:
    """The smoothed curve that theta is chosen on, each image counted `present_weights` times."""
    return evaluation.smoothed_curve(regions, scores, weights=present_weights(regions))


def choose_theta(
    run: RunFolder, model: str, cls: str, round: int = 1, seed: int = 0, *, smoothed: bool = True
) -> float:
    """Theta of largest AP on the train split, on the grid of 0.005; val takes no part.

    Each image counts `present_weights` times. Of equal thetas the smallest is taken.

    Raises
    ------
    LsegreproError
        If no train image holds the class.
    """
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


def cell(regions: Regions, scores: Scores, theta: float, *, smoothed: bool = True) -> Cell:
    """AP and accuracies at one theta, with bootstrap intervals over images."""
    counts = evaluation.per_image_counts(regions, scores, theta=theta, smoothed=smoothed)
    statistics = (evaluation.ap, evaluation.foreground_accuracy, evaluation.background_accuracy)
    return Cell(theta, *(evaluation.bootstrap(counts, statistic) for statistic in statistics))


def result(run: RunFolder, model: str, cls: str, round: int = 1, seed: int = 0) -> Result:
    """Evaluate one network of a run."""
    regions, scores = run.regions("val"), run.scores(model, cls, round, seed, "val")
    smoothed = evaluation.smoothed_curve(regions, scores)
    return Result(
        model, cls, round, seed,
        chosen=cell(regions, scores, choose_theta(run, model, cls, round, seed)),
        papers=cell(regions, scores, paper.THETA[cls]),
        oracle=cell(regions, scores, smoothed.best(step=GRID_STEP)[0]),
        raw=cell(regions, scores, choose_theta(run, model, cls, round, seed, smoothed=False), smoothed=False),
        samples=run.images_seen(model, cls, round, seed),
    )


def results(run: RunFolder, rounds: tuple[int, ...] = (1, 2)) -> list[Result]:
    """Every network of the run, in the order of Table 2."""
    return [result(run, m, c, r, s) for m, c, r, s in run.networks() if r in rounds]


def coverage(regions: Regions) -> str:
    """How much of the list was measured, to stand beside every number.

    An AP on part of a list that lacks only images without the class is an upper bound.
    """
    if not regions.absent:
        return f"all {regions.listed:,} {regions.split} images"
    return f"{len(regions):,} of {regions.listed:,} {regions.split} images"
