"""Table 2 as comparisons: each network over its seeds, paired differences, and a box for a baseline.

Neither torch nor photographs are needed, except that the box reads masks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from . import evaluation, paper
from .errors import LsegreproError
from .evaluation import Interval
from .failures import without_false_alarms
from .figures.style import INK, MUTED, VERMILLION, WIDTH, styled
from .figures.tables import Row
from .results import choose_theta, present_weights
from .run import Run

LSE_OR_MAX = (("LSE1", "max1"), ("LSE2", "max2"))
"""The paper's second claim: pairs that differ in the aggregation only."""

SMALL_OR_LARGE = (("LSE1", "LSE2"), ("max1", "max2"))
"""Its third: nine small patches against four large ones."""

BOX_STEP = 0.05
"""The box is chosen among these fractions of an image's sides."""


def seed_counts(run: Run, model: str, cls: str, round: int = 2, *, smoothed: bool = True) -> np.ndarray:
    """Counts of each val image for each seed, at the theta chosen on train for that seed: (s, n, 4) int64."""
    regions = run.regions("val")
    return np.stack([
        evaluation.per_image_counts(
            regions, run.scores(model, cls, round, seed),
            theta=choose_theta(run, model, cls, round, seed, smoothed=smoothed), smoothed=smoothed,
        )
        for seed in run.profile.seeds
    ])  # fmt: skip


def row(run: Run, model: str, cls: str, round: int = 2) -> Row:
    """One class of one row of our Table 2: the mean over seeds, with 95 % intervals over images and seeds."""
    return constant_row(model, cls, seed_counts(run, model, cls, round))


def constant_row(name: str, cls: str, counts: np.ndarray) -> Row:
    """A row of Table 2 from counts (n, 4) or (s, n, 4), such as those of an answer that no training made."""
    statistics = (evaluation.foreground_accuracy, evaluation.background_accuracy, evaluation.ap)
    return Row(name, cls, *(evaluation.bootstrap(counts, s) for s in statistics))


@dataclass(frozen=True)
class Difference:
    """AP of one network minus AP of another on the same images, in fractions.

    Attributes
    ----------
    name : str
        ``"LSE1 − max1"``.
    cls : str
    interval : Interval
    paper : float or None
        The same difference in the paper's Table 2.
    """

    name: str
    cls: str
    interval: Interval
    paper: float | None = None

    @property
    def sign(self) -> int:
        """1 or -1 if the interval lies on one side of zero, else 0: the images cannot tell.

        >>> Difference("a − b", "cat", Interval(0.1, 0.02, 0.2)).sign
        1
        """
        return int(self.interval.low > 0) - int(self.interval.high < 0)


def model_differences(run: Run, pairs: Sequence[tuple[str, str]], round: int = 2) -> list[Difference]:
    """Paired differences of AP for every pair of models that the profile trains, class by class."""
    found = []
    for cls in run.profile.classes:
        for first, second in pairs:
            if first in run.profile.models and second in run.profile.models:
                interval = evaluation.bootstrap_difference(
                    seed_counts(run, first, cls, round), seed_counts(run, second, cls, round)
                )
                printed = (paper.TABLE_2[first][cls].ap - paper.TABLE_2[second][cls].ap) / 100
                found.append(Difference(f"{first} − {second}", cls, interval, printed))
    return found


def round_differences(run: Run) -> list[Difference]:
    """AP after round 2 minus AP after round 1, for every model and class of the profile."""
    return [
        Difference(f"{model}, round 2 − round 1", cls, evaluation.bootstrap_difference(
            seed_counts(run, model, cls, 2), seed_counts(run, model, cls, 1)))
        for cls in run.profile.classes for model in run.profile.models
    ]  # fmt: skip


@styled
def forest(differences: Sequence[Difference]) -> Figure:
    """Differences of AP as dots with their intervals; the paper's are hollow."""
    if not differences:
        raise LsegreproError("a chart of differences needs at least one")
    figure = Figure(figsize=(WIDTH, 0.9 + 0.38 * len(differences)))
    axes = figure.subplots()
    said = []
    for y, one in enumerate(differences):
        value, low, high = (100 * number for number in
                            (one.interval.value, one.interval.low, one.interval.high))
        axes.plot([low, high], [y, y], color=VERMILLION, linewidth=2.2, solid_capstyle="round")
        axes.plot(value, y, "o", color=VERMILLION, markersize=7,
                  label=None if y else "this run, with interval")
        text = f"{one.name}, {one.cls}: {value:+.1f} points [{low:+.1f}, {high:+.1f}]"
        if one.paper is not None:
            axes.plot(100 * one.paper, y, "o", color=INK, markerfacecolor="white", markersize=7,
                      label=None if y else "paper")
            text += f", paper {100 * one.paper:+.1f}"
        said.append(text)
    axes.axvline(0, color=MUTED, linewidth=1)
    axes.set(yticks=range(len(differences)), yticklabels=[f"{d.name}, {d.cls}" for d in differences],
             ylim=(len(differences) - 0.5, -0.5), xlabel="difference of AP (percentage points)")
    axes.grid(axis="y", visible=False)
    figure.legend(loc="outside upper left", ncols=2)
    figure.alt = "Differences of AP. " + "; ".join(said) + "."
    return figure


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


def centred_box(run: Run, cls: str) -> Box:
    """The best fixed box of a class, its size chosen on train. Reads the masks.

    Raises
    ------
    LsegreproError
        If the masks are not at hand.
    """
    fractions = np.arange(BOX_STEP, 1 + BOX_STEP / 2, BOX_STEP)
    counts, holds, best = {}, {}, {}
    for split in ("train", "val"):
        data, regions = run.segmentation(split), run.regions(split)
        if tuple(data.ids) != regions.ids:
            raise LsegreproError(f"the masks of {split} are not those the evidence was made of: score again")
        masks = (data.mask(i) for i in range(len(data)))
        counts[split] = evaluation.centred_box_counts(masks, paper.VOC_INDEX[cls], fractions)  # (f, n, 4)
        holds[split] = evaluation.present(regions, cls)
    weights = present_weights(run.regions("train"))[:, None]
    for told in (False, True):
        train = without_false_alarms(counts["train"], holds["train"]) if told else counts["train"]
        best[told] = int(np.argmax(evaluation.ap((train * weights).sum(axis=1))))
    return Box(float(fractions[best[False]]), counts["val"][best[False]], float(fractions[best[True]]),
               without_false_alarms(counts["val"][best[True]], holds["val"]))
