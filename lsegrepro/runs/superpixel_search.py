"""Choose the parameters of the superpixels on VOC train; val takes no part.

The paper names its superpixels and no parameter of them (Section 3.3). `search_superpixels` measures every scale with
every min_size at the default sigma, then the other sigmas at the best of these, and writes a table,
``statistics/superpixels.json``, which pages read with `read_search`.
"""

import itertools
from dataclasses import asdict, dataclass

import numpy as np

from .. import evaluation
from ..config import Superpixels
from ..evidence import Regions
from ..files import LsegreproError, read_json, write_json
from .folder import RunFolder, require_file, require_same
from .results import GRID_STEP, train_curve
from .statistics import statistics_path

SCALES = (50.0, 100.0, 200.0, 400.0, 800.0)
MIN_SIZES = (50, 100, 200, 400)
SIGMAS = (0.5, 1.2)
"""Beside the default 0.8, which the grid of scale and min_size is measured at."""

MIN_ACHIEVABLE = 0.85
"""Least achievable IoU of a choice. Without it, networks that find little choose superpixels as large as whole
objects, which would cap every better network."""


@dataclass(frozen=True)
class Setting:
    """Parameters of the superpixels and what they give on train."""

    params: Superpixels
    superpixels: float  # mean number in an image
    achievable: dict[str, float]  # class to the IoU when each superpixel takes the truth of most of its pixels
    ap: dict[str, float]  # name of a network to its AP, a fraction, at its best theta

    @property
    def mean_ap(self) -> float:
        """Mean AP over the networks, what the choice is made by."""
        return float(np.mean(list(self.ap.values())))


def choose_setting(settings: list[Setting]) -> Setting:
    """Of the settings that leave `MIN_ACHIEVABLE` achievable, the one of largest mean AP, then of fewest superpixels.

    If no setting reaches `MIN_ACHIEVABLE`, the one that comes nearest to it.
    """
    return max(settings, key=lambda s: (min(MIN_ACHIEVABLE, *s.achievable.values()), s.mean_ap, -s.superpixels))


def read_search(run: RunFolder) -> list[Setting]:
    """Read the settings that were measured for a run, in the order measured; refused if of other networks."""
    path = statistics_path(run, "superpixels")
    require_file(run, path, "experiment superpixels")
    content = read_json(path)
    own = {run.name(*n): run.card(*n)["sha256"] for n in run.last_networks() if run.card_path(*n).is_file()}
    measured = content["networks"]
    require_same(run, path, {name: digest for name, digest in own.items() if name in measured}, measured)
    return [Setting(**row | {"params": Superpixels(**row["params"])}) for row in content["settings"]]


def search_superpixels(run: RunFolder) -> list[Setting]:
    """Measure the grid on train with every trained network of the last round, and write the table.

    Superpixels and score maps are cached, so that an interrupted search soon comes to where it was.
    """
    from ..evidence.scoring import count_regions, score_set  # torch
    from .make import load_network, map_cache, superpixel_cache

    networks = {run.name(*n): load_network(run, *n) for n in run.last_networks() if run.weights_path(*n).is_file()}
    if not networks:
        raise LsegreproError(f"no network of the last round is in {run.folder}: train one before its superpixels are "
                             "chosen")
    cache, data = superpixel_cache(run), run.segmentation("train")

    def measure(scale: float, sigma: float, min_size: int) -> Setting:
        params, ap = Superpixels(scale, sigma, min_size), {}
        regions = count_regions(data, "train", params, cache, progress=run.progress)
        for name, weights in networks.items():
            scores = score_set(weights, data, regions, run.profile.scoring, maps=map_cache(run, weights),
                               superpixels=cache, progress=run.progress)
            ap[name] = train_curve(regions, scores).best(step=GRID_STEP)[1]
        reach = {weights.cls: achievable(regions, weights.cls) for weights in networks.values()}
        return Setting(params, len(regions.counts) / len(regions), reach, ap)

    settings = [measure(scale, Superpixels().sigma, size) for scale, size in itertools.product(SCALES, MIN_SIZES)]
    best = choose_setting(settings).params
    settings += [measure(best.scale, sigma, best.min_size) for sigma in SIGMAS]
    write_json(statistics_path(run, "superpixels"), {
        "command": f"lsegrepro experiment superpixels --profile {run.profile.spec}",
        "data_digest": data.digest, "scoring": asdict(run.profile.scoring),
        "networks": {name: weights.sha256 for name, weights in networks.items()},
        "settings": [asdict(setting) for setting in settings],
    })
    return settings


def achievable(regions: Regions, cls: str) -> float:
    """IoU of a class, a fraction, when each superpixel takes the truth of most of its pixels (a tie: background)."""
    fg, bg = regions.pixels(cls)
    taken = fg > bg
    return float(evaluation.ap(np.array([fg[taken].sum(), bg[taken].sum(), fg[~taken].sum(), 0])))
