"""Measure parameters of the superpixels with the networks of a run, on train."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from ... import evaluation
from ...files import LsegreproError
from ...evidence import Regions
from ..results import GRID_STEP, present_weights, train_curve
from ..folder import RunFolder
from ...config import Superpixels
from .record import Sensitivity, Setting, achievable, read, remaining, write


def record_path(run: RunFolder) -> Path:
    """Where the record of a run is kept."""
    return run.path("evidence", "superpixels", "train", suffix=".npz")


def kept(run: RunFolder) -> Sensitivity | None:
    """The record of a run, None if there is none. Needs neither torch nor photographs.

    Raises
    ------
    LsegreproError
        If the record is damaged, or was measured with other weights or scoring arguments than the run's.
    """
    path = record_path(run)
    if not path.is_file():
        return None
    record = read(path)
    known = {run.name(*n): run.card(*n)["sha256"] for n in run.networks() if run.card_path(*n).is_file()}
    networks = [{**network, "weights_sha256": known.get(network["name"]) or network["weights_sha256"]}
                for network in record.header["networks"]]
    _same(path, record.header, {"networks": networks, "scoring": asdict(run.profile.scoring)})
    return record


def search(run: RunFolder) -> Sensitivity:
    """Measure on train all that `RULE` asks for, going on from what the record holds.

    Raises
    ------
    LsegreproError
        As `measure`.
    """
    record = kept(run)
    while missing := remaining(record):
        record = measure(run, missing)
    return record


def measure(run: RunFolder, params: Iterable[Superpixels]) -> Sensitivity:
    """Measure settings on train with every trained network of round 2; those in the record are not measured again.

    Superpixels come from, and go to, the run's cache; score maps too. The record is written
    after each setting, so that an interrupted call goes on.

    Parameters
    ----------
    params : iterable of Superpixels

    Returns
    -------
    Sensitivity
        Everything in the record, these settings and earlier ones.

    Raises
    ------
    LsegreproError
        If no network is trained, the photographs are not at hand, a network's class is in no image, or
        the record is damaged or of other weights, images or arguments.
    """
    path, record = record_path(run), kept(run)
    missing = [each for each in params if record is None or record.at(each) is None]
    if not missing:
        return record
    header = _header(run)
    if record is not None:
        _same(path, record.header, header)
    for each in missing:
        regions, setting = _measure(run, each)
        if record is None:
            record = Sensitivity(header, present_weights(regions), _totals(run, regions))
        record = replace(record, settings=(*record.settings, setting))
        write(path, record)
    return record


def _measure(run: RunFolder, params: Superpixels) -> tuple[Regions, Setting]:
    from ...evidence.scoring import count_regions, score_set  # torch
    from ..make import load_network, map_cache

    cache, data = run.folder / "cache" / "superpixels", run.segmentation("train")
    regions = count_regions(data, "train", params, cache, progress=run.progress)
    thetas, positives = {}, {}
    for network in _trained(run):
        name, weights = run.name(*network), load_network(run, *network)
        scores = score_set(weights, data, regions, run.profile.scoring, maps=map_cache(run, weights),
                           superpixels=cache, progress=run.progress)
        thetas[name] = train_curve(regions, scores).best(step=GRID_STEP)[0]
        positives[name] = evaluation.per_image_counts(regions, scores, theta=thetas[name])[:, :2]
    reach = {cls: achievable(regions, cls) for cls in _classes(run)}
    return regions, Setting(params, len(regions.counts) / len(regions), reach, thetas, positives)


def _trained(run: RunFolder) -> list[tuple[str, str, int, int]]:
    return [n for n in run.last_networks() if run.weights_path(*n).is_file()]


def _classes(run: RunFolder) -> list[str]:
    return list(dict.fromkeys(n[1] for n in _trained(run)))


def _totals(run: RunFolder, regions: Regions) -> dict[str, np.ndarray]:
    counts = {cls: evaluation.everything_foreground(regions, cls) for cls in _classes(run)}
    return {cls: each[:, :2] for cls, each in counts.items()}  # all are called foreground: TP and FP are the totals


def _header(run: RunFolder) -> dict[str, Any]:
    """What a measurement made now would be of."""
    data, networks = run.segmentation("train"), _trained(run)
    if not networks:
        raise LsegreproError(f"no network of round 2 is in {run.folder}: train one before its superpixels are chosen")
    return {
        "split": "train", "data_digest": data.digest, "images": len(data), "listed": data.listed,
        "networks": [{"name": run.name(*n), "class": n[1], "weights_sha256": run.card(*n).get("sha256")}
                     for n in networks],
        "scoring": asdict(run.profile.scoring), "scikit_image": version("scikit-image"),
    }


def _same(path: Path, found: dict[str, Any], wanted: dict[str, Any]) -> None:
    for key, value in wanted.items():
        if found.get(key) != value:
            raise LsegreproError(f"{path} was measured with {key} = {found.get(key)!r}, the run has {value!r}: "
                                 "delete it or choose another run folder")
