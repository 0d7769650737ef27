"""Scores recomputed from weights, against the evidence: superpixel by superpixel.

`TOLERANCE` is stated for the probability of a superpixel; what is allowed for a histogram and for an
AP follows from it.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ... import evaluation
from ...config import Scoring
from ...files import LsegreproError
from ...evidence import GRID, META_KEYS, Regions, Scores, ScoresBuilder
from ...training.mining import spread
from ..results import choose_theta
from ..folder import RunFolder
from ..make import load_network, map_cache
from ...evidence.scoring import score_image
from ...evidence.superpixels import oversegment_all
from .numbers import network_name
from .verdicts import Verdict


@dataclass(frozen=True)
class Tolerance:
    """How far the p of a superpixel may move on another machine: in the mean, and at most."""

    mean: float
    largest: float


TOLERANCE = {"float32": Tolerance(2e-4, 2e-3), "bfloat16": Tolerance(2e-3, 3e-2)}
"""By the arithmetic that the evidence states.

bfloat16: three times what its rounding was seen to do. On 8 images and four networks it moved p by up to
0.0007 in the mean and 0.009 at most against float32, and two machines may round two ways. float32: a GPU
multiplies in TF32, with three bits more than bfloat16 and so an eighth of its error, taken to be up to a
tenth. On one processor both should be 0, and on another float32 nearly so.
"""


@dataclass(frozen=True, eq=False)
class Part:
    """Some images of the evidence of a network, and the same scored again.

    Attributes
    ----------
    regions : Regions
        Of these images alone; T superpixels.
    kept, found : ndarray
        (T,) int64, order statistics in codes: from the evidence, and recomputed.
    kept_histograms, found_histograms : ndarray
        (2, n, GRID + 1) int64, of raw pixels inside and outside the class mask.
    kept_images, found_images : ndarray
        (n, 2) float32, image scores.
    """

    regions: Regions
    kept: np.ndarray
    found: np.ndarray
    kept_histograms: np.ndarray
    found_histograms: np.ndarray
    kept_images: np.ndarray
    found_images: np.ndarray


def rescore(run: RunFolder, images: int, cache: Path, *, progress: bool = True) -> dict[tuple, Part]:
    """Score part of val again with every published network, those of the last round: network -> `Part`.

    Parameters
    ----------
    run : RunFolder
        The published one, with the reader's photographs.
    images : int
        So many, evenly spaced over those of the evidence that are at hand; 0 takes all.
    cache : path
        Folder that keeps what was scored, so that an interrupted check goes on.

    Raises
    ------
    LsegreproError
        If no image of the evidence is at hand, or one is cut into other superpixels here.
    """
    data, regions = run.segmentation("val"), run.regions("val")
    place = {name: i for i, name in enumerate(data.ids)}
    index = np.array([i for i, name in enumerate(regions.ids) if name in place], np.int64)
    if not len(index):
        raise LsegreproError(f"none of the {len(regions)} images of {run.regions_path('val')} is in {data.description}")
    index = spread(index, images or len(index))
    part, where = subset(regions, index), [place[regions.ids[i]] for i in index]
    weights = {network: load_network(run, *network) for network in run.last_networks()}
    kept = {network: run.scores(*network) for network in weights}
    again = {network: ScoresBuilder(part, {key: scores.meta[key] for key in META_KEYS})
             for network, scores in kept.items()}
    cuts = oversegment_all((data.image(i) for i in where), regions.superpixels, cache / "superpixels")
    bar = tqdm(where, desc=f"{len(weights)} networks", unit="image", disable=not progress, mininterval=1)
    for i, cut in zip(bar, cuts, strict=True):
        image, mask = data.image(i), data.mask(i)
        for network, builder in again.items():
            arguments = Scoring(**kept[network].meta["arguments"])
            maps = cache / "maps" / map_cache(run, weights[network]).name
            codes, image_scores = score_image(weights[network], image, arguments, maps / f"{data.ids[i]}.npz")
            builder.add(codes, cut, mask, image_scores)
    return {network: _part(part, kept[network], again[network].build(), index, regions) for network in weights}


def subset(regions: Regions, index: np.ndarray) -> Regions:
    """Some images of regions, as regions of their own.

    Parameters
    ----------
    index : ndarray
        (k,) int64, places of the images.
    """
    return dataclasses.replace(
        regions, ids=tuple(regions.ids[i] for i in index), absent=(), listed=len(index), sizes=regions.sizes[index],
        offsets=np.cumsum([0, *np.diff(regions.offsets)[index]], dtype=np.int64),
        counts=regions.counts[_superpixels(regions, index)], rings=regions.rings[index],
        label_checksums=regions.label_checksums[index],
    )


def _superpixels(regions: Regions, index: np.ndarray) -> np.ndarray:
    return np.concatenate([np.arange(regions.offsets[i], regions.offsets[i + 1]) for i in index])


def _part(part: Regions, kept: Scores, found: Scores, index: np.ndarray, regions: Regions) -> Part:
    return Part(
        part, kept.statistics[_superpixels(regions, index)].astype(np.int64), found.statistics.astype(np.int64),
        np.stack([kept.foreground[index], kept.background[index]]).astype(np.int64),
        np.stack([found.foreground, found.background]).astype(np.int64),
        kept.image_scores[index], found.image_scores,
    )


def verdicts(run: RunFolder, network: tuple[str, str, int, int], part: Part) -> list[Verdict]:
    """What differs between the two scorings of `part`, each with what is allowed for it."""
    of, allowed = network_name(run, *network), TOLERANCE[run.scores(*network).meta["arguments"]["precision"]]
    apart = np.abs(part.found - part.kept)  # (T,) codes
    mean, largest = float(apart.mean()) / 65535, int(apart.max())
    found = [Verdict(
        of, "p of a superpixel", mean <= allowed.mean and largest <= math.ceil(allowed.largest * 65535),
        f"{len(part.regions):,} images, {len(apart):,} superpixels: differs by {mean:.5f} in the mean, "
        f"{largest / 65535:.5f} ({largest:,} codes) at most;", f"within {allowed.mean:g} and {allowed.largest:g}",
    )]
    steps = math.ceil(allowed.largest * GRID)
    moved = [np.abs(above(a) - above(b)).max() / max(a.sum(), 1)
             for a, b in zip(part.found_histograms, part.kept_histograms, strict=True)]
    found.append(Verdict(
        of, "histograms of raw pixels", _shifted_at_most(part.found_histograms, part.kept_histograms, steps),
        f"up to {100 * max(moved):.2f} % of the pixels pass a theta that they did not;",
        f"within a shift of theta by {steps / GRID:g}",
    ))
    gap = float(np.abs(part.found_images - part.kept_images).max())
    # Always in float32. Two scores that change by s move p by s / 2 where p is 1 / 2, by less towards the ends.
    scores = 4 * TOLERANCE["float32"].largest
    found.append(Verdict(of, "scores of whole images", gap <= scores, f"differ by {gap:.5f} at most;",
                         f"within {scores:g}"))
    theta = choose_theta(run, *network)
    again, before, most = compare_ap(part, network[1], theta, allowed.largest)
    found.append(Verdict(
        of, f"AP on these images at {theta:g}", math.isnan(again) or abs(again - before) <= most,
        f"{100 * again:.2f}", f"{100 * before:.2f}, within {100 * most:.2f}",
    ))
    return found


def above(histograms: np.ndarray) -> np.ndarray:
    """Pixels above each theta of the grid, all images together: (GRID + 1,) from (n, GRID + 1).

    >>> above(np.array([[1, 2, 0], [0, 1, 5]])).tolist()
    [9, 8, 5]
    """
    return histograms.sum(axis=0)[::-1].cumsum()[::-1]


def _shifted_at_most(found: np.ndarray, kept: np.ndarray, steps: int) -> bool:
    """Whether moving each pixel of `kept` (2, n, GRID + 1) by at most so many bins can give `found`."""
    for a, b in zip(found, kept, strict=True):
        new, old = above(a), above(b)
        upper = np.concatenate([np.full(steps, old[0]), old[:-steps]])
        lower = np.concatenate([old[steps:], np.zeros(steps, old.dtype)])
        if (new > upper).any() or (new < lower).any():
            return False
    return True


def compare_ap(part: Part, cls: str, theta: float, tolerance: float) -> tuple[float, float, float]:
    """AP of both scorings at theta, and how far apart they may lie, in fractions.

    A difference in p by so much acts as a shift of theta by so much. So the AP may change by as much as
    the curve of the evidence does within that distance of theta.
    """
    fg, bg = part.regions.pixels(cls)
    new, old = (evaluation.curve(codes.astype(np.uint16), fg, bg) for codes in (part.found, part.kept))
    first = np.searchsorted(old.thetas, max(theta - tolerance, 0), side="right") - 1  # the step that holds it
    near = old.ap[first : np.searchsorted(old.thetas, theta + tolerance, side="right")]
    return float(new.at(theta).ap), float(old.at(theta).ap), float(np.abs(near - old.at(theta).ap).max())
