"""Evidence for each row of the book's ledger, computed: from the paper's own numbers, or from a run's evidence.

Each function of the four modules returns one or two sentences. Neither torch nor photographs are needed; what a run
cannot say, it says.
"""

from __future__ import annotations

from collections.abc import Callable

from ...files import LsegreproError
from ...runs.folder import RunFolder
from . import arithmetic, contradictions, silences, stated

ROWS: dict[str, Callable[[RunFolder], str]] = {
    "widths": contradictions.widths,
    "stride": contradictions.stride,
    "max": contradictions.maximum,
    "counts": contradictions.counts,
    "init": contradictions.initial,
    "table2": contradictions.table2,
    "photographs": stated.photographs,
    "rate": stated.rate,
    "hard": stated.hard,
    "balance": silences.balance,
    "negatives": silences.negatives,
    "steps": silences.steps,
    "batch": silences.batch,
    "momentum": silences.momentum,
    "precision": silences.precision,
    "jitter": silences.jitter,
    "mining": silences.mining,
    "theta": silences.theta,
    "superpixels": silences.superpixels,
    "borders": silences.borders,
    "scale": silences.scale,
    "tie": silences.tie,
    "void": silences.void,
    "classification": silences.classification,
    "ceiling": arithmetic.ceiling,
    "floor": arithmetic.floor,
    "trivial": arithmetic.trivial,
    "outlines": arithmetic.outlines,
    "wordnet": arithmetic.wordnet,
}
"""The rows of the ledger, by the labels of the page (``ledger-widths``), and how each is shown."""

TITLES = {
    "widths": "width of LSE2", "stride": "stride of pooling", "max": "direction of the maximum",
    "counts": "cats and dogs in val", "init": "initial weights", "table2": "Table 2 against itself",
    "photographs": "training images", "rate": "rate", "hard": "share of hard negatives",
    "balance": "balance of the classes", "negatives": "what is negative", "steps": "length of training",
    "batch": "batch", "momentum": "optimiser", "precision": "arithmetic", "jitter": "ranges of the jitter",
    "mining": "source of hard negatives",
    "theta": "choice of θ", "superpixels": "parameters of the superpixels", "borders": "borders",
    "scale": "scale of test images", "tie": "a tied vote", "void": "void pixels",
    "classification": "patches for classification", "ceiling": "largest probability", "floor": "lowest loss",
    "trivial": "trivial classifier", "outlines": "trivial APs", "wordnet": "sub-classes",
}
"""What each row is about."""


def rows(run: RunFolder) -> dict[str, str]:
    """Key of each row of the ledger to its evidence, or to why there is none."""
    found = {}
    for key, tell in ROWS.items():
        try:
            found[key] = tell(run)
        except LsegreproError as error:
            found[key] = f"This cannot be measured here: {error}."
    return found
