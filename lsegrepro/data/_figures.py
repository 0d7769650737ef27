"""The figures of the drawn pictures: cats, dogs, creatures that are neither, and things, each a few filled shapes."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from ._painter import NOISE_SIDE, Colour, Pen, Texture, box, curve, ellipse, limb, polygon

HEAD = 16
"""Added to an animal's number where its head is seen."""

COATS: tuple[Colour, ...] = (
    (0.90, 0.60, 0.28), (0.74, 0.42, 0.18), (0.96, 0.90, 0.78), (0.98, 0.97, 0.94), (0.56, 0.55, 0.57),
    (0.36, 0.35, 0.38), (0.17, 0.15, 0.16), (0.47, 0.32, 0.21), (0.30, 0.20, 0.14), (0.85, 0.72, 0.52),
)
PAINTS = (
    (0.83, 0.30, 0.26), (0.93, 0.72, 0.30), (0.36, 0.58, 0.55), (0.30, 0.42, 0.62), (0.62, 0.72, 0.42),
    (0.85, 0.55, 0.52), (0.55, 0.40, 0.58), (0.90, 0.84, 0.70), (0.45, 0.33, 0.25), (0.24, 0.30, 0.36),
)
GREENS = ((0.45, 0.62, 0.32), (0.56, 0.68, 0.36), (0.34, 0.52, 0.34), (0.66, 0.70, 0.40), (0.40, 0.55, 0.46))
INK, WHITE, WOOD, BEAK = (0.16, 0.13, 0.13), (1.0, 1.0, 1.0), (0.46, 0.33, 0.22), (0.92, 0.64, 0.22)

PATTERNS = {
    "cat": ("stripes",) * 17 + ("patches", "shaggy", "plain"),
    "dog": ("spots",) * 12 + ("patches",) * 5 + ("shaggy", "plain", "stripes"),
    "creature": ("plain",) * 8 + ("shaggy",) * 6 + ("stripes", "spots", "patches") * 2,
    "thing": ("plain",) * 5 + ("patches", "stripes", "spots"),
}
"""Patterns of each kind; one written twice is twice as likely."""


def mix(a: Colour, b: Colour, t: float) -> Colour:
    """The colour that lies the part t of the way from a to b."""
    return tuple(x + t * (y - x) for x, y in zip(a, b, strict=True))


def tint(rng: Random, colour: Colour) -> Colour:
    """The colour shifted a little in brightness and in every channel."""
    light = rng.uniform(-0.06, 0.06)
    return tuple(min(1.0, max(0.02, c + light + rng.uniform(-0.03, 0.03))) for c in colour)


def surface(rng: Random, kind: str) -> Texture:
    """Fur, paint or cloth with a pattern typical of the kind, in colours that all kinds share."""
    base = rng.choice(COATS if kind != "thing" else COATS[:4] + PAINTS)
    mark = rng.choice([colour for colour in COATS if abs(sum(colour) - sum(base)) > 0.8])
    return Texture(tint(rng, base), tint(rng, mark), rng.choice(PATTERNS[kind]), rng.uniform(8, 14),
                   rng.uniform(0.3, 0.5), 0 if kind == "thing" else rng.choice((1, 2)), rng.uniform(0.06, 0.14),
                   rng.uniform(0.2, 0.45), offset=(rng.randrange(NOISE_SIDE), rng.randrange(NOISE_SIDE)))


# Animals: feet at y = 0, about one unit tall, looking to the right.


def animal(pen: Pen, rng: Random, kind: str, standing: bool) -> None:
    """A cat or a dog, standing and seen from the side, or sitting and seen from the front."""
    coat = surface(rng, kind)
    pale = replace(coat, base=mix(coat.base, WHITE, 0.6), pattern="plain", ink=0.1)
    sock, bib = (pale if rng.random() < p else coat for p in (0.4, 0.6))
    girth = rng.uniform(0.8, 0.95) if kind == "cat" else rng.uniform(0.9, 1.15)
    r = 0.065 * girth
    if standing:
        y, half = -0.48 * rng.uniform(0.85, 1.1), rng.uniform(0.26, 0.38)
        _tail(pen, rng, coat, kind, -half - 0.1, y - 0.06)
        for x in (0.1 - half, half + 0.04, -half - 0.03, half - 0.03):
            foot = x + rng.uniform(-0.13, 0.13)
            pen.fill(limb(x, y, foot, -0.05, 1.5 * r, 0.85 * r), coat)
            pen.fill(ellipse(foot + 0.03, -0.04, 1.4 * r, 0.05), sock)
        trunk = limb(-half, y - 0.02, half, y - 0.03, 0.155 * girth, 0.165 * girth)
        pen.fill(trunk + limb(half, y - 0.05, half + 0.15, y - 0.28, 0.13 * girth, 0.1), coat)
        x, y, size = half + 0.18, y - 0.34, 0.2
    else:
        _tail(pen, rng, coat, kind, -0.18, -0.1)
        pen.fill(ellipse(0, -0.24, 0.29 * girth, 0.25) + limb(0, -0.3, 0.03, -0.62, 0.2 * girth, 0.13), coat)
        pen.fill(ellipse(0.02, -0.42, 0.1, 0.18), bib)
        for side in (-1, 1):
            pen.fill(ellipse(0.22 * side * girth, -0.12, 0.14, 0.12), coat)
            pen.fill(limb(0.08 * side, -0.38, 0.09 * side, -0.06, 1.15 * r, r), coat)
            pen.fill(ellipse(0.09 * side, -0.04, 0.075, 0.048), sock)
        x, y, size = 0.03, -0.78, 0.23
    head = replace(pen, figure=pen.figure + HEAD)
    head = head.at(x, y, size * rng.uniform(0.95, 1.15), rng.uniform(-0.25, 0.25))
    (_cat_head if kind == "cat" else _dog_head)(head, rng, coat)


def _tail(pen: Pen, rng: Random, coat: Texture, kind: str, x: float, y: float) -> None:
    lift = rng.uniform(0, 0.4)
    if kind == "cat":  # long and thin; a dog's is short
        pen.fill(curve((x, y), (x - 0.5, y + 0.15), (x - rng.uniform(0.2, 0.7), y - lift - 0.2), 0.055, 0.04), coat)
    else:
        pen.fill(curve((x, y), (x - 0.22, y - 0.05), (x - 0.25, y - 0.15 - 0.6 * lift), 0.08, 0.035), coat)


def _cat_head(pen: Pen, rng: Random, coat: Texture) -> None:
    pale = replace(coat, base=mix(coat.base, WHITE, 0.65), pattern="plain", ink=0.08, fuzz=0)
    lift, turn, slit = rng.uniform(1.35, 1.7), rng.uniform(-0.1, 0.1), rng.uniform(0.07, 0.13)
    for side in (-1, 1):  # pointed ears
        pen.fill(polygon((-1.0 * side, -0.15), (-0.82 * side, -lift), (-0.06 * side, -0.75)), coat)
        inner = polygon((-0.80 * side, -0.45), (-0.75 * side, -lift + 0.22), (-0.32 * side, -0.8))
        pen.fill(inner, (0.86, 0.60, 0.58))
    pen.fill(ellipse(0, -0.05, 1.02, 0.86) + ellipse(-0.55, 0.28, 0.52, 0.45) + ellipse(0.55, 0.28, 0.52, 0.45), coat)
    iris = rng.choice(((0.90, 0.78, 0.30), (0.55, 0.74, 0.40), (0.50, 0.70, 0.80), (0.85, 0.60, 0.25)))
    for x in (turn - 0.44, turn + 0.44):
        pen.fill(ellipse(x, -0.06, 0.25, 0.23), Texture(iris, ink=0.7))
        pen.fill(ellipse(x, -0.06, slit, 0.2), INK)
        pen.fill(ellipse(x - 0.06, -0.14, 0.055, 0.055), WHITE)
    pen.fill(ellipse(turn - 0.19, 0.44, 0.27, 0.22) + ellipse(turn + 0.19, 0.44, 0.27, 0.22), pale)
    pen.fill(polygon((turn + 0.14, 0.2), (turn, 0.36), (turn - 0.14, 0.2)), (0.82, 0.46, 0.46))
    hair = (0.97, 0.96, 0.93) if sum(coat.base) < 1.8 else (0.35, 0.30, 0.30)
    for side in (-1, 1):  # whiskers belong to no region
        for k in range(3):
            whisker = limb(0.35 * side + turn, 0.42 + 0.07 * k, 1.3 * side, 0.24 + 0.2 * k, 0.02, 0.012)
            replace(pen, figure=None).fill(whisker, hair, 0.85)


def _dog_head(pen: Pen, rng: Random, coat: Texture) -> None:
    pale = replace(coat, base=mix(coat.base, (1, 0.97, 0.92), 0.55), pattern="plain", fuzz=0)
    dark = replace(coat, base=coat.mark, mark=coat.base, share=0.15)
    turn, length, hang = rng.uniform(-1, 1), rng.uniform(0.55, 0.95), rng.uniform(0.5, 1.0)
    pen.fill(ellipse(0, -0.12, 0.82, 0.82) + ellipse(0.15 * turn, 0.3, 0.62, 0.5), coat)
    # The snout sticks out to the side that the dog looks to.
    x, y = turn * (0.25 + 0.75 * length), 0.30 + 0.1 * length
    pen.fill(limb(0.12 * turn, 0.28, 0.9 * x, y + 0.12, 0.50, 0.34), pale)
    pen.fill(limb(0.75 * x - 0.22, 0.66, 0.75 * x + 0.22, 0.66, 0.03, 0.03), INK)
    pen.fill(ellipse(x, y - 0.08, 0.21, 0.16), INK)
    for side in (-1, 1):
        eye = 0.36 * side + 0.22 * turn
        pen.fill(ellipse(eye, -0.2, 0.15, 0.16), (0.98, 0.97, 0.95))
        pen.fill(ellipse(eye + 0.05 * turn, -0.18, 0.105, 0.12), (0.22, 0.14, 0.10))
        ear = (0.55 * side, -0.72), (1.05 * side, -0.75), (1.05 * side, 0.1 + 0.5 * hang)
        pen.fill(curve(*ear, 0.2, 0.34), dark)


# Creatures that are neither, and things: base at y = 0, about one unit tall.


def owl(pen: Pen, rng: Random) -> None:
    coat = surface(rng, "creature")
    belly = replace(coat, base=mix(coat.base, WHITE, 0.5), pattern="spots", fuzz=0)
    for side in (-1, 1):
        pen.fill(polygon((0.02 * side, -0.8), (0.27 * side, -1.04), (0.28 * side, -0.66)), coat)
    pen.fill(ellipse(0, -0.36, 0.3, 0.36) + ellipse(0, -0.72, 0.27, 0.2), coat)
    pen.fill(ellipse(0, -0.32, 0.19, 0.26), belly)
    for x in (-0.12, 0.12):
        pen.fill(ellipse(x, -0.72, 0.066, 0.066), Texture((0.97, 0.93, 0.80), ink=0.5))
        pen.fill(ellipse(x, -0.72, 0.036, 0.04), INK)
    pen.fill(polygon((0.06, -0.69), (0, -0.57), (-0.06, -0.69)), BEAK)


def heap(pen: Pen, rng: Random, leaves: bool = False) -> None:
    """A blanket or a mossy stone, with colours and patterns of fur on no animal; with leaves, a bush."""
    texture = surface(rng, "creature")
    if leaves:
        green = tint(rng, rng.choice(GREENS))
        texture = replace(texture, base=green, mark=rng.choice(GREENS + PAINTS), pattern="spots")
    lumps = []
    for _ in range(4):
        lumps += ellipse(rng.uniform(-0.4, 0.4), rng.uniform(-0.4, -0.2), rng.uniform(0.2, 0.37), 0.25)
    pen.fill(lumps, texture)


def tree(pen: Pen, rng: Random) -> None:
    trunk = rng.choice((0.0, 0.5))
    pen.fill(limb(0, 0, 0, -trunk, 0.07, 0.05), WOOD)
    heap(pen.at(0, -0.9 * trunk), rng, leaves=True)


def cushion(pen: Pen, rng: Random) -> None:
    pen.fill(limb(-0.26, -0.34, 0.26, -0.34, 0.3, 0.3) + box(0, -0.34, 0.46, 0.26), surface(rng, "thing"))


def ball(pen: Pen, rng: Random) -> None:
    pen.fill(ellipse(0, -0.3, 0.3, 0.3), replace(surface(rng, "thing"), volume=0.5))
    pen.fill(ellipse(-0.1, -0.41, 0.06, 0.04), WHITE, 0.5)
