"""What one training step sees: a balanced draw of images, jitter, and N patches each (Section 3.2)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from . import paper, patches
from .arguments import Jitter, Training
from .data import WeakSet
from .errors import LsegreproError


@dataclass(frozen=True)
class HardNegatives:
    """Patches of held-out background images that round 1 took for the class (`mining`).

    Attributes
    ----------
    images : ndarray
        (K, side, side, 3) uint8: the images that hold at least one false positive.
    index : ndarray
        (P,) int: which of the images each patch lies in.
    centres : ndarray
        (P, 2) int: row and column of each patch's central pixel; the part of a patch that falls
        outside its image is filled by reflection, as in `dense`.
    digest : str
    """

    images: np.ndarray
    index: np.ndarray
    centres: np.ndarray
    digest: str


RESIDENT_BYTES = 16 * 2**30
"""A set that takes more memory than this is decoded anew for each batch."""


class Decoded:
    """A weak set as bytes on the device: (n, 300, 300, 3) uint8.

    A set of a few thousand images is decoded once, when first used, and held; a larger one
    (`RESIDENT_BYTES`) is decoded batch by batch.
    """

    def __init__(self, weak: WeakSet, device: str | torch.device = "cpu", progress: bool = True) -> None:
        self.weak, self.device, self.progress = weak, torch.device(device), progress
        self.labels = np.array(weak.labels)
        self.digest = weak.digest
        self.description = weak.description
        self.resident = len(self.labels) * 3 * paper.IMAGE_SIDE**2 <= RESIDENT_BYTES

    def batch(self, index: np.ndarray) -> Tensor:
        """Images by number: (B,) -> (B, 300, 300, 3) uint8 on the device."""
        if self.resident:
            return self._all[torch.as_tensor(index, device=self.device)]
        return self._decode(index, progress=False).to(self.device, non_blocking=True)

    @cached_property
    def _all(self) -> Tensor:
        return self._decode(np.arange(len(self.labels)), self.progress).to(self.device)

    def _decode(self, index: np.ndarray, progress: bool) -> Tensor:
        pixels = np.empty((len(index), paper.IMAGE_SIDE, paper.IMAGE_SIDE, 3), np.uint8)
        bar = tqdm(total=len(index), desc="decoding", unit="image", disable=not progress, leave=False)
        with bar, ThreadPoolExecutor() as pool:  # Pillow decodes and resizes outside Python's lock
            for k, image in enumerate(pool.map(self.weak.image, index.tolist())):
                pixels[k] = image
                bar.update()
        return torch.from_numpy(pixels)


def step_rng(seed: int, round: int, step: int) -> np.random.Generator:
    """The generator of one step: independent for every (seed, round, step)."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, round, step])))


def draw(
    rng: np.random.Generator, labels: np.ndarray, cls: str, negatives: str, batch: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draw a balanced batch: each sample is positive or negative with equal chance.

    Returns
    -------
    index : ndarray
        (batch,) int: which images.
    target : ndarray
        (batch,) int64: 0 where the image holds the class, 1 where not.

    >>> index, target = draw(np.random.default_rng(0), np.array(["cat", "dog", "background"]), "cat", "others", 6)
    >>> bool(((index == 0) == (target == 0)).all())
    True
    """
    positive = np.flatnonzero(labels == cls)
    negative = np.flatnonzero(labels == "background" if negatives == "background" else labels != cls)
    if not len(positive) or not len(negative):
        raise LsegreproError(
            f"training {cls} needs images with and without it: {len(positive)} with, {len(negative)} without"
        )
    target = rng.integers(0, 2, batch)
    pick = rng.random(batch)
    index = np.where(
        target == 0,
        positive[(pick * len(positive)).astype(np.int64)],
        negative[(pick * len(negative)).astype(np.int64)],
    )
    return index, target


def batch_patches(
    args: Training, step: int, data: Decoded, hard: HardNegatives | None = None
) -> tuple[Tensor, Tensor]:
    """The patches and targets of one step.

    Returns
    -------
    x : Tensor
        (B*N, 3, sz, sz) float32 in [-1, 1].
    target : Tensor
        (B,) int64: 0 class, 1 not.
    """
    rng = step_rng(args.seed, args.round, step)
    net = args.net
    index, target = draw(rng, data.labels, args.cls, args.negatives, args.batch)
    images = patches.jitter(patches.to_float(data.batch(index)), rng, args.jitter)  # (B, 3, 300, 300)
    corners = patches.random_corners(rng, args.batch, images.shape[-1], net.patches, net.patch)
    x = patches.cut(images, corners, net.patch)  # (B*N, 3, sz, sz)
    if hard is not None and len(hard.index):  # a network without false positives has no hard negatives
        chosen = np.flatnonzero((target == 1) & (rng.random(args.batch) < args.hard))
        if len(chosen):
            found = hard_patches(rng, hard, len(chosen) * net.patches, net.patch, x.device, args.jitter)
            x = x.reshape(args.batch, net.patches, *x.shape[1:])
            x[torch.as_tensor(chosen, device=x.device)] = found.reshape(len(chosen), *x.shape[1:])
            x = x.flatten(0, 1)
    return x.contiguous(memory_format=torch.channels_last), torch.as_tensor(target, device=x.device)


def hard_patches(
    rng: np.random.Generator,
    hard: HardNegatives,
    number: int,
    size: int,
    device: torch.device,
    ranges: Jitter,
) -> Tensor:
    """Draw hard negatives with replacement, with the training jitter: (number, 3, size, size)."""
    pick = rng.integers(0, len(hard.index), number)
    pad = (size - 1) // 2
    cutouts = np.empty((number, size, size, 3), np.uint8)
    offsets = np.arange(size)
    for k, p in enumerate(pick):
        image = hard.images[hard.index[p]]
        rows = _reflect(hard.centres[p, 0] + offsets - pad, image.shape[0])
        columns = _reflect(hard.centres[p, 1] + offsets - pad, image.shape[1])
        cutouts[k] = image[rows[:, None], columns[None, :]]
    return patches.jitter(patches.to_float(torch.from_numpy(cutouts).to(device)), rng, ranges)


def _reflect(position: np.ndarray, side: int) -> np.ndarray:
    """Fold positions outside [0, side) back by reflection about the border pixels' centres."""
    position = np.abs(position)
    return np.where(position >= side, 2 * (side - 1) - position, position)
