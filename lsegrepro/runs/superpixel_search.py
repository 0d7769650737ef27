"""Choose the parameters of the superpixels on VOC train; val takes no part.

The paper names its superpixels and no parameter of them (Section 3.3). `search_superpixels` tries a grid and keeps
what it measured as a table, ``statistics/superpixels.json``, which pages read with `read_search`.
"""

from __future__ import annotations

import itertools
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .. import evaluation
from ..config import Superpixels
from ..evaluation import Interval
from ..evidence import Regions
from ..files import LsegreproError, read_json, write_json
from .folder import RunFolder, missing
from .results import GRID_STEP, present_weights, train_curve
from .statistics import statistics_path

SCALES = (50.0, 100.0, 200.0, 400.0, 800.0)
MIN_SIZES = (50, 100, 200, 400)
SIGMAS = (0.5, 1.2)
"""Beside the default 0.8, which the grid of scale and min_size is measured at."""

FLOOR = 0.85
"""Least achievable IoU of a choice. Without it, networks that find little choose superpixels as large as whole
objects, which would cap every better network."""

RULE = (
    "every scale with every min_size at sigma 0.8, then the other sigmas at the best of these; chosen is the "
    "largest mean AP over the networks, each at its best theta among multiples of 0.005, among the settings that "
    f"leave an IoU of {FLOOR:g} or more achievable, all on train; of equal ones that with the fewest superpixels"
)
"""How `search_superpixels` chooses, in words."""


@dataclass(frozen=True)
class Setting:
    """Parameters of the superpixels and what they give on train.

    Attributes
    ----------
    params : Superpixels
    superpixels : float
        Mean number in an image.
    achievable : dict
        Class to the IoU, a fraction, when each superpixel takes the truth of most of its pixels (`achievable`).
    ap : dict
        Name of a network to its AP, a fraction, at its best theta.
    less_chosen : dict
        Name of a network to its AP less that with the chosen parameters: a paired `Interval` over images.
    """

    params: Superpixels
    superpixels: float
    achievable: dict[str, float]
    ap: dict[str, float]
    less_chosen: dict[str, Interval]

    @property
    def mean_ap(self) -> float:
        """Mean AP over the networks, what the choice is made by."""
        return float(np.mean(list(self.ap.values())))


def choose_setting(settings: list[Setting]) -> Setting:
    """The choice by `RULE`; if no setting reaches `FLOOR`, the one that comes nearest to it."""
    return max(settings, key=lambda s: (min(FLOOR, *s.achievable.values()), s.mean_ap, -s.superpixels))


def read_search(run: RunFolder) -> list[Setting]:
    """Read the settings that were measured for a run, in the order measured.

    Raises
    ------
    LsegreproError
        If there is no such file, or it was measured with other networks than the run's.
    """
    path = statistics_path(run, "superpixels")
    if not path.is_file():
        raise missing(run, path, "statistics --superpixels")
    content = read_json(path)
    try:
        digests = dict(content["networks"])
        settings = [Setting(Superpixels(**row["params"]), row["superpixels"], row["achievable"], row["ap"],
                            {name: Interval(*values) for name, values in row["less_chosen"].items()})
                    for row in content["settings"]]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise LsegreproError(f"{path} is no table of superpixel parameters: delete it and measure again") from error
    for network in run.last_networks():
        name = run.name(*network)
        digest = digests.get(name)
        if digest and run.card_path(*network).is_file() and run.card(*network)["sha256"] != digest:
            raise LsegreproError(f"{path} was measured with other weights of {name} than the run's: delete it")
    return settings


def search_superpixels(run: RunFolder) -> list[Setting]:
    """Measure the grid of `RULE` on train with every trained network of the last round, and write the table.

    Superpixels and score maps are cached in the run's folder, so that an interrupted search soon comes to where it
    was.

    Raises
    ------
    LsegreproError
        If no network is trained, or the photographs are not at hand.
    """
    networks = [n for n in run.last_networks() if run.weights_path(*n).is_file()]
    if not networks:
        raise LsegreproError(f"no network of the last round is in {run.folder}: train one before its superpixels are "
                             "chosen")
    sigma = Superpixels().sigma
    measured = {params: _measure(run, networks, params) for params in
                (Superpixels(scale, sigma, size) for scale, size in itertools.product(SCALES, MIN_SIZES))}
    best = choose_setting([_setting(p, m) for p, m in measured.items()]).params
    measured |= {params: _measure(run, networks, params) for params in
                 (Superpixels(best.scale, other, best.min_size) for other in SIGMAS)}
    chosen = choose_setting([_setting(p, m) for p, m in measured.items()]).params
    settings = [_setting(params, m, measured[chosen]) for params, m in measured.items()]
    write_json(statistics_path(run, "superpixels"), {
        "command": f"lsegrepro statistics --superpixels --profile {run.profile.spec}", "rule": RULE,
        "data_digest": run.segmentation("train").digest, "scoring": asdict(run.profile.scoring),
        "networks": {run.name(*n): run.card(*n)["sha256"] for n in networks},
        "settings": [asdict(s) | {"less_chosen": {name: [i.value, i.low, i.high] for name, i in s.less_chosen.items()}}
                     for s in settings],
    })
    return settings


def _measure(run: RunFolder, networks: list[tuple], params: Superpixels) -> dict[str, Any]:
    """Superpixels an image, achievable IoU by class, and weighted counts (n, 4) of each network at its best theta."""
    from ..evidence.scoring import count_regions, score_set  # torch
    from .make import load_network, map_cache, superpixel_cache

    cache, data = superpixel_cache(run), run.segmentation("train")
    regions = count_regions(data, "train", params, cache, progress=run.progress)
    counts = {}
    for network in networks:
        weights = load_network(run, *network)
        scores = score_set(weights, data, regions, run.profile.scoring, maps=map_cache(run, weights),
                           superpixels=cache, progress=run.progress)
        theta = train_curve(regions, scores).best(step=GRID_STEP)[0]
        per_image = evaluation.per_image_counts(regions, scores, theta=theta)
        counts[run.name(*network)] = per_image * present_weights(regions)[:, None]
    return {"superpixels": len(regions.counts) / len(regions), "counts": counts,
            "achievable": {n[1]: achievable(regions, n[1]) for n in networks}}


def _setting(params: Superpixels, measured: dict[str, Any], chosen: dict[str, Any] | None = None) -> Setting:
    counts = measured["counts"]
    less = {} if chosen is None else {name: evaluation.bootstrap_difference(c, chosen["counts"][name])
                                      for name, c in counts.items()}
    return Setting(params, measured["superpixels"], measured["achievable"],
                   {name: float(evaluation.ap(c.sum(axis=0))) for name, c in counts.items()}, less)


def achievable(regions: Regions, cls: str) -> float:
    """IoU of a class, a fraction, when each superpixel takes the truth of most of its pixels (a tie: background).

    >>> from lsegrepro.evidence import RegionsBuilder
    >>> builder = RegionsBuilder("train", "digest", Superpixels(), absent=[], listed=1)
    >>> builder.add("a", np.array([[0] * 6 + [1] * 6]), np.array([[8] * 5 + [0] + [8] * 2 + [0] * 4], np.uint8))
    >>> achievable(builder.build(), "cat")  # 5 found, 1 wrong, 2 missed
    0.625
    """
    fg, bg = regions.pixels(cls)
    taken = fg > bg
    return float(evaluation.ap(np.array([fg[taken].sum(), bg[taken].sum(), fg[~taken].sum(), 0])))
