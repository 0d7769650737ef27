"""Whether the published results come out again: recomputed from the evidence, or from the weights on some images.

``published/results.json`` holds every result of the book. `verify` computes it again and compares, at one of three
depths: ``evidence``, by numpy in seconds; ``weights``, where the published networks score some images again; and
``scratch``, which is a command, since it trains everything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .. import evaluation, paper
from ..config import DEPTHS, Scoring
from ..evaluation.intervals import percentile_interval
from ..evidence import Regions
from ..files import LsegreproError, one_line, read_json, write_json
from .comparisons import LSE_OR_MAX, SMALL_OR_LARGE, baselines, centred_box, row, three_way_counts
from .folder import RunFolder
from .results import GRID_STEP, choose_theta, estimate_all

if TYPE_CHECKING:
    from ..data import SegmentationSet

ROUNDING = 1e-9
"""Absolute tolerance of a result recomputed from evidence: its counts of pixels are integers, and exact."""

TOLERANCE = {"float32": 2e-3, "bfloat16": 3e-2}
"""By how much the probability of a superpixel may differ on another machine, by the arithmetic of the evidence."""

SCORE_TOLERANCE = 8e-3
"""The same for a score of a whole image, always computed in float32."""

IMAGES = 48
"""Images that depth weights scores by default: a few minutes for eight networks on two cores."""

SCRATCH = "lsegrepro reproduce --profile {} --run runs/again"

Table = dict[str, dict[str, list[float]]]
"""Name of a result to its columns, each ``[value]`` or ``[value, low, high]`` in fractions."""


@dataclass(frozen=True)
class Line:
    """How many results of a kind came out again, the largest difference, and the first that differs."""

    what: str
    same: int
    of: int
    difference: float
    differing: str = ""

    def __str__(self) -> str:
        differing = f": {self.differing} differs" if self.differing else ""
        return (f"{self.what:34} {self.same:6,} of {self.of:<6,} came out again, "
                f"to within {self.difference:.2g}{differing}")


def verify(
    run: RunFolder, depth: str = "evidence", *, images: int = IMAGES, work: Path = Path("runs/verify")
) -> list[Line]:
    """Compute the published results again and compare.

    Parameters
    ----------
    run : RunFolder
        The published run, with the reader's photographs for depth weights.
    depth : {"evidence", "weights", "scratch"}
    images : int
        Depth weights: score so many val images, evenly spaced; 0 takes all.
    work : path
        Depth weights: folder for score maps and superpixels, from which an interrupted check goes on.

    Returns
    -------
    list of Line

    Raises
    ------
    LsegreproError
        If a file is missing or damaged, or for depth scratch: the message says which command trains again.
    """
    if depth not in DEPTHS:
        raise LsegreproError(f"unknown depth {depth!r}: choose one of {', '.join(DEPTHS)}")
    if depth == "scratch":
        raise LsegreproError(f"depth scratch trains every network again, which takes days on a processor: "
                             f"{SCRATCH.format(run.profile.spec)}, then lsegrepro evaluate --run runs/again")
    lines = compare_tables(results_table(run), read_results(run))
    return lines + (compare_scores(run, images, work) if depth == "weights" else [])


def results_path(run: RunFolder) -> Path:
    """Where the published results of a run lie."""
    return run.folder / "results.json"


def write_results(run: RunFolder) -> Path:
    """Compute every result of a run and write the table that `verify` compares with."""
    path = results_path(run)
    write_json(path, {"command": f"lsegrepro publish --profile {run.profile.spec}", "profile": run.profile.name,
                      "results": results_table(run)})
    return path


def read_results(run: RunFolder) -> Table:
    """Read the published results of a run.

    Raises
    ------
    LsegreproError
        If the file is absent, is not such a table, or is of another profile.
    """
    path = results_path(run)
    content = read_json(path)
    if content.get("profile") != run.profile.name:
        raise LsegreproError(f"{path} is of profile {content.get('profile')}, asked for was {run.profile.name}")
    table = content.get("results")
    try:
        for columns in table.values():
            for values in columns.values():
                np.array(values, float)
    except (AttributeError, TypeError, ValueError) as error:
        raise LsegreproError(f"{path} is not a table of results ({one_line(error)}): fetch it again") from error
    return table


# Every result of a run


def results_table(run: RunFolder) -> Table:
    """Every number that the book reports of a run: Table 2, baselines, differences, Figure 5, classification.

    The interval of each is that of `evaluation.bootstrap`; here all are resampled in one matrix product.
    """
    val = run.regions("val")
    table: Table = {split: {"images": [len(run.regions(split))], "images listed": [run.regions(split).listed]}
                    for split in ("train", "val")}
    masks: dict[str, np.ndarray] = {}  # name to counts on val (n, 4), to be resampled
    answers: dict[str, np.ndarray] = {}  # the same, of images
    for network in run.networks():
        name, scores, curve = run.name(*network), run.scores(*network), run.smoothed(*network)
        thetas = {"train": choose_theta(run, *network), "paper": paper.THETA[network[1]],
                  "oracle": curve.best(step=GRID_STEP)[0], "raw": choose_theta(run, *network, smoothed=False)}
        for at, theta in thetas.items():
            masks[f"{name}, {at}"] = evaluation.per_image_counts(val, scores, theta=theta, smoothed=at != "raw")
            table[f"{name}, {at}"] = {"theta": [theta]}
        answers[name] = evaluation.classification_counts(scores.image_scores, evaluation.present(val, network[1]))
        table[f"{name}, curve"] = {"steps": [len(curve.thetas)], "best theta": [curve.best()[0]],
                                   "largest AP": [curve.best()[1]]}
        if val.absent:
            table[f"{name}, whole list"] = {"AP, estimated": [estimate_all(val, scores, thetas["train"])]}
    for cls in run.profile.classes:
        box = centred_box(run, cls)
        table |= {f"centred box, {cls}": {"side": [box.fraction]},
                  f"centred box where the class is, {cls}": {"side": [box.told_fraction]}}
        masks |= {f"{name}, {cls}": counts for name, counts in baselines(run, cls).items()}
        masks[f"centred box where the class is, {cls}"] = box.told
    statistics = {"AP": evaluation.ap, "foreground": evaluation.foreground_accuracy,
                  "background": evaluation.background_accuracy}
    pooled = _resampled(masks)
    for name, counts in pooled.items():
        table[name] = table.get(name, {}) | {column: _interval(statistic(counts))
                                             for column, statistic in statistics.items()}
    for name, (first, second) in _differences(run).items():
        change = evaluation.ap(pooled[first]) - evaluation.ap(pooled[second])
        table[name] = {"difference of AP": _interval(change)}
    for name, counts in _resampled(answers).items():
        table[f"{name}, classification"] = {"accuracy": _interval(evaluation.accuracy(counts)),
                                            "balanced accuracy": _interval(evaluation.balanced_accuracy(counts))}
    return table | _over_seeds(run)


def _differences(run: RunFolder) -> dict[str, tuple[str, str]]:
    """Name of each paired difference to the two rows of the table that it is of."""
    p, pairs = run.profile, {}
    for seed in p.seeds:
        def chosen(model: str, cls: str, round: int = 2, seed: int = seed) -> str:
            return f"{run.name(model, cls, round, seed)}, train"

        suffix = f"seed {seed}"
        for cls in p.classes:
            for a, b in (*LSE_OR_MAX, *SMALL_OR_LARGE):
                if a in p.models and b in p.models:
                    pairs[f"{a} − {b}, {cls}, {suffix}"] = chosen(a, cls), chosen(b, cls)
            for model in p.models:
                for round in p.rounds:
                    name = run.name(model, cls, round, seed)
                    pairs[f"{name}, smoothed − raw"] = f"{name}, train", f"{name}, raw"
                if p.rounds == (1, 2):
                    pairs[f"{model}, round 2 − round 1, {cls}, {suffix}"] = chosen(model, cls), chosen(model, cls, 1)
                for baseline in ("nothing foreground", "everything foreground", "centred box"):
                    pairs[f"{model} − {baseline}, {cls}, {suffix}"] = chosen(model, cls), f"{baseline}, {cls}"
    return pairs


def _over_seeds(run: RunFolder) -> Table:
    """What is measured over all seeds: rows of Table 2 where there are several, and the labelling in three classes."""
    table: Table = {}
    if len(run.profile.seeds) > 1:
        for cls in run.profile.classes:
            for model in run.profile.models:
                r = row(run, model, cls)
                table[f"{model}-{cls}, all seeds"] = {"AP": _numbers(r.ap), "foreground": _numbers(r.foreground),
                                                      "background": _numbers(r.background)}
    for model in run.profile.models if set(run.profile.classes) == set(paper.CLASSES) else ():
        table[f"{model}, three classes"] = {f"IoU, {name}": _numbers(evaluation.bootstrap(counts))
                                            for name, counts in three_way_counts(run, model).items()}
    return table


def _resampled(counts: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    stacked = np.stack(list(counts.values()))
    pooled = evaluation.resampled_counts(stacked, resamples=10_000, dtype=np.float64)
    return dict(zip(counts, pooled, strict=True))


def _interval(draws: np.ndarray) -> list[float]:
    return _numbers(percentile_interval(float(draws[0]), draws[1:], 0.95))


def _numbers(interval: evaluation.Interval) -> list[float | None]:
    """As JSON, which knows no nan."""
    return [None if np.isnan(value) else float(value) for value in (interval.value, interval.low, interval.high)]


# Comparison


def compare_tables(new: Table, published: Table, tolerance: float = ROUNDING) -> list[Line]:
    """One line for each column of the table: how many of its values came out again.

    >>> print(compare_tables({"LSE1": {"AP": [0.1]}}, {"LSE1": {"AP": [0.1]}, "max1": {"AP": [0.2]}})[0])
    AP                                      1 of 2      came out again, to within 0: max1 differs
    """
    columns = dict.fromkeys(column for table in (published, new) for row in table.values() for column in row)
    lines = []
    for column in columns:
        names = [name for name in dict.fromkeys([*published, *new])
                 if column in published.get(name, {}) or column in new.get(name, {})]
        lines.append(_line(column, {name: (new.get(name, {}).get(column), published.get(name, {}).get(column))
                                    for name in names}, tolerance))
    return lines


def _line(what: str, pairs: Mapping[str, tuple[object, object]], tolerance: float) -> Line:
    """Compare pairs of (new, published) values, None where there is none."""
    differing, largest = [], 0.0
    for name, pair in pairs.items():
        if any(values is None for values in pair):
            differing.append(name)
            continue
        new, published = (np.array(values, float) for values in pair)
        try:
            np.testing.assert_allclose(new, published, rtol=0, atol=tolerance)
        except AssertionError:
            differing.append(name)
        if new.shape == published.shape:
            largest = max(largest, float(np.nanmax(np.abs(new - published), initial=0)))
    return Line(what, len(pairs) - len(differing), len(pairs), largest, next(iter(differing), ""))


# Depth weights


def compare_scores(run: RunFolder, images: int, work: Path) -> list[Line]:
    """Score some val images again with each published network, and compare with the evidence of these images."""
    from ..evidence.scoring import score_set
    from .make import load_network

    data, regions = run.segmentation("val"), run.regions("val")
    place = {name: i for i, name in enumerate(data.ids)}
    index = np.array([i for i, name in enumerate(regions.ids) if name in place], int)
    if not len(index):
        raise LsegreproError(f"none of the {len(regions)} images of {run.regions_path('val')} is in {data.description}")
    index = index[np.linspace(0, len(index) - 1, min(images or len(index), len(index))).astype(int)]
    part = some_images(regions, index)
    subset = _Subset(data, [place[regions.ids[i]] for i in index], regions.data_digest)
    rows = np.concatenate([np.arange(regions.offsets[i], regions.offsets[i + 1]) for i in index])
    lines = []
    for network in run.last_networks():
        scores, weights = run.scores(*network), load_network(run, *network)
        arguments = Scoring(**scores.meta["arguments"])
        again = score_set(weights, subset, part, arguments, maps=work / "maps" / weights.sha256[:16],
                          superpixels=work / "superpixels", progress=run.progress)
        new, published = (s.astype(float) / 65535 for s in (again.statistics, scores.statistics[rows]))
        images_of = np.split(np.arange(len(rows)), part.offsets[1:-1])
        lines.append(_line(f"{run.name(*network)}, superpixels",
                           {name: (new[at], published[at]) for name, at in zip(part.ids, images_of, strict=True)},
                           TOLERANCE[arguments.precision]))
        pairs = zip(again.image_scores, scores.image_scores[index], strict=True)
        lines.append(_line(f"{run.name(*network)}, image scores", dict(zip(part.ids, pairs, strict=True)),
                           SCORE_TOLERANCE))
    return lines


def some_images(regions: Regions, index: np.ndarray) -> Regions:
    """Some images of regions, as regions of their own.

    Parameters
    ----------
    index : ndarray
        (k,) int64, places of the images.
    """
    rows = np.concatenate([np.arange(regions.offsets[i], regions.offsets[i + 1]) for i in index])
    return replace(
        regions, ids=tuple(regions.ids[i] for i in index), absent=(), listed=len(index), sizes=regions.sizes[index],
        offsets=np.cumsum([0, *np.diff(regions.offsets)[index]], dtype=np.int64), counts=regions.counts[rows],
        rings=regions.rings[index], label_checksums=regions.label_checksums[index],
    )


@dataclass(frozen=True)
class _Subset:
    """Some images of a segmentation set."""

    data: SegmentationSet
    index: Sequence[int]
    digest: str

    def __len__(self) -> int:
        return len(self.index)

    @property
    def ids(self) -> list[str]:
        return [self.data.ids[i] for i in self.index]

    @property
    def description(self) -> str:
        return f"{len(self)} images of {self.data.description}"

    def image(self, i: int) -> np.ndarray:
        return self.data.image(self.index[i])

    def mask(self, i: int) -> np.ndarray:
        return self.data.mask(self.index[i])
