"""Training batches: which images a step draws, their jitter, and N patches of each (Section 3.2).

What a step draws depends on (seed, round, step) alone, so a resumed training continues with the same batches.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from .. import paper
from ..config import Jitter, Training
from ..data import LABELS, WeakSet, label_codes
from ..files import LsegreproError
from ..network import patches

RESIDENT_BYTES = 16 * 2**30  # of the largest dataset that is decoded once and then stays in memory
PREFETCH = 4  # batches of a larger dataset that are made while the device trains on one


class WeakDataset:
    """A weak set as a tensor on the device: n images, (n, 300, 300, 3) uint8, and their labels.

    It is decoded when first used. A set larger than `RESIDENT_BYTES` stays on disk, and its images are decoded
    whenever they are asked for. `labels` (n,) uint8 holds the label of each image, as a position in `LABELS`.

    >>> from lsegrepro.data.drawn import DrawnWeak
    >>> dataset = WeakDataset(DrawnWeak("train", 6, 0), progress=False)
    >>> len(dataset), dataset.images(np.array([5, 0])).shape
    (6, torch.Size([2, 300, 300, 3]))
    """

    def __init__(self, weak: WeakSet, device: str | torch.device = "cpu", progress: bool = True) -> None:
        self.weak, self.device, self.progress = weak, torch.device(device), progress
        self.names, self.digest, self.description = weak.names, weak.digest, weak.description
        self.labels = label_codes(weak)
        self.in_memory = len(self.labels) * 3 * paper.IMAGE_SIDE**2 <= RESIDENT_BYTES
        self.candidates = lru_cache(partial(positives_and_negatives, self.labels))  # wanted at every step

    def __len__(self) -> int:
        return len(self.labels)

    def images(self, index: np.ndarray) -> Tensor:
        """Images by number: (B,) int to (B, 300, 300, 3) uint8 on the device."""
        if self.in_memory:
            return self._pixels[patches.to_device(index, self.device)]
        return self._decode(index)

    @cached_property
    def _pixels(self) -> Tensor:
        return self._decode(np.arange(len(self)), self.progress)

    def _decode(self, index: np.ndarray, progress: bool = False) -> Tensor:
        pixels = np.empty((len(index), paper.IMAGE_SIDE, paper.IMAGE_SIDE, 3), np.uint8)
        with ThreadPoolExecutor() as threads:  # Pillow decodes outside Python's lock
            decoded = threads.map(self.weak.image, index.tolist())
            for i, image in enumerate(tqdm(decoded, "decoding", len(index), disable=not progress, leave=False)):
                pixels[i] = image
        return torch.from_numpy(pixels).to(self.device)


def batches(
    dataset: WeakDataset, config: Training, steps: range, hard_negatives: HardNegatives | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """`make_batch` of each of some steps; from disk in a thread that is ahead, until the iterator is closed."""
    if dataset.in_memory:
        yield from (make_batch(dataset, config, step, hard_negatives) for step in steps)
        return
    thread = ThreadPoolExecutor(1)
    try:
        pending = deque(thread.submit(make_batch, dataset, config, step, hard_negatives) for step in steps[:PREFETCH])
        for step in steps:
            if step + PREFETCH in steps:
                pending.append(thread.submit(make_batch, dataset, config, step + PREFETCH, hard_negatives))
            yield pending.popleft().result()
    finally:  # also where the training stops early, or fails
        thread.shutdown(cancel_futures=True)


def make_batch(
    dataset: WeakDataset, config: Training, step: int, hard_negatives: HardNegatives | None = None
) -> tuple[Tensor, Tensor]:
    """Make the batch of one step: draw B images, jitter them, and cut N patches out of each (Sections 3.1 and 3.2).

    In round 2 a negative sample is, with chance `config.hard`, N hard negatives instead.

    Returns x (B*N, 3, sz, sz) float32 in [-1, 1], N patches of each image on the device of the dataset, and the target
    (B,) int64: 0 where the image holds the class, 1 where not.
    """
    net = config.net
    rng, index, target = draw_images(dataset, config, step)
    images = patches.jitter(patches.to_float(dataset.images(index)), rng, config.jitter)  # (B, 3, 300, 300)
    corners = patches.random_corners(rng, len(images), images.shape[-1], net.patches, net.patch)
    x = patches.cut(images, corners, net.patch)  # (B*N, 3, sz, sz)
    if hard_negatives is not None and len(hard_negatives.index):  # without false positives there is none
        replaced = np.flatnonzero((target == 1) & (rng.random(config.batch) < config.hard))
        if len(replaced):
            hard = hard_patches(rng, hard_negatives, len(replaced) * net.patches, net.patch, config.jitter)
            bags = x.unflatten(0, (config.batch, net.patches))  # (B, N, 3, sz, sz), a view
            bags[patches.to_device(replaced, x.device)] = hard.unflatten(0, (len(replaced), net.patches))
    return x, patches.to_device(target, x.device)


def draw_images(
    dataset: WeakDataset, config: Training, step: int
) -> tuple[np.random.Generator, np.ndarray, np.ndarray]:
    """Draw a balanced batch, each sample positive or negative with equal chance: which images, and their targets.

    The generator of the step comes first, for its further draws.
    """
    rng = step_rng(config.seed, config.round, step)
    positives, negatives = dataset.candidates(config.cls, config.negatives)
    target = rng.integers(0, 2, config.batch)
    uniform = rng.random(config.batch)
    return rng, np.where(target == 0, positives.pick(uniform), negatives.pick(uniform)), target


def step_rng(seed: int, round: int, step: int) -> np.random.Generator:
    """The random generator of one step: independent for every (seed, round, step), seed < 2^63, the others < 2^32."""
    words = [seed % 2**32, round, step, seed // 2**32]  # always four, so that no two triples give the same
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(words)))


@dataclass(frozen=True)
class Candidates:
    """The images that positives, or negatives, are drawn from."""

    index: np.ndarray  # (K,) int32, increasing: numbers in the dataset
    cumulative: np.ndarray | None = None  # (K,) float64, cumulative chances; None: all are equally likely

    def pick(self, uniform: np.ndarray) -> np.ndarray:
        """Images drawn by random numbers that are uniform in [0, 1).

        >>> Candidates(np.array([3, 8])).pick(np.array([0.2, 0.7, 0.4]))
        array([3, 8, 3])
        """
        if self.cumulative is None:
            return self.index[(uniform * len(self.index)).astype(np.int64)]
        return self.index[np.searchsorted(self.cumulative[:-1], uniform * self.cumulative[-1], side="right")]


def positives_and_negatives(labels: np.ndarray, cls: str, negatives: str) -> tuple[Candidates, Candidates]:
    """The images with a class and those without it, and how often each is drawn.

    Takes labels (n,) as positions in `LABELS`, and `negatives` as in `Training`. Raises `LsegreproError` if there are
    no positives or no negatives.

    >>> positives_and_negatives(np.array([0, 1, 2, 0], np.uint8), "cat", "background")[0].index
    array([0, 3], dtype=int32)
    >>> positives_and_negatives(np.array([0, 1, 2, 2], np.uint8), "cat", "paper")[1].cumulative.round(3)
    array([0.135, 0.568, 1.   ])
    """
    is_class, is_background = labels == LABELS.index(cls), labels == LABELS.index("background")
    positive = np.flatnonzero(is_class).astype(np.int32)
    negative = np.flatnonzero(is_background if negatives == "background" else ~is_class).astype(np.int32)
    if not len(positive) or not len(negative):
        raise LsegreproError(f"training {cls} needs images with and without it: {len(positive)} with, "
                             f"{len(negative)} without")
    is_other = ~is_background[negative]
    if negatives != "paper" or not 0 < is_other.mean() < 1:
        return Candidates(positive), Candidates(negative)
    share = paper.other_class_share(cls)
    chance = np.where(is_other, share / is_other.sum(), (1 - share) / (~is_other).sum())
    return Candidates(positive), Candidates(negative, np.cumsum(chance))


@dataclass(frozen=True)
class HardNegatives:
    """Hard negatives: patches of held-out background images that the network of round 1 took for the class."""

    dataset: WeakDataset  # the held-out images
    index: np.ndarray  # (P,) int, which image each patch lies in
    centres: np.ndarray  # (P, 2) int, row and column of each patch's central pixel
    digest: str  # of the list of patches


def hard_patches(
    rng: np.random.Generator, hard: HardNegatives, number: int, size: int, ranges: Jitter
) -> Tensor:
    """Draw hard negatives with replacement and jitter: (number, 3, size, size), reflected where an image ends."""
    drawn = rng.integers(0, len(hard.index), number)
    numbers, image = np.unique(hard.index[drawn], return_inverse=True)
    images = hard.dataset.images(numbers)  # (U, 300, 300, 3)
    offsets = np.arange(size) - (size - 1) // 2
    position = np.abs(hard.centres[drawn, :, None] + offsets)  # (number, 2, size)
    last = paper.IMAGE_SIDE - 1
    rows, columns = np.where(position > last, 2 * last - position, position).swapaxes(0, 1)  # reflected at the borders
    image, rows, columns = (patches.to_device(array, images.device) for array in (image, rows, columns))
    crops = images[image[:, None, None], rows[:, :, None], columns[:, None, :]]  # (number, size, size, 3)
    return patches.jitter(patches.to_float(crops), rng, ranges)
