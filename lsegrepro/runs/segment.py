"""Segment any photograph with a trained network: the three pictures of Figure 6."""

from __future__ import annotations

import errno
import os
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from ..network import dense
from .. import paper
from ..data.images import EXTENSIONS, load_image, resize
from ..files import LsegreproError, one_line, printable
from ..evaluation import threshold
from ..files import atomic
from ..config import load_profile
from .publish import PROFILE, PUBLISHED
from .folder import Run, open_run
from ..config import Superpixels
from ..evidence.superpixels import oversegment, smooth
from ..figures.overlays import overlay
from ..network.weights import Weights, load_weights


@dataclass(frozen=True)
class Segmentation:
    """One photograph, segmented.

    Attributes
    ----------
    codes : ndarray
        (H, W) uint16, floor(p * 65535).
    smoothed : ndarray
        (H, W) uint16, the order statistic of each pixel's superpixel.
    theta : float
    """

    codes: np.ndarray
    smoothed: np.ndarray
    theta: float

    @property
    def mask(self) -> np.ndarray:
        """(H, W) bool: foreground after the majority vote of the superpixels."""
        return self.smoothed > threshold(self.theta)


def segment(
    weights: Weights, image: np.ndarray, theta: float, superpixels: Superpixels | None = None
) -> Segmentation:
    """Segment a photograph (H, W, 3) uint8 (Section 3.3).

    Parameters
    ----------
    superpixels : Superpixels, optional
        Default those of the published run, which its theta was chosen with; beyond a megapixel
        they are those of a reduced copy (`cut`).

    Raises
    ------
    LsegreproError
        If theta is outside [0, 1).
    """
    threshold(theta)
    codes = dense.to_codes(dense.probability_map(weights.net, image))
    return Segmentation(codes, smooth(codes, cut(image, superpixels or load_profile(PROFILE).superpixels)), theta)


def cut(image: np.ndarray, params: Superpixels, pixels: int = 1_000_000) -> np.ndarray:
    """Superpixels of a photograph of any size, in bounded memory.

    Felzenszwalb's method takes about 1 GB for 3 megapixels, and its parameters are made for
    photographs of a fraction of one. A larger photograph is cut on a copy of about `pixels`
    pixels; each of its own pixels takes the label of the nearest of the copy.

    Parameters
    ----------
    image : ndarray
        (H, W, 3) uint8.
    params : Superpixels

    Returns
    -------
    ndarray
        (H, W) int32, every label of 0 .. S-1 used.

    Examples
    --------
    >>> halves = np.zeros((40, 60, 3), np.uint8)
    >>> halves[:, 30:] = 255
    >>> labels = cut(halves, Superpixels(), pixels=600)
    >>> labels.shape, np.unique(labels[:, :30]).tolist(), np.unique(labels[:, 30:]).tolist()
    ((40, 60), [0], [1])
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


def published_run(device: str = "auto") -> Run:
    """The versioned run of the photographs; nothing is computed in it."""
    return open_run(PROFILE, PUBLISHED, device=device, compute=False)


def published_network(model: str, cls: str, device: str = "auto") -> tuple[Weights, float]:
    """The published network of a class, of its last round, and the theta chosen for it on VOC train.

    Raises
    ------
    LsegreproError
        If none was published.
    """
    from .results import last_network

    run = published_run(device)
    run.name(model, cls)  # refuses an unknown model or class
    if found := last_network(run, model, cls):
        round, theta = found
        return run.weights(model, cls, round), theta
    raise LsegreproError(
        f"no network of {model} for {cls} is published with this version: train one (lsegrepro train) and name its "
        "file with --weights"
    )


def photographs(paths: Iterable[str | Path]) -> list[Path]:
    """Files as they are; of a folder, the photographs in it. Raises `LsegreproError` if a folder has none."""
    found: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            try:
                inside = sorted(p for p in path.iterdir() if p.suffix.lower() in EXTENSIONS)
            except OSError as error:
                raise LsegreproError(f"cannot read the folder {path}: {error.strerror or error}") from error
            if not inside:
                raise LsegreproError(f"no photograph in the folder {path} ({', '.join(EXTENSIONS)})")
            found += inside
        else:
            found.append(path)
    return found


def stems(files: Sequence[Path]) -> list[str]:
    """What the results of photographs are called: their names without the extension, or with it where two share one.

    Names that differ in case alone, or in how an accent is written, are one name on some file systems.

    Raises
    ------
    LsegreproError
        If two photographs have one name nevertheless.

    >>> stems([Path("a/cat.jpg"), Path("a/Cat.png"), Path("a/dog.jpg")])
    ['cat.jpg', 'Cat.png', 'dog']
    """
    def key(name: str) -> str:
        return unicodedata.normalize("NFC", name).casefold()

    shared = Counter(key(path.stem) for path in files)
    found = [path.stem if shared[key(path.stem)] == 1 else path.name for path in files]
    same = Counter(map(key, found))
    for name in found:
        if same[key(name)] > 1:
            raise LsegreproError(
                f"{same[key(name)]} photographs are called {name}, and their results would overwrite each "
                "other: segment each folder by itself, into its own folder with --out"
            )
    return found


def segment_files(
    paths: Sequence[str | Path], cls: str, *, out: str | Path, theta: float | None = None,
    model: str | None = None, weights: str | Path | None = None, device: str = "auto",
) -> int:
    """Segment files into `out`: ``NAME-CLASS-{probability,mask,overlay}.png`` each.

    The probability map is 16-bit grey, 65535 for p = 1; the mask is 255 where p > theta
    after smoothing. NAME is that of `stems`. Of several photographs, one that cannot be segmented is
    named on stderr, in one line, and passed over.

    Parameters
    ----------
    model : str, optional
        Default LSE1; with `weights`, theirs.

    Returns
    -------
    int
        How many could not be segmented.

    Raises
    ------
    LsegreproError
        For an unknown class or model, theta outside [0, 1), unusable weights, a folder that cannot be
        written to or is one of those that are segmented, two photographs of one name, or a single one
        that cannot be segmented.
    """
    if cls not in paper.CLASSES:
        raise LsegreproError(f"unknown class {cls!r}: choose one of {', '.join(paper.CLASSES)}")
    if theta is not None:
        threshold(theta)
    files = photographs(paths)
    names = stems(files)
    if any(path.is_dir() and os.path.realpath(path) == os.path.realpath(out) for path in paths):
        raise LsegreproError(f"{out} is a folder of photographs: the next call would take the results for some of "
                             "them; choose another --out")
    if len(files) == 1:
        load_image(files[0])  # says what is wrong with it, in one line, before a network is loaded
    if weights is None:
        network, chosen = published_network(model or "LSE1", cls, device)
    else:
        network, chosen = load_weights(weights, model=model, cls=cls), paper.THETA[cls]
        network.net.to(open_run(device=device).torch_device, memory_format=torch.channels_last)
    theta = chosen if theta is None else theta
    failures, alone = 0, len(files) == 1
    for path, name in tqdm(zip(files, names, strict=True), total=len(files), unit="photograph",
                           disable=alone or not sys.stderr.isatty()):
        try:
            image = load_image(path)
            done = segment(network, image, theta)
            stem = Path(out) / f"{name}-{cls}"
            _save(f"{stem}-probability.png", done.codes)
            _save(f"{stem}-mask.png", done.mask.astype(np.uint8) * 255)
            _save(f"{stem}-overlay.png", overlay(image, done.mask))
        except _Unwritable:
            raise
        except (LsegreproError, MemoryError) as error:
            said, named = one_line(error), printable(str(path))
            said = said if named in said else f"{named}: {said}"
            if alone:
                raise LsegreproError(said) from error
            tqdm.write(f"lsegrepro: {said}", file=sys.stderr)
            failures += 1
            continue
        tqdm.write(printable(f"{path}: {done.mask.mean():.1%} {cls} at theta {theta:g} -> {stem}-*.png"))
    return failures


class _Unwritable(LsegreproError):
    """A result cannot be written, and no other could."""


def _save(path: str | Path, pixels: np.ndarray) -> None:
    try:
        with atomic(path) as temporary:
            Image.fromarray(pixels).save(temporary)
    except LsegreproError as error:
        if getattr(error.__cause__, "errno", None) == errno.ENAMETOOLONG:  # of this photograph alone
            raise
        raise _Unwritable(str(error)) from error
