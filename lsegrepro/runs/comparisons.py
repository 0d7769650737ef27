"""What Table 2 measures on val: every network beside its controls, with intervals.

Neither torch nor photographs are needed: the evidence is enough.
"""

import zlib
from collections.abc import Callable
from functools import lru_cache

import numpy as np

from .. import evaluation, paper
from ..evaluation import Statistic, TableRow
from ..evaluation.intervals import interval, mean_of_drawn_runs
from ..evaluation.mistakes import without_false_alarms
from ..evidence import GRID, Regions, Scores
from .folder import Network, RunFolder
from .results import choose_theta, present_weights

LSE_OR_MAX = (("LSE1", "max1"), ("LSE2", "max2"))  # the paper's second claim: they differ in the aggregation only
SMALL_OR_LARGE = (("LSE1", "LSE2"), ("max1", "max2"))  # its third: nine small patches against four large ones

BASELINES: dict[str, Callable[[Regions, str], np.ndarray]] = {
    "nothing foreground": lambda regions, cls: evaluation.nothing_foreground(regions, cls)[None],
    "everything foreground": lambda regions, cls: evaluation.everything_foreground(regions, cls)[None],
    "centred box": evaluation.centred_box_counts,
}
"""Answers that look at no picture: name to counts (t, n, 4), of each of the t among which one is chosen on train."""

GATES = 50  # of the gated box: so many quantiles of the image scores of train
RESAMPLES = 2000


# Effects as arrays: the value, then its resamples, all with the same images, so that two can be subtracted.


def measure(
    run: RunFolder, model: str, cls: str, answer: str = "network", round: int = 2, *, at: str = "train",
    told: bool = False, statistic: Statistic = evaluation.ap,
) -> np.ndarray:
    """AP on val, or another statistic, of a network or of a control of it, and its bootstrap resamples.

    `answer` is ``"network"``, smoothed by superpixels; ``"pixels"``, the network without them; ``"gated box"``, a
    centred box in the images that the network's own image score picks; or one of `BASELINES`, whatever the model. `at`
    is one of `results.THETAS`; what is chosen on train, or for the oracle on val, is chosen in each resample again. An
    answer that is `told` which images hold the class, on train and val, leaves all others background.

    Gives (1 + `RESAMPLES`,): the value, a mean over seeds, and its resamples over images, and over seeds where there
    are several. Those of two calls are paired: what a network adds to knowing which images hold a cat is
    ``measure(run, "LSE1", "cat") - measure(run, "LSE1", "cat", "gated box")``.
    """
    seeds = (0,) if answer in BASELINES else run.seeds(model, cls, round)
    networks = [("" if answer in BASELINES else model, cls, round, seed) for seed in seeds]
    counts = np.stack([_pooled(run, answer, network, at, told) for network in networks])  # (s, 1 + r, 4)
    return over_seeds(statistic(counts), f"{model} {cls}")


def over_seeds(values: np.ndarray, network: str) -> np.ndarray:
    """Mean over seeds of (s, 1 + r) values, (1 + r,): in each resample over seeds drawn with replacement.

    Calls with the same `network` draw the same seeds, so that its two rounds are paired; two networks are not.
    """
    rng = np.random.default_rng(zlib.crc32(network.encode()))
    return np.append(values[:, 0].mean(), mean_of_drawn_runs(values[:, 1:], rng))


def row(run: RunFolder, model: str, cls: str, answer: str = "network") -> TableRow:
    """One class of one row of our Table 2, with 95 % intervals over images and seeds; `answer` as in `measure`."""
    statistics = (evaluation.foreground_accuracy, evaluation.background_accuracy, evaluation.ap)
    return TableRow(model if answer == "network" else answer, cls, *(
        interval(measure(run, model, cls, answer, statistic=s)) for s in statistics))


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


def false_positives_at_equal_recall(run: RunFolder, model: str, cls: str) -> list[np.ndarray]:
    """False-positive rates of rounds 1 and 2 on val, where both find as much of the true foreground there.

    Round 1 is at its best theta on train. Round 2 is where its recall is that of round 1, interpolated between the
    thetas of the grid, since many pixels may have nearly one score. Gives two arrays as `measure` does.
    """
    rates, resamples = [], np.arange(1 + RESAMPLES)
    weights = present_weights(_regions(run, "train"))[:, None]
    for seed in run.seeds(model, cls, 2):
        train = _answers(run, "network", (model, cls, 1, seed), "train") * weights
        theta = evaluation.best_answers(evaluation.resampled_counts(train, resamples=RESAMPLES, seed=(0, 2)))
        val = (evaluation.resampled_counts(_answers(run, "network", (model, cls, round, seed), "val"),
                                           resamples=RESAMPLES) for round in (1, 2))
        first, second = ((evaluation.foreground_accuracy(counts), 1 - evaluation.background_accuracy(counts))
                         for counts in val)  # recall and false-positive rate, each (200, 1 + r)
        rates.append(first[1][theta, resamples])
        rates.append(np.array([np.interp(recall, *curve) for recall, *curve in zip(  # recall grows as theta falls
            first[0][theta, resamples], second[0][::-1].T, second[1][::-1].T, strict=True)]))
    return [over_seeds(np.stack(rates[first::2]), f"{model} {cls}") for first in (0, 1)]


def whole_list(run: RunFolder, model: str, cls: str) -> float:
    """AP of a network on all of the val list, a mean over seeds, if absent images draw false alarms as others do."""
    val, aps = _regions(run, "val"), []
    for seed in run.seeds(model, cls, 2):
        theta = choose_theta(run, model, cls, 2, seed)
        counts = evaluation.per_image_counts(val, _scores(run, model, cls, 2, seed), theta=theta)
        aps.append(evaluation.ap(present_weights(val) @ counts))
    return float(np.mean(aps))


def at_the_papers_accuracies(run: RunFolder, model: str, cls: str) -> tuple[float, float]:
    """False-positive rate of a network at the paper's foreground accuracy; its recall at the paper's background one.

    After smoothing by superpixels, at any theta, means over seeds; images stand for the absent ones of the list too
    (`results.present_weights`), since the paper's accuracies in Table 2 are those of the whole list.
    """
    val, printed = _regions(run, "val"), paper.TABLE_2[model][cls]
    curves = [evaluation.smoothed_curve(val, _scores(run, model, cls, 2, seed), weights=present_weights(val))
              for seed in run.seeds(model, cls, 2)]
    return (float(np.mean([curve.false_positive_rate_at(printed.foreground / 100) for curve in curves])),
            float(np.mean([curve.recall_at(1 - printed.background / 100) for curve in curves])))


def three_way_counts(run: RunFolder, model: str) -> dict[str, np.ndarray]:
    """Counts (s, n, 4) of background, cat and dog when the cat and the dog network of a model label together.

    Each of round 2 and at the theta chosen on train, for each seed that the run has both networks of.
    """
    seeds = [s for s in run.profile.seeds if all(s in run.seeds(model, cls, 2) for cls in paper.CLASSES)]
    labelled = [evaluation.three_way(_regions(run, "val"),
                                     *(_scores(run, model, cls, 2, seed) for cls in paper.CLASSES),
                                     *(choose_theta(run, model, cls, 2, seed) for cls in paper.CLASSES))
                for seed in seeds]
    return {name: np.stack([counts[name] for counts in labelled]) for name in labelled[0]}


def classified_images(run: RunFolder, model: str, cls: str) -> np.ndarray:
    """The images of val, classified with each seed's network of round 2, as counts (s, n, 4)."""
    present = evaluation.present(_regions(run, "val"), cls)
    return np.stack([evaluation.classification_counts(_scores(run, model, cls, 2, s).image_scores, present)
                     for s in run.seeds(model, cls, 2)])
