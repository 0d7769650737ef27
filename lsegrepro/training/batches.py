"""What one training step sees: a balanced draw of images, jitter, and N patches each (Section 3.2)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from .. import paper
from ..config import Jitter, Training
from ..data import WeakSet
from ..data.index import LABELS, label_codes
from ..files import LsegreproError
from ..network import patches
from .distributed import WHOLE, RowsOf, Share


@dataclass(frozen=True)
class HardNegatives:
    """Patches of held-out background images that round 1 took for the class (`mining`).

    Attributes
    ----------
    images : ndarray or Undecoded
        (K, side, side, 3) uint8: the images that hold at least one false positive.
    index : ndarray
        (P,) int: which of the images each patch lies in.
    centres : ndarray
        (P, 2) int: row and column of each patch's central pixel; the part of a patch that falls
        outside its image is filled by reflection, as in `dense`.
    digest : str
    """

    images: np.ndarray | Undecoded
    index: np.ndarray
    centres: np.ndarray
    digest: str


class Undecoded:
    """Some images of a weak set, each decoded when it is asked for; the last few are held.

    Parameters
    ----------
    weak : WeakSet
    numbers : ndarray
        (K,) int: which of its images these are.
    held : int
        How many decoded images stay in memory.
    """

    def __init__(self, weak: WeakSet, numbers: np.ndarray, held: int = 256) -> None:
        self._numbers = numbers
        self._image = lru_cache(held)(weak.image)

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, k: int) -> np.ndarray:
        """Image k of these: (side, side, 3) uint8."""
        return self._image(int(self._numbers[k]))


RESIDENT_BYTES = 16 * 2**30
"""A set that takes more memory than this is decoded anew for each batch."""

AHEAD = 4
"""Batches of such a set that are decoded while the device trains on one."""


def fits(images: int) -> bool:
    """Whether so many decoded images are held in memory (`RESIDENT_BYTES`).

    >>> fits(60_000), fits(100_000)
    (True, False)
    """
    return images * 3 * paper.IMAGE_SIDE**2 <= RESIDENT_BYTES


class Decoded:
    """A weak set as bytes on the device: (n, 300, 300, 3) uint8.

    A set of a few thousand images is decoded once, when first used, and held; a larger one
    (`RESIDENT_BYTES`) is decoded batch by batch, and then nothing here grows with the set but
    five bytes an image: `codes`, and the positions of `sides`.

    Attributes
    ----------
    codes : ndarray
        (n,) uint8: the label of each image, as a position in `data.index.LABELS`.
    resident : bool
        Whether the set is held.
    """

    def __init__(self, weak: WeakSet, device: str | torch.device = "cpu", progress: bool = True) -> None:
        self.weak, self.device, self.progress = weak, torch.device(device), progress
        self.codes = label_codes(weak)
        self.digest = weak.digest
        self.description = weak.description
        self.resident = fits(len(self))
        self._sides = lru_cache(self._find_sides)

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def unreadable(self) -> dict[str, str]:
        """Name to reason of each photograph that was met and cannot be read (`data.tolerant`)."""
        return getattr(self.weak, "unreadable", {})

    @property
    def labels(self) -> np.ndarray:
        """(n,) str: the label of each image, made anew at each call."""
        return np.array(LABELS)[self.codes]

    def sides(self, cls: str, negatives: str, sources: str = "uniform") -> Sides:
        """Which images show the class and which do not, looked for once."""
        return self._sides(cls, negatives, sources)

    def _find_sides(self, cls: str, negatives: str, sources: str) -> Sides:
        if sources == "uniform":
            return sides(self.codes, cls, negatives)
        return sides(self.codes, cls, negatives, np.asarray(getattr(self.weak, "sources", np.zeros(len(self)))))

    def batch(self, index: np.ndarray) -> Tensor:
        """Images by number: (B,) -> (B, 300, 300, 3) uint8 on the device."""
        if self.resident:
            return self._all[patches.to_device(index, self.device)]
        with ThreadPoolExecutor() as pool:
            return self.decode(index, pool).wait()

    def decode(self, index: np.ndarray, pool: ThreadPoolExecutor) -> Decoding:
        """Begin to decode images in the threads of `pool`."""
        pixels = torch.empty(len(index), paper.IMAGE_SIDE, paper.IMAGE_SIDE, 3, dtype=torch.uint8,
                             pin_memory=self.device.type == "cuda")
        out = pixels.numpy()

        def one(place: int, i: int) -> None:
            out[place] = self.weak.image(i)  # Pillow decodes and resizes outside Python's lock

        return Decoding(pixels, [pool.submit(one, place, i) for place, i in enumerate(index.tolist())], self.device)

    @cached_property
    def _all(self) -> Tensor:
        with ThreadPoolExecutor() as pool:
            return self.decode(np.arange(len(self)), pool).wait(self.progress)


@dataclass(frozen=True)
class Decoding:
    """Images that threads are decoding: their memory on the host, and the work that is left."""

    pixels: Tensor
    jobs: list[Future]
    device: torch.device

    def wait(self, progress: bool = False) -> Tensor:
        """The images on the device, once they are all there; raises what reading one of them raised."""
        try:
            for job in tqdm(self.jobs, desc="decoding", unit="image", disable=not progress, leave=False):
                job.result()
        finally:
            for job in self.jobs:
                job.cancel()  # after a failure; a finished one takes no notice
        return self.pixels.to(self.device, non_blocking=True)


@dataclass(frozen=True)
class Sides:
    """The two kinds of images that training a class draws from.

    Attributes
    ----------
    present : ndarray
        (P,) int32, rising: images with the class.
    absent : ndarray
        (A,) int32, rising: images without it.
    present_chance, absent_chance : ndarray, optional
        (P,) and (A,) float64: chance that a draw of this kind is this image or one before it; without, all images
        of the kind are as likely.
    """

    present: np.ndarray
    absent: np.ndarray
    present_chance: np.ndarray | None = None
    absent_chance: np.ndarray | None = None


MOST_OFTEN = 2.0
"""With balanced sources, how many times its uniform chance a photograph has at most."""


def sides(codes: np.ndarray, cls: str, negatives: str, sources: np.ndarray | None = None) -> Sides:
    """Find the images with a class and without it, and how often each is drawn.

    Parameters
    ----------
    codes : ndarray
        (n,) uint8, positions in `data.index.LABELS`.
    negatives : {"paper", "others", "background"}
        As in `arguments.Training`.
    sources : ndarray, optional
        (n,) source of each image: they are balanced inside each label.

    Raises
    ------
    LsegreproError
        If there is none of one kind.

    >>> sides(np.array([0, 1, 2, 0], np.uint8), "cat", "background").present
    array([0, 3], dtype=int32)
    >>> sides(np.array([0, 1, 2, 2], np.uint8), "cat", "paper").absent_chance.round(3)
    array([0.135, 0.568, 1.   ])
    """
    code, background = LABELS.index(cls), LABELS.index("background")
    absent = codes == background if negatives == "background" else codes != code
    present, absent = (np.flatnonzero(side).astype(np.int32) for side in (codes == code, absent))
    if not len(present) or not len(absent):
        raise LsegreproError(f"training {cls} needs images with and without it: {len(present)} with, "
                             f"{len(absent)} without")
    other = codes[absent] != background
    if negatives == "paper" and (other.all() or not other.any()):
        raise LsegreproError(f"training {cls} with negatives = 'paper' needs images of the other class and of the "
                             "background: there are none of one kind; take negatives = 'others'")
    if negatives != "paper" and sources is None:
        return Sides(present, absent)
    share = paper.other_class_share(cls) if negatives == "paper" else other.mean()
    groups = [(present, 1.0), (absent[other], share), (absent[~other], 1 - share)]
    chance = np.zeros(len(codes))
    for group, total in groups:
        chance[group] = total * _chances(len(group), None if sources is None else sources[group])
    return Sides(present, absent, np.cumsum(chance[present]), np.cumsum(chance[absent]))


def _chances(number: int, sources: np.ndarray | None) -> np.ndarray:
    """Chance of each image of one label, (number,): uniform, or balanced over sources up to `MOST_OFTEN`."""
    if sources is None or not number:
        return np.full(number, 1 / max(number, 1))
    _, source, count = np.unique(sources, return_inverse=True, return_counts=True)
    share, most = np.zeros(len(count)), MOST_OFTEN * count / number
    for _ in count:  # what a capped source cannot take goes to the others
        open_ = share < most
        share[open_] = np.minimum(most[open_], share[open_] + (1 - share.sum()) / open_.sum())
        if share.sum() > 1 - 1e-12:
            break
    return (share / count)[source]


def step_rng(seed: int, round: int, step: int) -> np.random.Generator:
    """The generator of one step: independent for every (seed, round, step), seed < 2^63, the others < 2^32."""
    # Words of a fixed number: a seed of two words among the others could be another (seed, round, step).
    words = [seed % 2**32, round, step, seed // 2**32]
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(words)))


def torch_generator(seed: int) -> torch.Generator:
    """A generator of torch, on the CPU, for any seed < 2^63: torch itself looks at 32 bits of a seed.

    >>> a, b = (torch.rand(3, generator=torch_generator(seed)) for seed in (0, 2**32))
    >>> torch.equal(a, torch.rand(3, generator=torch.Generator().manual_seed(0))), torch.equal(a, b)
    (True, False)
    """
    if seed >= 2**32:
        seed = int(step_rng(seed, 0, 0).integers(2**32))
    return torch.Generator().manual_seed(seed)


def draw(rng: np.random.Generator, sides: Sides, batch: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw a balanced batch: each sample is positive or negative with equal chance.

    What it costs does not depend on the number of images.

    Returns
    -------
    index : ndarray
        (batch,) int32: which images.
    target : ndarray
        (batch,) int64: 0 where the image holds the class, 1 where not.

    >>> index, target = draw(np.random.default_rng(0), Sides(np.array([4, 7]), np.array([1])), 6)
    >>> bool(((index == 1) == (target == 1)).all())
    True
    """
    target = rng.integers(0, 2, batch)
    pick = rng.random(batch)
    index = np.where(target == 0, _pick(sides.present, sides.present_chance, pick),
                     _pick(sides.absent, sides.absent_chance, pick))
    return index, target


def _pick(images: np.ndarray, chance: np.ndarray | None, pick: np.ndarray) -> np.ndarray:
    """The images that uniform numbers in [0, 1) stand for."""
    if chance is None:
        return images[(pick * len(images)).astype(np.int64)]
    return images[np.searchsorted(chance[:-1], pick * chance[-1], side="right")]


def batches(
    args: Training, data: Decoded, hard: HardNegatives | None = None, first: int = 0, ahead: int = AHEAD,
    share: Share = WHOLE,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Patches and targets of step `first` and of every step after it, as `batch_patches` makes them.

    Of a set that is not held, the images of the next `ahead` steps are decoded in threads while
    the device works on this one; the memory taken is that of so many batches and one. What a
    step draws depends on its number alone, so that neither the threads nor where a training
    resumes change anything. Close the iterator to stop the threads before the last step.
    """
    if data.resident:
        for step in range(first, args.steps):
            yield batch_patches(args, step, data, hard, share)
        return
    pool = ThreadPoolExecutor(thread_name_prefix="decode")
    waiting: deque[tuple[np.random.Generator, np.ndarray, Decoding]] = deque()
    try:
        for step in range(first, args.steps + ahead):
            if step < args.steps:
                rng, index, target = _draw_step(args, step, data)
                waiting.append((rng, target, data.decode(index[share.rows(args.batch)], pool)))
            if step >= first + ahead:
                rng, target, decoding = waiting.popleft()
                yield _cut(args, rng, target, decoding.wait(), hard, share)
    finally:  # also where the training stops early, or fails
        pool.shutdown(cancel_futures=True)


def batch_patches(
    args: Training, step: int, data: Decoded, hard: HardNegatives | None = None, share: Share = WHOLE
) -> tuple[Tensor, Tensor]:
    """The patches and targets of one step, or one process's share of them.

    Returns
    -------
    x : Tensor
        (B*N, 3, sz, sz) float32 in [-1, 1], B images in the share.
    target : Tensor
        (B,) int64: 0 class, 1 not.
    """
    rng, index, target = _draw_step(args, step, data)
    return _cut(args, rng, target, data.batch(index[share.rows(args.batch)]), hard, share)


def _draw_step(args: Training, step: int, data: Decoded) -> tuple[np.random.Generator, np.ndarray, np.ndarray]:
    """The first draws of a step, which images it sees, and the generator that goes on from there."""
    rng = step_rng(args.seed, args.round, step)
    return rng, *draw(rng, data.sides(args.cls, args.negatives, args.sources), args.batch)


def _cut(
    args: Training, rng: np.random.Generator, target: np.ndarray, pixels: Tensor, hard: HardNegatives | None,
    share: Share,
) -> tuple[Tensor, Tensor]:
    """The other draws of a step, which are for the whole batch, and the patches of this share of its images."""
    net, rows = args.net, share.rows(args.batch)
    own = RowsOf(rng, args.batch, rows)
    images = patches.jitter(patches.to_float(pixels), own, args.jitter)  # (B, 3, 300, 300)
    corners = patches.random_corners(own, len(rows), images.shape[-1], net.patches, net.patch)
    x = patches.cut(images, corners, net.patch)  # (B*N, 3, sz, sz)
    if hard is not None and len(hard.index):  # a network without false positives has no hard negatives
        chosen = np.flatnonzero((target == 1) & (rng.random(args.batch) < args.hard))
        mine = np.flatnonzero(np.isin(chosen, rows))
        if len(mine):
            some = (mine[:, None] * net.patches + np.arange(net.patches)).ravel()
            own = RowsOf(rng, len(chosen) * net.patches, some)
            found = hard_patches(own, hard, len(some), net.patch, x.device, args.jitter)
            x = x.reshape(len(rows), net.patches, *x.shape[1:])
            x[patches.to_device(chosen[mine] // share.size, x.device)] = found.reshape(len(mine), *x.shape[1:])
            x = x.flatten(0, 1)
    return x, patches.to_device(target[rows], x.device)


def hard_patches(
    rng: np.random.Generator | RowsOf,
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
    return patches.jitter(patches.to_float(patches.to_device(cutouts, device)), rng, ranges)


def _reflect(position: np.ndarray, side: int) -> np.ndarray:
    """Fold positions outside [0, side) back by reflection about the border pixels' centres."""
    position = np.abs(position)
    return np.where(position >= side, 2 * (side - 1) - position, position)
