"""Whether the paper's claims hold in a run: one function a claim, and one rule for the verdict on all of them.

The rule treats evidence for and against a claim alike.

1. A comparison counts if its networks have learned, their held-out loss fallen and level; a difference of two masks
   only if one of the networks beats a centred box.
2. It speaks for (against) the claim if its effect is above (below) 0, p < 0.05 by Holm's method within the claim.
3. Reproduced: more than half of the paper's comparisons speak for the claim and none against it; not reproduced: the
   reverse.
4. Mixed: some speak for it and some against it. Inconclusive: everything else.

An effect is a difference on VOC val, positive where it speaks for the claim. Its interval and p-value come from a
paired bootstrap that draws train and val again and chooses theta again in each resample (`comparisons.measure`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np

from .. import evaluation, paper
from ..evaluation import Difference, Interval
from . import comparisons
from .comparisons import RESAMPLES, interval, measure
from .folder import RunFolder

VERDICTS = ("reproduced", "not reproduced", "mixed", "inconclusive")
OUTCOMES = ("for", "against", "undecided", "not measured")  # what one comparison says of its claim
SIGNIFICANCE = 0.05
FALLEN = 0.05  # a network has learned if its held-out loss is at least this far below log 2, where it began, ...
LEVEL = 0.01  # ... and has levelled off: it falls by less than this from the middle of the training to its end


@dataclass(frozen=True)
class Comparison(Difference):
    """One effect measured on val, a fraction, positive where it speaks for the claim.

    `p` is the two-sided p-value of "the effect is 0", not corrected; `left_out` says why it does not count, or nothing.
    """

    p: float = 1.0
    left_out: str = ""


@dataclass(frozen=True)
class Claim:
    """A claim of the paper and the comparisons that it makes.

    `key` is its name for other pages, `text` the claim in a sentence, `source` where the paper makes it, `measure` says
    what the effect of a comparison is, `unit` that of an effect times 100.
    """

    key: str
    text: str
    source: str
    measure: str
    comparisons: Sequence[Comparison]
    unit: str = "points of AP"

    @property
    def measured(self) -> list[Comparison]:
        """The comparisons that this run has the networks for."""
        return [comparison for comparison in self.comparisons if comparison.interval]

    @cached_property
    def p_values(self) -> list[float]:
        """p-value of each comparison by Holm's method, over all of them that were measured; 1 for the others."""
        corrected = iter(evaluation.holm([c.p for c in self.measured]))
        return [float(next(corrected)) if c.interval else 1.0 for c in self.comparisons]

    @cached_property
    def outcomes(self) -> list[str]:
        """One of `OUTCOMES` for each comparison."""
        return ["not measured" if not c.interval else
                "undecided" if c.left_out or p >= SIGNIFICANCE else
                "for" if c.interval.value > 0 else "against"
                for c, p in zip(self.comparisons, self.p_values, strict=True)]

    @property
    def verdict(self) -> str:
        """One of `VERDICTS`."""
        pro, contra = (self.outcomes.count(outcome) for outcome in ("for", "against"))
        if pro and contra:
            return "mixed"
        most = 2 * max(pro, contra) > len(self.comparisons)
        return "inconclusive" if not most else "reproduced" if pro else "not reproduced"

    @property
    def if_all_counted(self) -> Self:
        """The claim as it would stand if no comparison were left out: what the effects say by themselves."""
        return replace(self, comparisons=[replace(comparison, left_out="") for comparison in self.comparisons])


# The claims of the paper, in the order of the chapter. Networks are those of round 2 and masks are smoothed by
# superpixels, unless a claim says otherwise.


def labels_suffice(run: RunFolder) -> Claim:
    """Abstract: a network trained on image labels segments; it must beat a box where its own image score is high."""
    return Claim("labels", "Image labels are enough to learn to segment.", "Abstract",
                 "AP of the network, less that of a centred box in the images that its own image score picks",
                 _each_network(run, "{} − gated box",
                               lambda m, c: measure(run, m, c) - measure(run, m, c, "gated box"), must_beat_box=False))


def lse_beats_max(run: RunFolder) -> Claim:
    """Section 4, Table 2: a network trained with log-sum-exp has a higher AP than its twin trained with the maximum."""
    return Claim("aggregation", "LSE beats max.", "Section 4, Table 2",
                 "AP of the network trained with log-sum-exp, less that of its twin trained with the maximum",
                 _pairs(run, comparisons.LSE_OR_MAX))


def small_patches_beat_large(run: RunFolder) -> Claim:
    """Section 4, Table 2: nine small patches give a higher AP than four large ones under the same aggregation."""
    return Claim("patches", "Nine small patches beat four large ones.", "Section 4, Table 2",
                 "AP of the network of nine small patches, less that of four large ones",
                 _pairs(run, comparisons.SMALL_OR_LARGE))


def superpixels_help(run: RunFolder) -> Claim:
    """Section 3.3: smoothing by superpixels raises the AP, each with its own theta."""
    return Claim("superpixels", "Smoothing by superpixels makes the segmentation better.", "Section 3.3",
                 "AP after the vote of the superpixels, less that of the single pixels",
                 _each_network(run, "{}, smoothed − raw",
                               lambda m, c: measure(run, m, c) - measure(run, m, c, "pixels")))


def hard_negatives_cut_false_positives(run: RunFolder) -> Claim:
    """Section 3.2: round 2 has fewer false positives than round 1, where both find as much foreground."""
    def effect(model: str, cls: str) -> np.ndarray:
        before, after = comparisons.false_positives_at_equal_recall(run, model, cls)
        with np.errstate(divide="ignore", invalid="ignore"):
            return 1 - after / before

    return Claim("hard", "Retraining on hard negatives makes fewer false positives.", "Section 3.2",
                 "Share of the false positive pixels of round 1 that is gone in round 2 at the same recall",
                 _each_network(run, "{}, round 1 to 2", effect, rounds=(1, 2)),
                 "% of the false positives")


def hard_negatives_raise_ap(run: RunFolder) -> Claim:
    """Section 3.2 implies it and prints no number: the AP after round 2 is higher than after round 1."""
    return Claim("hard-ap", "Retraining on hard negatives makes the segmentation better.",
                 "implied by Section 3.2, no number", "AP after round 2, less that after round 1",
                 _each_network(run, "{}, round 2 − round 1",
                               lambda m, c: measure(run, m, c) - measure(run, m, c, round=1), rounds=(1, 2)))


def printed_theta_is_best(run: RunFolder) -> Claim:
    """Section 4, Figure 5: at theta 0.6 (cat) and 0.8 (dog) the AP is within a point of the best theta on val."""
    return Claim("theta", "θ = 0.6 for cat and 0.8 for dog are the best thresholds.", "Section 4, Figure 5",
                 "One point, less what the AP at the paper's θ falls short of that at the best θ on val",
                 _each_network(run, "{}", must_beat_box=False, effect=lambda m, c: (
                     0.01 - (measure(run, m, c, at="oracle") - measure(run, m, c, at="paper")))))


def classification_for_free(run: RunFolder) -> Claim:
    """Section 4: LSE1 tells which images hold the class better than the answer "no" to every image."""
    def effect(model: str, cls: str) -> np.ndarray:
        present = evaluation.present(run.regions("val"), cls)
        no = evaluation.classification_counts(np.tile([0.0, 1.0], (len(present), 1)), present)
        answers = np.concatenate([comparisons.classified_images(run, model, cls), no[None]])
        right = evaluation.accuracy(evaluation.resampled_counts(answers, resamples=RESAMPLES))
        return comparisons.over_seeds(right[:-1], f"{model} {cls}") - right[-1]

    return Claim("classification", "The same network tells well which images hold the class.", "Section 4",
                 "Share of val images that LSE1 labels rightly, less the share that “no” to every image is right on",
                 [_compare(run, "LSE1 − “no” to every image", c, ["LSE1"], effect,
                           paper.CLASSIFICATION[c] / 100 - trivial_accuracy(c), must_beat_box=False)
                  for c in paper.CLASSES],
                 "points of accuracy")


def accuracies_of_table_2(run: RunFolder) -> Claim:
    """Table 2: foreground and background accuracies, within five points."""
    return Claim("accuracies", "The foreground and background accuracies of Table 2.", "Table 2",
                 "Five points, less the distance between the accuracy here and the one printed",
                 [*_agreement(run, "foreground", evaluation.foreground_accuracy, "{}, foreground"),
                  *_agreement(run, "background", evaluation.background_accuracy, "{}, background")],
                 "points of accuracy")


def ap_of_table_2(run: RunFolder) -> Claim:
    """Table 2: AP, within five points."""
    return Claim("ap", "The AP values of Table 2.", "Table 2",
                 "Five points, less the distance between the AP here and the one printed",
                 _agreement(run, "ap", evaluation.ap, "{}"))


CLAIMS: list[Callable[[RunFolder], Claim]] = [
    labels_suffice, lse_beats_max, small_patches_beat_large, superpixels_help, hard_negatives_cut_false_positives,
    hard_negatives_raise_ap, printed_theta_is_best, classification_for_free, accuracies_of_table_2, ap_of_table_2,
]  # fmt: skip


# What a comparison needs: may it count, and how large is its effect?


def held_out_losses(run: RunFolder, model: str, cls: str, seed: int = 0) -> tuple[float, float]:
    """Mean held-out loss of a network in the middle fifth of round 1 and in its last fifth; nan if unknown.

    A cooldown of the rate at the end is left out: there the loss falls because of the rate.
    """
    if not run.card_path(model, cls, 1, seed).is_file():
        return float("nan"), float("nan")
    arguments = run.card(model, cls, 1, seed)["arguments"]
    end = arguments["samples"] - arguments.get("cooldown", 0)
    middle, last = ([row["heldout_loss"] for row in run.curve(model, cls, 1, seed)
                     if "heldout_loss" in row and low * end < row["samples"] <= high * end]
                    for low, high in ((0.4, 0.6), (0.8, 1)))
    return (float(np.mean(middle)), float(np.mean(last))) if middle and last else (float("nan"), float("nan"))


def has_learned(run: RunFolder, model: str, cls: str) -> bool:
    """Whether the held-out loss of every seed of a network has fallen from log 2 (`FALLEN`), and no longer falls."""
    losses = [held_out_losses(run, model, cls, seed) for seed in run.seeds(model, cls, 2)]
    return all(last < paper.LOSS_START - FALLEN and middle - last < LEVEL for middle, last in losses)


def beats_box(run: RunFolder, model: str, cls: str) -> Interval:
    """AP of a network less that of the centred box, the best answer that looks at no picture."""
    return interval(measure(run, model, cls) - measure(run, model, cls, "centred box"))


def _compare(
    run: RunFolder, name: str, cls: str, models: Sequence[str], effect: Callable[..., np.ndarray],
    printed: float | None = None, rounds: Sequence[int] = (2,), must_beat_box: bool = True,
) -> Comparison:
    """Measure ``effect(*models, cls)``, an array as from `measure`, where all its networks were scored.

    `must_beat_box` says whether one of the networks must beat the centred box for the comparison to count.
    """
    if not all(run.has_network(model, cls, round) for model in models for round in rounds):
        return Comparison(name, cls, None, printed)
    draws, left_out = effect(*models, cls), []
    p = evaluation.bootstrap_p_value(draws[1:])
    if not all(has_learned(run, model, cls) for model in models):
        left_out.append("has not learned")
    if must_beat_box and not any(beats_box(run, model, cls).low > 0 for model in models):
        left_out.append("no network beats the centred box")
    if len({run.seeds(model, cls, round) for model in models for round in rounds}) > 1:
        left_out.append("scored with other seeds")
    if undefined := bool(np.isnan(draws[0]) or np.isnan(p)):
        left_out.append("0/0")
    return Comparison(name, cls, interval(draws), printed, 1.0 if undefined else p, "; ".join(left_out))


def _each_network(run: RunFolder, name: str, effect: Callable[[str, str], np.ndarray], **options) -> list[Comparison]:
    """A comparison for each network of Table 2; `name` has a place for the model."""
    return [_compare(run, name.format(m), c, [m], effect, **options) for c in paper.CLASSES for m in paper.MODELS]


def _pairs(run: RunFolder, pairs: Sequence[tuple[str, str]]) -> list[Comparison]:
    """A comparison of AP for each pair of models and each class."""
    return [_compare(run, f"{a} − {b}", cls, [a, b], lambda a, b, cls: measure(run, a, cls) - measure(run, b, cls),
                     paper.TABLE_2[a][cls].ap / 100 - paper.TABLE_2[b][cls].ap / 100)
            for cls in paper.CLASSES for a, b in pairs]


def _agreement(run: RunFolder, column: str, statistic: evaluation.Statistic, name: str) -> list[Comparison]:
    """A comparison for each network: five points, less the distance to a column of the paper's Table 2."""
    return _each_network(run, name, lambda model, cls: 0.05 - np.abs(
        measure(run, model, cls, statistic=statistic) - getattr(paper.TABLE_2[model][cls], column) / 100),
        must_beat_box=False)  # a network below the box speaks against the claim


def trivial_accuracy(cls: str) -> float:
    """Share of all of VOC 2012 val that the answer "no" to every image is right on.

    >>> [round(100 * trivial_accuracy(cls), 2) for cls in paper.CLASSES]
    [91.79, 91.17]
    """
    return 1 - paper.VAL_IMAGES_WITH_CLASS[cls] / paper.VAL_IMAGES
