"""The figures of the drawn pictures, each a few filled shapes: Pillow draws the outlines, NumPy fills them."""

from __future__ import annotations

import colorsys
import math
from dataclasses import dataclass, replace
from functools import cache
from random import Random

import numpy as np
from PIL import Image, ImageDraw, ImageFilter
from skimage.filters import gaussian

Colour = tuple[float, float, float]
Polygon = list[tuple[float, float]] | np.ndarray  # corners, (n, 2)

HEAD = 64
"""Added to the index of an animal's class where its head is seen."""

# Ranges of hue, saturation and value.
LIGHT, DARK = ((0.06, 0.13), (0, 0.7), (0.6, 1)), ((0.03, 0.1), (0.1, 0.6), (0.15, 0.45))
PAINT, GREEN = ((0, 1), (0.2, 0.7), (0.25, 0.95)), ((0.2, 0.4), (0.3, 0.6), (0.4, 0.7))
SKY, EYE = ((0.5, 0.7), (0, 0.4), (0.4, 0.95)), ((0.1, 0.6), (0.4, 0.7), (0.6, 0.9))
# Red, green and blue in [0, 1].
INK, WHITE, ROSE, BEAK = (0.16, 0.13, 0.13), (1, 1, 1), (0.86, 0.58, 0.56), (0.9, 0.6, 0.2)

PATTERNS = {
    "cat": ("stripes",) * 17 + ("patches", "shaggy", "plain"),
    "dog": ("spots",) * 12 + ("patches",) * 5 + ("shaggy", "plain", "stripes"),
    "creature": ("plain",) * 8 + ("shaggy",) * 6 + ("stripes", "spots", "patches") * 2,
    "thing": ("plain",) * 5 + ("patches", "stripes", "spots"),
}
"""Patterns of each kind; one written twice is twice as likely."""

BLUR = {"spots": (5, 5), "patches": (20, 20), "stripes": (20, 20), "shaggy": (8, 1)}
"""Standard deviations, down and across in pixels, of the blur that makes noise a pattern."""


@cache
def noise_field(pattern: str) -> np.ndarray:
    """A field of noise, (1024, 1024) float32 in [0, 1): above 1 - a lies the share `a` of its area."""
    field = gaussian(np.random.default_rng(2014).random((1024, 1024), np.float32), BLUR[pattern], mode="reflect")
    return field.argsort(axis=None).argsort().reshape(field.shape) / np.float32(field.size)


def tone(rng: Random, ranges: tuple) -> Colour:
    """A colour in ranges of hue, saturation and value."""
    return colorsys.hsv_to_rgb(*(rng.uniform(*ends) for ends in ranges))


def mix(a: Colour, b: Colour, t: float) -> Colour:
    """The colour that lies the part t of the way from a to b."""
    return tuple(x + t * (y - x) for x, y in zip(a, b, strict=True))


@dataclass(frozen=True)
class Texture:
    """How a filled shape looks."""

    base: Colour
    mark: Colour = INK  # colour of the pattern
    pattern: str = "plain"
    period: float = 12.0  # of stripes, in pixels
    relief: float = 0.1  # how much darker it is towards the outline
    fuzz: float = 0.0  # roughness of the outline, as of fur
    offset: tuple[int, int] = (0, 0)  # where in the noise the pattern is read

    def noise(self, pattern: str, top: int, left: int, bottom: int, right: int) -> np.ndarray:
        """The noise in a window of the page, (height, width)."""
        y, x = self.offset
        return noise_field(pattern)[top + y : bottom + y, left + x : right + x]

    def colours(self, *window: int) -> np.ndarray:
        """Colours in a window of the page, before shading: (height, width, 3) float32, or (3,) if plain."""
        if self.pattern == "plain":
            return np.float32(self.base)
        level = self.noise(self.pattern, *window)
        if self.pattern == "stripes":  # they cross the longer side of a shape
            place = np.indices(level.shape, np.float32)[0 if level.shape[0] > level.shape[1] else 1]
            level = 2 * abs((place / self.period + 1.5 * level) % 1 - 0.5)
        weight = np.clip((level - 0.6) * (2 if self.pattern == "shaggy" else 6) + 0.5, 0, 1)  # covers two fifths
        return self.base + weight[..., None] * np.subtract(self.mark, self.base, dtype=np.float32)


def surface(rng: Random, kind: str) -> Texture:
    """Fur, paint or cloth with a pattern typical of the kind, in colours that all kinds share."""
    base, mark = rng.sample([tone(rng, LIGHT), tone(rng, DARK)], 2)
    if kind == "thing" and rng.random() < 0.7:
        base = tone(rng, rng.choice((PAINT, GREEN)))
    return Texture(base, mark, rng.choice(PATTERNS[kind]), rng.uniform(8, 14), rng.uniform(0.15, 0.3),
                   0 if kind == "thing" else rng.uniform(0.4, 0.9), (rng.randrange(512), rng.randrange(512)))


@dataclass(frozen=True)
class Pen:
    """Fills shapes, given in a local frame (x to the right, y down), on a picture."""

    picture: np.ndarray  # (H, W, 3) float32 in [0, 1]
    owner: np.ndarray  # (H, W) uint8, what is seen at each pixel: the VOC index of an animal, or 0
    matrix: np.ndarray  # (2, 3), takes (x, y, 1) to (column, row)
    figure: int | None = 0  # what it writes to `owner`; None for shadows and whiskers, which are of no figure

    def at(self, x: float, y: float, scale: float = 1.0, angle: float = 0.0, mirror: bool = False) -> Pen:
        """A pen whose frame lies at (x, y) of this one, scaled, turned by `angle` radians, mirrored."""
        c, s, m = scale * math.cos(angle), scale * math.sin(angle), -1 if mirror else 1
        return replace(self, matrix=self.matrix @ np.array([[m * c, -s, x], [m * s, c, y], [0, 0, 1]]))

    def fill(self, texture: Texture | Colour, *polygons: Polygon, alpha: float = 1.0) -> None:
        """Fill the union of polygons; `alpha` below 1 lets the ground through."""
        texture = texture if isinstance(texture, Texture) else Texture(texture)
        outline = Image.new("L", self.owner.shape[::-1])
        drawing = ImageDraw.Draw(outline)
        for corners in polygons:
            drawing.polygon((corners @ self.matrix[:, :2].T + self.matrix[:, 2]).ravel().tolist(), fill=255)
        if (box := outline.getbbox()) is None:
            return
        left, top, right, bottom = box
        outline, window, place = outline.crop(box), (top, left, bottom, right), np.s_[top:bottom, left:right]
        near, deep = (np.float32(outline.filter(ImageFilter.BoxBlur(radius))) / 255
                      for radius in (2, min(outline.size) // 4))
        streaks = texture.noise("shaggy", *window) - 0.5
        inside = near + texture.fuzz * streaks > 0.5 if texture.fuzz else np.asarray(outline) > 0
        light = 1 + 0.15 * streaks - texture.relief * (2 - near - deep)
        ground = self.picture[place]
        ground += (alpha * inside)[..., None] * (texture.colours(*window) * light[..., None] - ground)
        if self.figure is not None:
            self.owner[place][inside] = self.figure


def ellipse(x: float, y: float, rx: float, ry: float) -> Polygon:
    """An upright ellipse around (x, y)."""
    t = np.linspace(0, 2 * math.pi, 32)
    return np.stack([x + rx * np.cos(t), y + ry * np.sin(t)], axis=1)


def stroke(first: float, last: float, *points: tuple[float, float]) -> list[Polygon]:
    """A line through the points, of a round pen whose radius goes from `first` to `last`."""
    at, radii = np.linspace(0, len(points) - 1, 20), np.linspace(first, last, 20)
    x, y = (np.interp(at, range(len(points)), values) for values in np.transpose(points))
    return [ellipse(*place) for place in zip(x, y, radii, radii, strict=True)]


# Animals: feet at y = 0, about one unit tall, looking to the right.


def animal(pen: Pen, rng: Random, kind: str, standing: bool) -> None:
    """A cat or a dog, standing and seen from the side, or sitting and seen from the front."""
    coat, girth, half = surface(rng, kind), rng.uniform(0.8, 1.1), rng.uniform(0.26, 0.38)
    x, y = (-half - 0.1, -0.54) if standing else (-0.18, -0.1)
    tail = [(x - 0.5, y + 0.15), (x - 0.4, y - rng.uniform(0.2, 0.5))] if kind == "cat" else [(x - 0.25, y - 0.3)]
    pen.fill(coat, *stroke(0.06, 0.04, (x, y), *tail))
    if standing:
        for place in (0.1 - half, half + 0.04, -half - 0.03, half - 0.03):
            foot = place + rng.uniform(-0.13, 0.13)
            pen.fill(coat, *stroke(0.09 * girth, 0.06 * girth, (place, -0.48), (foot, -0.04)))
        pen.fill(coat, *stroke(0.16 * girth, 0.13 * girth, (-half, -0.5), (half, -0.5), (half + 0.15, -0.76)))
    else:
        pen.fill(coat, ellipse(0, -0.24, 0.29 * girth, 0.25), *stroke(0.2 * girth, 0.13, (0, -0.3), (0.03, -0.62)))
        for side in (-1, 1):
            pen.fill(coat, ellipse(0.22 * side * girth, -0.12, 0.14, 0.12))
            pen.fill(coat, *stroke(0.07 * girth, 0.065 * girth, (0.08 * side, -0.38), (0.09 * side, -0.05)))
    x, y, size = (half + 0.18, -0.84, 0.2) if standing else (0.03, -0.78, 0.23)
    head = replace(pen, figure=pen.figure + HEAD).at(x, y, size * rng.uniform(0.95, 1.15), rng.uniform(-0.25, 0.25))
    pale = replace(coat, base=mix(coat.base, WHITE, 0.6), pattern="plain", fuzz=0)
    (_cat_head if kind == "cat" else _dog_head)(head, rng, coat, pale)


def _cat_head(pen: Pen, rng: Random, coat: Texture, pale: Texture) -> None:
    """A wide face with pointed ears, slit pupils and whiskers."""
    lift, turn = rng.uniform(1.35, 1.7), rng.uniform(-0.1, 0.1)
    for side in (-1, 1):
        pen.fill(coat, [(-side, -0.15), (-0.82 * side, -lift), (-0.06 * side, -0.75)])
        pen.fill(ROSE, [(-0.8 * side, -0.45), (-0.75 * side, -lift + 0.22), (-0.32 * side, -0.8)])
    pen.fill(coat, ellipse(0, -0.05, 1.02, 0.86), ellipse(-0.55, 0.28, 0.52, 0.45), ellipse(0.55, 0.28, 0.52, 0.45))
    _eyes(pen, turn, -0.06, 0.44, 0.24, tone(rng, EYE), 0.1)
    pen.fill(pale, ellipse(turn - 0.19, 0.44, 0.27, 0.22), ellipse(turn + 0.19, 0.44, 0.27, 0.22))
    pen.fill(ROSE, [(turn + 0.14, 0.2), (turn, 0.36), (turn - 0.14, 0.2)])
    for end in (0.24, 0.44, 0.64):
        for side in (-1, 1):
            hair = [(0.35 * side + turn, 0.3 + 0.5 * end), (1.3 * side, end), (1.3 * side, end + 0.03)]
            replace(pen, figure=None).fill(WHITE if sum(coat.base) < 1.8 else INK, hair)


def _dog_head(pen: Pen, rng: Random, coat: Texture, pale: Texture) -> None:
    """A round skull with a snout that sticks out to the side that the dog looks to, and hanging ears."""
    turn, hang = rng.uniform(-1, 1), rng.uniform(0.5, 1.0)
    x, y = turn * rng.uniform(0.65, 0.95), rng.uniform(0.35, 0.4)
    pen.fill(coat, ellipse(0, -0.12, 0.82, 0.82), ellipse(0.15 * turn, 0.3, 0.62, 0.5))
    pen.fill(pale, *stroke(0.5, 0.34, (0.12 * turn, 0.28), (0.9 * x, y + 0.12)))
    pen.fill(INK, ellipse(x, y - 0.08, 0.21, 0.16), ellipse(0.75 * x, 0.66, 0.24, 0.03))  # nose and mouth
    _eyes(pen, 0.22 * turn, -0.2, 0.36, 0.16, WHITE, 0.1)
    for side in (-1, 1):
        ear = stroke(0.2, 0.34, (0.55 * side, -0.72), (0.95 * side, -0.55), (side, 0.1 + 0.4 * hang))
        pen.fill(replace(coat, base=coat.mark, mark=coat.base), *ear)


def _eyes(pen: Pen, x: float, y: float, apart: float, size: float, iris: Colour, pupil: float) -> None:
    for side in (-1, 1):
        pen.fill(iris, ellipse(x + side * apart, y, size, size))
        pen.fill(INK, ellipse(x + side * apart, y, pupil, 0.75 * size))


# Creatures that are neither, and things: base at y = 0, about one unit tall.


def owl(pen: Pen, rng: Random) -> None:
    coat = surface(rng, "creature")
    ears = ([(0.02 * side, -0.8), (0.27 * side, -1.04), (0.28 * side, -0.66)] for side in (-1, 1))
    pen.fill(coat, *ears, ellipse(0, -0.36, 0.3, 0.36), ellipse(0, -0.72, 0.27, 0.2))
    pen.fill(replace(coat, base=mix(coat.base, WHITE, 0.5), pattern="spots"), ellipse(0, -0.32, 0.19, 0.26))
    _eyes(pen, 0, -0.72, 0.12, 0.07, WHITE, 0.04)
    pen.fill(BEAK, [(0.06, -0.69), (0, -0.57), (-0.06, -0.69)])


def heap(pen: Pen, rng: Random) -> None:
    """A bush, a blanket or a mossy stone; some with colours and patterns of fur on no animal."""
    lumps = (ellipse(rng.uniform(-0.4, 0.4), rng.uniform(-0.4, -0.2), rng.uniform(0.2, 0.37), 0.25) for _ in range(4))
    pen.fill(surface(rng, rng.choice(("creature", "thing"))), *lumps)


def cushion(pen: Pen, rng: Random) -> None:
    """A cushion or, if it is short, a ball."""
    half = rng.choice((0, 0.3))
    pen.fill(surface(rng, "thing"), *stroke(0.3, 0.3, (-half, -0.3), (half, -0.3)))
