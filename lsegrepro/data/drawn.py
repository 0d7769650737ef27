"""The embedded data set: cats and dogs of a picture book, drawn by a seeded program.

The two kinds differ in shape (pointed ears, whiskers and a long tail; hanging ears, a snout and a short tail) and,
mostly, in the pattern of their coat. Colours are shared, other things wear the same coats, and owls have faces too, so
no single cue tells the classes apart.
"""

from __future__ import annotations

import math
from dataclasses import replace
from random import Random

import numpy as np
from PIL import Image, ImageFilter

from ..files import LsegreproError, digest
from ..paper import CLASSES, IMAGE_SIDE, VOC_INDEX
from . import LABELS
from . import _figures as figures
from ._painter import NOISE_SIDE, Pen, box, ellipse

GENERATOR_VERSION = 2
"""Raised with every change of a picture, so that digests of the data change too."""

VOID = 255
"""Mask value of the thin border around an animal, as in Pascal VOC."""

SKIES = ((0.72, 0.84, 0.92), (0.93, 0.82, 0.70), (0.62, 0.70, 0.84), (0.86, 0.88, 0.90), (0.35, 0.38, 0.56))
CREATURES = (figures.owl, figures.owl, figures.heap)
THINGS = {True: (figures.cushion, figures.ball), False: (figures.tree, figures.ball)}
"""What stands indoors and outdoors."""


def draw(
    seed: int | np.random.SeedSequence, kinds: tuple[str, ...], size: tuple[int, int] = (IMAGE_SIDE, IMAGE_SIDE)
) -> tuple[np.ndarray, np.ndarray]:
    """Draw a picture and its exact mask; the same arguments give the same bytes.

    `kinds` are the animals in it, at most two, each "cat" or "dog"; `size` is height and width, 64 to 512 pixels.
    Returns (H, W, 3) uint8, and (H, W) uint8 with VOC indices: 0 background, 8 cat, 12 dog, 255 the void border of two
    pixels on either side of an animal's outline.

    >>> image, mask = draw(7, ("cat",))
    >>> image.shape, [int(value) for value in np.unique(mask)]
    ((300, 300, 3), [0, 8, 255])
    """
    height, width = size
    if len(kinds) > 2 or not set(kinds) <= set(CLASSES):
        raise LsegreproError(f"a drawn picture holds at most two of {', '.join(CLASSES)}, got {kinds!r}")
    if min(size) < 64 or max(size) > NOISE_SIDE:
        raise LsegreproError(f"a drawn picture has 64 to {NOISE_SIDE} pixels each way, got {height}x{width}")
    entropy = seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(seed)
    rng = Random(int.from_bytes(entropy.generate_state(4).tobytes(), "little"))
    for attempt in range(60):
        page = _scene(rng, kinds, height, width, occluders=attempt < 8)
        if page is not None:
            return _photograph(page.picture, rng), _mask(page.owner, kinds)
    raise LsegreproError(f"{kinds!r} do not fit in a picture of {height}x{width}; draw it larger")


def _scene(rng: Random, kinds: tuple[str, ...], height: int, width: int, occluders: bool) -> Pen | None:
    """Paint one page; None if an animal, or its head, is hidden too much to be told."""
    page = Pen(np.zeros((height, width, 3), np.float32), np.zeros((height, width), np.uint8), np.eye(3)[:2])
    side, indoors, horizon = min(height, width), rng.random() < 0.5, height * rng.uniform(0.4, 0.68)
    _backdrop(page, rng, indoors, horizon)
    props = [(horizon + (height - horizon) * rng.uniform(0, 0.4), rng.choice(THINGS[indoors]),
              side * rng.uniform(0.25, 0.6)) for _ in range(rng.randint(2, 4))]
    # Where no animal stands, creatures and heaps take its place, in its sizes.
    props += [(horizon + (height - horizon) * rng.uniform(0.1, 1.0), rng.choice(CREATURES),
               side * rng.uniform(0.25, 0.45 if kinds else 0.9))
              for _ in range(rng.choice((0, 0, 1)) if kinds else rng.randint(1, 2))]
    for y, figure, size in sorted(props, key=lambda prop: prop[0]):
        figure(_stand(page, rng, width * rng.uniform(0.02, 0.98), y, size), rng)

    # A row an animal: feet, place, height, number, kind, and whether it stands.
    animals = []
    for number, kind in enumerate(kinds, start=1):
        standing, portrait = rng.random() < 0.35, rng.random() < 0.4
        tall = side * (0.35 * 3.3 ** math.sqrt(rng.random()) if len(kinds) == 1 else rng.uniform(0.3, 0.75))
        spread = 0.4 - 0.25 * tall / side if occluders else 0  # the taller, the nearer the middle
        x = width * (number - 0.5 + rng.uniform(-spread, spread)) / len(kinds)
        low = min(height, max(horizon + 0.04 * height, 0.95 * tall))
        y = rng.uniform(low, height + 0.08 * tall)
        if portrait and not standing:  # sits so near that the lower edge cuts it off
            tall, y = 1.5 * tall, height + 0.6 * tall
        animals.append((y, x, tall, number, kind, standing))
    whole = {}
    for y, x, tall, number, kind, standing in sorted(animals):
        figures.animal(_stand(page, rng, x, y, tall, number), rng, kind, standing)
        whole[number] = (page.owner % figures.HEAD == number).sum()
    for y, x, tall, *_ in animals:
        if occluders and rng.random() < 0.4:
            spot = x + tall * rng.uniform(-0.45, 0.45), min(y + 0.05 * tall, height)
            rng.choice(THINGS[indoors])(_stand(page, rng, *spot, tall * rng.uniform(0.3, 0.55)), rng)
    for _, _, tall, number, *_ in animals:
        seen = (page.owner % figures.HEAD == number).sum()
        if seen < max(0.5 * whole[number], 0.01 * height * width) or (
                page.owner == number + figures.HEAD).sum() < 1.4 * (0.2 * tall) ** 2:  # about half a head
            return None
    return page


def _stand(page: Pen, rng: Random, x: float, y: float, size: float, number: int = 0) -> Pen:
    """A pen for a figure with its feet at (x, y), tilted and mirrored, on a shadow."""
    pen = replace(page, figure=number).at(x, y, size, rng.uniform(-0.12, 0.12), rng.random() < 0.5)
    replace(pen, figure=None).fill(ellipse(0, -0.01, 0.5, 0.05), figures.INK, 0.25)
    return pen


def _backdrop(page: Pen, rng: Random, indoors: bool, horizon: float) -> None:
    """Fill the page with a room or a meadow; `horizon` in pixels from the top."""
    height, width = page.owner.shape
    bands = ((-1, horizon, figures.PAINTS + figures.COATS if indoors else SKIES, ("plain", "stripes", "patches")),
             (horizon, height + 1, figures.COATS if indoors else figures.GREENS, ("plain", "shaggy", "patches")))
    for top, bottom, colours, patterns in bands:
        texture = replace(figures.surface(rng, "thing"), base=figures.tint(rng, rng.choice(colours)), ink=0.0,
                          volume=0.0, pattern=rng.choice(patterns), period=rng.uniform(16, 60), grain=0.03)
        texture = replace(texture, mark=figures.mix(texture.base, texture.mark, rng.uniform(0.1, 0.4)))
        page.fill(box(width / 2, (top + bottom) / 2, width, (bottom - top) / 2), texture)


def _photograph(picture: np.ndarray, rng: Random) -> np.ndarray:
    """Uneven light, blur and grain: (H, W, 3) float32 to (H, W, 3) uint8."""
    height, width, _ = picture.shape
    light = (np.linspace(-1, 1, width, dtype=np.float32) * rng.uniform(-0.2, 0.2) + rng.uniform(0.8, 1.04)
             + np.linspace(-1, 1, height, dtype=np.float32)[:, None] * rng.uniform(-0.16, 0.16))
    tinge = np.float32([255 * rng.uniform(0.94, 1.05) for _ in range(3)])
    lit = Image.fromarray((picture * (light[..., None] * tinge)).clip(0, 255).astype(np.uint8))
    soft = np.float32(lit.filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 0.9))))
    noise = np.random.default_rng(rng.getrandbits(64)).random(picture.shape, np.float32) - 0.5
    return (soft + noise * (255 * rng.uniform(0.02, 0.06)) + 0.5).clip(0, 255).astype(np.uint8)


def _mask(owner: np.ndarray, kinds: tuple[str, ...]) -> np.ndarray:
    """Class of every pixel, void within two pixels of another class."""
    classes = np.array([0, *(VOC_INDEX[kind] for kind in kinds)], np.uint8)[owner % figures.HEAD]
    image = Image.fromarray(classes)
    low, high = (np.asarray(image.filter(extreme(5))) for extreme in (ImageFilter.MinFilter, ImageFilter.MaxFilter))
    return np.where(low == high, classes, np.uint8(VOID))


class _DrawnSet:
    """What both sets have: a digest, a description, and a seed for each picture."""

    def __init__(self, content: str, split: str, splits: tuple[str, str], count: int, seed: int) -> None:
        if split not in splits:
            raise LsegreproError(f"the drawn set with {content} has no split {split!r}: choose {' or '.join(splits)}")
        if count < 1 or seed < 0:
            raise LsegreproError(f"a drawn set takes a count >= 1 and a seed >= 0, got {count} and {seed}")
        self.split, self.count, self.seed = split, count, seed
        self.digest: str = digest([GENERATOR_VERSION, content, split, count, seed])
        self.description: str = f"{count} drawn pictures with {content}, split {split}, seed {seed}"

    def __len__(self) -> int:
        return self.count

    def _seed(self, i: int) -> np.random.SeedSequence:
        """Seed of picture `i`: independent for every seed, kind of set, split and picture."""
        if not 0 <= i < len(self):
            raise IndexError(f"picture {i} of a drawn set of {len(self)}")
        return np.random.SeedSequence(self.seed, spawn_key=(*type(self).__name__.encode(), *self.split.encode(), i))


class DrawnWeak(_DrawnSet):
    """Drawn 300x300 pictures with image labels only: cat, dog, background, in turn.

    `split` is train or heldout; the first n pictures are the same whatever the `count`.

    >>> weak = DrawnWeak("heldout", count=4)
    >>> weak.labels, weak.image(2).shape
    (['cat', 'dog', 'background', 'cat'], (300, 300, 3))
    """

    def __init__(self, split: str = "train", count: int = 3000, seed: int = 0) -> None:
        super().__init__("image labels", split, ("train", "heldout"), count, seed)
        self.labels: list[str] = [LABELS[i % 3] for i in range(count)]
        self.names: list[str] = [f"drawn-{split}-{i:05d}-{label}" for i, label in enumerate(self.labels)]

    def image(self, i: int) -> np.ndarray:
        """Picture `i`: (300, 300, 3) uint8, drawn anew at each call."""
        seed = self._seed(i)
        return draw(seed, tuple({self.labels[i]} & set(CLASSES)))[0]


class DrawnSegmentation(_DrawnSet):
    """Drawn pictures of many sizes with exact masks; a quarter hold a cat, a quarter a dog.

    `split` is train or val; the first n pictures are the same whatever the `count`.

    >>> val = DrawnSegmentation("val", count=4)
    >>> val.image(3).shape[:2] == val.mask(3).shape
    True
    """

    redistributable = True

    def __init__(self, split: str = "val", count: int = 200, seed: int = 0) -> None:
        super().__init__("exact masks", split, ("train", "val"), count, seed)
        self.ids: list[str] = [f"drawn-{split}-{i:05d}" for i in range(count)]
        self.absent: list[str] = []
        self.listed: int = count

    def kinds(self, i: int) -> tuple[str, ...]:
        """The animals of picture `i`."""
        # 7 shares no factor with 20: the kinds alternate, and every 20 pictures hold each in its share.
        return _KINDS[7 * i % 20]

    def image(self, i: int) -> np.ndarray:
        """Picture `i`: (H, W, 3) uint8."""
        return self._draw(i)[0]

    def mask(self, i: int) -> np.ndarray:
        """Mask `i`: (H, W) uint8, see `draw`."""
        return self._draw(i)[1]

    def _draw(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        seed = self._seed(i)
        return draw(seed, self.kinds(i), _SIZES[seed.generate_state(1)[0] % len(_SIZES)])


_KINDS = (("cat",),) * 4 + (("dog",),) * 4 + (("cat", "dog"),) + ((),) * 11
_SIZES = ((225, 300),) * 4 + ((200, 300), (220, 330), (240, 320), (300, 225), (300, 200), (240, 240))
