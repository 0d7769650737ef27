"""Shapes, textures and a pen for the drawn pictures: Pillow rasterises polygons, NumPy colours them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

Colour = tuple[float, float, float]
"""Red, green and blue in [0, 1]."""

Shape = list[np.ndarray]
"""The union of polygons, each (n, 2) corners: x to the right, y down."""

NOISE_SIDE = 512


def polygon(*corners: tuple[float, float]) -> Shape:
    """A polygon by its corners, in order."""
    return [np.array(corners)]


def box(x: float, y: float, w: float, h: float) -> Shape:
    """An upright rectangle around (x, y) of half sides `w` and `h`."""
    return polygon((x - w, y - h), (x + w, y - h), (x + w, y + h), (x - w, y + h))


def ellipse(x: float, y: float, rx: float, ry: float, angle: float = 0.0) -> Shape:
    """An ellipse; `angle` in radians turns it clockwise on the picture."""
    t = np.linspace(0, 2 * math.pi, 36, endpoint=False)
    u, v, c, s = rx * np.cos(t), ry * np.sin(t), math.cos(angle), math.sin(angle)
    return [np.stack([x + u * c - v * s, y + u * s + v * c], axis=1)]


def limb(ax: float, ay: float, bx: float, by: float, ra: float, rb: float) -> Shape:
    """A stroke with round ends from a to b, whose radius goes from `ra` to `rb`."""
    length = math.hypot(bx - ax, by - ay) + 1e-6
    nx, ny = (ay - by) / length, (bx - ax) / length
    middle = polygon((ax + nx * ra, ay + ny * ra), (bx + nx * rb, by + ny * rb), (bx - nx * rb, by - ny * rb),
                     (ax - nx * ra, ay - ny * ra))
    return ellipse(ax, ay, ra, ra) + middle + ellipse(bx, by, rb, rb)


def curve(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float], ra: float, rb: float) -> Shape:
    """A stroke along the quadratic Bezier curve from a to c, pulled towards b; radius from `ra` to `rb`."""
    t = np.linspace(0, 1, 8)[:, None]
    path = np.hstack([(1 - t) ** 2 * a + 2 * t * (1 - t) * b + t**2 * c, ra + t * (rb - ra)])
    return [part for (x, y, r), (u, v, s) in zip(path[:-1], path[1:], strict=True) for part in limb(x, y, u, v, r, s)]


@cache
def noise(name: str) -> np.ndarray:
    """A periodic field of noise, twice each way, (1024, 1024) float32: above 1 - a lies the share `a` of its area."""
    octaves = {  # rows and columns of a random grid, and its weight
        "cloud": ((4, 4, 1.0), (8, 8, 0.5), (16, 16, 0.3), (64, 64, 0.1)),
        "blob": ((24, 24, 1.0), (64, 64, 0.15)),
        "streak": ((16, 128, 1.0), (32, 256, 0.5), (8, 8, 0.3)),
    }[name]
    rng = np.random.default_rng([2014, *name.encode()])
    total = np.zeros((NOISE_SIDE, NOISE_SIDE), np.float32)
    for rows, columns, weight in octaves:
        grid = Image.fromarray(np.pad(rng.random((rows, columns), np.float32), 2, mode="wrap"))  # periodic
        total += weight * np.asarray(grid.resize(total.shape, Image.Resampling.BICUBIC, (2, 2, columns + 2, rows + 2)))
    ranks = np.empty(total.size, np.float32)
    ranks[np.argsort(total, axis=None, kind="stable")] = np.arange(total.size) / total.size
    return np.tile(ranks.reshape(total.shape), (2, 2))


@dataclass(frozen=True)
class Texture:
    """How a filled shape looks."""

    base: Colour
    mark: Colour = (0.0, 0.0, 0.0)  # colour of the pattern
    pattern: str = "plain"  # or stripes, spots, patches, shaggy
    period: float = 12.0  # of stripes, in pixels
    share: float = 0.4  # part of the base that the pattern covers
    fuzz: int = 0  # roughness of the outline in pixels, as of fur
    grain: float = 0.08  # strength of the fine structure,
    ink: float = 0.3  # of the dark outline,
    volume: float = 0.25  # and of the shading towards it
    offset: tuple[int, int] = (0, 0)  # where in the noise fields the pattern is read

    def colours(self, top: int, left: int, height: int, width: int) -> np.ndarray:
        """Colours in a window of the page, before shading: (height, width, 3) float32, or (3,) if plain."""
        base, mark = np.float32(self.base), np.float32(self.mark)
        if self.pattern == "plain":
            return base
        if self.pattern == "stripes":  # they cross the longer side of a shape
            y, x = np.ogrid[top : top + height, left : left + width]
            phase = np.float32((y if height > width else x) / self.period)
            phase = phase + 1.2 * self.noise("cloud", top, left, height, width)
            level = abs(phase % 1 - 0.5) * 2
        else:
            name = {"spots": "blob", "patches": "cloud", "shaggy": "streak"}[self.pattern]
            level = self.noise(name, top, left, height, width)
        sharpness = 1.6 if self.pattern == "shaggy" else 6.0
        weight = np.clip((level - (1 - self.share)) * sharpness + 0.5, 0, 1)
        return base + weight[..., None] * (mark - base)

    def noise(self, name: str, top: int, left: int, height: int, width: int) -> np.ndarray:
        """A noise field in a window of the page: (height, width)."""
        top, left = (top + self.offset[0]) % NOISE_SIDE, (left + self.offset[1]) % NOISE_SIDE
        return noise(name)[top : top + height, left : left + width]


@dataclass(frozen=True)
class Pen:
    """Fills shapes, given in a local frame, on a picture."""

    picture: np.ndarray  # (H, W, 3) float32 in [0, 1]
    owner: np.ndarray  # (H, W) uint8, the number of the figure seen at each pixel
    matrix: np.ndarray  # (2, 3), takes (x, y, 1) to (column, row)
    figure: int | None = 0  # what it writes to `owner`; None for shadows and whiskers, which are of no figure

    def at(self, x: float, y: float, scale: float = 1.0, angle: float = 0.0, mirror: bool = False) -> Pen:
        """A pen whose frame lies at (x, y) of this one, scaled, turned by `angle` radians, mirrored."""
        c, s, m = scale * math.cos(angle), scale * math.sin(angle), -1 if mirror else 1
        return replace(self, matrix=self.matrix @ np.array([[m * c, -s, x], [m * s, c, y], [0, 0, 1]]))

    def fill(self, shape: Shape, texture: Texture | Colour, alpha: float = 1.0) -> None:
        """Fill `shape`; `alpha` below 1 lets the ground through."""
        if not isinstance(texture, Texture):
            texture = Texture(texture, grain=0.03, ink=0.1, volume=0.0)
        polygons = [corners @ self.matrix[:, :2].T + self.matrix[:, 2] for corners in shape]
        corners, margin = np.concatenate(polygons), texture.fuzz + 2
        left, top = np.maximum(corners.min(axis=0) - margin, 0).astype(int).tolist()
        right, bottom = np.minimum(corners.max(axis=0) + margin, self.owner.shape[::-1]).astype(int).tolist()
        height, width = bottom - top, right - left
        if height <= 0 or width <= 0:
            return
        mask = Image.new("L", (2 * width, 2 * height))  # twice as fine, for smooth edges
        drawing = ImageDraw.Draw(mask)
        for corners in polygons:
            drawing.polygon(((corners - (left, top)) * 2).ravel().tolist(), fill=255)
        mask, window = mask.reduce(2), (top, left, height, width)
        soft = np.float32(mask.filter(ImageFilter.BoxBlur(1 + texture.fuzz))) / 255  # 0.5 on the outline, 1 inside
        cover = np.float32(mask) / 255
        if texture.fuzz:
            cover = np.clip((soft + 0.7 * texture.noise("streak", *window) - 0.85) * 4 + 0.5, 0, 1)
        light = 1 - 2 * texture.ink * (1 - soft)
        if texture.volume:
            depth = np.float32(mask.filter(ImageFilter.BoxBlur(min(height, width) // 4))) / 255
            light *= 1 - texture.volume * (1 - depth)
        if texture.grain:
            light *= 1 + 2 * texture.grain * (texture.noise("streak", *window) - 0.5)
        ground = self.picture[top:bottom, left:right]
        ground += (alpha * cover)[..., None] * (texture.colours(*window) * light[..., None] - ground)
        if self.figure is not None:
            self.owner[top:bottom, left:right][cover >= 0.5] = self.figure
