"""Table 2 as comparisons: each network over its seeds, its baselines, and paired differences.

Neither torch nor photographs are needed: the evidence is enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .. import evaluation, paper
from ..evaluation import Difference, TableRow
from ..evaluation.mistakes import without_false_alarms
from ..evidence import BOX_FRACTIONS
from ..files import LsegreproError
from .folder import RunFolder
from .results import GRID_STEP, choose_theta, present_weights

LSE_OR_MAX = (("LSE1", "max1"), ("LSE2", "max2"))
"""The paper's second claim: pairs that differ in the aggregation only."""

SMALL_OR_LARGE = (("LSE1", "LSE2"), ("max1", "max2"))
"""Its third: nine small patches against four large ones."""

THETAS = {"train": "θ chosen on train", "paper": "the paper's θ", "oracle": "best θ on val (an oracle)"}
"""Where a theta comes from. The first is the headline; nobody may choose the last."""


def seed_thetas(
    run: RunFolder, model: str, cls: str, round: int = 2, at: str = "train", smoothed: bool = True
) -> list[float]:
    """The theta of each seed, from one of `THETAS`; the oracle's is on the grid of the choice on train."""
    if at not in THETAS:
        raise LsegreproError(f"theta comes from one of {', '.join(THETAS)}, not from {at!r}")
    seeds = run.seeds(model, cls, round)
    if at == "paper":
        return [paper.THETA[cls] for _ in seeds]
    if at == "train":
        return [choose_theta(run, model, cls, round, seed, smoothed=smoothed) for seed in seeds]
    return [run.smoothed(model, cls, round, seed).best(step=GRID_STEP)[0] for seed in seeds]


def seed_counts(
    run: RunFolder, model: str, cls: str, round: int = 2, at: str = "train", smoothed: bool = True
) -> np.ndarray:
    """Counts of each val image for each seed of `Run.seeds`, at the seed's own theta: (s, n, 4) int64.

    Parameters
    ----------
    at : str
        One of `THETAS`.
    smoothed : bool
        After the vote of the superpixels, or the pixels themselves, at the theta chosen for them.
    """
    regions, thetas = run.regions("val"), seed_thetas(run, model, cls, round, at, smoothed)
    return np.stack([
        evaluation.per_image_counts(regions, run.scores(model, cls, round, seed), theta=theta, smoothed=smoothed)
        for seed, theta in zip(run.seeds(model, cls, round), thetas, strict=True)
    ])  # fmt: skip


def three_way_counts(run: RunFolder, model: str, round: int = 2) -> dict[str, np.ndarray]:
    """Counts (s, n, 4) of background, cat and dog when the cat and the dog network of a model label together.

    Each at the theta chosen on train. To be set beside `seed_counts`, where each class stands alone.
    """
    names, counts = evaluation.ThreeWay.NAMES, []
    seeds = {cls: run.seeds(model, cls, round) for cls in paper.CLASSES}
    thetas = {cls: dict(zip(seeds[cls], seed_thetas(run, model, cls, round), strict=True)) for cls in paper.CLASSES}
    for seed in [s for s in run.profile.seeds if all(s in seeds[cls] for cls in paper.CLASSES)]:
        scores = (run.scores(model, cls, round, seed) for cls in paper.CLASSES)
        labelling = evaluation.three_way(run.regions("val"), *scores, *(thetas[cls][seed] for cls in paper.CLASSES))
        counts.append([labelling.counts(name) for name in names])
    return dict(zip(names, np.swapaxes(counts, 0, 1), strict=True))


def classification_counts(run: RunFolder, model: str, cls: str, round: int = 2) -> np.ndarray:
    """The images of val, classified with each seed's network, as counts (s, n, 4)."""
    present = evaluation.present(run.regions("val"), cls)
    return np.stack([evaluation.classification_counts(run.scores(model, cls, round, s).image_scores, present)
                     for s in run.seeds(model, cls, round)])


def row(run: RunFolder, model: str, cls: str, round: int = 2) -> TableRow:
    """One class of one row of our Table 2: the mean over seeds, with 95 % intervals over images and seeds."""
    return constant_row(model, cls, seed_counts(run, model, cls, round))


def constant_row(name: str, cls: str, counts: np.ndarray) -> TableRow:
    """A row of Table 2 from counts (n, 4) or (s, n, 4), such as those of an answer that no training made."""
    statistics = (evaluation.foreground_accuracy, evaluation.background_accuracy, evaluation.ap)
    return TableRow(name, cls, *(evaluation.bootstrap(counts, s) for s in statistics))


def model_differences(run: RunFolder, pairs: Sequence[tuple[str, str]], round: int = 2) -> list[Difference]:
    """Paired differences of AP for every pair of models that the profile trains, class by class."""
    differences = []
    for cls in run.profile.classes:
        for first, second in pairs:
            if first in run.profile.models and second in run.profile.models:
                interval = evaluation.bootstrap_difference(
                    seed_counts(run, first, cls, round), seed_counts(run, second, cls, round)
                )
                printed = (paper.TABLE_2[first][cls].ap - paper.TABLE_2[second][cls].ap) / 100
                differences.append(Difference(f"{first} − {second}", cls, interval, printed))
    return differences


def round_differences(run: RunFolder) -> list[Difference]:
    """AP after round 2 minus AP after round 1, for every model and class that the run has both of."""
    return [
        Difference(f"{model}, round 2 − round 1", cls, evaluation.bootstrap_difference(
            seed_counts(run, model, cls, 2), seed_counts(run, model, cls, 1)))
        for cls in run.profile.classes for model in run.profile.models
        if all(run.has_network(model, cls, round) for round in (1, 2))
    ]  # fmt: skip


@dataclass(frozen=True, eq=False)
class Box:
    """A centred box, the same in every image.

    Attributes
    ----------
    fraction, told_fraction : float
        Part of each side, chosen on train; the second for when it is known which images hold the class.
    counts, told : ndarray
        (n, 4) int64 on val; for `told` the images without the class are left all background.
    """

    fraction: float
    counts: np.ndarray
    told_fraction: float
    told: np.ndarray


def centred_box(run: RunFolder, cls: str) -> Box:
    """The best fixed box of a class, its size chosen on train among `evidence.BOX_FRACTIONS`.

    On train each image counts `results.present_weights` times, as it does for the choice of theta.
    """
    train, val = run.regions("train"), run.regions("val")
    weights = present_weights(train)
    on_val, present = evaluation.centred_box_counts(val, cls), evaluation.present(val, cls)

    def best(counts: np.ndarray) -> int:
        return int(np.argmax(evaluation.ap(weights @ counts)))  # (f, n, 4) to (f, 4): the AP of each box

    counts = evaluation.centred_box_counts(train, cls)
    blind = best(counts)
    told = best(without_false_alarms(counts, evaluation.present(train, cls)))
    return Box(BOX_FRACTIONS[blind], on_val[blind], BOX_FRACTIONS[told], without_false_alarms(on_val[told], present))


def baselines(run: RunFolder, cls: str) -> dict[str, np.ndarray]:
    """Answers that see nothing, by name: counts (n, 4) of each val image."""
    val = run.regions("val")
    return {
        "nothing foreground": evaluation.nothing_foreground(val, cls),
        "everything foreground": evaluation.everything_foreground(val, cls),
        "centred box": centred_box(run, cls).counts,
    }


def baseline_differences(run: RunFolder, round: int = 2) -> list[Difference]:
    """AP of every network minus that of every baseline, paired: a sign of 1 beats it."""
    return [
        Difference(f"{model} − {name}", cls, evaluation.bootstrap_difference(
            seed_counts(run, model, cls, round), counts))
        for cls in run.profile.classes for model in run.profile.models
        for name, counts in baselines(run, cls).items()
    ]  # fmt: skip
