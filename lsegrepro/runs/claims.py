"""Whether the paper's claims hold in a run: one function a claim, and one rule for the verdict on all of them.

The rule treats evidence for and against a claim alike.

1. A comparison counts if the held-out loss of its networks has levelled off, and one of them beats a centred box.
2. It speaks for (against) the claim if its effect is above (below) 0, p < 0.05 by Holm's method within the claim.
3. Reproduced: more than half of the paper's comparisons speak for the claim, and none against it.
4. Not reproduced: more than half speak against it, and none for it.
5. Mixed: some speak for it and some against it. Inconclusive: everything else.

An effect is a difference on VOC val, positive where it speaks for the claim. Its interval and p-value come from a
paired bootstrap that draws train and val again and chooses theta again in each resample. Neither torch nor
photographs are needed.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial

import numpy as np

from .. import evaluation, paper
from ..evaluation import Interval, Statistic
from ..evaluation.intervals import mean_of_drawn_runs, percentile_interval
from .comparisons import LSE_OR_MAX, SMALL_OR_LARGE, classification_counts
from .folder import SPLITS, RunFolder
from .results import present_weights

VERDICTS = ("reproduced", "not reproduced", "mixed", "inconclusive")
OUTCOMES = ("for", "against", "undecided", "not measured")
"""What one comparison says of its claim."""

SIGNIFICANCE = 0.05
LEVEL = 0.01
"""The held-out loss has levelled off if it falls by less than this from the middle of the training to its end."""

RESAMPLES = 2000


@dataclass(frozen=True)
class Comparison:
    """One effect, measured on val.

    Attributes
    ----------
    name, cls : str
        ``"LSE1 − max1"``, ``"cat"``.
    effect : Interval or None
        A fraction, positive where it speaks for the claim; None where a network of it was not scored.
    p : float
        Two-sided p-value of "the effect is 0", not corrected.
    printed : float or None
        The same effect in the paper, where it prints one.
    seeds : int
        The least number of seeds of its networks.
    left_out : str
        Why it does not count, or nothing.
    """

    name: str
    cls: str
    effect: Interval | None = None
    p: float = 1.0
    printed: float | None = None
    seeds: int = 0
    left_out: str = ""


@dataclass(frozen=True)
class Claim:
    """A claim of the paper and the comparisons that it makes.

    Attributes
    ----------
    key, text, source : str
        Name for other pages, the claim in a sentence, and where the paper makes it.
    measure : str
        What the effect of each comparison is.
    comparisons : sequence of Comparison
    unit : str
        Of an effect times 100.

    >>> wins = [Comparison(f"{i}", "cat", Interval(0.1, 0.05, 0.2), p=0.001) for i in range(3)]
    >>> Claim("a", "", "", "", wins).verdict, Claim("a", "", "", "", [*wins, Comparison("4", "cat")]).outcomes
    ('reproduced', ['for', 'for', 'for', 'not measured'])
    """

    key: str
    text: str
    source: str
    measure: str
    comparisons: Sequence[Comparison]
    unit: str = "points of AP"

    @cached_property
    def p_values(self) -> list[float]:
        """p-value of each comparison by Holm's method, over all of them that were measured; 1 for the others."""
        measured = [c for c in self.comparisons if c.effect]
        corrected = iter(evaluation.holm([c.p for c in measured]))
        return [float(next(corrected)) if c.effect else 1.0 for c in self.comparisons]

    @cached_property
    def outcomes(self) -> list[str]:
        """One of `OUTCOMES` for each comparison."""
        outcomes = []
        for comparison, p in zip(self.comparisons, self.p_values, strict=True):
            if not comparison.effect:
                outcomes.append("not measured")
            elif comparison.left_out or p >= SIGNIFICANCE:
                outcomes.append("undecided")
            else:
                outcomes.append("for" if comparison.effect.value > 0 else "against")
        return outcomes

    @property
    def verdict(self) -> str:
        """One of `VERDICTS`."""
        pro, contra = (self.outcomes.count(outcome) for outcome in ("for", "against"))
        half = len(self.comparisons) / 2
        if pro and contra:
            return "mixed"
        return "reproduced" if pro > half else "not reproduced" if contra > half else "inconclusive"


# The claims of the paper, in the order of the chapter. Networks are those of round 2 and masks are smoothed by
# superpixels, unless a claim says otherwise.


def labels_suffice(run: RunFolder) -> Claim:
    """Abstract: a network trained on image labels alone segments better than an answer that looks at no picture."""
    effects = [compare(run, f"{m} − centred box", c, [m], _difference(network_ap(m, c), box_ap(c)), baseline=False)
               for m, c in _networks()]
    return Claim("labels", "Image labels are enough to learn to segment.", "Abstract",
                 "AP of the network, less that of a centred box whose size is chosen on train", effects)


def lse_beats_max(run: RunFolder) -> Claim:
    """Section 4, Table 2: a network trained with log-sum-exp has a higher AP than its twin trained with the maximum."""
    return Claim("aggregation", "LSE beats max.", "Section 4, Table 2",
                 "AP of the network trained with log-sum-exp, less that of its twin trained with the maximum",
                 _pairs(run, LSE_OR_MAX))


def small_patches_beat_large(run: RunFolder) -> Claim:
    """Section 4, Table 2: nine small patches give a higher AP than four large ones under the same aggregation."""
    return Claim("patches", "Nine small patches beat four large ones.", "Section 4, Table 2",
                 "AP of the network of nine small patches, less that of four large ones", _pairs(run, SMALL_OR_LARGE))


def superpixels_help(run: RunFolder) -> Claim:
    """Section 3.3: smoothing by superpixels raises the AP, each with its own theta."""
    effects = [compare(run, f"{m}, smoothed − raw", c, [m],
                       _difference(network_ap(m, c), network_ap(m, c, smoothed=False))) for m, c in _networks()]
    return Claim("superpixels", "Smoothing by superpixels makes the segmentation better.", "Section 3.3",
                 "AP after the vote of the superpixels, less that of the single pixels", effects)


def hard_negatives_cut_false_positives(run: RunFolder) -> Claim:
    """Section 3.2: round 2 has fewer false positives than round 1, where both find as much foreground on train."""
    effects = [compare(run, f"{m}, false positives gone in round 2", c, [m], partial(_false_positives_gone, m, c),
                       rounds=(1, 2)) for m, c in _networks()]
    return Claim("hard", "Retraining on hard negatives makes fewer false positives.", "Section 3.2",
                 "Share of the false positive pixels of round 1 that is gone in round 2, whose θ finds as many true "
                 "foreground pixels on train", effects, "% of the false positives")


def hard_negatives_raise_ap(run: RunFolder) -> Claim:
    """Section 3.2 implies it and prints no number: the AP after round 2 is higher than after round 1."""
    effects = [compare(run, f"{m}, round 2 − round 1", c, [m], _difference(network_ap(m, c), network_ap(m, c, 1)),
                       rounds=(1, 2)) for m, c in _networks()]
    return Claim("hard-ap", "Retraining on hard negatives makes the segmentation better.",
                 "implied by Section 3.2, no number", "AP after round 2, less that after round 1", effects)


def printed_theta_is_best(run: RunFolder) -> Claim:
    """Section 4, Figure 5: at theta 0.6 (cat) and 0.8 (dog) the AP is within a point of the best theta on val."""
    effects = [compare(run, m, c, [m],
                       _within(0.01, network_ap(m, c, at="oracle"), network_ap(m, c, at="paper")))
               for m, c in _networks()]
    return Claim("theta", "θ = 0.6 for cat and 0.8 for dog are the best thresholds.", "Section 4, Figure 5",
                 "One point, less what the AP at the paper's θ falls short of that at the best θ on val", effects)


def classification_for_free(run: RunFolder) -> Claim:
    """Section 4: LSE1 tells which images hold the class better than the answer "no" to every image."""
    effects = [compare(run, "LSE1 − “no” to every image", c, ["LSE1"], partial(_accuracy_gain, c),
                       paper.CLASSIFICATION[c] / 100 - trivial_accuracy(c)) for c in paper.CLASSES]
    return Claim("classification", "The same network tells well which images hold the class.", "Section 4",
                 "Share of val images that LSE1 labels rightly, less the share that “no” to every image is right on",
                 effects, "points of accuracy")


def accuracies_of_table_2(run: RunFolder) -> Claim:
    """Table 2: foreground and background accuracies, within five points."""
    statistics = {"foreground": evaluation.foreground_accuracy, "background": evaluation.background_accuracy}
    effects = [compare(run, f"{m}, {name}", c, [m],
                       _within(0.05, network_ap(m, c, statistic=s), _printed(m, c, name)))
               for m, c in _networks() for name, s in statistics.items()]
    return Claim("accuracies", "The foreground and background accuracies of Table 2.", "Table 2",
                 "Five points, less the distance between the accuracy here and the one printed", effects,
                 "points of accuracy")


def ap_of_table_2(run: RunFolder) -> Claim:
    """Table 2: AP, within five points."""
    effects = [compare(run, m, c, [m], _within(0.05, network_ap(m, c), _printed(m, c, "ap"))) for m, c in _networks()]
    return Claim("ap", "The AP values of Table 2.", "Table 2",
                 "Five points, less the distance between the AP here and the one printed", effects)


CLAIMS: list[Callable[[RunFolder], Claim]] = [
    labels_suffice, lse_beats_max, small_patches_beat_large, superpixels_help, hard_negatives_cut_false_positives,
    hard_negatives_raise_ap, printed_theta_is_best, classification_for_free, accuracies_of_table_2, ap_of_table_2,
]  # fmt: skip


# What a comparison needs: may it count, and how large is its effect?


def loss_fall(run: RunFolder, model: str, cls: str, seed: int = 0) -> float:
    """Fall of the held-out loss in round 1 from the middle fifth of the training to its last; nan if unknown.

    A cooldown of the rate at the end is left out: there the loss falls because of the rate.
    """
    if not run.card_path(model, cls, 1, seed).is_file():
        return float("nan")
    arguments = run.card(model, cls, 1, seed)["arguments"]
    rows = [row for row in run.curve(model, cls, 1, seed) if "heldout_loss" in row]
    end = arguments["samples"] - arguments.get("cooldown", 0)
    samples, loss = (np.array([row[key] for row in rows]) for key in ("samples", "heldout_loss"))
    middle, last = (samples > 0.4 * end) & (samples <= 0.6 * end), (samples > 0.8 * end) & (samples <= end)
    return float(loss[middle].mean() - loss[last].mean()) if middle.any() and last.any() else float("nan")


def levelled_off(run: RunFolder, model: str, cls: str) -> bool:
    """Whether the held-out loss of every seed of a network has stopped falling (`LEVEL`)."""
    return all(loss_fall(run, model, cls, seed) < LEVEL for seed in run.seeds(model, cls, 2))


def beats_box(run: RunFolder, model: str, cls: str) -> Interval:
    """AP of a network less that of the centred box, the best answer that looks at no picture."""
    return _interval(_difference(network_ap(model, cls), box_ap(cls))(run))


def compare(
    run: RunFolder, name: str, cls: str, models: Sequence[str], effect: Callable[[RunFolder], np.ndarray],
    printed: float | None = None, *, rounds: tuple[int, ...] = (2,), baseline: bool = True,
) -> Comparison:
    """Measure one effect, where all its networks were scored.

    Parameters
    ----------
    effect : callable
        A run to (1 + `RESAMPLES`,), the effect and its resamples.
    baseline : bool
        Whether one of the networks must beat the centred box for the comparison to count.
    """
    if not all(run.has_network(model, cls, round) for model in models for round in rounds):
        return Comparison(name, cls, printed=printed)
    draws, left_out = effect(run), []
    if not all(levelled_off(run, model, cls) for model in models):
        left_out.append("the held-out loss is still falling, or not known")
    if baseline and not any(beats_box(run, model, cls).low > 0 for model in models):
        left_out.append("no network beats the centred box")
    seeds = min(len(run.seeds(model, cls, 2)) for model in models)
    return Comparison(name, cls, _interval(draws), evaluation.bootstrap_p_value(draws[1:]), printed, seeds,
                      "; ".join(left_out))


def trivial_accuracy(cls: str) -> float:
    """Share of all of VOC 2012 val that the answer "no" to every image is right on.

    >>> [round(100 * trivial_accuracy(cls), 2) for cls in paper.CLASSES]
    [91.79, 91.17]
    """
    return 1 - paper.VAL_IMAGES_WITH_CLASS[cls] / paper.VAL_IMAGES


# Effects: functions of a run that give (1 + RESAMPLES,), the value and then its resamples.

Measured = Callable[[RunFolder], np.ndarray]


def network_ap(
    model: str, cls: str, round: int = 2, at: str = "train", smoothed: bool = True,
    statistic: Statistic = evaluation.ap,
) -> Measured:
    """AP (or another statistic) of a network on val, theta from train, the paper, or the best on val (an oracle)."""
    def measured(run: RunFolder) -> np.ndarray:
        values = statistic(_counts_at_theta(run, model, cls, round, at, smoothed))  # (s, 1 + r)
        rng = np.random.default_rng(zlib.crc32(f"{model} {cls} {round}".encode()))  # seeds of two networks do not pair
        return np.append(values[:, 0].mean(), mean_of_drawn_runs(values[:, 1:], rng))

    return measured


def box_ap(cls: str) -> Measured:
    """AP on val of the centred box that is best on train."""
    def measured(run: RunFolder) -> np.ndarray:
        train, val = (evaluation.centred_box_counts(run.regions(split), cls) for split in SPLITS)
        best = evaluation.best_answers(_resampled_train(run, train))
        return evaluation.ap(evaluation.resampled_counts(val, resamples=RESAMPLES)[best, np.arange(1 + RESAMPLES)])

    return measured


@lru_cache(maxsize=256)
def _counts_at_theta(run: RunFolder, model: str, cls: str, round: int, at: str, smoothed: bool) -> np.ndarray:
    """Pooled counts on val (s, 1 + r, 4) of each seed, theta chosen again in each resample."""
    return np.stack([_counts_of_seed(run, (model, cls, round, seed), at, smoothed)
                     for seed in run.seeds(model, cls, round)])


def _counts_of_seed(run: RunFolder, network: tuple, at: str, smoothed: bool) -> np.ndarray:
    grid = evaluation.smoothed_grid_counts if smoothed else evaluation.raw_grid_counts
    val = evaluation.resampled_counts(grid(run.regions("val"), run.scores(*network)), resamples=RESAMPLES)
    if at == "paper":
        return val[round(paper.THETA[network[1]] * len(val))]
    if at == "oracle":
        best = evaluation.best_answers(val)
    else:
        best = evaluation.best_answers(_resampled_train(run, grid(run.regions("train"), run.scores(*network, "train"))))
    return val[best, np.arange(1 + RESAMPLES)]


def _resampled_train(run: RunFolder, counts: np.ndarray) -> np.ndarray:
    """Resamples of train, drawn apart from those of val, each image with its weight (`results.present_weights`)."""
    weighted = counts * present_weights(run.regions("train"))[:, None]
    return evaluation.resampled_counts(weighted, resamples=RESAMPLES, seed=(0, 2))


def _false_positives_gone(model: str, cls: str, run: RunFolder) -> np.ndarray:
    """1 - false positives of round 2 / those of round 1, at equal true foreground on train."""
    before, after = [], []
    for seed in run.seeds(model, cls, 2):
        train, val = ([evaluation.smoothed_grid_counts(run.regions(split), run.scores(model, cls, r, seed, split))
                       for r in (1, 2)] for split in SPLITS)
        first, second = (_resampled_train(run, counts) for counts in train)  # (200, 1 + r, 4)
        theta, each = evaluation.best_answers(first), np.arange(1 + RESAMPLES)
        matched = np.abs(second[..., 0] - first[theta, each, 0]).argmin(axis=0)
        for counts, places, rates in zip(val, (theta, matched), (before, after), strict=True):
            pooled = evaluation.resampled_counts(counts, resamples=RESAMPLES)[places, each]
            rates.append(1 - evaluation.background_accuracy(pooled))
    with np.errstate(divide="ignore", invalid="ignore"):
        return 1 - np.mean(after, axis=0) / np.mean(before, axis=0)


def _accuracy_gain(cls: str, run: RunFolder) -> np.ndarray:
    """Share of images that LSE1 labels rightly, less that of "no" to every image."""
    present = evaluation.present(run.regions("val"), cls)
    no = evaluation.classification_counts(np.tile([0.0, 1.0], (len(present), 1)), present)
    answers = np.concatenate([classification_counts(run, "LSE1", cls), no[None]])
    right = evaluation.accuracy(evaluation.resampled_counts(answers, resamples=RESAMPLES))
    return right[:-1].mean(axis=0) - right[-1]


def _difference(first: Measured, second: Measured) -> Measured:
    return lambda run: first(run) - second(run)


def _within(margin: float, first: Measured, second: Measured | float) -> Measured:
    """Margin less the distance of two values: positive where they agree to within the margin."""
    return lambda run: margin - np.abs(first(run) - (second(run) if callable(second) else second))


def _interval(draws: np.ndarray) -> Interval:
    return percentile_interval(float(draws[0]), draws[1:], 0.95)


def _networks() -> list[tuple[str, str]]:
    return [(model, cls) for cls in paper.CLASSES for model in paper.MODELS]


def _pairs(run: RunFolder, pairs: Sequence[tuple[str, str]]) -> list[Comparison]:
    return [compare(run, f"{a} − {b}", c, [a, b], _difference(network_ap(a, c), network_ap(b, c)),
                    _printed(a, c, "ap") - _printed(b, c, "ap")) for c in paper.CLASSES for a, b in pairs]


def _printed(model: str, cls: str, column: str) -> float:
    """A number of the paper's Table 2, as a fraction."""
    return getattr(paper.TABLE_2[model][cls], column) / 100
