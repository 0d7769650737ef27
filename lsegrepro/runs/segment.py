"""Segment photographs with a trained network (Section 3.3): the three pictures of Figure 6."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from tqdm import tqdm

from .. import paper
from ..config import Superpixels, load_profile
from ..data import images
from ..data.images import load_image, resize
from ..evaluation import threshold
from ..evidence.superpixels import oversegment, smooth
from ..figures.overlays import overlay
from ..files import LsegreproError, atomic, printable
from .folder import Network, RunFolder, open_run
from .published import PROFILE, PUBLISHED
from .results import last_network

if TYPE_CHECKING:
    from ..network.weights import Weights


@dataclass(frozen=True, eq=False)
class Segmentation:
    """A segmented image."""

    image: np.ndarray  # (H, W, 3) uint8
    codes: np.ndarray  # (H, W) uint16, floor(p * 65535), p the probability of the class
    labels: np.ndarray  # (H, W) int32, superpixels
    theta: float

    @cached_property
    def smoothed(self) -> np.ndarray:
        """(H, W) uint16, the order statistic of each pixel's superpixel."""
        return smooth(self.codes, self.labels)

    @property
    def mask(self) -> np.ndarray:
        """(H, W) bool: foreground after the majority vote of the superpixels."""
        return self.smoothed > threshold(self.theta)


def segment(weights: Weights, image: np.ndarray, theta: float) -> Segmentation:
    """Segment a photograph (H, W, 3) uint8 with the superpixels of the published run, which its theta was chosen with.

    Raises `LsegreproError` if theta is outside [0, 1).
    """
    from ..network import dense

    threshold(theta)
    codes = dense.to_prob_u16(dense.probability_map(weights.net, image))
    return Segmentation(image, codes, superpixel_labels(image, load_profile(PROFILE).superpixels), theta)


def segment_with(
    run: RunFolder, network: Network, image: np.ndarray, theta: float, val_id: str | None = None,
    labels: np.ndarray | None = None,
) -> Segmentation:
    """Segment an image (H, W, 3) uint8 with a network of a run, in float32.

    An image of val, of the id `val_id`, is scored as the run's evidence was, and its score map kept in the run's cache.
    `labels` are its superpixels, (H, W) int32, where they are known.
    Raises `LsegreproError` if the weights are not there.
    """
    from ..evidence.scoring import score_image
    from .make import load_network, map_cache

    weights, scoring = load_network(run, *network), run.profile.scoring
    if val_id is None:
        codes, _ = score_image(weights, image, dataclasses.replace(scoring, precision="float32"))
    else:
        codes, _ = score_image(weights, image, scoring, map_cache(run, weights) / f"{val_id}.npz")
    return Segmentation(image, codes, oversegment(image, run.profile.superpixels) if labels is None else labels, theta)


def superpixel_labels(image: np.ndarray, params: Superpixels, pixels: int = 1_000_000) -> np.ndarray:
    """Superpixels of a photograph (H, W, 3) uint8 of any size, in bounded memory: (H, W) int32, every label used.

    Felzenszwalb's method takes about 1 GB for 3 megapixels, and its parameters are made for photographs of a fraction
    of one. A larger photograph is cut on a copy of about `pixels` pixels, and each of its own takes the label of the
    nearest of the copy.
    """
    height, width = image.shape[:2]
    if height * width <= pixels:
        return oversegment(image, params)
    factor = (pixels / (height * width)) ** 0.5
    sides = (min(pixels, max(1, round(side * factor))) for side in (height, width))
    labels = oversegment(resize(image, *sides), params)
    # Each row and column of the copy is the nearest of some of the photograph's, so no label is lost.
    rows, columns = (((np.arange(side) + 0.5) * small / side).astype(int)
                     for side, small in zip((height, width), labels.shape, strict=True))
    return labels[rows[:, None], columns]


def published_run(device: str = "auto") -> RunFolder:
    """The run of the photographs that is versioned with the book."""
    return open_run(PROFILE, PUBLISHED, device=device)


def published_network(model: str, cls: str, device: str = "auto") -> tuple[Weights, float]:
    """The published network of a class, of its last round, and the theta chosen for it on VOC train."""
    from .make import load_network

    run = published_run(device)
    if last := last_network(run, model, cls):
        round, theta = last
        return load_network(run, model, cls, round), theta
    raise LsegreproError(f"no network of {model} for {cls} is published with this version: train one (lsegrepro train) "
                         "and name its file with --weights")


# Files


def segment_files(
    paths: Sequence[str | Path], cls: str, *, out: str | Path, theta: float | None = None,
    model: str | None = None, weights: str | Path | None = None, device: str = "auto",
) -> int:
    """Segment files into `out`: ``NAME-CLASS-{probability,mask,overlay}.png`` each, and count those that failed.

    The probability map is 16-bit grey, 65535 for p = 1; the mask is 255 where p > theta after smoothing. Of several
    photographs, one that cannot be segmented is named on stderr and passed over. Without `weights` the network is the
    published one (LSE1, if no `model` is named) and theta the one chosen for it on VOC train; with them theta is by
    default the paper's. Raises `LsegreproError`, also for a single photograph that cannot be segmented.
    """
    import torch

    from ..network.devices import parse_device
    from ..network.weights import load_weights

    threshold(0.0 if theta is None else theta)
    if any(Path(path).is_dir() and os.path.realpath(path) == os.path.realpath(out) for path in paths):
        raise LsegreproError(f"{out} is a folder of photographs: the next call would take the results for some of "
                             "them; choose another --out")
    photographs = _find_photographs(paths)
    name, count = Counter(path.stem for path in photographs).most_common(1)[0]
    if count > 1:
        raise LsegreproError(f"{count} photographs are called {name}, and their results would overwrite each other: "
                             "segment them one by one, each into its own folder with --out")
    if weights is None:
        network, default_theta = published_network(model or "LSE1", cls, device)
    else:
        network, default_theta = load_weights(weights, model=model, cls=cls), paper.THETA[cls]
        network.net.to(parse_device(device), memory_format=torch.channels_last)
    alone, failures = len(photographs) == 1, 0
    for path in tqdm(photographs, unit="photograph", disable=alone or not sys.stderr.isatty()):
        stem = f"{Path(out) / path.stem}-{cls}"
        try:
            result = segment(network, load_image(path), default_theta if theta is None else theta)
            _write_pictures(stem, result)
        except LsegreproError as error:
            if alone:
                raise
            tqdm.write(f"lsegrepro: {printable(str(path))}: {error}", file=sys.stderr)
            failures += 1
        else:
            tqdm.write(printable(f"{path}: {result.mask.mean():.1%} {cls} at theta {result.theta:g} -> {stem}-*.png"))
    return failures


def _find_photographs(paths: Iterable[str | Path]) -> list[Path]:
    """Files as they are; of a folder, the photographs in it, and what else it holds is counted on stderr."""
    files: list[Path] = []
    for path in map(Path, paths):
        if not path.is_dir():
            files.append(path)
            continue
        names, others = images.list_photographs(path)
        if not names:
            raise LsegreproError(f"no photograph in the folder {path} ({', '.join(images.EXTENSIONS)})"
                                 f"{images.describe_others(others)}")
        if others:
            print(printable(f"lsegrepro: {path}: {len(names):,} photographs{images.describe_others(others)}"),
                  file=sys.stderr)
        files += [path / name for name in names]
    return files


def _write_pictures(stem: str, result: Segmentation) -> None:
    pictures = {"probability": result.codes, "mask": result.mask.astype(np.uint8) * 255,
                "overlay": overlay(result.image, result.mask)}
    for kind, pixels in pictures.items():
        with atomic(f"{stem}-{kind}.png") as temporary:
            Image.fromarray(pixels).save(temporary)
