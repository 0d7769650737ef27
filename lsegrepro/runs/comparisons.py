"""What Table 2 measures on val: every network beside its controls, with intervals.

What an answer chose on train (theta, the side of a box, a gate) is chosen again in each resample. Neither torch nor
photographs are needed: the evidence is enough.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from .. import evaluation, paper
from ..evaluation import Interval, Statistic, TableRow
from ..evaluation.intervals import mean_of_drawn_runs, percentile_interval
from ..evaluation.mistakes import without_false_alarms
from ..evidence import GRID, Regions, Scores
from .folder import Network, RunFolder
from .results import GRID_STEP, choose_theta, present_weights

LSE_OR_MAX = (("LSE1", "max1"), ("LSE2", "max2"))
"""The paper's second claim: pairs that differ in the aggregation only."""

SMALL_OR_LARGE = (("LSE1", "LSE2"), ("max1", "max2"))
"""Its third: nine small patches against four large ones."""

THETAS = {"train": "θ chosen on train", "paper": "the paper's θ", "oracle": "best θ on val (an oracle)"}
"""Where a theta comes from. The first is the headline; nobody may choose the last."""

BASELINES: dict[str, Callable[[Regions, str], np.ndarray]] = {
    "nothing foreground": lambda regions, cls: evaluation.nothing_foreground(regions, cls)[None],
    "everything foreground": lambda regions, cls: evaluation.everything_foreground(regions, cls)[None],
    "centred box": evaluation.centred_box_counts,
}
"""Answers that look at no picture: name to counts (t, n, 4), of each of the t among which one is chosen on train."""

GATES = 50
"""Gates of the gated box: so many quantiles of the image scores of train."""

RESAMPLES = 2000


# Effects as arrays: the value, then its resamples, all with the same images, so that two can be subtracted.


def measure(
    run: RunFolder, model: str, cls: str, answer: str = "network", round: int = 2, *, at: str = "train",
    told: bool = False, statistic: Statistic = evaluation.ap,
) -> np.ndarray:
    """AP on val, or another statistic, of a network or of a control of it, and its bootstrap resamples.

    Parameters
    ----------
    answer : str
        ``"network"``, smoothed by superpixels; ``"pixels"``, the network without them; ``"gated box"``, a centred
        box in the images that the network's own image score picks; or one of `BASELINES`, whatever the model.
    at : str
        One of `THETAS`; whatever is chosen is chosen in each resample again, on train or, for the oracle, on val.
    told : bool
        Whether the answer is told which images hold the class, on train and val: all others are left background.
    statistic : callable
        Of pooled counts (..., 4).

    Returns
    -------
    ndarray
        (1 + `RESAMPLES`,): the value, a mean over seeds, and its resamples over images, and over seeds where there
        are several. Those of two calls are paired.

    Raises
    ------
    LsegreproError
        If scores are missing.

    Example: what a network adds to the knowledge of which images hold a cat::

        gain = measure(run, "LSE1", "cat") - measure(run, "LSE1", "cat", "gated box")
        interval(gain)
    """
    networks = [("", cls, 0, 0)] if answer in BASELINES else [(model, cls, round, s)
                                                              for s in run.seeds(model, cls, round)]
    values = statistic(np.stack([_pooled(run, answer, network, at, told) for network in networks]))  # (s, 1 + r)
    return over_seeds(values, f"{model} {cls}")


def over_seeds(values: np.ndarray, network: str) -> np.ndarray:
    """Mean over seeds of (s, 1 + r) values, (1 + r,): in each resample over seeds drawn with replacement.

    Calls with the same `network` draw the same seeds, so that its two rounds are paired; two networks are not.
    """
    rng = np.random.default_rng(zlib.crc32(network.encode()))
    return np.append(values[:, 0].mean(), mean_of_drawn_runs(values[:, 1:], rng))


def interval(draws: np.ndarray) -> Interval:
    """The 95 % interval of what `measure` gives, or of a difference of two."""
    return percentile_interval(float(draws[0]), draws[1:], 0.95)


_scores: Callable[..., Scores] = lru_cache(maxsize=64)(RunFolder.scores)
_regions: Callable[..., Regions] = lru_cache(maxsize=4)(RunFolder.regions)


def _answers(run: RunFolder, answer: str, network: Network, split: str) -> np.ndarray:
    """Counts (t, n, 4) of each of the answers among which one is chosen on train."""
    regions = _regions(run, split)
    if answer in BASELINES:
        return BASELINES[answer](regions, network[1])
    scores = _scores(run, *network, split)
    if answer == "gated box":
        margins = evaluation.image_margin(_scores(run, *network, "train"))
        gates = np.quantile(margins, np.arange(GATES) / GATES)
        gates[0] = -np.inf  # a box in every image is among the choices
        return evaluation.gated_box(regions, scores, gates)
    return (evaluation.raw_grid_counts if answer == "pixels" else evaluation.smoothed_grid_counts)(regions, scores)


@lru_cache(maxsize=1024)
def _pooled(run: RunFolder, answer: str, network: Network, at: str, told: bool) -> np.ndarray:
    """Pooled counts on val (1 + r, 4) of the answer chosen, for the whole set and for each resample."""
    train, val = (_answers(run, answer, network, split) for split in ("train", "val"))
    if told:
        train, val = (without_false_alarms(counts, evaluation.present(_regions(run, split), network[1]))
                      for counts, split in ((train, "train"), (val, "val")))
    if at == "train":
        return evaluation.chosen_counts(train * present_weights(_regions(run, "train"))[:, None], val,
                                        resamples=RESAMPLES)
    if at == "paper":
        val = val[[round(paper.THETA[network[1]] * GRID)]]
    pooled = evaluation.resampled_counts(val, resamples=RESAMPLES)
    return pooled[evaluation.best_answers(pooled), np.arange(1 + RESAMPLES)]


def false_positives_at_equal_recall(run: RunFolder, model: str, cls: str) -> tuple[np.ndarray, np.ndarray]:
    """False-positive rates of rounds 1 and 2 on val, where both find as much true foreground on train.

    Theta of round 1 is the best on train, that of round 2 the one with the nearest number of true positives there.

    Returns
    -------
    tuple of ndarray
        (1 + `RESAMPLES`,) each, as from `measure`.
    """
    rates, resamples = [], np.arange(1 + RESAMPLES)
    for seed in run.seeds(model, cls, 2):
        train = [_answers(run, "network", (model, cls, round, seed), "train") for round in (1, 2)]
        weights = present_weights(_regions(run, "train"))[:, None]
        first, second = (evaluation.resampled_counts(counts * weights, resamples=RESAMPLES, seed=(0, 2))
                         for counts in train)  # (200, 1 + r, 4)
        theta = evaluation.best_answers(first)
        matched = np.abs(second[..., 0] - first[theta, resamples, 0]).argmin(axis=0)
        for round, places in ((1, theta), (2, matched)):
            val = _answers(run, "network", (model, cls, round, seed), "val")
            counts = evaluation.resampled_counts(val, resamples=RESAMPLES)[places, resamples]
            rates.append(1 - evaluation.background_accuracy(counts))
    return tuple(over_seeds(np.stack(rates[first::2]), f"{model} {cls}") for first in (0, 1))


# Table 2


def row(run: RunFolder, model: str, cls: str, round: int = 2, answer: str = "network") -> TableRow:
    """One class of one row of our Table 2, with 95 % intervals over images and seeds; `answer` as in `measure`."""
    statistics = (evaluation.foreground_accuracy, evaluation.background_accuracy, evaluation.ap)
    return TableRow(model if answer == "network" else answer, cls, *(
        interval(measure(run, model, cls, answer, round, statistic=s)) for s in statistics))


def network_rows(run: RunFolder, round: int = 2) -> list[TableRow]:
    """Our rows of Table 2: every network that the run has scored, the mean over its seeds."""
    return [row(run, model, cls, round) for cls in run.profile.classes for model in run.profile.models
            if run.has_network(model, cls, round)]


def control_rows(run: RunFolder, model: str, cls: str) -> list[TableRow]:
    """Rows to stand below Table 2: the `BASELINES`, and the box gated by a model's image scores, if it is scored."""
    answers = [*BASELINES, *(["gated box"] if run.has_network(model, cls, 2) else [])]
    return [row(run, model, cls, answer=answer) for answer in answers]


def seed_thetas(run: RunFolder, model: str, cls: str, round: int = 2, at: str = "train") -> list[float]:
    """The theta of each seed of a network, from one of `THETAS`; the oracle's is on the grid of the choice on train."""
    seeds = run.seeds(model, cls, round)
    if at == "paper":
        return [paper.THETA[cls] for _ in seeds]
    if at == "train":
        return [choose_theta(run, model, cls, round, seed) for seed in seeds]
    return [run.smoothed(model, cls, round, seed).best(step=GRID_STEP)[0] for seed in seeds]


def baselines(run: RunFolder, cls: str) -> dict[str, np.ndarray]:
    """Answers that look at no picture, by name, chosen on train with its weights: counts (n, 4) of each val image."""
    weights, counts = present_weights(_regions(run, "train")), {}
    for name, answers in BASELINES.items():
        on_train = np.einsum("n,tnk->tk", weights, answers(_regions(run, "train"), cls))
        counts[name] = answers(_regions(run, "val"), cls)[int(np.argmax(evaluation.ap(on_train)))]
    return counts


# Beside Table 2


def whole_list(run: RunFolder, model: str, cls: str) -> float:
    """AP of a network on all of the val list, a mean over seeds, if absent images draw false alarms as others do."""
    val, seeds = _regions(run, "val"), run.seeds(model, cls, 2)
    weights = present_weights(val)[:, None]
    counts = [evaluation.per_image_counts(val, _scores(run, model, cls, 2, seed), theta=theta) * weights
              for seed, theta in zip(seeds, seed_thetas(run, model, cls), strict=True)]
    return float(np.mean([evaluation.ap(c.sum(axis=0)) for c in counts]))


@dataclass(frozen=True)
class OperatingPoint:
    """A network beside one accuracy of the paper's Table 2: the other one, here and there, as fractions.

    Attributes
    ----------
    false_positive_rate, printed_false_positive_rate : float
        At the paper's recall (its foreground accuracy).
    recall, printed_recall : float
        At the paper's false-positive rate (1 less its background accuracy).
    """

    false_positive_rate: float
    printed_false_positive_rate: float
    recall: float
    printed_recall: float


def at_the_papers_accuracies(run: RunFolder, model: str, cls: str) -> OperatingPoint:
    """Where the curve of a network passes the accuracies that the paper prints for it.

    After smoothing by superpixels, at any theta; images stand for the absent ones of the list too
    (`results.present_weights`), since the paper's rates are those of the whole list.
    """
    val, seeds = _regions(run, "val"), run.seeds(model, cls, 2)
    weights = present_weights(val)
    curves = [evaluation.smoothed_curve(val, _scores(run, model, cls, 2, s), weights=weights) for s in seeds]
    recall, rate = paper.TABLE_2[model][cls].foreground / 100, 1 - paper.TABLE_2[model][cls].background / 100
    return OperatingPoint(float(np.mean([c.false_positive_rate_at(recall) for c in curves])), rate,
                          float(np.mean([c.recall_at(rate) for c in curves])), recall)


def seeds_of_both_classes(run: RunFolder, model: str, round: int = 2) -> list[int]:
    """The seeds of which the run has the cat and the dog network of a model."""
    return [s for s in run.profile.seeds if all(s in run.seeds(model, cls, round) for cls in paper.CLASSES)]


def three_way_counts(run: RunFolder, model: str, round: int = 2) -> dict[str, np.ndarray]:
    """Counts (s, n, 4) of background, cat and dog when the cat and the dog network of a model label together.

    Each at the theta chosen on train, for each of `seeds_of_both_classes`.
    """
    labelled = []
    for seed in seeds_of_both_classes(run, model, round):
        scores = (_scores(run, model, cls, round, seed) for cls in paper.CLASSES)
        thetas = (choose_theta(run, model, cls, round, seed) for cls in paper.CLASSES)
        labelled.append(evaluation.three_way(_regions(run, "val"), *scores, *thetas))
    return {name: np.stack([counts[name] for counts in labelled]) for name in labelled[0]}


def classified_images(run: RunFolder, model: str, cls: str, round: int = 2) -> np.ndarray:
    """The images of val, classified with each seed's network, as counts (s, n, 4)."""
    present = evaluation.present(_regions(run, "val"), cls)
    return np.stack([evaluation.classification_counts(_scores(run, model, cls, round, s).image_scores, present)
                     for s in run.seeds(model, cls, round)])
