"""Primitives of the drawn pictures: dice, noise, shapes, skins, and a pen that fills shapes.

Byte-identical pictures need care on whole arrays: only ``+ - * /``, square
roots, comparisons and table look-ups touch them, for IEEE arithmetic rounds
those alike on every machine. Sines and powers are taken of single numbers in
double precision. All randomness comes from `Dice`, which calls one method of
one generator, for numpy promises little about the others across versions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np

BANK = 512  # side of a periodic noise field, in texels

Colour = tuple[float, float, float]


class Dice:
    """All random choices of one picture, in the order they are made."""

    def __init__(self, seed: int | np.random.SeedSequence) -> None:
        self.rng = np.random.Generator(np.random.PCG64(seed))

    def real(self, low: float, high: float) -> float:
        """A number drawn uniformly from [low, high)."""
        return low + (high - low) * float(self.rng.random())

    def chance(self, probability: float) -> bool:
        """True with that probability."""
        return float(self.rng.random()) < probability

    def whole(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return low + int(float(self.rng.random()) * (high - low + 1))

    def pick(self, options: Sequence):
        """One of `options`; an option written twice is twice as likely."""
        return options[self.whole(0, len(options) - 1)]

    def sign(self) -> float:
        return 1.0 if self.chance(0.5) else -1.0

    def offset(self) -> tuple[int, int]:
        """Where in the noise fields a pattern is read."""
        return (self.whole(0, BANK - 1), self.whole(0, BANK - 1))

    def tint(self, colour: Colour, amount: float = 0.06) -> Colour:
        """`colour` (red, green, blue in [0, 1]) shifted a little in every channel and in brightness."""
        light = self.real(-amount, amount)
        r, g, b = (min(1.0, max(0.02, c + light + self.real(-amount, amount) / 2)) for c in colour)
        return (r, g, b)


@cache
def noise(name: str) -> np.ndarray:
    """A periodic noise field (512, 512) float32 with every value in [0, 1) equally often.

    ``cloud`` is broad, ``blob`` has spots about 20 texels across, ``grain`` is
    fine, ``streak`` is fine across and long downwards. Equal frequency makes
    "> 1 - a" cover the share `a` of the area.
    """
    octaves = {
        "cloud": ((4, 4, 1.0), (8, 8, 0.5), (16, 16, 0.3), (64, 64, 0.1)),
        "blob": ((24, 24, 1.0), (64, 64, 0.15)),
        "grain": ((128, 128, 0.7), (256, 256, 1.0)),
        "streak": ((16, 128, 1.0), (32, 256, 0.5), (8, 8, 0.3)),
    }[name]
    dice = Dice(np.random.SeedSequence(20140000 + len(name) * 7 + ord(name[0])))
    total = np.zeros((BANK, BANK), dtype=np.float32)
    for rows, columns, weight in octaves:
        grid = dice.rng.random((rows, columns)).astype(np.float32)
        total += np.float32(weight) * _stretch(_stretch(grid).T).T
    order = np.argsort(total, axis=None, kind="stable")
    flat = np.empty(BANK * BANK, dtype=np.float32)
    flat[order] = np.arange(BANK * BANK, dtype=np.float32) / (BANK * BANK)
    return flat.reshape(BANK, BANK)


def _stretch(grid: np.ndarray) -> np.ndarray:
    """Stretch a periodic grid (n, m) to (512, m), smooth between its rows."""
    position = np.arange(BANK, dtype=np.float32) * np.float32(len(grid) / BANK)
    low = position.astype(np.int32)
    w = position - low
    w = (w * w * (3 - 2 * w))[:, None]
    return grid[low % len(grid)] * (1 - w) + grid[(low + 1) % len(grid)] * w


def sample(name: str, x: np.ndarray, y: np.ndarray, offset: tuple[int, int], rate: float) -> np.ndarray:
    """The noise `name` at `x`, `y`, `rate` texels a unit: same shape, float32 in [0, 1)."""
    k, shift = np.float32(rate), 64 * BANK  # shifted, so that truncation is a floor
    column = (x * k + np.float32(offset[0] + shift)).astype(np.int32) & (BANK - 1)
    row = (y * k + np.float32(offset[1] + shift)).astype(np.int32) & (BANK - 1)
    return noise(name).ravel().take(row * BANK + column)


def _window(name: str, at: tuple[slice, slice], offset: tuple[int, int]) -> np.ndarray:
    """The noise `name` at the pixels `at` of the page, shifted by `offset`: float32 in [-0.5, 0.5)."""
    rows, columns = (slice.stop - slice.start for slice in at)
    top, left = ((slice.start + shift) % BANK for slice, shift in zip(at, offset, strict=True))
    tiles = _tiles(name, 1 + -(-max(rows, columns) // BANK))
    return tiles[top : top + rows, left : left + columns]


@cache
def _tiles(name: str, repeats: int) -> np.ndarray:
    """The noise `name` repeated, with mean zero: a window of it is a view, where a look-up would copy."""
    return np.tile(noise(name) - np.float32(0.5), (repeats, repeats))


@dataclass(frozen=True)
class Shape:
    """A region given by its signed distance `sd(x, y)`, negative inside.

    It lies within `hx` and `hy` of its centre (x, y); `axis` is the direction along which
    stripes follow one another.
    """

    x: float
    y: float
    hx: float
    hy: float
    sd: Callable[[np.ndarray, np.ndarray], np.ndarray]
    axis: tuple[float, float] = (1.0, 0.0)


def ellipse(cx: float, cy: float, rx: float, ry: float, angle: float = 0.0) -> Shape:
    """An ellipse; `angle` in radians turns it clockwise on the picture."""
    c, s = math.cos(angle), math.sin(angle)

    def sd(x, y):
        u, v = (x - cx) * c + (y - cy) * s, (y - cy) * c - (x - cx) * s
        u, v = u / rx, v / ry
        near = np.sqrt(u * u + v * v)
        u, v = u / rx, v / ry
        return near * (near - 1) / (np.sqrt(u * u + v * v) + np.float32(1e-6))

    hx, hy = math.hypot(rx * c, ry * s), math.hypot(rx * s, ry * c)
    return Shape(cx, cy, hx, hy, sd, (c, s) if rx >= ry else (-s, c))


def limb(ax: float, ay: float, bx: float, by: float, ra: float, rb: float) -> Shape:
    """A rounded stroke from a to b whose radius goes from `ra` to `rb`."""
    dx, dy = bx - ax, by - ay
    length = math.hypot(dx, dy) + 1e-6

    def sd(x, y):
        px, py = x - ax, y - ay
        t = np.minimum(np.maximum((px * dx + py * dy) / (length * length), 0), 1)
        px, py = px - t * dx, py - t * dy
        return np.sqrt(px * px + py * py) - (ra + t * (rb - ra))

    hx, hy = (abs(d) / 2 + max(ra, rb) for d in (dx, dy))
    return Shape((ax + bx) / 2, (ay + by) / 2, hx, hy, sd, (dx / length, dy / length))


def polygon(points: Sequence[tuple[float, float]], rounding: float = 0.0) -> Shape:
    """A convex polygon, its corners in order, grown by `rounding`."""
    cx, cy = (sum(p[i] for p in points) / len(points) for i in (0, 1))
    sides = []
    for (ax, ay), (bx, by) in zip(points, (*points[1:], points[0]), strict=True):
        length = math.hypot(bx - ax, by - ay)
        nx, ny = (by - ay) / length, (ax - bx) / length
        outward = 1 if (ax - cx) * nx + (ay - cy) * ny > 0 else -1
        sides.append((outward * nx, outward * ny, outward * (nx * ax + ny * ay)))

    def sd(x, y):
        far = None
        for nx, ny, d in sides:
            side = x * nx + y * ny - d
            far = side if far is None else np.maximum(far, side)
        return far - rounding

    hx, hy = max(abs(x - cx) for x, _ in points), max(abs(y - cy) for _, y in points)
    return Shape(cx, cy, hx + 2 * rounding, hy + 2 * rounding, sd)


def box(cx: float, cy: float, hx: float, hy: float, rounding: float = 0.0) -> Shape:
    """A rectangle of half sides `hx`, `hy` with round corners."""

    def sd(x, y):
        u, v = abs(x - cx) - (hx - rounding), abs(y - cy) - (hy - rounding)
        p, q = np.maximum(u, 0), np.maximum(v, 0)
        return np.sqrt(p * p + q * q) + np.minimum(np.maximum(u, v), 0) - rounding

    return Shape(cx, cy, hx, hy, sd)


def blend(*shapes: Shape, k: float = 0.1) -> Shape:
    """The union of shapes, filleted where they meet over a length of about `k`."""

    def sd(x, y):
        total = shapes[0].sd(x, y)
        for shape in shapes[1:]:
            other = shape.sd(x, y)
            h = np.maximum(k - abs(total - other), 0) / k
            total = np.minimum(total, other) - h * h * (k / 4)
        return total

    left, right = min(s.x - s.hx for s in shapes), max(s.x + s.hx for s in shapes)
    top, bottom = min(s.y - s.hy for s in shapes), max(s.y + s.hy for s in shapes)
    hx, hy = (right - left + k) / 2, (bottom - top + k) / 2
    return Shape((left + right) / 2, (top + bottom) / 2, hx, hy, sd, shapes[0].axis)


def curve(points: Sequence[tuple[float, float]], ra: float, rb: float, steps: int = 7) -> Shape:
    """A stroke along the quadratic or cubic Bezier curve of `points`, radius from `ra` to `rb`."""
    line = []
    for step in range(steps + 1):
        level, t = list(points), step / steps
        while len(level) > 1:
            level = [
                (p[0] + t * (q[0] - p[0]), p[1] + t * (q[1] - p[1]))
                for p, q in zip(level[:-1], level[1:], strict=True)
            ]
        line.append((*level[0], ra + t * (rb - ra)))
    limbs = [limb(a[0], a[1], b[0], b[1], a[2], b[2]) for a, b in zip(line[:-1], line[1:], strict=True)]
    whole = blend(*limbs, k=min(ra, rb) / 2)
    dx, dy = line[-1][0] - line[0][0], line[-1][1] - line[0][1]
    length = math.hypot(dx, dy) + 1e-6
    return replace(whole, axis=(dx / length, dy / length))


@dataclass(frozen=True)
class Skin:
    """How a filled shape looks.

    Attributes
    ----------
    base, mark : tuple of float
        Colours of the ground and of the pattern, in [0, 1].
    pattern : str
        ``plain``, ``stripes``, ``dots``, ``spots``, ``patches``, ``shaggy`` or ``mottle``.
    rate : float
        How fine the pattern is, in page pixels whatever the size of the figure: stripes or
        dots a pixel, or texels of the noise a pixel.
    share : float
        Share of the area that carries `mark`.
    fuzz : float
        Roughness of the outline in pixels.
    grain : float
        Strength of the fine structure.
    ink, volume : float
        Darkness of the drawn outline, and of the shading towards it.
    offset : tuple of int
        Where in the noise fields the pattern is read.
    """

    base: Colour
    mark: Colour = (0.0, 0.0, 0.0)
    pattern: str = "plain"
    rate: float = 1.0
    share: float = 0.4
    fuzz: float = 0.0
    grain: float = 0.08
    ink: float = 0.3
    volume: float = 0.15
    offset: tuple[int, int] = field(default=(0, 0))

    def marks(
        self, x: np.ndarray, y: np.ndarray, axis: tuple[float, float], scale: float
    ) -> np.ndarray | None:
        """Weight of `mark` at local coordinates, `scale` pixels a unit: in [0, 1], or None for no pattern."""
        if self.pattern == "plain":
            return None
        rate = np.float32(self.rate * scale)
        if self.pattern == "stripes":
            phase = (x * np.float32(axis[0]) + y * np.float32(axis[1])) * rate
            phase = phase + sample("cloud", x, y, self.offset, 0.8 * scale) * np.float32(1.6)
            level, sharp = abs(phase - np.floor(phase) - np.float32(0.5)) * 2, 5.0  # 0..1..0, equally often
        elif self.pattern == "dots":
            u, v = x * rate, y * rate
            u, v = u - np.floor(u) - np.float32(0.5), v - np.floor(v) - np.float32(0.5)
            level, sharp = 1 - 2 * np.sqrt(u * u + v * v), 6.0
        elif self.pattern == "shaggy":
            level, sharp = sample("streak", x + y * np.float32(0.3), y, self.offset, rate), 1.6
        else:
            name = {"spots": "blob", "patches": "cloud", "mottle": "grain"}[self.pattern]
            level, sharp = sample(name, x, y, self.offset, rate), 9.0
        cut = np.float32(1 - self.share)
        return np.minimum(np.maximum((level - cut) * np.float32(sharp) + np.float32(0.5), 0), 1)

    def light(self, sd: np.ndarray, speckle: np.ndarray | None, size: float) -> np.ndarray:
        """Brightness at `sd` pixels from the outline of a shape of `size` pixels."""
        light = 1 - np.float32(self.ink) * np.maximum(1 - abs(sd + 1) / np.float32(1.6), 0)
        if self.volume:
            depth = np.minimum(np.maximum(sd / np.float32(0.5 * size) + 1, 0), 1)
            light *= 1 - np.float32(self.volume) * depth * depth
        if speckle is not None:
            light *= 1 + np.float32(2 * self.grain) * speckle
        return light


def flat(colour: Colour) -> Skin:
    """A skin of one colour without outline, shading or grain."""
    return Skin(colour, grain=0.0, ink=0.0, volume=0.0)


class Pen:
    """Fills shapes, given in a local frame, on a canvas (3, H, W) float32 in [0, 1].

    Parameters
    ----------
    canvas, owner : ndarray
        The picture, and (H, W) uint8 with the number of the figure seen at each pixel.
    figure : int or None
        Number written to `owner` by what is filled; None leaves it (shadows, whiskers).
    matrix : tuple of float
        Local to pixel frame: ``column = a x + b y + c``, ``row = d x + e y + f``.
    sway : float
        Amplitude in pixels of the smooth deformation of everything this pen draws.
    offset : tuple of int
        Where in the noise field that deformation is read.
    """

    def __init__(
        self,
        canvas: np.ndarray,
        owner: np.ndarray,
        figure: int | None,
        matrix: tuple[float, ...],
        sway: float = 0.0,
        offset: tuple[int, int] = (0, 0),
    ) -> None:
        self.canvas, self.owner, self.figure, self.matrix = canvas, owner, figure, matrix
        self.sway, self.offset = sway, offset
        a, b, _, d, e, _ = matrix
        self.scale = math.sqrt(abs(a * e - b * d))

    def at(
        self,
        x: float,
        y: float,
        scale: float = 1.0,
        angle: float = 0.0,
        mirror: bool = False,
        figure: int | None = -1,
    ) -> Pen:
        """A pen whose frame lies at (x, y) of this one, scaled, turned by `angle` radians, mirrored."""
        a, b, c, d, e, f = self.matrix
        cos, sin, m = scale * math.cos(angle), scale * math.sin(angle), -1.0 if mirror else 1.0
        matrix = (
            m * (a * cos + b * sin), b * cos - a * sin, a * x + b * y + c,
            m * (d * cos + e * sin), e * cos - d * sin, d * x + e * y + f,
        )
        figure = self.figure if figure == -1 else figure
        return Pen(self.canvas, self.owner, figure, matrix, self.sway, self.offset)

    def fill(self, shape: Shape, skin: Skin | Colour, alpha: float = 1.0) -> None:
        """Fill `shape` with `skin`, or with a flat colour; `alpha` below 1 lets the ground through."""
        if not isinstance(skin, Skin):
            skin = Skin(skin, grain=0.05, ink=0.2, volume=0.08)
        a, b, c, d, e, f = self.matrix
        height, width = self.owner.shape
        column, row = a * shape.x + b * shape.y + c, d * shape.x + e * shape.y + f
        margin = self.sway + skin.fuzz + 2
        w, h = (abs(u) * shape.hx + abs(v) * shape.hy + margin for u, v in ((a, b), (d, e)))
        top, bottom = max(0, math.floor(row - h)), min(height, math.ceil(row + h) + 1)
        left, right = max(0, math.floor(column - w)), min(width, math.ceil(column + w) + 1)
        if top >= bottom or left >= right:
            return
        window = (slice(top, bottom), slice(left, right))
        x, y = self._local(window)
        sd = shape.sd(x, y) * np.float32(self.scale)  # (h, w), pixels
        near = sd < np.float32(0.5 + skin.fuzz)
        rows, columns = np.flatnonzero(near.any(1)), np.flatnonzero(near.any(0))
        if not len(rows):
            return
        crop = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
        at = (slice(top + rows[0], top + rows[-1] + 1), slice(left + columns[0], left + columns[-1] + 1))
        x, y, sd = np.broadcast_to(x, sd.shape)[crop], np.broadcast_to(y, sd.shape)[crop], sd[crop]
        speckle = None
        if skin.fuzz:
            speckle = sample("streak", x, y, skin.offset, 0.8 * self.scale) - np.float32(0.5)
            sd = sd + speckle * np.float32(2 * skin.fuzz)
        elif skin.grain:
            speckle = _window("grain", at, skin.offset)
        cover = np.minimum(np.maximum(np.float32(0.5) - sd, 0), 1)
        if self.figure is not None and alpha == 1.0:
            self.owner[at][cover >= 0.5] = self.figure
        light = skin.light(sd, speckle, max(shape.hx, shape.hy) * self.scale)
        marks = skin.marks(x, y, shape.axis, self.scale)
        if alpha < 1.0:
            cover = cover * np.float32(alpha)
        for channel, (base, mark) in enumerate(zip(skin.base, skin.mark, strict=True)):
            plane = self.canvas[channel][at]
            tone = np.float32(base) if marks is None else marks * np.float32(mark - base) + np.float32(base)
            plane += cover * (tone * light - plane)

    def _local(self, window: tuple[slice, slice]) -> tuple[np.ndarray, np.ndarray]:
        """Local coordinates of the pixels of a window; (1, w) and (h, 1) where that says it all."""
        a, b, c, d, e, f = self.matrix
        rows, columns = window
        px = np.arange(columns.start, columns.stop, dtype=np.float32)[None, :] - np.float32(c)
        py = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] - np.float32(f)
        if self.sway:
            i, j = self.offset
            px = px + _window("cloud", window, (i, j)) * np.float32(2 * self.sway)
            py = py + _window("cloud", window, (i + 256, j + 128)) * np.float32(2 * self.sway)
        det = a * e - b * d
        x, y = px * np.float32(e / det), py * np.float32(a / det)
        if b or d:
            x, y = x - py * np.float32(b / det), y - px * np.float32(d / det)
        return x, y
