"""The embedded data set: cats and dogs of a picture book, drawn by a seeded program.

No file, no network, nothing to ask permission for: pictures and masks are this
project's own. The two kinds differ in shape (pointed ears, whiskers and a long
tail; hanging ears, a snout and a short tail) and, mostly, in the pattern of their
coat. Colours are shared, distractors wear the same coats, and owls, birds and
toys have faces too, so no single cue tells the classes apart.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial, reduce

import numpy as np

from lsegrepro.data._painter import Colour, Dice, Pen, Shape, Skin, blend, box, curve, ellipse, flat, limb, polygon
from lsegrepro.files import LsegreproError, digest
from lsegrepro.paper import CLASSES, IMAGE_SIDE, VOC_INDEX

GENERATOR_VERSION = 1
"""Raised with every change of a single pixel, so that digests of the data change too."""

VOID = 255
"""Mask value of the thin border around an animal, as in Pascal VOC."""

HEAD = 16  # added to an animal's number where its head is seen

COATS = (
    (0.90, 0.60, 0.28), (0.74, 0.42, 0.18), (0.96, 0.90, 0.78), (0.98, 0.97, 0.94), (0.56, 0.55, 0.57),
    (0.36, 0.35, 0.38), (0.17, 0.15, 0.16), (0.47, 0.32, 0.21), (0.30, 0.20, 0.14), (0.85, 0.72, 0.52),
    (0.70, 0.68, 0.66), (0.62, 0.42, 0.30),
)
PAINTS = (
    (0.83, 0.30, 0.26), (0.93, 0.72, 0.30), (0.36, 0.58, 0.55), (0.30, 0.42, 0.62), (0.62, 0.72, 0.42),
    (0.85, 0.55, 0.52), (0.55, 0.40, 0.58), (0.90, 0.84, 0.70), (0.45, 0.33, 0.25), (0.24, 0.30, 0.36),
)
WALLS = (
    (0.91, 0.86, 0.74), (0.72, 0.80, 0.78), (0.84, 0.72, 0.64), (0.66, 0.72, 0.82), (0.80, 0.83, 0.66),
    (0.88, 0.76, 0.72), (0.55, 0.62, 0.60), (0.46, 0.42, 0.52), (0.94, 0.92, 0.88),
)
GREENS = ((0.45, 0.62, 0.32), (0.56, 0.68, 0.36), (0.34, 0.52, 0.34), (0.66, 0.70, 0.40), (0.40, 0.55, 0.46))
SKIES = ((0.72, 0.84, 0.92), (0.93, 0.82, 0.70), (0.62, 0.70, 0.84), (0.86, 0.88, 0.90), (0.35, 0.38, 0.56))
FLOORS = ((0.66, 0.48, 0.32), (0.50, 0.36, 0.26), (0.78, 0.66, 0.50), (0.60, 0.60, 0.58), (0.72, 0.55, 0.50))
INK: Colour = (0.16, 0.13, 0.13)
WHITE: Colour = (1.0, 1.0, 1.0)
WOOD: Colour = (0.46, 0.33, 0.22)
BEAK: Colour = (0.92, 0.64, 0.22)

FUR = {
    "cat": ("stripes",) * 17 + ("patches", "shaggy", "plain"),
    "dog": ("spots",) * 12 + ("patches",) * 5 + ("shaggy", "plain", "stripes"),
    "other": ("plain",) * 8 + ("shaggy",) * 6 + ("stripes", "spots", "patches") * 2,
}
POSES = ("stand", "stand", "sit", "sit", "lie", "portrait", "portrait")


def _mix(a: Colour, b: Colour, t: float) -> Colour:
    return (a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1]), a[2] + t * (b[2] - a[2]))


def _coat(dice: Dice, kind: str = "other") -> Skin:
    """Fur: a pattern typical of the kind, in two of the colours that all kinds share."""
    base, pattern = dice.pick(COATS), dice.pick(FUR[kind])
    contrasting = [c for c in COATS if abs(sum(c) - sum(base)) > 1.0]
    rate = {
        "stripes": dice.real(1 / 12, 1 / 8), "spots": dice.real(0.9, 1.25), "patches": dice.real(0.9, 1.4),
        "shaggy": dice.real(0.5, 0.9), "plain": 1.0,
    }[pattern]
    return Skin(
        dice.tint(base), dice.tint(dice.pick(contrasting)), pattern, rate, share=dice.real(0.3, 0.5),
        fuzz=dice.real(0.8, 2.2), grain=dice.real(0.06, 0.14), ink=dice.real(0.2, 0.45), volume=0.25,
        offset=dice.offset(),
    )


def _fabric(dice: Dice, *patterns: str, volume: float = 0.25) -> Skin:
    """Painted, woven or leafy stuff of things."""
    pattern = dice.pick(("plain",) * 5 + (patterns or ("dots", "stripes", "spots")))
    rate = {"stripes": dice.real(1 / 30, 1 / 10), "dots": dice.real(1 / 30, 1 / 12)}.get(pattern, 0.8)
    base = dice.tint(dice.pick(PAINTS + COATS[:4]))
    mark = _mix(base, dice.pick(PAINTS + COATS), dice.real(0.3, 0.9))
    return Skin(base, mark, pattern, rate, dice.real(0.25, 0.45), volume=volume, offset=dice.offset())


# --- Animals: feet at y = 0, about one unit tall, looking to the right. ---


def _cat_head(pen: Pen, dice: Dice, coat: Skin) -> None:
    pale = replace(coat, base=_mix(coat.base, WHITE, 0.65), pattern="plain", ink=0.08, fuzz=0.5)
    lift, turn = dice.real(1.35, 1.7), dice.real(-0.3, 0.3)
    for side in (-1, 1):
        pen.fill(polygon(((-0.98 * side, -0.15), (-0.80 * side, -lift), (-0.08 * side, -0.75)), 0.05), coat)
        inner = ((-0.80 * side, -0.45), (-0.74 * side, -lift + 0.22), (-0.32 * side, -0.8))
        pen.fill(polygon(inner, 0.02), flat((0.86, 0.60, 0.58)))
    cheeks = [ellipse(0.55 * side, 0.28, 0.52, 0.45) for side in (-1, 1)]
    pen.fill(blend(ellipse(0, -0.05, 1.02, 0.86), *cheeks, k=0.3), coat)
    iris = dice.pick(((0.90, 0.78, 0.30), (0.55, 0.74, 0.40), (0.50, 0.70, 0.80), (0.85, 0.60, 0.25)))
    asleep, slit = dice.chance(0.1), dice.real(0.07, 0.13)
    for side in (-1, 1):
        x = 0.44 * side + 0.3 * turn
        if asleep:
            pen.fill(curve(((x - 0.2, -0.05), (x, 0.13), (x + 0.2, -0.05)), 0.045, 0.045, 4), INK)
            continue
        pen.fill(ellipse(x, -0.06, 0.25, 0.23, 0.25 * side), Skin(iris, ink=0.7, volume=0.3))
        pen.fill(ellipse(x + 0.12 * turn, -0.06, slit, 0.2), flat(INK))
        pen.fill(ellipse(x - 0.06, -0.14, 0.055, 0.055), flat(WHITE))
    x = 0.35 * turn
    for side in (-1, 1):
        pen.fill(ellipse(0.19 * side + x, 0.44, 0.27, 0.22), pale)
    pen.fill(polygon(((x + 0.11, 0.22), (x, 0.34), (x - 0.11, 0.22)), 0.05), (0.82, 0.46, 0.46))
    pen.fill(limb(x, 0.36, x, 0.47, 0.025, 0.025), INK)
    brush = pen.at(0, 0, figure=None)  # whiskers belong to no region
    hair = flat((0.97, 0.96, 0.93) if sum(coat.base) < 1.8 else (0.35, 0.30, 0.30))
    for side in (-1, 1):
        for k in range(3):
            whisker = limb(0.35 * side + x, 0.42 + 0.07 * k, 1.3 * side, 0.24 + 0.2 * k, 0.02, 0.012)
            brush.fill(whisker, hair, 0.85)


def _dog_head(pen: Pen, dice: Dice, coat: Skin) -> None:
    pale = replace(coat, base=_mix(coat.base, (1, 0.97, 0.92), 0.55), pattern="plain", ink=0.25, fuzz=0.5)
    dark = replace(coat, base=coat.mark, mark=coat.base, share=0.15)
    turn, length, hang = dice.real(-1.0, 1.0), dice.real(0.55, 0.95), dice.real(0.5, 1.0)
    upright = dice.chance(0.1)
    if upright:
        for side in (-1, 1):
            pen.fill(limb(0.6 * side, -0.55, 0.85 * side, -1.15, 0.34, 0.16), dark)
    pen.fill(blend(ellipse(0, -0.12, 0.82, 0.82), ellipse(0.15 * turn, 0.3, 0.62, 0.5), k=0.25), coat)
    # The snout sticks out to the side that the dog looks to.
    x, y = turn * (0.25 + 0.75 * length), 0.30 + 0.1 * length
    pen.fill(limb(0.12 * turn, 0.28, 0.9 * x, y + 0.12, 0.50, 0.34), pale)
    if dice.chance(0.4):
        pen.fill(limb(0.8 * x, 0.72, 0.8 * x + 0.05, 1.0, 0.13, 0.12), (0.86, 0.42, 0.42))
    pen.fill(limb(0.75 * x - 0.22, 0.66, 0.75 * x + 0.22, 0.66, 0.03, 0.03), INK)
    pen.fill(ellipse(x, y - 0.08, 0.21, 0.16), flat(INK))
    pen.fill(ellipse(x - 0.06, y - 0.14, 0.06, 0.03), flat((0.8, 0.8, 0.8)))
    for side in (-1, 1):
        x = 0.36 * side + 0.22 * turn
        pen.fill(ellipse(x, -0.2, 0.15, 0.16), Skin((0.98, 0.97, 0.95), volume=0.0))
        pen.fill(ellipse(x + 0.05 * turn, -0.18, 0.105, 0.12), flat((0.22, 0.14, 0.10)))
        pen.fill(ellipse(x - 0.03, -0.23, 0.035, 0.035), flat(WHITE))
    if not upright:
        for side in (-1, 1):
            ear = ((0.55 * side, -0.72), (1.05 * side, -0.75), (1.05 * side, 0.1 + 0.5 * hang))
            pen.fill(curve(ear, 0.2, 0.34, 5), dark)


def _tail(pen: Pen, dice: Dice, coat: Skin, cat: bool, x: float, y: float, lift: float) -> None:
    if cat:  # long, thin, waving
        w = dice.real(-0.35, 0.35)
        y1 = y - lift
        path = ((x, y), (x - 0.45, y + 0.1), (x - 0.3 + w, y1), (x - 0.55 - w / 2, y1 - 0.2))
        pen.fill(curve(path, 0.055, 0.04, 9), coat)
    else:  # short, thick at the root
        path = ((x, y), (x - 0.22, y - 0.05), (x - 0.25, y - 0.15 - 0.6 * lift))
        pen.fill(curve(path, 0.08, 0.035, 5), coat)


def _animal(pen: Pen, dice: Dice, kind: str, pose: str) -> None:
    cat = kind == "cat"
    coat = _coat(dice, kind)
    pale = replace(coat, base=_mix(coat.base, WHITE, 0.6), pattern="plain", ink=0.1)
    far = replace(coat, base=_mix(coat.base, INK, 0.25), mark=_mix(coat.mark, INK, 0.25))
    sock, bib = (pale if dice.chance(p) else coat for p in (0.4, 0.6))
    girth = dice.real(0.8, 0.95) if cat else dice.real(0.9, 1.15)
    r = 0.065 * girth
    if pose == "stand":
        leg = dice.real(0.85, 1.0) if cat else dice.real(0.9, 1.1)
        y, half = -0.48 * leg, 0.32 + dice.real(-0.06, 0.06)
        swing = [dice.real(-0.13, 0.13) for _ in range(4)]
        for x, w in ((0.1 - half, swing[0]), (half + 0.04, swing[1])):
            pen.fill(limb(x, y, x + w, -0.06, 1.4 * r, 0.8 * r), far)
        _tail(pen, dice, coat, cat, -half - 0.1, y - 0.06, dice.real(0.1, 0.5))
        trunk = limb(-half, y - 0.02, half, y - 0.03, 0.155 * girth, (0.15 if cat else 0.18) * girth)
        neck = limb(half, y - 0.05, half + 0.15, y - 0.28, 0.13 * girth, 0.1)
        for x, w in ((-half - 0.03, swing[2]), (half - 0.03, swing[3])):
            pen.fill(limb(x, y, x + w, -0.05, 1.6 * r, 0.85 * r), coat)
            pen.fill(ellipse(x + w + 0.03, -0.04, 1.4 * r, 0.05), sock)
        pen.fill(blend(trunk, neck, k=0.1), coat)
        x, y, size = half + 0.18, y - 0.34, 0.2
    elif pose == "sit":
        _tail(pen, dice, coat, cat, -0.18, -0.1, dice.real(-0.02, 0.3))
        chest = limb(0, -0.3, 0.03, -0.62, 0.2 * girth, 0.13)
        trunk = blend(ellipse(0, -0.24, 0.29 * girth, 0.25), chest, k=0.12)
        pen.fill(replace(trunk, axis=(0.0, 1.0)), coat)
        pen.fill(ellipse(0.02, -0.42, 0.1, 0.18), bib)
        for side in (-1, 1):
            pen.fill(ellipse(0.22 * side * girth, -0.12, 0.14, 0.12), coat)
            pen.fill(limb(0.08 * side, -0.38, 0.09 * side, -0.06, 1.15 * r, r), coat)
            pen.fill(ellipse(0.09 * side, -0.04, 0.075, 0.048), sock)
        x, y, size = 0.03, -0.78, 0.23
    elif pose == "lie":
        _tail(pen, dice, coat, cat, -0.5, -0.14, dice.real(-0.05, 0.3))
        pen.fill(blend(ellipse(-0.12, -0.22, 0.46, 0.2), ellipse(0.25, -0.28, 0.2, 0.2), k=0.1), coat)
        pen.fill(ellipse(-0.36, -0.16, 0.2, 0.16), coat)
        for y in (-0.1, -0.05):
            pen.fill(limb(0.2, y - 0.03, 0.56 + y, y, r, r), sock)
        x, y, size = 0.36, -0.46, 0.22
    else:  # a portrait, cut off by the lower edge
        trunk = blend(ellipse(0, 0.12, 0.42, 0.5), limb(0, 0.0, 0, -0.4, 0.3, 0.2), k=0.2)
        pen.fill(replace(trunk, axis=(0.0, 1.0)), coat)
        pen.fill(ellipse(0.0, 0.05, 0.18, 0.3), bib)
        x, y, size = 0.0, -0.52, 0.36
    if dice.chance(0.3):  # a collar
        band = limb(-0.55, 0.85, 0.5, 0.9, 0.14, 0.14)
        pen.at(x, y, size).fill(band, dice.pick(PAINTS))
    head = pen.at(x, y, size * dice.real(0.95, 1.15), dice.real(-0.25, 0.25), figure=pen.figure + HEAD)
    (_cat_head if cat else _dog_head)(head, dice, coat)


# --- Things, among them creatures that are neither: base at y = 0, about one unit tall. ---


def _owl(pen: Pen, dice: Dice) -> None:
    coat = _coat(dice)
    belly = replace(coat, base=_mix(coat.base, WHITE, 0.5), pattern="dots", rate=1 / 9, share=0.5, ink=0.1)
    for side in (-1, 1):
        pen.fill(polygon(((0.03 * side, -0.82), (0.26 * side, -1.02), (0.27 * side, -0.7)), 0.02), coat)
    pen.fill(blend(ellipse(0, -0.36, 0.3, 0.36), ellipse(0, -0.72, 0.27, 0.2), k=0.1), coat)
    pen.fill(ellipse(0, -0.32, 0.19, 0.26), belly)
    for side in (-1, 1):
        pen.fill(ellipse(0.27 * side, -0.4, 0.09, 0.26, -0.2 * side), coat)
        pen.fill(ellipse(0.12 * side, -0.72, 0.066, 0.066), Skin((0.97, 0.93, 0.80), ink=0.5))
        pen.fill(ellipse(0.12 * side, -0.72, 0.036, 0.04), flat(INK))
    pen.fill(polygon(((0.05, -0.68), (0, -0.58), (-0.05, -0.68)), 0.01), BEAK)


def _bird(pen: Pen, dice: Dice) -> None:
    coat = _coat(dice)
    for x in (-0.05, 0.08):
        pen.fill(limb(x, -0.25, x + 0.02, 0, 0.02, 0.02), BEAK)
    pen.fill(limb(-0.25, -0.45, -0.7, -0.62, 0.12, 0.05), coat)
    pen.fill(blend(ellipse(0, -0.45, 0.36, 0.26), ellipse(0.28, -0.75, 0.2, 0.19), k=0.15), coat)
    pen.fill(ellipse(-0.1, -0.48, 0.24, 0.14, -0.3), replace(coat, base=coat.mark, mark=coat.base))
    pen.fill(polygon(((0.44, -0.82), (0.66, -0.72), (0.44, -0.66)), 0.01), BEAK)
    pen.fill(ellipse(0.32, -0.79, 0.045, 0.045), flat(INK))


def _toy(pen: Pen, dice: Dice) -> None:
    """A teddy bear or a rabbit."""
    coat, rabbit = _coat(dice), dice.chance(0.4)
    pale = replace(coat, base=_mix(coat.base, WHITE, 0.5), pattern="plain")
    for side in (-1, 1):
        ear = limb(0.1 * side, -0.85, 0.16 * side, -1.25, 0.06, 0.08)
        pen.fill(ear if rabbit else ellipse(0.2 * side, -0.92, 0.1, 0.1), coat)
        pen.fill(limb(0.15 * side, -0.1, 0.3 * side, -0.06, 0.11, 0.1), coat)
        pen.fill(limb(0.18 * side, -0.45, 0.36 * side, -0.3, 0.09, 0.08), coat)
    pen.fill(ellipse(0, -0.3, 0.26, 0.28), coat)
    pen.fill(ellipse(0, -0.28, 0.15, 0.18), pale)
    pen.fill(ellipse(0, -0.74, 0.26, 0.23), coat)
    pen.fill(ellipse(0, -0.67, 0.12, 0.09), pale)
    for x, y, r in ((0, -0.71, 0.04), (-0.1, -0.79, 0.03), (0.1, -0.79, 0.03)):
        pen.fill(ellipse(x, y, r, r), flat(INK))


def _lumps(dice: Dice, count: int, spread: float, top: float, size: float) -> Shape:
    """A few ellipses run into one."""
    return blend(
        *(
            ellipse(dice.real(-spread, spread), dice.real(top, top + 0.2), size * dice.real(0.8, 1.5), size,
                    dice.real(-0.4, 0.4))
            for _ in range(count)
        ),
        k=0.1,
    )


def _heap(pen: Pen, dice: Dice) -> None:
    """A blanket or a mossy stone: colours and patterns of fur on no animal."""
    coat = _coat(dice)
    pen.fill(_lumps(dice, 4, 0.4, -0.4, 0.25), replace(coat, fuzz=coat.fuzz * dice.pick((0, 1))))


def _cushion(pen: Pen, dice: Dice) -> None:
    skin = _fabric(dice)
    pen.fill(box(0, -0.34, 0.46, 0.34, 0.2), skin)
    pen.fill(ellipse(0, -0.34, 0.035, 0.035), skin.mark)


def _ball(pen: Pen, dice: Dice) -> None:
    pen.fill(ellipse(0, -0.3, 0.3, 0.3, dice.real(0, 3)), _fabric(dice, volume=0.4))
    pen.fill(ellipse(-0.1, -0.41, 0.06, 0.04), flat(WHITE), 0.5)


def _plant(pen: Pen, dice: Dice) -> None:
    leaf = dice.pick(GREENS)
    for _ in range(dice.whole(5, 8)):
        x, y = dice.real(-0.45, 0.45), dice.real(-1.0, -0.55)
        stem = curve(((0, -0.35), (x * 0.3, y), (x, y)), 0.03, 0.085, 4)
        pen.fill(stem, Skin(dice.tint(leaf, 0.1), volume=0.2))
    pen.fill(polygon(((-0.24, -0.38), (0.24, -0.38), (0.17, 0), (-0.17, 0)), 0.02), _fabric(dice))


def _chair(pen: Pen, dice: Dice) -> None:
    skin = _fabric(dice)
    for x in (-0.4, 0.4):
        pen.fill(limb(x, -0.15, x * 1.1, 0, 0.04, 0.025), WOOD)
    pen.fill(box(0, -0.62, 0.42, 0.4, 0.18), skin)
    pen.fill(box(0, -0.26, 0.46, 0.13, 0.08), replace(skin, base=_mix(skin.base, WHITE, 0.12)))
    for x in (-0.46, 0.46):
        pen.fill(box(x, -0.34, 0.1, 0.22, 0.09), skin)


def _lamp(pen: Pen, dice: Dice) -> None:
    pen.fill(limb(0, 0, 0, -0.7, 0.02, 0.02), WOOD)
    pen.fill(ellipse(0, -0.02, 0.17, 0.04), WOOD)
    pen.fill(polygon(((-0.14, -1.0), (0.14, -1.0), (0.27, -0.66), (-0.27, -0.66)), 0.02), _fabric(dice))


def _shelf(pen: Pen, dice: Dice) -> None:
    wood = dice.tint(WOOD)
    pen.fill(box(0, -0.5, 0.42, 0.5, 0.02), wood)
    for board in (-0.04, -0.36, -0.68):
        pen.fill(box(0, board - 0.14, 0.37, 0.14), flat(_mix(wood, INK, 0.5)))
        x = -0.36
        while x < 0.26:
            w, h = dice.real(0.025, 0.05), dice.real(0.09, 0.135)
            book = Skin(dice.tint(dice.pick(PAINTS)), grain=0.0, volume=0.0)
            pen.fill(box(x + w, board - h, w, h, 0.01), book)
            x += 2 * w + dice.pick((0.0, 0.0, 0.06))


def _foliage(dice: Dice) -> Skin:
    leaf = dice.tint(dice.pick(GREENS))
    return Skin(
        leaf, _mix(leaf, dice.pick(GREENS + PAINTS[:2]), 0.7), dice.pick(("mottle", "mottle", "spots")),
        rate=dice.real(0.4, 0.8), share=dice.real(0.2, 0.4), fuzz=2.5, volume=0.3, offset=dice.offset(),
    )


def _tree(pen: Pen, dice: Dice) -> None:
    leaf = _foliage(dice)
    pen.fill(limb(0, 0, 0.02, -0.5, 0.07, 0.05), WOOD)
    if dice.chance(0.35):
        for k in range(3):
            y, w = -0.25 - 0.24 * k, 0.34 - 0.08 * k
            pen.fill(polygon(((-w, y), (0, y - 0.36), (w, y)), 0.03), leaf)
        return
    pen.fill(_lumps(dice, 3, 0.2, -0.8, 0.2), leaf)


def _bush(pen: Pen, dice: Dice) -> None:
    pen.fill(_lumps(dice, 4, 0.35, -0.4, 0.24), _foliage(dice))


def _flowers(pen: Pen, dice: Dice) -> None:
    for _ in range(dice.whole(3, 6)):
        x, y = dice.real(-0.45, 0.45), dice.real(-1.0, -0.4)
        petal = Skin(dice.tint(dice.pick(PAINTS)), grain=0.0)
        pen.fill(curve(((x * 0.4, 0), (x * 0.6, y / 2), (x, y)), 0.02, 0.015, 3), (0.40, 0.55, 0.30))
        for k in range(5):
            a = k * 2 * math.pi / 5
            pen.fill(ellipse(x + 0.075 * math.cos(a), y + 0.075 * math.sin(a), 0.06, 0.06), petal)
        pen.fill(ellipse(x, y, 0.05, 0.05), (0.95, 0.80, 0.35))


def _mushroom(pen: Pen, dice: Dice) -> None:
    pen.fill(limb(0, -0.05, 0, -0.5, 0.14, 0.1), (0.93, 0.88, 0.78))
    cap = blend(ellipse(0, -0.6, 0.48, 0.2), ellipse(0, -0.72, 0.3, 0.24), k=0.1)
    pen.fill(cap, _fabric(dice, "dots", "spots"))


def _fence(pen: Pen, dice: Dice) -> None:
    paint = Skin(dice.tint(dice.pick((COATS[3], WOOD, COATS[9]))), volume=0.0)
    for y in (-0.3, -0.65):
        pen.fill(box(0, y, 0.75, 0.05), paint)
    for k in range(6):
        x, w = -0.625 + 0.25 * k, 0.07
        pale = ((x - w, -0.85), (x, -0.98), (x + w, -0.85), (x + w, 0), (x - w, 0))
        pen.fill(polygon(pale, 0.01), paint)


def _teapot(pen: Pen, dice: Dice) -> None:
    skin = _fabric(dice, volume=0.4)
    pen = pen.at(0, 0, 0.8)
    pen.fill(curve(((0.3, -0.3), (0.55, -0.35), (0.62, -0.66)), 0.09, 0.05, 4), skin)
    pen.fill(curve(((-0.3, -0.62), (-0.75, -0.6), (-0.6, -0.2), (-0.3, -0.2)), 0.04, 0.04, 6), skin)
    for y, rx, ry in ((-0.4, 0.42, 0.38), (-0.76, 0.2, 0.06), (-0.85, 0.06, 0.06)):
        pen.fill(ellipse(0, y, rx, ry), skin)


CREATURES = (_owl, _bird, _toy, _heap, _heap, _bird)
FURNITURE = (_cushion, _ball, _plant, _chair, _lamp, _shelf, _teapot)
GARDEN = (_tree, _tree, _bush, _flowers, _mushroom, _fence, _ball)
BEFORE_FURNITURE = (_cushion, _ball, _plant, _teapot, _heap)
BEFORE_GARDEN = (_bush, _flowers, _mushroom, _fence, _ball, _heap)


# --- The page. ---


def _backdrop(page: Pen, dice: Dice, indoors: bool, horizon: float) -> None:
    """Fill the page with a room or a meadow; `horizon` in pixels from the top."""
    height, width = page.owner.shape

    def band(top: float, bottom: float, base: Colour, other: Colour, *patterns: str) -> None:
        pattern = dice.pick(patterns)
        rate = {"stripes": dice.real(1 / 60, 1 / 16), "dots": dice.real(1 / 50, 1 / 16), "shaggy": 0.8}
        mark = _mix(base, other, dice.real(0.15, 0.5))
        skin = Skin(
            base, mark, pattern, rate.get(pattern, 0.6), share=dice.real(0.15, 0.5),
            grain=0.03, ink=0.0, volume=0.0, offset=dice.offset(),
        )
        page.fill(box(width / 2, (top + bottom) / 2, width / 2 + 9, (bottom - top) / 2), skin)

    if indoors:
        wall, floor = dice.tint(dice.pick(WALLS)), dice.tint(dice.pick(FLOORS))
        other = dice.pick(WALLS + PAINTS)
        band(-9, horizon, wall, other, "plain", "plain", "stripes", "dots", "patches", "patches")
        band(horizon, height + 9, floor, INK, "plain", "stripes", "shaggy", "dots", "patches")
        page.fill(box(width / 2, horizon, width, 5), Skin(_mix(wall, WHITE, 0.4), volume=0.0))
        if dice.chance(0.5):  # a rug
            rug = ellipse(width * dice.real(0.2, 0.8), (horizon + height) / 2, width * dice.real(0.3, 0.5),
                          0.35 * (height - horizon))
            page.fill(rug, _fabric(dice, "dots", "stripes", volume=0.05))
        for _ in range(dice.whole(0, 3)):  # pictures on the wall
            x, y, s = width * dice.real(0.1, 0.9), horizon * dice.real(0.2, 0.6), dice.real(18, 34)
            page.fill(box(x, y, s, 1.1 * s, 2), dice.tint(WOOD))
            art = Skin(dice.pick(WALLS), dice.pick(PAINTS + GREENS), "patches", 1.2, offset=dice.offset())
            page.fill(box(x, y, 0.8 * s, 0.85 * s), art)
        return
    sky, ground = dice.tint(dice.pick(SKIES)), dice.tint(dice.pick(GREENS * 2 + FLOORS[2:4] + WALLS[-1:]))
    band(-9, horizon + 9, sky, WHITE, "patches", "plain")
    for _ in range(dice.whole(1, 3)):
        hill = _mix(dice.pick(GREENS), sky, dice.real(0.2, 0.7))
        x, wide, high = width * dice.real(0, 1), width * dice.real(0.3, 0.6), dice.real(60, 110)
        skin = Skin(hill, _mix(hill, INK, 0.2), dice.pick(("mottle", "patches", "plain")), 0.5, 0.3)
        page.fill(ellipse(x, horizon + 35, wide, high), skin)
    band(horizon, height + 9, ground, dice.pick((*GREENS, INK)), "shaggy", "mottle", "patches")


Painter = Callable[[Pen, Dice], None]


def _stand(page: Pen, dice: Dice, paint: Painter, x: float, y: float, size: float, figure: int = 0) -> None:
    """Let `paint` draw a figure with its feet at (x, y), swayed, tilted and mirrored, on a shadow."""
    pen = Pen(page.canvas, page.owner, figure, page.matrix, 0.02 * size, dice.offset())
    pen = pen.at(x, y, size, dice.real(-0.12, 0.12), dice.chance(0.5))
    pen.at(0, 0, figure=None).fill(ellipse(0, -0.01, 0.5, 0.05), flat(INK), 0.25)
    paint(pen, dice)


def _scene(dice: Dice, kinds: tuple[str, ...], height: int, width: int, bare: bool) -> Pen | None:
    """Paint one page; None if an animal, or its head, is hidden too much to be told."""
    canvas, owner = np.zeros((3, height, width), np.float32), np.zeros((height, width), np.uint8)
    page = Pen(canvas, owner, 0, (1, 0, 0, 0, 1, 0))
    side, indoors, horizon = min(height, width), dice.chance(0.5), height * dice.real(0.4, 0.68)
    _backdrop(page, dice, indoors, horizon)
    props = []
    for _ in range(dice.whole(2, 4)):
        y = horizon + (height - horizon) * dice.real(0.0, 0.4)
        props.append((y, dice.pick(FURNITURE if indoors else GARDEN), side * dice.real(0.25, 0.6)))
    # Where no animal stands, creatures and heaps take its place, in its sizes.
    for _ in range(dice.pick((0, 0, 1)) if kinds else dice.whole(1, 2)):
        y = horizon + (height - horizon) * dice.real(0.1, 1.0)
        props.append((y, dice.pick(CREATURES), side * dice.real(0.25, 0.45 if kinds else 0.9)))
    for y, paint, size in sorted(props, key=lambda prop: prop[0]):
        _stand(page, dice, paint, width * dice.real(0.02, 0.98), y, size)

    animals = []
    for number, kind in enumerate(kinds, start=1):
        pose = dice.pick(POSES)
        tall = side * (0.35 * 3.3 ** math.sqrt(dice.real(0, 1)) if len(kinds) == 1 else dice.real(0.3, 0.75))
        spread = 0 if bare else 0.4 - 0.25 * tall / side  # the taller, the nearer the middle
        x = width * (number - 0.5 + dice.real(-spread, spread)) / len(kinds)
        low = min(height, max(horizon + 0.04 * height, 0.95 * tall))
        y = height + 0.05 * tall if pose == "portrait" else dice.real(low, height + 0.08 * tall)
        animals.append((y, x, tall, number, kind, pose))
    full = {}
    for y, x, tall, number, kind, pose in sorted(animals):
        _stand(page, dice, partial(_animal, kind=kind, pose=pose), x, y, tall, number)
        face = 2.5 * ((0.36 if pose == "portrait" else 0.2) * tall) ** 2  # a head's least area, in pixels
        full[number] = _seen(owner, number)[0], face
    for y, x, tall, *_ in animals:
        if not bare and dice.chance(0.4):
            size = tall * dice.real(0.3, 0.55)
            spot = x + tall * dice.real(-0.45, 0.45), min(y + 0.1 * size, height + 0.2 * size)
            _stand(page, dice, dice.pick(BEFORE_FURNITURE if indoors else BEFORE_GARDEN), *spot, size)
    for number, (area, face) in full.items():
        whole, head = _seen(owner, number)
        if whole < max(0.5 * area, 0.01 * height * width) or head < 0.55 * face:
            return None
    return page


def _seen(owner: np.ndarray, number: int) -> tuple[int, int]:
    """Pixels where an animal is seen, and those of its head alone."""
    head = int((owner == number + HEAD).sum())
    return head + int((owner == number).sum()), head


def _finish(canvas: np.ndarray, dice: Dice) -> np.ndarray:
    """Lighting, blur and grain: (3, H, W) float32 to (H, W, 3) uint8."""
    _, height, width = canvas.shape
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :] * np.float32(dice.real(-0.2, 0.2))
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None] * np.float32(dice.real(-0.16, 0.16))
    light = x + y + np.float32(dice.real(0.8, 1.04))
    soft, rough = np.float32(dice.real(0.0, 0.25)), np.float32(dice.real(0.01, 0.04))
    speck = dice.rng.random((4, height, width), dtype=np.float32) - np.float32(0.5)
    out = np.empty((height, width, 3), dtype=np.uint8)
    for channel, plane in enumerate(canvas):
        plane *= light * np.float32(dice.real(0.94, 1.05))
        for _ in range(1 if soft < 0.15 else 2):
            plane[:, 1:-1] += soft * (plane[:, :-2] + plane[:, 2:] - 2 * plane[:, 1:-1])
            plane[1:-1] += soft * (plane[:-2] + plane[2:] - 2 * plane[1:-1])
        plane += rough * (speck[3] + speck[channel] / 2)
        out[..., channel] = np.minimum(np.maximum(plane * 255 + np.float32(0.5), 0), 255)
    return out


def _mask(owner: np.ndarray, kinds: tuple[str, ...]) -> np.ndarray:
    """Class of every pixel, void within two pixels of another class."""
    height, width = owner.shape
    mask = np.array([0, *(VOC_INDEX[kind] for kind in kinds)], dtype=np.uint8)[owner % HEAD]
    wide = np.pad(mask, 2, mode="edge")
    low, high = (
        reduce(extreme, [tall[:, j : j + width] for j in range(5)])
        for extreme in (np.minimum, np.maximum)
        for tall in [reduce(extreme, [wide[i : i + height] for i in range(5)])]
    )
    return np.where(low == high, mask, np.uint8(VOID))


def draw(
    seed: int | np.random.SeedSequence,
    kinds: tuple[str, ...],
    size: tuple[int, int] = (IMAGE_SIDE, IMAGE_SIDE),
) -> tuple[np.ndarray, np.ndarray]:
    """Draw a picture and its exact mask; the same arguments give the same bytes.

    Parameters
    ----------
    seed : int or numpy.random.SeedSequence
    kinds : tuple of str
        The animals in the picture, at most two: each "cat" or "dog".
    size : (int, int)
        Height and width in pixels, at least 64 each.

    Returns
    -------
    image : ndarray
        (H, W, 3) uint8.
    mask : ndarray
        (H, W) uint8 with VOC indices: 0 background, 8 cat, 12 dog, 255 the void border of
        two pixels on either side of an animal's outline.

    Raises
    ------
    LsegreproError
        If an argument is none of the above.

    >>> image, mask = draw(7, ("cat",))
    >>> image.shape, [int(value) for value in np.unique(mask)]
    ((300, 300, 3), [0, 8, 255])
    """
    height, width = size
    if len(kinds) > 2 or not set(kinds) <= set(CLASSES):
        raise LsegreproError(f"a drawn picture holds at most two of {', '.join(CLASSES)}, got {kinds!r}")
    if min(size) < 64:
        raise LsegreproError(f"a drawn picture is at least 64 pixels high and wide, got {height}x{width}")
    dice = Dice(seed)
    for attempt in range(60):
        page = _scene(dice, tuple(kinds), height, width, bare=attempt >= 8)
        if page is not None:
            return _finish(page.canvas, dice), _mask(page.owner, tuple(kinds))
    raise LsegreproError(f"{kinds!r} do not fit in a picture of {height}x{width}; draw it larger")


# --- The two protocols. ---

_STREAMS = {"weak-train": 0, "weak-heldout": 1, "segmentation-train": 2, "segmentation-val": 3}


class DrawnWeak:
    """Drawn 300x300 pictures with image labels only: cat, dog, background, in turn.

    Parameters
    ----------
    split : {"train", "heldout"}
    count : int
        Number of pictures; the first n are the same whatever the count.
    seed : int

    Examples
    --------
    >>> weak = DrawnWeak("heldout", count=6)
    >>> weak.labels
    ['cat', 'dog', 'background', 'cat', 'dog', 'background']
    >>> weak.image(2).shape
    (300, 300, 3)
    """

    def __init__(self, split: str = "train", count: int = 3000, seed: int = 0) -> None:
        self._stream = _stream("weak", split, count, seed)
        self.split, self.seed = split, seed
        self.labels: list[str] = [(*CLASSES, "background")[i % 3] for i in range(count)]
        self.names: list[str] = [f"drawn-{split}-{i:05d}-{label}" for i, label in enumerate(self.labels)]
        self.digest: str = digest([GENERATOR_VERSION, "weak", split, count, seed])
        self.description: str = f"{count} drawn pictures with image labels, split {split}, seed {seed}"

    def __len__(self) -> int:
        return len(self.labels)

    def image(self, i: int) -> np.ndarray:
        """Picture `i`: (300, 300, 3) uint8, drawn anew at each call."""
        label = self.labels[_within(i, len(self))]
        return draw(_seed(self.seed, self._stream, i), (label,) if label in CLASSES else ())[0]


class DrawnSegmentation:
    """Drawn pictures of many sizes with exact masks; a quarter hold a cat, a quarter a dog.

    Parameters
    ----------
    split : {"train", "val"}
    count : int
        Number of pictures; the first n are the same whatever the count.
    seed : int

    Examples
    --------
    >>> val = DrawnSegmentation("val", count=4)
    >>> val.image(3).shape[:2] == val.mask(3).shape
    True
    """

    redistributable = True

    def __init__(self, split: str = "val", count: int = 200, seed: int = 0) -> None:
        self._stream = _stream("segmentation", split, count, seed)
        self.split, self.seed = split, seed
        self.ids: list[str] = [f"drawn-{split}-{i:05d}" for i in range(count)]
        self.absent: list[str] = []
        self.listed: int = count
        self.digest: str = digest([GENERATOR_VERSION, "segmentation", split, count, seed])
        self.description: str = f"{count} drawn pictures with exact masks, split {split}, seed {seed}"

    def __len__(self) -> int:
        return len(self.ids)

    def kinds(self, i: int) -> tuple[str, ...]:
        """The animals of picture `i`."""
        # 7 shares no factor with 20: the kinds alternate, and every 20 pictures hold each in its share.
        return _KINDS[7 * _within(i, len(self)) % 20]

    def image(self, i: int) -> np.ndarray:
        """Picture `i`: (H, W, 3) uint8."""
        return self._draw(i)[0]

    def mask(self, i: int) -> np.ndarray:
        """Mask `i`: (H, W) uint8, see `draw`."""
        return self._draw(i)[1]

    def _draw(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        kinds, seed = self.kinds(i), _seed(self.seed, self._stream, i)
        return draw(seed, kinds, Dice(seed).pick(_SIZES))


_KINDS = (("cat",),) * 4 + (("dog",),) * 4 + (("cat", "dog"),) + ((),) * 11
_SIZES = ((225, 300),) * 4 + ((200, 300), (220, 330), (240, 320), (300, 225), (300, 200), (240, 240))


def _stream(protocol: str, split: str, count: int, seed: int) -> int:
    """Number of the stream of pictures of a split, after checking what it was asked with."""
    name = f"{protocol}-{split}"
    if name not in _STREAMS:
        known = ", ".join(key.removeprefix(protocol + "-") for key in _STREAMS if key.startswith(protocol))
        raise LsegreproError(f"the drawn {protocol} set has no split {split!r}: choose {known}")
    if count < 1 or seed < 0:
        raise LsegreproError(f"a drawn set takes a count >= 1 and a seed >= 0, got {count} and {seed}")
    return _STREAMS[name]


def _seed(seed: int, stream: int, i: int) -> np.random.SeedSequence:
    """Seed of picture `i`: independent for every (seed, split, i)."""
    return np.random.SeedSequence(seed, spawn_key=(stream, i))


def _within(i: int, count: int) -> int:
    if not 0 <= i < count:
        raise IndexError(f"picture {i} of a drawn set of {count}")
    return i
