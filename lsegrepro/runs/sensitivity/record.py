"""What the search tried, what it found and which choice follows: numpy alone."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ... import __version__, evaluation
from ...files import LsegreproError, one_line
from ...evaluation import Interval
from ...evidence import Regions, sealed
from ...config import Superpixels

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
"""How `search` chooses, in words; the record repeats it."""

ASKED = len(SCALES) * len(MIN_SIZES) + len(SIGMAS)
"""Settings that `RULE` measures."""

_KIND = "lsegrepro superpixels"


@dataclass(frozen=True, eq=False)
class Setting:
    """One choice of parameters, measured on train; n images.

    Attributes
    ----------
    params : Superpixels
    superpixels : float
        Mean number in an image.
    achievable : dict
        Class to the IoU, a fraction, when each superpixel takes the truth of most of its pixels:
        what the cut alone leaves within reach (the achievable segmentation accuracy). No network takes part.
    thetas : dict
        Name of a network to its theta of largest AP.
    positives : dict
        Name of a network to (n, 2) int64, true and false positive pixels of each image at that theta.
    """

    params: Superpixels
    superpixels: float
    achievable: dict[str, float]
    thetas: dict[str, float]
    positives: dict[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Sensitivity:
    """Settings measured on one train split with the same networks.

    Attributes
    ----------
    header : dict
        What was measured: ``data_digest``, ``images``, ``listed``, ``networks`` (``name``, ``class`` and
        ``weights_sha256`` of each), ``scoring``, ``scikit_image``, ``package_version``.
    weights : ndarray
        (n,) float64, how many listed images each image stands for (`results.present_weights`).
    totals : dict
        Class to (n, 2) int64, foreground and background pixels of each image.
    settings : tuple of Setting
        In the order measured.
    """

    header: dict[str, Any]
    weights: np.ndarray
    totals: dict[str, np.ndarray]
    settings: tuple[Setting, ...] = ()

    @property
    def networks(self) -> list[str]:
        """Names of the networks, as `Run.name` spells them."""
        return [network["name"] for network in self.header["networks"]]

    def counts(self, setting: Setting, network: str) -> np.ndarray:
        """TP, FP, FN, TN of each image at the network's theta, weighted: (n, 4) float64, for `evaluation`."""
        cls = next(each["class"] for each in self.header["networks"] if each["name"] == network)
        positives = setting.positives[network]
        return np.concatenate([positives, self.totals[cls] - positives], axis=1) * self.weights[:, None]

    def ap(self, setting: Setting, network: str) -> float:
        """AP of a network on train, a fraction."""
        return float(evaluation.ap(self.counts(setting, network).sum(axis=0)))

    def mean_ap(self, setting: Setting) -> float:
        """Mean AP over the networks, what the choice is made by."""
        return float(np.mean([self.ap(setting, network) for network in self.networks]))

    def best(self, settings: Iterable[Setting]) -> Setting:
        """The choice among some settings, by `RULE`; if none reaches the floor, the one that comes nearest to it."""

        def merit(setting: Setting) -> tuple[float, float, float]:
            return min(FLOOR, *setting.achievable.values()), self.mean_ap(setting), -setting.superpixels

        return max(settings, key=merit)

    @cached_property
    def chosen(self) -> Setting:
        """The choice among all settings measured."""
        return self.best(self.settings)

    def at(self, params: Superpixels) -> Setting | None:
        """The setting of these parameters, None if it was not measured."""
        return next((setting for setting in self.settings if setting.params == params), None)

    def along(self, parameter: str) -> list[Setting]:
        """The settings that share the chosen one's other parameters, ascending in `parameter`.

        Where sigma is held, at its default, since scale and min_size were tried at no other.
        """
        held = {**asdict(self.chosen.params), "sigma": Superpixels().sigma}
        held.pop(parameter)
        mine = [s for s in self.settings if all(getattr(s.params, key) == value for key, value in held.items())]
        return sorted(mine, key=lambda s: getattr(s.params, parameter))

    def difference(self, a: Setting, b: Setting, network: str) -> Interval:
        """AP at `a` minus AP at `b`, with a 95 % interval: paired bootstrap over images.

        Each setting keeps its theta; the interval does not know that one was picked as the best of many.
        """
        return evaluation.bootstrap_difference(self.counts(a, network), self.counts(b, network))


def remaining(record: Sensitivity | None) -> list[Superpixels]:
    """What `RULE` asks to be measured next, in order; empty once the search is finished.

    >>> len(remaining(None)), remaining(None)[0]
    (20, Superpixels(scale=50.0, sigma=0.8, min_size=50))
    """
    sigma = Superpixels().sigma
    grid = [Superpixels(scale, sigma, size) for scale, size in itertools.product(SCALES, MIN_SIZES)]
    missing = [params for params in grid if record is None or record.at(params) is None]
    if missing:
        return missing
    best = record.best([record.at(params) for params in grid]).params
    return [params for params in (Superpixels(best.scale, sigma, best.min_size) for sigma in SIGMAS)
            if record.at(params) is None]


def edges(params: Superpixels) -> list[str]:
    """The parameters that lie at an end of what `RULE` tries, so that a value beyond may be better.

    >>> edges(Superpixels(800, 0.8, 100)), edges(Superpixels(200, 0.8, 100))
    (['scale'], [])
    """
    tried = {"scale": SCALES, "min_size": MIN_SIZES, "sigma": SIGMAS}
    return [name for name, values in tried.items() if getattr(params, name) in (min(values), max(values))]


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


# The file


def write(path: Path, record: Sensitivity) -> None:
    """Write a record atomically and sealed; the same content gives the same bytes."""
    header = {
        **record.header, "package_version": __version__, "rule": RULE, "chosen": asdict(record.chosen.params),
        "classes": list(record.totals),
        "settings": [{"params": asdict(s.params), "superpixels": s.superpixels, "achievable": s.achievable,
                      "thetas": s.thetas} for s in record.settings],
    }  # fmt: skip
    sealed.write(path, _KIND, header, {
        "weights": record.weights,
        "totals": np.stack(list(record.totals.values())),  # (classes, n, 2)
        "positives": np.array([[s.positives[name] for name in record.networks] for s in record.settings]),
    })


def read(path: Path) -> Sensitivity:
    """Read a record.

    Raises
    ------
    LsegreproError
        If it is absent, damaged, altered or of another version; the message names the file.
    """
    header, arrays = sealed.read(path, _KIND)
    try:
        names = [network["name"] for network in header["networks"]]
        settings = tuple(
            Setting(**{**said, "params": Superpixels(**said["params"]),
                       "positives": dict(zip(names, positives, strict=True))})
            for said, positives in zip(header.pop("settings"), arrays["positives"], strict=True)
        )  # fmt: skip
        totals = dict(zip(header["classes"], arrays["totals"], strict=True))
        return Sensitivity(header, arrays["weights"], totals, settings)
    except Exception as error:  # sealed, so another program wrote it: its header can hold anything
        raise LsegreproError(f"{path} is refused: {one_line(error)}") from error
