"""What the rules of `verdicts` ask for, measured on a run: every comparison that the paper makes, trained here or not.

Neither torch nor photographs are needed. The cards and curves beside the weights say how far each training came.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, partial

import numpy as np

from .. import evaluation, paper
from .comparisons import LSE_OR_MAX, SMALL_OR_LARGE, centred_box, classification_counts, seed_counts
from ..evaluation import Choice, Interval, Statistic
from ..figures.style import LOSS_FLOOR, LOSS_START
from .results import choose_theta, present_weights, train_curve
from .folder import SPLITS, RunFolder
from .verdicts import RULES, Comparison, Outcome, Rule, judge, overall

END = 0.1
"""Last part of a training curve whose mean loss says how far the training came."""


@dataclass(frozen=True)
class Verdict:
    """A rule, what was measured for it, and what follows: one outcome a comparison, and one word for the claim."""

    rule: Rule
    comparisons: tuple[Comparison, ...]
    outcomes: tuple[Outcome, ...]
    word: str


def judge_all(run: RunFolder, *, again: bool = False) -> list[Verdict]:
    """The verdict on every claim, in the order of `verdicts.RULES`, with whatever networks the run has.

    Parameters
    ----------
    again : bool
        Choose θ, and the size of the box, again in each resample of train, and the best θ on val in each of val
        (`evaluation.bootstrap_choices`). The rules take them as chosen; this asks what their intervals leave out. The
        false positives at a matched θ, and what no θ is chosen for, stay as they are.
    """
    known, found = (_Again if again else _Known)(run), []
    for rule in RULES:
        comparisons = tuple(_MEASURES[rule.key](known))
        outcomes = tuple(judge(rule, comparison) for comparison in comparisons)
        found.append(Verdict(rule, comparisons, outcomes, overall(outcomes)))
    return found


def measured(run: RunFolder, key: str) -> list[Comparison]:
    """What the rule of that key asks for, measured on a run; without a verdict."""
    return _MEASURES[key](_Known(run))


def way(run: RunFolder, model: str, cls: str, seed: int = 0) -> float:
    """Part of the way from chance to the floor that the training loss of round 1 has come; nan if its curve is absent.

    The mean over the last tenth of the curve, for one row is an average over few images.
    """
    rows = [row for row in run.curve(model, cls, 1, seed) if "loss" in row]
    if not rows:
        return float("nan")
    last = [row["loss"] for row in rows if row["samples"] > (1 - END) * rows[-1]["samples"]]
    return float((LOSS_START - np.mean(last)) / (LOSS_START - LOSS_FLOOR))


def sees(run: RunFolder, model: str, cls: str, round: int = 2) -> Interval:
    """AP of a network less that of the centred box, the best answer that looks at no picture, paired."""
    return _Known(run).difference(_network(model, cls, round), ("box", cls))


def matched_theta(run: RunFolder, model: str, cls: str, seed: int = 0) -> float:
    """The theta of round 2 that finds as many true foreground pixels on train as round 1 does at its own choice.

    So that a mere change of the threshold is not taken for fewer false positives; val takes no part.
    """
    regions = run.regions("train")
    first, second = (train_curve(regions, run.scores(model, cls, r, seed, "train")) for r in (1, 2))
    wanted = first.at(choose_theta(run, model, cls, 1, seed)).tp
    return float(second.thetas[int(np.argmin(np.abs(second.counts[:, 0] - wanted)))])


def matched_counts(run: RunFolder, model: str, cls: str) -> tuple[np.ndarray, np.ndarray]:
    """Counts on val (s, n, 4) of round 1 at its own theta, and of round 2 at `matched_theta`."""
    val, found = run.regions("val"), {seed: matched_theta(run, model, cls, seed) for seed in run.seeds(model, cls, 2)}
    after = [evaluation.per_image_counts(val, run.scores(model, cls, 2, seed), theta=theta)
             for seed, theta in found.items()]
    return seed_counts(run, model, cls, 1), np.stack(after)


# The comparisons


_BOTH = tuple((model, cls) for cls in paper.CLASSES for model in paper.MODELS)


_Answer = tuple
"""What an AP is of: ``("box", cls)``, or ``(model, cls, round, at, smoothed)`` with `at` as in `seed_counts`."""


class _Known:
    """A run, and what several rules ask of it, each measured once."""

    def __init__(self, run: RunFolder) -> None:
        self.run = run
        self.answers = cache(self._answers)
        self.sees = cache(lambda model, cls: self.difference(_network(model, cls), ("box", cls)))

    def _answers(self, answer: _Answer) -> np.ndarray:
        """Counts of each val image, (n, 4) or (s, n, 4)."""
        if answer[0] == "box":
            return centred_box(self.run, answer[1]).counts
        return seed_counts(self.run, *answer)

    def value(self, answer: _Answer, statistic: Statistic = evaluation.ap) -> Interval:
        """A statistic of an answer."""
        return evaluation.bootstrap(self.answers(answer), statistic)

    def difference(self, first: _Answer, second: _Answer) -> Interval:
        """AP of one answer less that of another, paired."""
        return evaluation.bootstrap_difference(self.answers(first), self.answers(second))

    def comparison(
        self, name: str, cls: str, networks: Iterable[str], effect: Callable[[], Interval],
        printed: float | None = None, rounds: tuple[int, ...] = (2,),
    ) -> Comparison:
        """One comparison of networks of a class; without an effect where one of them is not there."""
        run, networks = self.run, tuple(networks)
        if not all(run.has_network(model, cls, round) for model in networks for round in rounds):
            return Comparison(name, cls, paper=printed)
        seeds = {model: run.seeds(model, cls, 2) for model in networks}
        return Comparison(
            name, cls, effect(), printed, min(map(len, seeds.values())),
            min(way(run, model, cls, seed) for model in networks for seed in seeds[model]),
            any(self.sees(model, cls).low > 0 for model in networks),
        )

    def each(
        self, name: str, effect: Callable[[str, str], Interval], rounds: tuple[int, ...] = (2,)
    ) -> list[Comparison]:
        """One comparison for each of the paper's networks; ``{}`` in the name is its model."""
        return [self.comparison(name.format(m), c, [m], partial(effect, m, c), rounds=rounds) for m, c in _BOTH]


class _Again(_Known):
    """The same, with what was chosen chosen again in each resample."""

    def _answers(self, answer: _Answer) -> list[Choice]:
        if answer[0] == "box":
            train, val = (evaluation.centred_box_counts(self.run.regions(split), answer[1]) for split in SPLITS)
            return [Choice(self._weighted(train), val)]
        model, cls, round, at, smoothed = answer
        if at == "paper":
            return [Choice(None, counts[None]) for counts in seed_counts(self.run, *answer)]
        return [self._choice(model, cls, round, seed, at, smoothed) for seed in self.run.seeds(model, cls, round)]

    def _choice(self, model: str, cls: str, round: int, seed: int, at: str, smoothed: bool) -> Choice:
        counts = evaluation.smoothed_grid_counts if smoothed else evaluation.raw_grid_counts
        train, val = (counts(self.run.regions(split), self.run.scores(model, cls, round, seed, split))
                      for split in SPLITS)
        return Choice(None if at == "oracle" else self._weighted(train), val)

    def _weighted(self, counts: np.ndarray) -> np.ndarray:
        return counts * present_weights(self.run.regions("train"))[:, None]

    def value(self, answer: _Answer, statistic: Statistic = evaluation.ap) -> Interval:
        return evaluation.bootstrap_choices(self.answers(answer), statistic=statistic)

    def difference(self, first: _Answer, second: _Answer) -> Interval:
        return evaluation.bootstrap_choices(self.answers(first), self.answers(second))


def _network(model: str, cls: str, round: int = 2, at: str = "train", smoothed: bool = True) -> _Answer:
    """The masks of a network, as `_Known` is asked for them."""
    return model, cls, round, at, smoothed


def _labels(known: _Known) -> list[Comparison]:
    return known.each("{} − centred box", known.sees)


def _pairs(known: _Known, pairs: tuple[tuple[str, str], ...]) -> list[Comparison]:
    return [
        known.comparison(f"{a} − {b}", c, [a, b], partial(known.difference, _network(a, c), _network(b, c)),
                         _printed(a, c, "ap") - _printed(b, c, "ap"))
        for c in paper.CLASSES for a, b in pairs
    ]  # fmt: skip


def _superpixels(known: _Known) -> list[Comparison]:
    return known.each("{}, smoothed − raw",
                      lambda m, c: known.difference(_network(m, c), _network(m, c, smoothed=False)))


def false_positive_rate(counts: np.ndarray) -> np.ndarray:
    """Part of the background pixels called foreground, FP / (FP + TN), of counts (..., 4).

    >>> float(false_positive_rate(np.array([2, 1, 1, 3])))
    0.25
    """
    return 1 - evaluation.background_accuracy(counts)


def _log_rate(counts: np.ndarray) -> np.ndarray:
    rate = false_positive_rate(counts)
    return np.log(np.where(rate > 0, rate, np.nan))


def _hard(known: _Known) -> list[Comparison]:
    run = known.run

    def fewer(model: str, cls: str) -> Interval:
        change = evaluation.bootstrap_difference(*matched_counts(run, model, cls), _log_rate)
        # log(before / after) grows with the part that is gone, 1 - after / before.
        return Interval(*(float(1 - np.exp(-value)) for value in (change.value, change.low, change.high)))

    return known.each("{}, false positives gone in round 2", fewer, rounds=(1, 2))


def _hard_ap(known: _Known) -> list[Comparison]:
    return known.each("{}, round 2 − round 1", lambda m, c: known.difference(_network(m, c), _network(m, c, 1)),
                      rounds=(1, 2))


def _theta(known: _Known) -> list[Comparison]:
    return known.each("{}, best θ on val − the paper's θ",
                      lambda m, c: known.difference(_network(m, c, at="oracle"), _network(m, c, at="paper")))


def trivial_accuracy(cls: str) -> float:
    """Share of all of VOC 2012 val that the answer "no" to every image is right on.

    >>> [round(100 * trivial_accuracy(cls), 2) for cls in paper.CLASSES]
    [91.79, 91.17]
    """
    return 1 - paper.VAL_IMAGES_WITH_CLASS[cls] / paper.VAL_IMAGES


def _classification(known: _Known) -> list[Comparison]:
    def gain(cls: str) -> Interval:
        present = evaluation.present(known.run.regions("val"), cls)
        no = evaluation.classification_counts(np.tile([0.0, 1.0], (len(present), 1)), present)
        return evaluation.bootstrap_difference(classification_counts(known.run, "LSE1", cls), no, evaluation.accuracy)

    return [known.comparison("LSE1 − “no” to every image", c, ["LSE1"], partial(gain, c),
                             paper.CLASSIFICATION[c] / 100 - trivial_accuracy(c)) for c in paper.CLASSES]


def _numbers(known: _Known, fields: dict[str, Statistic]) -> list[Comparison]:
    def off(model: str, cls: str, field: str) -> Interval:
        here, there = known.value(_network(model, cls), fields[field]), _printed(model, cls, field)
        return Interval(*(value - there for value in (here.value, here.low, here.high)))

    return [known.comparison(f"{m}, {field}", c, [m], partial(off, m, c, field)) for m, c in _BOTH for field in fields]


def _printed(model: str, cls: str, field: str) -> float:
    """A number of the paper's Table 2 as a fraction."""
    return getattr(paper.TABLE_2[model][cls], field.lower()) / 100


_MEASURES: dict[str, Callable[[_Known], list[Comparison]]] = {
    "labels": _labels,
    "aggregation": partial(_pairs, pairs=LSE_OR_MAX),
    "patches": partial(_pairs, pairs=SMALL_OR_LARGE),
    "superpixels": _superpixels,
    "hard": _hard,
    "hard-ap": _hard_ap,
    "theta": _theta,
    "classification": _classification,
    "accuracies": partial(_numbers, fields={"foreground": evaluation.foreground_accuracy,
                                            "background": evaluation.background_accuracy}),
    "ap": partial(_numbers, fields={"AP": evaluation.ap}),
}
