"""What follows from the paper and the data by arithmetic alone."""

from __future__ import annotations

from ... import evaluation, paper
from ...data import synsets
from ...paper import CEILING, LOSS_FLOOR
from ...runs import claims
from ...runs.comparisons import centred_box
from ...runs.results import coverage
from ...runs.folder import RunFolder
from ..notebook import percent


def ceiling(run: RunFolder) -> str:
    """The largest probability, and where the paper's theta stands."""
    thetas = " and ".join(f"{theta:g} for {cls}" for cls, theta in paper.THETA.items())
    return f"e / (e + 1/e) = {CEILING:.4f}; the paper's θ is {thetas}."


def floor(run: RunFolder) -> str:
    """The least loss, and the lowest of the run."""
    losses = [row["loss"] for network in run.networks() for row in run.curve(*network)]
    ours = f"; the lowest training loss of this run is {min(losses):.3f}" if losses else ""
    return f"log(1 + e⁻²) = {LOSS_FLOOR:.4f}{ours}."


def trivial(run: RunFolder) -> str:
    """The classifier that says no."""
    parts = []
    for cls in paper.CLASSES:
        no = 100 * claims.trivial_accuracy(cls)
        off = paper.CLASSIFICATION[cls] - no
        parts.append(f"“No {cls} anywhere” is right on {paper.VAL_IMAGES - paper.VAL_IMAGES_WITH_CLASS[cls]:,} of "
                     f"{paper.VAL_IMAGES:,} val images, {no:.2f} %. The paper's {paper.CLASSIFICATION[cls]:.2f} % "
                     f"stands {abs(off):.2f} points {'above' if off > 0 else 'below'} that.")
    return " ".join(parts)


def outlines(run: RunFolder) -> str:
    """APs that look at no picture, and one that is told which images hold the class."""
    val, parts = run.regions("val"), []
    for cls in run.profile.classes:
        box = centred_box(run, cls)
        everything, blind, told = (evaluation.ap(c.sum(axis=0)) for c in (
            evaluation.everything_foreground(val, cls), box.counts, box.told))
        best = max(row[cls].ap for row in paper.TABLE_2.values())
        parts.append(f"{cls}: everything foreground {percent(everything)}, a centred box {percent(blind)}, and, told "
                     f"which images hold the class, a box {percent(told)}, "
                     f"{'above' if 100 * told > best else 'below'} the paper's best of {best:.2f} %")
    return f"AP on {coverage(val)}: " + "; ".join(parts) + "."


def wordnet(run: RunFolder) -> str:
    """Synsets below each class."""
    labels = list(synset_labels().values())
    counted = " and ".join(f"{labels.count(cls) - 1} synsets below {cls}" for cls in paper.CLASSES)
    named = " and ".join(map(str, paper.SUBCLASSES.values()))
    return f"WordNet 3.0 has {counted}; the paper names {named}, those that ImageNet held photographs of."
