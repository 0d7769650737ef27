"""Score a segmentation set with one network, and condense the scores to evidence."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict
from functools import lru_cache
from itertools import tee
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from ..config import Scoring, Superpixels
from ..data import SegmentationSet
from ..data.images import prepare
from ..files import LsegreproError, atomic, read_npz
from ..network import dense
from ..network.classify import patch_scores
from ..network.devices import device_name
from ..network.weights import Weights
from .builders import RegionsBuilder, ScoresBuilder
from .records import Regions, Scores
from .superpixels import oversegment_all

PACKAGE = Path(__file__).parents[1]
SCORING_MODULES = ("network", "evidence/superpixels.py", "evidence/scoring.py", "data/images.py")


def score_image(
    weights: Weights, image: np.ndarray, args: Scoring, cache: Path | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Foreground probability of every pixel, and the classification scores of the image (H, W, 3) uint8.

    Parameters
    ----------
    cache : path, optional
        A file to store the result in, or to read it from if it is of this image and these arguments; its path must
        identify the network.

    Returns
    -------
    prob_u16 : ndarray
        (H, W) uint16, floor(p * 65535).
    image_scores : ndarray
        (2,) float32: the largest foreground and background score of the N test patches of the
        prepared image (Section 4, "taking the maximum score").
    """
    identity = json.dumps({"scoring": asdict(args), "image": [image.shape, zlib.crc32(np.ascontiguousarray(image))]})
    if cache is not None:
        with suppress(LsegreproError):  # absent or damaged: it is only a cache
            stored, *result = read_npz(cache, ("identity", "prob_u16", "image_scores")).values()
            if str(stored) == identity:
                return tuple(result)
    p = dense.probability_map(weights.net, image, scale_to=args.scale_to or None, precision=args.precision)
    device = next(weights.net.parameters()).device
    prepared = torch.from_numpy(np.array(prepare(image)))[None].to(device)
    prob_u16, image_scores = dense.to_prob_u16(p), patch_scores(weights.net, prepared)[0].amax(0).cpu().numpy()
    if cache is not None:
        with atomic(cache) as temporary:
            np.savez(temporary, identity=np.array(identity), prob_u16=prob_u16, image_scores=image_scores)
    return prob_u16, image_scores


def count_regions(
    data: SegmentationSet, split: str, params: Superpixels, folder: Path | None, *, progress: bool = True,
    workers: int | None = None,
) -> Regions:
    """Over-segment every image and count the ground truth in each superpixel (no network takes part)."""
    builder = RegionsBuilder(split, data.digest, params, absent=data.absent, listed=data.listed)
    label_maps = oversegment_all(map(data.image, range(len(data))), params, folder, workers)
    for i, labels in enumerate(_bar(label_maps, data, f"superpixels of {split}", progress)):
        builder.add(data.ids[i], labels, data.mask(i))
    return builder.build()


def score_set(
    weights: Weights, data: SegmentationSet, regions: Regions, args: Scoring, *, maps: Path | None = None,
    superpixels: Path | None = None, progress: bool = True,
) -> Scores:
    """Score every image of a set, whose regions are those of `count_regions`.

    `maps` and `superpixels` are folders that cache the scores and the superpixels of each image; an interrupted scoring
    resumes from them. Raises `LsegreproError` if the regions are of other data.
    """
    if regions.data_digest != data.digest:
        raise LsegreproError(f"the regions of {regions.split} were counted on other data than {data.description}")
    card = weights.card["arguments"]
    builder = ScoresBuilder(regions, {
        "model": card["model"], "class": card["cls"], "round": card["round"], "seed": card["seed"],
        "split": regions.split, "weights_sha256": weights.sha256, "arguments": asdict(args),
        "device": device_name(next(weights.net.parameters()).device, args.precision), "code_digest": code_digest(),
    })
    title = f"{card['model']} {card['cls']} round {card['round']} on {regions.split}"
    images, images_again = tee(map(data.image, range(len(data))))  # each is read once, for both
    label_maps = oversegment_all(images, regions.superpixels, superpixels, workers=1)
    for i, (labels, image) in enumerate(_bar(zip(label_maps, images_again, strict=True), data, title, progress)):
        cache = maps / f"{data.ids[i]}.npz" if maps is not None else None
        prob_u16, image_scores = score_image(weights, image, args, cache)
        builder.add(prob_u16, labels, data.mask(i), image_scores)
    return builder.build()


def _bar(items: Iterable, data: SegmentationSet, title: str, progress: bool) -> tqdm:
    return tqdm(items, total=len(data), desc=title, unit="image", disable=not progress, mininterval=1)


@lru_cache
def code_digest(package: Path = PACKAGE) -> str:
    """Digest (16 hex digits) of the source from a photograph and weights to scores: of `SCORING_MODULES`.

    A comment changes it too, so a difference calls for a look, and is no reason to refuse anything. A run's cache of
    score maps is named by it, so that evidence never mixes two versions.
    """
    total = hashlib.sha256()
    for path in (package / name for name in SCORING_MODULES):
        for source in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            # Read as text: a checkout with other line ends is the same code.
            total.update(f"\n# {source.relative_to(package).as_posix()}\n{source.read_text(encoding='utf-8')}".encode())
    return total.hexdigest()[:16]
