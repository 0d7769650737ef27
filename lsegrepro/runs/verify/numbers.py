"""Every number that the book reports of a run, as one flat list: Table 2, Figure 5, intervals, verdicts.

Computed from evidence alone: neither torch nor photographs are needed.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ... import evaluation, paper
from ..comparisons import (
    LSE_OR_MAX,
    SMALL_OR_LARGE,
    Difference,
    Row,
    baseline_differences,
    baselines,
    centred_box,
    constant_row,
    model_differences,
    round_differences,
    row,
    three_way_counts,
)
from ...evaluation import Interval
from ..results import Cell, coverage, estimate_all, result
from ..folder import RunFolder

SIGNS = {1: "above zero", -1: "below zero", 0: "zero is inside"}
"""What an interval of a difference says."""


@dataclass(frozen=True)
class Number:
    """One reported number.

    Attributes
    ----------
    of : str
        What was measured, ``"LSE1 cat round 2"``.
    what : str
        The quantity, ``"AP at theta from train"``.
    value, low, high : float
        A fraction or a theta, and its 95 % interval; nan where there is none.
    unit : {"%", "points", "theta", "text"}
        How it is printed. Fractions are printed in percent.
    said : str
        A verdict, or whatever else must be the same to the letter.
    """

    of: str
    what: str
    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    unit: str = "%"
    said: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """What tells it apart from the others."""
        return self.of, self.what

    @property
    def text(self) -> str:
        """As it is printed.

        >>> Number("LSE1 cat", "AP", 0.097, 0.0746, 0.12).text
        '9.70 [7.46, 12.00]'
        >>> Number("LSE1 cat", "theta from train", 0.61, unit="theta").text
        '0.610'
        >>> Number("LSE1 cat", "cost of the choice", -1e-9, unit="points").text  # zero has no sign but this
        '+0.00'
        """
        if self.unit == "text":
            return self.said
        factor, form = {"%": (100, "z.2f"), "points": (100, "+z.2f"), "theta": (1, "z.3f")}[self.unit]
        text = "–" if math.isnan(self.value) else f"{factor * self.value:{form}}"
        if not math.isnan(self.low):
            text += f" [{factor * self.low:{form}}, {factor * self.high:{form}}]"
        return text + (f", {self.said}" if self.said else "")


def numbers(run: RunFolder) -> list[Number]:
    """Every number of a run, in the order of the pages; whatever evidence is missing is made."""
    found = [*_lists(run)]
    for network in run.networks():
        found += _network(run, *network)
    found += _rows(run)
    for cls in run.profile.classes:
        found += _baselines(run, cls)
    differences = [*model_differences(run, LSE_OR_MAX), *model_differences(run, SMALL_OR_LARGE),
                   *round_differences(run), *baseline_differences(run)]
    found += [_difference(f"{d.name}, {d.cls}", "difference of AP, paired", d) for d in differences]
    return [*found, *_three_way(run)]


def network_name(run: RunFolder, model: str, cls: str, round: int, seed: int) -> str:
    """How a network is called in the lists: the seed only where there are several.

    >>> from lsegrepro.run import open_run
    >>> network_name(open_run("quick"), "LSE1", "cat", 2, 0)
    'LSE1 cat round 2'
    """
    return f"{model} {cls} round {round}" + (f" seed {seed}" if len(run.profile.seeds) > 1 else "")


def _of(of: str, what: str, interval: Interval, unit: str = "%", said: str = "") -> Number:
    return Number(of, what, interval.value, interval.low, interval.high, unit, said)


def _lists(run: RunFolder) -> Iterator[Number]:
    for split in ("train", "val"):
        yield Number(f"VOC {split}" if run.profile.data.kind == "photographs" else f"drawn {split}", "images measured",
                     unit="text", said=coverage(run.regions(split)))


def _network(run: RunFolder, model: str, cls: str, round: int, seed: int) -> Iterator[Number]:
    of, val = network_name(run, model, cls, round, seed), run.regions("val")
    scores, r = run.scores(model, cls, round, seed), result(run, model, cls, round, seed)
    cells = {"theta from train": r.chosen, "the paper's theta": r.papers, "the oracle's theta": r.oracle,
             "raw, theta from train": r.raw}
    for name, cell in cells.items():
        yield Number(of, name, cell.theta, unit="theta")
        yield from _cell(of, name if name.startswith("raw") else f"at {name}", cell)
    smoothed, raw = (evaluation.per_image_counts(val, scores, theta=c.theta, smoothed=s)
                     for c, s in ((r.chosen, True), (r.raw, False)))
    yield _difference(of, "AP, smoothed − raw", Difference("", cls, evaluation.bootstrap_difference(smoothed, raw)))
    steps = run.smoothed(model, cls, round, seed)
    exact = np.ascontiguousarray(steps.counts, "<i8")
    yield Number(of, "curve of Figure 5", unit="text",
                 said=f"{len(exact):,} steps, digest {hashlib.sha256(exact).hexdigest()[:16]}")
    answers = evaluation.classification_counts(scores.image_scores, evaluation.present(val, cls))
    for name, statistic in (("right", evaluation.accuracy), ("balanced", evaluation.balanced_accuracy)):
        yield _of(of, f"classification, {name}", evaluation.bootstrap(answers, statistic))
    if val.absent:
        yield Number(of, f"AP, estimate for all {val.listed:,}", estimate_all(val, scores, r.chosen.theta))


def _cell(of: str, where: str, cell: Cell) -> Iterator[Number]:
    for name in ("AP", "foreground", "background"):
        yield _of(of, f"{name} {where}", getattr(cell, name.lower()))


def _rows(run: RunFolder) -> Iterator[Number]:
    """Rows of Table 2 over several seeds; with one seed they are those of the networks."""
    if len(run.profile.seeds) > 1:
        for cls in run.profile.classes:
            for model in run.profile.models:
                yield from _row(f"{model} {cls} round 2, {len(run.profile.seeds)} seeds", row(run, model, cls))


def _row(of: str, r: Row) -> Iterator[Number]:
    for name in ("AP", "foreground", "background"):
        yield _of(of, name, getattr(r, name.lower()))


def _difference(of: str, what: str, d: Difference) -> Number:
    return _of(of, what, d.interval, "points", SIGNS[d.sign])


def _baselines(run: RunFolder, cls: str) -> Iterator[Number]:
    box = centred_box(run, cls)
    told = "box, told which images"
    yield Number(f"centred box, {cls}", "part of each side", box.fraction, unit="theta")
    yield Number(f"{told}, {cls}", "part of each side", box.told_fraction, unit="theta")
    for name, counts in {**baselines(run, cls), told: box.told}.items():
        yield from _row(f"{name}, {cls}", constant_row(name, cls, counts))


def _three_way(run: RunFolder) -> Iterator[Number]:
    """The labelling in three classes, where a run has both."""
    for model in run.profile.models if set(run.profile.classes) == set(paper.CLASSES) else ():
        for name, counts in three_way_counts(run, model).items():
            yield _of(f"{model}, three classes", f"IoU, {name}", evaluation.bootstrap(counts))
