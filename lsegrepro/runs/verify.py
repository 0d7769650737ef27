"""Whether the published results come out again: recomputed from the evidence, or from the weights on some images."""

import itertools
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from .. import evaluation, paper
from ..files import LsegreproError, read_json, write_json
from .comparisons import BASELINES, LSE_OR_MAX, SMALL_OR_LARGE, interval, three_way_counts
from .folder import RunFolder
from .results import THETAS, choose_theta, present_weights

ROUNDING = 1e-9  # of a result recomputed from evidence: its counts of pixels are integers, and exact
# By how much, on another machine, the probability of a superpixel may differ, by the arithmetic of the evidence, and a
# score of a whole image, always computed in float32.
TOLERANCE = {"float32": 2e-3, "bfloat16": 3e-2}
SCORE_TOLERANCE = 8e-3

SEGMENTATION = {"AP": evaluation.ap, "foreground": evaluation.foreground_accuracy,
                "background": evaluation.background_accuracy}
CLASSIFICATION = {"accuracy": evaluation.accuracy, "balanced accuracy": evaluation.balanced_accuracy}

Table = dict[str, dict[str, list[float | None]]]
"""Name of a result to its columns, each ``[value]`` or ``[value, low, high]`` in fractions."""


class Line(NamedTuple):
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


def verify(run: RunFolder) -> list[Line]:
    """Compute ``published/results.json``, the results of the book, again from the evidence: a line a column."""
    return compare_tables(results_table(run), read_results(run))


def write_results(run: RunFolder, results: Table) -> None:
    """Write the table that `verify` compares with."""
    write_json(run.folder / "results.json",
               {"command": "make publish", "profile": run.profile.name, "results": results})


def read_results(run: RunFolder) -> Table:
    """Read the published results of a run; `LsegreproError` if they are absent or of another profile."""
    path = run.folder / "results.json"
    content = read_json(path)
    if content.get("profile") != run.profile.name:
        raise LsegreproError(f"{path} is no table of results of profile {run.profile.name}: fetch it again")
    return content["results"]


def results_table(run: RunFolder) -> Table:
    """The numbers that the book reports of a run: Table 2 at every theta, baselines, differences, classification.

    The interval of each is that of `evaluation.bootstrap`; here all are resampled in one matrix product.
    """
    train, val = (run.regions(split) for split in ("train", "val"))
    table: Table = {regions.split: {"images": [len(regions)], "images listed": [regions.listed]}
                    for regions in (train, val)}
    counts: dict[str, np.ndarray] = {}  # name of a result to (n, 4), to be resampled
    for network in run.networks():
        name, scores = run.name(*network), run.scores(*network)
        thetas = {at: choose_theta(run, *network, at=at) for at in THETAS}
        for at, theta in {**thetas, "raw": choose_theta(run, *network, smoothed=False)}.items():
            table[f"{name}, {at}"] = {"theta": [theta]}
            counts[f"{name}, {at}"] = evaluation.per_image_counts(val, scores, theta=theta, smoothed=at != "raw")
        present = evaluation.present(val, network[1])
        counts[f"{name}, classification"] = evaluation.classification_counts(scores.image_scores, present)
    for cls, (name, answers) in itertools.product(run.profile.classes, BASELINES.items()):
        chosen = np.argmax(evaluation.ap(present_weights(train) @ answers(train, cls)))
        counts[f"{name}, {cls}"] = answers(val, cls)[chosen]
    for model in run.profile.models if set(run.profile.classes) == set(paper.CLASSES) else ():
        counts |= {f"{model}, three classes, {name}, seed {seed}": per_image
                   for name, runs in three_way_counts(run, model).items()
                   for seed, per_image in zip(run.profile.seeds, runs, strict=True)}
    resampled = evaluation.resampled_counts(np.stack(list(counts.values())), resamples=10_000, dtype=np.float64)
    pooled = dict(zip(counts, resampled, strict=True))
    for name, draws in pooled.items():
        statistics = CLASSIFICATION if name.endswith("classification") else SEGMENTATION
        table.setdefault(name, {}).update({key: _interval(value(draws)) for key, value in statistics.items()})
    for name, (first, second) in _differences(run).items():
        table[name] = {"difference of AP": _interval(evaluation.ap(pooled[first]) - evaluation.ap(pooled[second]))}
    return table


def _differences(run: RunFolder) -> dict[str, tuple[str, str]]:
    """Name of each paired difference to the two rows of the table that it is of."""
    pairs = {}
    for model, cls, round, seed in run.networks():
        name = run.name(model, cls, round, seed)
        pairs[f"{name}, smoothed − raw"] = f"{name}, train", f"{name}, raw"
        if round < run.profile.rounds[-1]:
            continue
        others = {other: f"{run.name(other, cls, round, seed)}, train"
                  for first, other in (*LSE_OR_MAX, *SMALL_OR_LARGE) if first == model and other in run.profile.models}
        others |= {other: f"{other}, {cls}" for other in BASELINES}
        if 1 in run.profile.rounds[:-1]:
            others["round 1"] = f"{run.name(model, cls, 1, seed)}, train"
        pairs |= {f"{model} − {other}, {cls}, seed {seed}": (f"{name}, train", row) for other, row in others.items()}
    return pairs


def _interval(draws: np.ndarray) -> list[float | None]:
    """Value and 95 % interval of a statistic and its resamples, as JSON, which knows no nan."""
    return [None if np.isnan(end) else end for end in interval(draws)]


def compare_tables(new: Table, published: Table) -> list[Line]:
    """One line for each column of the table: how many of its values came out again, within `ROUNDING`."""
    pairs: dict[str, dict[str, tuple]] = {}
    for name in {**published, **new}:
        columns = new.get(name, {}), published.get(name, {})
        for column in {**columns[1], **columns[0]}:
            pairs.setdefault(column, {})[name] = tuple(table.get(column) for table in columns)
    return [_line(column, values, ROUNDING) for column, values in pairs.items()]


def _line(what: str, pairs: Mapping[str, tuple], tolerance: float) -> Line:
    """Compare pairs of (new, published) values, None where there is none."""
    differing, largest = [], 0.0
    for name, pair in pairs.items():
        new, published = (np.array(values, float) for values in pair)
        if new.shape != published.shape or not np.allclose(new, published, rtol=0, atol=tolerance, equal_nan=True):
            differing.append(name)
        if new.shape == published.shape:
            largest = max(largest, float(np.nanmax(np.abs(new - published), initial=0)))
    return Line(what, len(pairs) - len(differing), len(pairs), largest, next(iter(differing), ""))


def compare_scores(run: RunFolder, images: int, work: Path) -> list[Line]:
    """Score val images again with each network of the published run, and compare with its evidence.

    `images` is how many, evenly spaced over those at hand (0: all). The folder `work` is for score maps and
    superpixels, from which an interrupted check goes on.
    """
    from ..evidence.builders import label_checksum
    from ..evidence.scoring import score_image
    from ..evidence.superpixels import order_statistic, oversegment_cached
    from ..training.mining import evenly_spaced
    from .make import load_network, map_cache, superpixel_cache

    data, regions, lines, caches = run.segmentation("val"), run.regions("val"), [], replace(run, folder=work)
    at_hand = np.flatnonzero(np.isin(regions.ids, data.ids))
    if not len(at_hand):
        raise LsegreproError(f"none of the {len(regions)} images of {run.regions_path('val')} is in {data.description}")
    for network in run.last_networks():
        scores, weights, name = run.scores(*network), load_network(run, *network), run.name(*network)
        superpixels, whole_images, maps = {}, {}, map_cache(caches, weights)
        chosen = evenly_spaced(at_hand, images or len(at_hand))
        for i in tqdm(chosen, desc=name, unit="image", disable=not run.progress):
            key, rows = regions.ids[i], slice(regions.offsets[i], regions.offsets[i + 1])
            image = data.image(data.ids.index(key))
            prob_u16, image_scores = score_image(weights, image, run.profile.scoring, maps / f"{key}.npz")
            labels = oversegment_cached(image, regions.superpixels, superpixel_cache(caches))
            if label_checksum(labels) != regions.label_checksums[i]:
                tqdm.write(f"{key} is cut into other superpixels here, and not compared", sys.stderr)
                continue
            superpixels[key] = order_statistic(prob_u16, labels) / 65535, scores.statistics[rows] / 65535
            whole_images[key] = image_scores, scores.image_scores[i]
        lines += [_line(f"{name}, superpixels", superpixels, TOLERANCE[run.profile.scoring.precision]),
                  _line(f"{name}, image scores", whole_images, SCORE_TOLERANCE)]
    return lines
