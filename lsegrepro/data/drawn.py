"""The embedded data set: cats and dogs of a picture book, drawn by a seeded program.

The two kinds differ in shape (pointed ears, whiskers and a long tail; hanging ears, a snout and a short tail) and,
mostly, in the pattern of their coat. Colours are shared, other things wear the same coats, and owls have faces too, so
no single cue tells the classes apart.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from random import Random

import numpy as np
from PIL import Image, ImageFilter
from skimage.filters import gaussian

from ..files import digest
from ..paper import CLASSES, IMAGE_SIDE, VOC_INDEX
from . import LABELS
from . import _figures as figures

GENERATOR_VERSION = 3
"""Raised with every change of a picture, so that digests of the data change too."""

VOID = 255
"""Mask value of the thin border around an animal, as in Pascal VOC."""

THINGS, CREATURES = (figures.cushion, figures.cushion, figures.heap), (figures.owl, figures.owl, figures.heap)
KINDS = (("cat",),) * 4 + (("dog",),) * 4 + (("cat", "dog"),) + ((),) * 11
SIZES = ((225, 300), (200, 300), (225, 300), (300, 225), (240, 320), (225, 300), (240, 240))


def draw(
    seed: int | str, kinds: tuple[str, ...], size: tuple[int, int] = (IMAGE_SIDE, IMAGE_SIDE)
) -> tuple[np.ndarray, np.ndarray]:
    """Draw a picture and its exact mask; the same arguments give the same bytes.

    `kinds` are the animals in it, at most one cat and one dog; `size` is height and width, 64 to 512 pixels.
    Returns (H, W, 3) uint8, and (H, W) uint8 with VOC indices: 0 background, 8 cat, 12 dog, 255 the void border of two
    pixels on either side of an animal's outline.
    """
    rng, page = Random(seed), None
    while page is None:
        page = _scene(rng, kinds, *size)
    classes = page.owner % figures.HEAD
    low, high = (np.asarray(Image.fromarray(classes).filter(extreme(5)))
                 for extreme in (ImageFilter.MinFilter, ImageFilter.MaxFilter))
    return _photograph(page.picture, rng), np.where(low == high, classes, np.uint8(VOID))


def _scene(rng: Random, kinds: tuple[str, ...], height: int, width: int) -> figures.Pen | None:
    """Paint a room or a meadow and what is in it; None if less than about half of a head is seen."""
    page = figures.Pen(np.zeros((height, width, 3), np.float32), np.zeros((height, width), np.uint8), np.eye(3)[:2])
    side, horizon = min(height, width), height * rng.uniform(0.4, 0.68)
    for top, bottom, *tones in ((0, horizon, figures.PAINT, figures.SKY),
                                (horizon, height, figures.LIGHT, figures.GREEN)):
        base, texture = figures.tone(rng, rng.choice(tones)), figures.surface(rng, "thing")
        texture = replace(texture, base=base, mark=figures.mix(base, texture.mark, rng.uniform(0.1, 0.4)), relief=0,
                          pattern=rng.choice(("plain", "stripes", "patches", "shaggy")), period=rng.uniform(16, 60))
        page.fill(texture, [(0, top), (width, top), (width, bottom), (0, bottom)])
    # A row a figure: feet, place, size. Where no animal stands, creatures and heaps take its place, in its sizes.
    props = rng.choices(THINGS, k=rng.randint(2, 5))
    props += rng.choices(CREATURES, k=rng.choice((0, 0, 1)) if kinds else rng.randint(1, 2))
    rows = [(rng.uniform(horizon, 1.05 * height), width * rng.random(),
             side * rng.uniform(0.25, 0.9 if prop in CREATURES and not kinds else 0.5), 0, prop) for prop in props]
    for number, kind in enumerate(kinds):
        standing, portrait = rng.random() < 0.35, rng.random() < 0.4
        tall = side * (0.35 * 3.3 ** math.sqrt(rng.random()) if len(kinds) == 1 else rng.uniform(0.3, 0.75))
        spread = 0.4 - 0.25 * tall / side  # the taller, the nearer the middle
        x = width * (number + 0.5 + rng.uniform(-spread, spread)) / len(kinds)
        y = rng.uniform(min(height, max(horizon + 0.04 * height, 0.95 * tall)), height + 0.08 * tall)
        if portrait and not standing:  # sits so near that the lower edge cuts it off
            tall, y = 1.5 * tall, height + 0.6 * tall
        rows.append((y, x, tall, VOC_INDEX[kind], partial(figures.animal, kind=kind, standing=standing)))
    for y, x, tall, index, paint in sorted(rows, key=lambda row: row[0]):  # the lower, the nearer
        pen = replace(page, figure=index).at(x, y, tall, rng.uniform(-0.12, 0.12), rng.random() < 0.5)
        replace(pen, figure=None).fill(figures.INK, figures.ellipse(0, -0.01, 0.5, 0.05), alpha=0.25)  # its shadow
        paint(pen, rng)
    hidden = any((page.owner == index + figures.HEAD).sum() < 1.4 * (0.2 * tall) ** 2 for *_, tall, index, _ in rows
                 if index)
    return None if hidden else page


def _photograph(picture: np.ndarray, rng: Random) -> np.ndarray:
    """Uneven light, blur and grain: (H, W, 3) float32 to (H, W, 3) uint8."""
    height, width, _ = picture.shape
    across, down = (np.linspace(-slope, slope, n) for n, slope in ((width, rng.uniform(-0.2, 0.2)),
                                                                   (height, rng.uniform(-0.16, 0.16))))
    light = (rng.uniform(0.8, 1.04) + across + down[:, None])[..., None] * [rng.uniform(240, 268) for _ in range(3)]
    soft = gaussian(picture * np.float32(light), rng.uniform(0.5, 1.0), mode="reflect", channel_axis=2)
    noise = np.random.default_rng(rng.getrandbits(64)).random(picture.shape, np.float32) - 0.5
    return (soft + noise * rng.uniform(5, 15) + 0.5).clip(0, 255).astype(np.uint8)


class DrawnWeak:
    """Drawn 300x300 pictures with image labels only: cat, dog, background, in turn.

    `split` is train or heldout; the first n pictures are the same whatever the `count`.

    >>> weak = DrawnWeak("heldout", count=4)
    >>> weak.labels, weak.image(2).shape
    (['cat', 'dog', 'background', 'cat'], (300, 300, 3))
    """

    def __init__(self, split: str = "train", count: int = 3000, seed: int = 0) -> None:
        self.seed, self.labels = seed, [LABELS[i % 3] for i in range(count)]
        self.names = [f"drawn-{split}-{i:05d}-{label}" for i, label in enumerate(self.labels)]
        self.digest = digest([GENERATOR_VERSION, seed, self.names])
        self.description = f"{count} drawn pictures with image labels, split {split}, seed {seed}"

    def __len__(self) -> int:
        return len(self.names)

    def image(self, i: int) -> np.ndarray:
        """Picture `i`: (300, 300, 3) uint8, drawn anew at each call."""
        return draw(f"{self.names[i]} {self.seed}", tuple({self.labels[i]} & set(CLASSES)))[0]


class DrawnSegmentation:
    """Drawn pictures of many sizes with exact masks; a quarter hold a cat, a quarter a dog.

    `split` is train or val; the first n pictures are the same whatever the `count`.
    """

    redistributable = True

    def __init__(self, split: str = "val", count: int = 200, seed: int = 0) -> None:
        self.seed, self.listed, self.absent = seed, count, []
        self.ids = [f"drawn-{split}-{i:05d}" for i in range(count)]
        self.digest = digest([GENERATOR_VERSION, seed, self.ids])
        self.description = f"{count} drawn pictures with exact masks, split {split}, seed {seed}"

    def __len__(self) -> int:
        return len(self.ids)

    def image(self, i: int) -> np.ndarray:
        """Picture `i`: (H, W, 3) uint8."""
        return self._draw(i)[0]

    def mask(self, i: int) -> np.ndarray:
        """Mask `i`: (H, W) uint8, see `draw`."""
        return self._draw(i)[1]

    def _draw(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        # 7 shares no factor with 20: the kinds alternate, and every 20 pictures hold each in its share.
        return draw(f"{self.ids[i]} {self.seed}", KINDS[7 * i % 20], SIZES[i % len(SIZES)])
