"""The embedded data set: cats and dogs of a picture book, drawn by a seeded program.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from lsegrepro.data._painter import (
    Colour, Dice, Pen, Skin, blend, box, curve, ellipse, limb, polygon, sample, noise,
)
from lsegrepro.errors import LsegreproError
from lsegrepro.files import digest
from lsegrepro.paper import CLASSES, IMAGE_SIDE, VOC_INDEX

GENERATOR_VERSION = 1

VOID = 255
ATT = 0
HEAD = 16

COATS = (
    (0.90, 0.60, 0.28), (0.74, 0.42, 0.18), (0.96, 0.90, 0.78), (0.98, 0.97, 0.94), (0.56, 0.55, 0.57),
    (0.36, 0.35, 0.38), (0.17, 0.15, 0.16), (0.47, 0.32, 0.21), (0.30, 0.20, 0.14), (0.85, 0.72, 0.52),
    (0.70, 0.68, 0.66), (0.62, 0.42, 0.30),
)
GAY = (
    (0.83, 0.30, 0.26), (0.93, 0.72, 0.30), (0.36, 0.58, 0.55), (0.30, 0.42, 0.62), (0.62, 0.72, 0.42),
    (0.85, 0.55, 0.52), (0.55, 0.40, 0.58), (0.90, 0.84, 0.70), (0.45, 0.33, 0.25), (0.24, 0.30, 0.36),
)
WALLS = (
    (0.91, 0.86, 0.74), (0.72, 0.80, 0.78), (0.84, 0.72, 0.64), (0.66, 0.72, 0.82), (0.80, 0.83, 0.66),
    (0.88, 0.76, 0.72), (0.55, 0.62, 0.60), (0.46, 0.42, 0.52), (0.94, 0.92, 0.88),
)
GREENS = ((0.45, 0.62, 0.32), (0.56, 0.68, 0.36), (0.34, 0.52, 0.34), (0.66, 0.70, 0.40), (0.40, 0.55, 0.46))
INK: Colour = (0.16, 0.13, 0.13)


def _mix(a: Colour, b: Colour, t: float) -> Colour:
    return (a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1]), a[2] + t * (b[2] - a[2]))


def _offset(dice):
    return (dice.whole(0, 511), dice.whole(0, 511))


def _coat(dice: Dice, patterns) -> Skin:
    base = dice.pick(COATS)
    far = [c for c in COATS if abs(sum(c) - sum(base)) > 0.55]
    pattern = dice.pick(patterns)
    rate, share = {
        "stripes": (dice.real(5.0, 8.0), dice.real(0.35, 0.5)),
        "spots": (dice.real(1.0, 1.6), dice.real(0.2, 0.4)),
        "patches": (dice.real(0.8, 1.2), dice.real(0.3, 0.5)),
        "shaggy": (dice.real(0.7, 1.1), dice.real(0.3, 0.5)),
        "plain": (1.0, 0.4),
    }[pattern]
    return Skin(dice.tint(base), dice.tint(dice.pick(far)), pattern, rate, share, fuzz=dice.real(0.8, 2.2),
                grain=dice.real(0.06, 0.16), ink=dice.real(0.2, 0.45), volume=0.25, offset=_offset(dice))


FUR = {
    "cat": ("stripes",) * 6 + ("patches", "plain", "shaggy"),
    "dog": ("spots",) * 4 + ("patches",) * 3 + ("shaggy", "plain"),
}


# --- animals: feet at y = 0, about one unit tall, facing right ---


def _cat_head(pen, dice, coat, accent):
    pale = replace(coat, base=_mix(coat.base, (1, 0.98, 0.95), 0.65), pattern="plain", ink=0.08, fuzz=0.5)
    inner = (0.86, 0.60, 0.58)
    lift = dice.real(1.35, 1.7)
    turn = dice.real(-0.3, 0.3)
    for side in (-1, 1):
        ear = ((-0.98 * side, -0.15), (-0.80 * side, -lift), (-0.08 * side, -0.75))
        ear = ear if side > 0 else ear[::-1]
        pen.fill(polygon(ear, 0.05), coat)
        mid = (sum(p[0] for p in ear) / 3, sum(p[1] for p in ear) / 3)
        pen.fill(polygon([(mid[0] + 0.5 * (p[0] - mid[0]), mid[1] + 0.1 + 0.55 * (p[1] - mid[1])) for p in ear], 0.02),
                 Skin(inner, ink=0.0, volume=0.0))
    skull = blend(ellipse(0, -0.05, 1.02, 0.86), ellipse(-0.55, 0.28, 0.52, 0.45), ellipse(0.55, 0.28, 0.52, 0.45), k=0.3)
    pen.fill(skull, coat)
    iris = dice.pick(((0.90, 0.78, 0.30), (0.55, 0.74, 0.40), (0.50, 0.70, 0.80), (0.85, 0.60, 0.25)))
    shut = dice.chance(0.12)
    for side in (-1, 1):
        x = 0.44 * side + 0.3 * turn
        if shut:
            pen.fill(curve(((x - 0.2, -0.05), (x, 0.13), (x + 0.2, -0.05)), 0.045, 0.045, 4), INK)
            continue
        pen.fill(ellipse(x, -0.06, 0.25, 0.23, 0.25 * side), Skin(iris, ink=0.7, volume=0.3))
        pen.fill(ellipse(x + 0.12 * turn, -0.06, dice.real(0.07, 0.13), 0.2), Skin(INK, ink=0.0))
        pen.fill(ellipse(x - 0.06, -0.14, 0.055, 0.055), Skin((1, 1, 1), ink=0, volume=0))
    for side in (-1, 1):
        pen.fill(ellipse(0.19 * side + 0.35 * turn, 0.44, 0.27, 0.22), pale)
    x = 0.35 * turn
    pen.fill(polygon(((x + 0.11, 0.22), (x, 0.34), (x - 0.11, 0.22)), 0.05), (0.82, 0.46, 0.46))
    pen.fill(limb(x, 0.36, x, 0.47, 0.025, 0.025), INK)
    brush = pen.at(0, 0, figure=None)
    hair = (0.97, 0.96, 0.93) if sum(coat.base) < 1.8 else (0.35, 0.30, 0.30)
    for side in (-1, 1):
        for k in range(3):
            brush.fill(limb(0.35 * side + x, 0.42 + 0.07 * k, 1.3 * side, 0.24 + 0.2 * k, 0.02, 0.012), Skin(hair, ink=0, grain=0, volume=0), 0.85)


def _dog_head(pen, dice, coat, accent):
    pale = replace(coat, base=_mix(coat.base, (1, 0.97, 0.92), 0.55), pattern="plain", ink=0.25, fuzz=0.5)
    dark = replace(coat, base=coat.mark, mark=coat.base, share=0.15)
    turn = dice.sign() * dice.real(0.0, 1.0)
    long = dice.real(0.55, 0.95)
    hang = dice.real(0.5, 1.0)
    erect = dice.chance(0.12)
    skull = blend(ellipse(0, -0.12, 0.82, 0.82), ellipse(0.15 * turn, 0.3, 0.62, 0.5), k=0.25)
    if erect:
        for side in (-1, 1):
            pen.fill(limb(0.6 * side, -0.55, 0.85 * side, -1.15, 0.34, 0.16), dark)
    pen.fill(skull, coat)
    # the snout sticks out to the side that the dog looks to
    nose = (turn * (0.25 + 0.75 * long), 0.30 + 0.1 * long)
    pen.fill(limb(0.12 * turn, 0.28, nose[0] * 0.9, nose[1] + 0.12, 0.50, 0.34), pale)
    if dice.chance(0.4):
        pen.fill(limb(nose[0] * 0.8, 0.72, nose[0] * 0.8 + 0.05, 1.0, 0.13, 0.12), (0.86, 0.42, 0.42))
    pen.fill(limb(nose[0] * 0.75 - 0.22, 0.66, nose[0] * 0.75 + 0.22, 0.66, 0.03, 0.03), INK)
    pen.fill(ellipse(nose[0], nose[1] - 0.08, 0.21, 0.16), Skin(INK, ink=0.0, volume=0.0))
    pen.fill(ellipse(nose[0] - 0.06, nose[1] - 0.14, 0.06, 0.03), Skin((0.8, 0.8, 0.8), ink=0, volume=0))
    for side in (-1, 1):
        x = 0.36 * side + 0.22 * turn
        pen.fill(ellipse(x, -0.2, 0.15, 0.16), Skin((0.98, 0.97, 0.95), ink=0.3, volume=0.0))
        pen.fill(ellipse(x + 0.05 * turn, -0.18, 0.105, 0.12), Skin((0.22, 0.14, 0.10), ink=0, volume=0))
        pen.fill(ellipse(x - 0.03, -0.23, 0.035, 0.035), Skin((1, 1, 1), ink=0, volume=0))
    if not erect:
        for side in (-1, 1):
            pen.fill(curve(((0.55 * side, -0.72), (1.05 * side, -0.75), (1.05 * side, 0.1 + 0.5 * hang)), 0.2, 0.34, 5), dark)


def _animal(pen: Pen, dice: Dice, kind: str, pose: str) -> None:
    cat = kind == "cat"
    coat = _coat(dice, FUR[kind])
    pale = replace(coat, base=_mix(coat.base, (1, 0.98, 0.95), 0.6), pattern="plain", ink=0.1)
    far = replace(coat, base=_mix(coat.base, INK, 0.25), mark=_mix(coat.mark, INK, 0.25))
    slim = dice.real(0.8, 0.95) if cat else dice.real(0.9, 1.2)
    sock = pale if dice.chance(0.4) else coat
    head_tilt = dice.real(-0.25, 0.25)
    r = 0.065 * slim

    def tail(x, y, lift):
        if cat:  # long, thin, waving
            wave = dice.real(-0.35, 0.35)
            pen.fill(curve(((x, y), (x - 0.45, y + 0.1), (x - 0.3 + wave, y - lift), (x - 0.55 - wave / 2, y - lift - 0.2)), 0.05, 0.035, 9), coat)
        else:  # short, thick at the root
            pen.fill(curve(((x, y), (x - 0.22, y - 0.05), (x - 0.25, y - 0.15 - lift * 0.6)), 0.075 * slim, 0.03, 5), coat)

    if pose == "stand":
        long = dice.real(-0.06, 0.06)
        leg = dice.real(0.9, 1.1) * (0.92 if cat else 1.0)
        y = -0.48 * leg
        hip, chest = -0.36 - long, 0.28 + long
        swing = [dice.real(-0.13, 0.13) for _ in range(4)]
        for x, w in ((hip + 0.1, swing[0]), (chest + 0.08, swing[1])):
            pen.fill(limb(x, y, x + w, -0.06, r * 1.4, r * 0.9), far)
        tail(hip - 0.12, y - 0.06, dice.real(0.1, 0.5))
        body = blend(limb(hip, y - 0.02, chest, y - 0.03, 0.155 * slim, (0.15 if cat else 0.19) * slim),
                     limb(chest, y - 0.05, chest + 0.15, y - 0.28, 0.13 * slim, 0.1), k=0.1)
        for x, w in ((hip - 0.03, swing[2]), (chest - 0.02, swing[3])):
            pen.fill(limb(x, y, x + w, -0.05, r * 1.6, r), coat)
            pen.fill(ellipse(x + w + 0.03, -0.04, r * 1.5, 0.05), sock)
        pen.fill(replace(body, axis=(1.0, 0.0)), coat)
        head = (chest + 0.2, y - 0.34)
        size = 0.19 if cat else 0.21
    elif pose == "sit":
        tail(-0.18, -0.1, dice.real(-0.02, 0.3))
        body = blend(ellipse(0, -0.24, 0.29 * slim, 0.25), limb(0, -0.3, 0.03, -0.62, 0.2 * slim, 0.13), k=0.12)
        pen.fill(replace(body, axis=(0.0, 1.0)), coat)
        pen.fill(ellipse(0.02, -0.42, 0.1, 0.18), pale if dice.chance(0.6) else coat)
        for side in (-1, 1):
            pen.fill(ellipse(0.22 * side * slim, -0.12, 0.14, 0.12), coat)
            pen.fill(limb(0.08 * side, -0.38, 0.09 * side, -0.06, r * 1.15, r), replace(coat, ink=0.3))
            pen.fill(ellipse(0.09 * side, -0.04, 0.075, 0.048), sock)
        head, size = (0.03, -0.78), 0.22
    elif pose == "lie":
        tail(-0.5, -0.14, dice.real(-0.05, 0.3))
        pen.fill(blend(ellipse(-0.12, -0.22, 0.46, 0.2), ellipse(0.25, -0.28, 0.2, 0.2), k=0.1), coat)
        pen.fill(ellipse(-0.36, -0.16, 0.2, 0.16), coat)
        for y in (-0.1, -0.05):
            pen.fill(limb(0.2, y - 0.03, 0.56 + y, y, r, r), sock)
        head, size = (0.36, -0.46), 0.21
    else:  # a portrait, cut off by the lower edge
        pen.fill(blend(ellipse(0, 0.12, 0.42, 0.5), limb(0, 0.0, 0, -0.4, 0.3, 0.2), k=0.2), coat)
        pen.fill(ellipse(0.0, 0.05, 0.18, 0.3), pale if dice.chance(0.6) else coat)
        head, size = (0.0, -0.52), 0.36
    if dice.chance(0.3):
        c = dice.pick(GAY)
        pen.fill(limb(head[0] - 0.55 * size, head[1] + 0.85 * size, head[0] + 0.5 * size, head[1] + 0.9 * size, 0.14 * size, 0.14 * size), c)
    child = pen.at(head[0], head[1], size * dice.real(0.95, 1.15), head_tilt, figure=pen.figure + HEAD)
    (_cat_head if cat else _dog_head)(child, dice, replace(coat, rate=coat.rate * 0.25 if coat.pattern == "stripes" else coat.rate * 0.35), None)


# --- things: base at y = 0, about one unit tall ---


def _face(pen, x, y, r, dice):
    """Two round eyes, as toys and owls have them."""
    for side in (-1, 1):
        pen.fill(ellipse(x + r * side, y, 0.55 * r, 0.55 * r), Skin((0.97, 0.93, 0.80), ink=0.5, volume=0))
        pen.fill(ellipse(x + r * side, y, 0.3 * r, 0.34 * r), Skin(INK, ink=0, volume=0))


ANY_FUR = ("stripes", "stripes", "spots", "patches", "shaggy", "plain")


def _owl(pen, dice):
    coat = _coat(dice, ("spots", "stripes", "patches", "shaggy"))
    for side in (-1, 1):
        tuft = ((0.03 * side, -0.82), (0.26 * side, -1.02), (0.27 * side, -0.7))
        pen.fill(polygon(tuft if side > 0 else tuft[::-1], 0.02), coat)
    pen.fill(blend(ellipse(0, -0.36, 0.3, 0.36), ellipse(0, -0.72, 0.27, 0.2), k=0.1), coat)
    pen.fill(ellipse(0, -0.32, 0.19, 0.26), replace(coat, base=_mix(coat.base, (1, 1, 1), 0.5), pattern="dots", rate=14.0, share=0.5, ink=0.1))
    for side in (-1, 1):
        pen.fill(ellipse(0.27 * side, -0.4, 0.09, 0.26, 0.2 * -side), coat)
    _face(pen, 0, -0.72, 0.12, dice)
    pen.fill(polygon(((0.05, -0.68), (0, -0.58), (-0.05, -0.68)), 0.01), (0.90, 0.62, 0.22))


def _bird(pen, dice):
    coat = _coat(dice, ANY_FUR)
    for x in (-0.05, 0.08):
        pen.fill(limb(x, -0.25, x + 0.02, 0, 0.02, 0.02), (0.80, 0.55, 0.25))
    pen.fill(limb(-0.25, -0.45, -0.7, -0.62, 0.12, 0.05), coat)
    pen.fill(blend(ellipse(0, -0.45, 0.36, 0.26), ellipse(0.28, -0.75, 0.2, 0.19), k=0.15), coat)
    pen.fill(ellipse(-0.1, -0.48, 0.24, 0.14, -0.3), replace(coat, base=coat.mark, mark=coat.base))
    pen.fill(polygon(((0.44, -0.82), (0.66, -0.72), (0.44, -0.66)), 0.01), (0.92, 0.66, 0.22))
    pen.fill(ellipse(0.32, -0.79, 0.045, 0.045), Skin(INK, ink=0))


def _teddy(pen, dice):
    coat = _coat(dice, ("plain", "shaggy", "plain", "patches", "spots", "stripes"))
    pale = replace(coat, base=_mix(coat.base, (1, 0.98, 0.9), 0.5), pattern="plain")
    rabbit = dice.chance(0.4)
    for side in (-1, 1):
        if rabbit:
            pen.fill(limb(0.1 * side, -0.85, 0.16 * side, -1.25, 0.06, 0.08), coat)
        else:
            pen.fill(ellipse(0.2 * side, -0.92, 0.1, 0.1), coat)
        pen.fill(limb(0.15 * side, -0.1, 0.3 * side, -0.06, 0.11, 0.1), coat)
        pen.fill(limb(0.18 * side, -0.45, 0.36 * side, -0.3, 0.09, 0.08), coat)
    pen.fill(ellipse(0, -0.3, 0.26, 0.28), coat)
    pen.fill(ellipse(0, -0.28, 0.15, 0.18), pale)
    pen.fill(ellipse(0, -0.74, 0.26, 0.23), coat)
    pen.fill(ellipse(0, -0.67, 0.12, 0.09), pale)
    pen.fill(ellipse(0, -0.71, 0.045, 0.03), INK)
    for side in (-1, 1):
        pen.fill(ellipse(0.1 * side, -0.79, 0.03, 0.03), Skin(INK, ink=0))


def _heap(pen, dice):
    """A blanket, or a rock with lichen: the colour and pattern of fur on no animal."""
    coat = _coat(dice, ANY_FUR)
    parts = [ellipse(dice.real(-0.4, 0.4), dice.real(-0.45, -0.2), dice.real(0.2, 0.4), dice.real(0.18, 0.32), dice.real(-0.6, 0.6)) for _ in range(4)]
    pen.fill(blend(*parts, k=0.15), replace(coat, fuzz=coat.fuzz * dice.pick((0, 1))))


def _cushion(pen, dice):
    coat = _coat(dice, ANY_FUR) if dice.chance(0.5) else Skin(dice.tint(dice.pick(GAY)), dice.pick(GAY), dice.pick(("dots", "stripes", "plain")), dice.real(4, 9), 0.35)
    pen.fill(box(0, -0.34, 0.46, 0.34, 0.2), replace(coat, volume=0.3))
    pen.fill(ellipse(0, -0.34, 0.035, 0.035), coat.mark)


def _ball(pen, dice):
    skin = Skin(dice.tint(dice.pick(GAY)), dice.tint(dice.pick(GAY + COATS)), dice.pick(("stripes", "dots", "spots", "plain", "shaggy")), 1.0, 0.4, volume=0.4, offset=_offset(dice))
    rate = {"stripes": 3.5, "dots": 4.0}.get(skin.pattern, 1.2)
    pen = pen.at(0, 0, 0.6)
    pen.fill(ellipse(0, -0.5, 0.5, 0.5, dice.real(0, 3)), replace(skin, rate=rate))
    pen.fill(ellipse(-0.17, -0.68, 0.1, 0.07), Skin((1, 1, 1), ink=0, grain=0, volume=0), 0.5)


def _plant(pen, dice):
    pot, leaf = dice.tint(dice.pick(GAY)), dice.pick(GREENS)
    for _ in range(dice.whole(5, 8)):
        x, y = dice.real(-0.45, 0.45), dice.real(-1.0, -0.55)
        pen.fill(curve(((0, -0.35), (x * 0.3, y), (x, y)), 0.03, 0.085, 4), Skin(dice.tint(leaf, 0.1), ink=0.3, volume=0.2))
    pen.fill(polygon(((-0.24, -0.38), (0.24, -0.38), (0.17, 0), (-0.17, 0)), 0.02), Skin(pot, dice.pick(GAY), dice.pick(("plain", "dots", "stripes")), 7.0, 0.35, volume=0.3))


def _chair(pen, dice):
    skin = Skin(dice.tint(dice.pick(GAY + COATS)), dice.pick(GAY + COATS), dice.pick(("plain", "stripes", "dots", "spots")), dice.real(4, 8), 0.35, volume=0.2)
    skin = replace(skin, rate=1.3) if skin.pattern == "spots" else skin
    wood = (0.42, 0.30, 0.20)
    for x in (-0.4, 0.4):
        pen.fill(limb(x, -0.15, x * 1.1, 0, 0.04, 0.025), wood)
    pen.fill(box(0, -0.62, 0.42, 0.4, 0.18), skin)
    pen.fill(box(0, -0.26, 0.46, 0.13, 0.08), replace(skin, base=_mix(skin.base, (1, 1, 1), 0.12)))
    for side in (-1, 1):
        pen.fill(box(0.46 * side, -0.34, 0.1, 0.22, 0.09), skin)


def _lamp(pen, dice):
    pen.fill(limb(0, 0, 0, -0.7, 0.02, 0.02), (0.35, 0.28, 0.22))
    pen.fill(ellipse(0, -0.02, 0.17, 0.04), (0.35, 0.28, 0.22))
    pen.fill(polygon(((-0.14, -1.0), (0.14, -1.0), (0.27, -0.66), (-0.27, -0.66)), 0.02), Skin(dice.tint(dice.pick(WALLS + GAY)), (1, 0.95, 0.8), dice.pick(("plain", "stripes", "dots")), 8.0, 0.35))


def _shelf(pen, dice):
    wood = dice.tint((0.50, 0.36, 0.24))
    pen.fill(box(0, -0.5, 0.42, 0.5, 0.02), Skin(wood, volume=0))
    for floor in (-0.04, -0.36, -0.68):
        pen.fill(box(0, floor - 0.14, 0.37, 0.14), Skin(_mix(wood, INK, 0.5), volume=0, ink=0.1))
        x = -0.36
        while x < 0.26:
            w, h = dice.real(0.025, 0.05), dice.real(0.09, 0.135)
            pen.fill(box(x + w, floor - h, w, h, 0.01), Skin(dice.tint(dice.pick(GAY)), ink=0.35, volume=0, grain=0))
            x += 2 * w + dice.pick((0.0, 0.0, 0.06))


def _tree(pen, dice):
    leaf = Skin(dice.tint(dice.pick(GREENS)), dice.pick(GREENS), dice.pick(("mottle", "spots", "shaggy")), dice.real(0.5, 0.9), 0.4, fuzz=2.5, volume=0.3)
    pen.fill(limb(0, 0, 0.02, -0.5, 0.07, 0.05), Skin((0.42, 0.30, 0.22), (0.3, 0.2, 0.15), "shaggy", 1.0, 0.4))
    if dice.chance(0.35):
        for k in range(3):
            y, w = -0.25 - 0.24 * k, 0.34 - 0.08 * k
            pen.fill(polygon(((-w, y), (0, y - 0.36), (w, y)), 0.03), leaf)
    else:
        parts = [ellipse(dice.real(-0.2, 0.2), dice.real(-0.8, -0.6), dice.real(0.18, 0.28), dice.real(0.16, 0.24)) for _ in range(3)]
        pen.fill(blend(*parts, k=0.08), leaf)


def _bush(pen, dice):
    leaf = Skin(dice.tint(dice.pick(GREENS)), dice.pick(GREENS + GAY[:2]), dice.pick(("mottle", "spots")), dice.real(0.5, 1.0), dice.real(0.15, 0.4), fuzz=2.5, volume=0.3)
    parts = [ellipse(dice.real(-0.35, 0.35), dice.real(-0.4, -0.2), dice.real(0.2, 0.34), dice.real(0.18, 0.3)) for _ in range(4)]
    pen.fill(blend(*parts, k=0.05), leaf)


def _flowers(pen, dice):
    for _ in range(dice.whole(3, 6)):
        x, y, c = dice.real(-0.45, 0.45), dice.real(-1.0, -0.4), dice.tint(dice.pick(GAY))
        pen.fill(curve(((x * 0.4, 0), (x * 0.6, y / 2), (x, y)), 0.02, 0.015, 3), (0.40, 0.55, 0.30))
        for k in range(5):
            a = k * 2 * math.pi / 5
            pen.fill(ellipse(x + 0.075 * math.cos(a), y + 0.075 * math.sin(a), 0.06, 0.06), Skin(c, grain=0, ink=0.3))
        pen.fill(ellipse(x, y, 0.05, 0.05), Skin((0.95, 0.80, 0.35), grain=0))


def _mushroom(pen, dice):
    pen.fill(limb(0, -0.05, 0, -0.5, 0.14, 0.1), (0.93, 0.88, 0.78))
    cap = Skin(dice.tint(dice.pick(GAY[:2] + COATS)), (0.97, 0.95, 0.9), dice.pick(("dots", "spots", "plain")), 1.0, 0.3, volume=0.3, offset=_offset(dice))
    cap = replace(cap, rate=4.5 if cap.pattern == "dots" else 1.2)
    pen.fill(blend(ellipse(0, -0.6, 0.48, 0.2), ellipse(0, -0.72, 0.3, 0.24), k=0.1), cap)


def _fence(pen, dice):
    c = dice.tint(dice.pick(((0.92, 0.90, 0.85), (0.55, 0.42, 0.30), (0.70, 0.60, 0.45))))
    for y in (-0.3, -0.65):
        pen.fill(box(0, y, 0.75, 0.05), Skin(c, volume=0))
    for k in range(6):
        x = -0.625 + 0.25 * k
        pen.fill(polygon(((x - 0.07, -0.85), (x, -0.98), (x + 0.07, -0.85), (x + 0.07, 0), (x - 0.07, 0)), 0.01), Skin(c, volume=0, ink=0.4))


def _teapot(pen, dice):
    skin = Skin(dice.tint(dice.pick(GAY + WALLS)), dice.pick(GAY), dice.pick(("plain", "dots", "stripes", "spots")), 1.0, 0.35, volume=0.4, offset=_offset(dice))
    skin = replace(skin, rate={"dots": 6.0, "stripes": 6.0}.get(skin.pattern, 1.2))
    pen.fill(curve(((0.3, -0.3), (0.55, -0.35), (0.62, -0.66)), 0.09, 0.05, 4), skin)
    pen.fill(curve(((-0.3, -0.62), (-0.75, -0.6), (-0.6, -0.2), (-0.3, -0.2)), 0.04, 0.04, 6), skin)
    pen.fill(ellipse(0, -0.4, 0.42, 0.38), skin)
    pen.fill(ellipse(0, -0.76, 0.2, 0.06), skin)
    pen.fill(ellipse(0, -0.85, 0.06, 0.06), skin)


INDOORS = (_cushion, _ball, _plant, _chair, _lamp, _shelf, _teapot, _plant)
OUTDOORS = (_tree, _bush, _flowers, _mushroom, _fence, _ball, _tree, _bush)
CREATURES = (_owl, _bird, _teddy, _heap, _heap, _bird)
FRONT_IN = (_cushion, _ball, _plant, _teapot, _heap)
FRONT_OUT = (_bush, _flowers, _mushroom, _fence, _ball, _heap)


def _backdrop(page: Pen, dice: Dice, indoors: bool, horizon: float) -> None:
    """Fill the whole page; `horizon` in pixels from the top."""
    height, width = page.owner.shape
    sheet = page.at(0, 0, scale=100.0)  # one unit is a hundred pixels
    w, h, y = width / 100, height / 100, horizon / 100

    def band(top, bottom, skin):
        sheet.fill(box(w / 2, (top + bottom) / 2, w / 2 + 0.1, (bottom - top) / 2), replace(skin, ink=0, volume=0, grain=0.05, offset=_offset(dice)))

    def big(mark):
        """A broad pattern: stripes, dots, or one of the noises."""
        pattern = dice.pick(("plain", "stripes", "dots", "patches", "spots", "mottle"))
        rate = {"stripes": dice.real(1.5, 5), "dots": dice.real(2, 5), "mottle": 0.5}.get(pattern, dice.real(0.4, 0.8))
        return dict(mark=mark, pattern=pattern, rate=rate, share=dice.real(0.15, 0.5))

    if indoors:
        wall = dice.tint(dice.pick(WALLS))
        band(-0.1, y, Skin(wall, **big(_mix(wall, dice.pick(WALLS + GAY), dice.real(0.3, 0.8)))))
        floor = dice.tint(dice.pick(((0.66, 0.48, 0.32), (0.50, 0.36, 0.26), (0.78, 0.66, 0.50), (0.60, 0.60, 0.58), (0.72, 0.55, 0.50))))
        band(y, h + 0.1, Skin(floor, _mix(floor, INK, 0.35), dice.pick(("stripes", "shaggy", "plain", "dots", "patches")), dice.real(1.5, 4), dice.real(0.1, 0.3)))
        sheet.fill(box(w / 2, y, w, 0.05), Skin(_mix(wall, (1, 1, 1), 0.4), ink=0.3, volume=0))
        if dice.chance(0.5):
            c, d = dice.pick(GAY), dice.pick(WALLS + COATS)
            sheet.fill(ellipse(w * dice.real(0.2, 0.8), (y + h) / 2, w * dice.real(0.3, 0.5), (h - y) * 0.35), Skin(dice.tint(c), d, dice.pick(("plain", "stripes", "dots", "spots")), dice.real(1, 3), 0.35))
        for _ in range(dice.whole(0, 3)):
            cx, cy, s = w * dice.real(0.1, 0.9), y * dice.real(0.2, 0.6), dice.real(0.18, 0.34)
            sheet.fill(box(cx, cy, s, s * dice.real(0.8, 1.3), 0.02), Skin(dice.tint((0.45, 0.33, 0.22)), volume=0))
            sheet.fill(box(cx, cy, s * 0.8, s * 0.7), Skin(dice.pick(WALLS), dice.pick(GAY + GREENS), dice.pick(("patches", "spots", "stripes", "plain")), 1.5, 0.4, volume=0, offset=_offset(dice)))
    else:
        sky = dice.tint(dice.pick(((0.72, 0.84, 0.92), (0.93, 0.82, 0.70), (0.62, 0.70, 0.84), (0.86, 0.88, 0.90), (0.35, 0.38, 0.56))))
        band(-0.1, y + 0.1, Skin(sky, _mix(sky, (1, 1, 1), 0.5), "patches", 0.35, dice.real(0.1, 0.5)))
        for _ in range(dice.whole(1, 3)):
            c = dice.tint(_mix(dice.pick(GREENS), sky, dice.real(0.2, 0.7)))
            sheet.fill(ellipse(w * dice.real(0, 1), y + 0.35, w * dice.real(0.3, 0.6), dice.real(0.6, 1.1)), Skin(c, _mix(c, INK, 0.25), dice.pick(("mottle", "patches", "spots", "plain")), 0.6, 0.3))
        ground = dice.tint(dice.pick(GREENS * 2 + ((0.86, 0.76, 0.56), (0.90, 0.92, 0.95), (0.62, 0.48, 0.36))))
        band(y, h + 0.1, Skin(ground, _mix(ground, dice.pick(GREENS + (INK,)), 0.4), dice.pick(("shaggy", "mottle", "spots", "patches")), dice.real(0.5, 0.9), dice.real(0.2, 0.5)))


def _finish(canvas: np.ndarray, dice: Dice) -> np.ndarray:
    """Lighting, paper, blur and sensor noise: (3, H, W) float32 to (H, W, 3) uint8."""
    _, height, width = canvas.shape
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    light = dice.real(0.78, 1.02) + x * np.float32(dice.real(-0.22, 0.22)) + y * np.float32(dice.real(-0.18, 0.18))
    tint = [dice.real(0.93, 1.05) for _ in range(3)]
    soft = dice.real(0.0, 0.25)
    noisy = dice.real(0.01, 0.035)
    for channel in range(3):
        plane = canvas[channel]
        plane *= light * np.float32(tint[channel])
        for _ in range(1 if soft < 0.15 else 2):
            k = np.float32(soft)
            plane[:, 1:-1] += k * (plane[:, :-2] + plane[:, 2:] - 2 * plane[:, 1:-1])
            plane[1:-1] += k * (plane[:-2] + plane[2:] - 2 * plane[1:-1])
    speck = dice.rng.random((height, width), dtype=np.float32) - np.float32(0.5)
    out = np.empty((height, width, 3), dtype=np.uint8)
    for channel in range(3):
        plane = canvas[channel] + np.float32(noisy * 2) * (speck + 0.5 * (dice.rng.random((height, width), dtype=np.float32) - np.float32(0.5)))
        out[..., channel] = np.minimum(np.maximum(plane * 255 + np.float32(0.5), 0), 255)
    return out


def draw(seed, kinds, size=(IMAGE_SIDE, IMAGE_SIDE)):
    height, width = size
    entropy = seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(seed)
    dice = Dice(entropy)
    global ATT
    for attempt in range(20):
        canvas, owner, sound = _scene(dice, kinds, height, width, attempt)
        ATT += 1
        if sound:
            break
    image = _finish(canvas, dice)
    return image, _mask(owner, kinds)


def _mask(owner, kinds):
    values = np.array([0, *(VOC_INDEX[k] for k in kinds)], dtype=np.uint8)
    mask = values[owner & (HEAD - 1)]
    low, high = mask.copy(), mask.copy()
    for _ in range(2):
        for axis in (0, 1):
            a, b = (slice(1, None), slice(None, -1)) if axis == 0 else ((slice(None), slice(1, None)), (slice(None), slice(None, -1)))
            l2, h2 = low.copy(), high.copy()
            np.minimum(l2[a], low[b], out=l2[a]); np.minimum(l2[b], low[a], out=l2[b])
            np.maximum(h2[a], high[b], out=h2[a]); np.maximum(h2[b], high[a], out=h2[b])
            low, high = l2, h2
    mask[low != high] = VOID
    return mask


def _scene(dice, kinds, height, width, attempt):
    canvas = np.zeros((3, height, width), dtype=np.float32)
    owner = np.zeros((height, width), dtype=np.uint8)
    side = min(height, width)
    page = Pen(canvas, owner, 0, (1, 0, 0, 0, 1, 0))
    indoors = dice.chance(0.5)
    horizon = height * dice.real(0.4, 0.68)
    _backdrop(page, dice, indoors, horizon)

    def stand(figure, x, y, size, painter, *rest, sway=0.02, tilt=0.12):
        pen = Pen(canvas, owner, figure, (1, 0, 0, 0, 1, 0), sway * size, _offset(dice))
        pen = pen.at(x, y, size, dice.real(-tilt, tilt), dice.chance(0.5))
        pen.at(0, 0, figure=None).fill(ellipse(0, -0.01, 0.5, 0.05), Skin(INK, ink=0, grain=0, volume=0), 0.25)
        painter(pen, dice, *rest)

    floor = lambda: horizon + (height - horizon) * dice.real(0.02, 0.9)
    props = []
    for _ in range(dice.whole(2, 4)):
        props.append((horizon + (height - horizon) * dice.real(0.0, 0.4), dice.pick(INDOORS if indoors else OUTDOORS), side * dice.real(0.25, 0.6)))
    count = dice.pick((0, 1, 1, 2)) + (0 if kinds else dice.whole(1, 2))
    for _ in range(count):
        big = 0.7 if (not kinds and dice.chance(0.4)) else 0.4
        props.append((floor(), dice.pick(CREATURES), side * dice.real(0.18, big)))
    for y, painter, s in sorted(props, key=lambda p: p[0]):
        stand(0, width * dice.real(0.02, 0.98), y, s, painter)

    # the animals, the farther first
    plan = []
    for number, kind in enumerate(kinds, start=1):
        u = dice.real(0, 1)
        tall = side * (0.25 * (0.95 / 0.25) ** u if len(kinds) == 1 else 0.25 + 0.4 * u)
        pose = dice.pick(("stand", "sit", "lie", "stand", "sit", "portrait"))
        where = (number - 0.5) / len(kinds) + dice.real(-0.3, 0.3) / len(kinds)
        low = max(horizon + 0.04 * height, min(0.8 * tall, height))
        y = low + (height + 0.08 * tall - low) * dice.real(0, 1) if low < height else height + 0.05 * tall
        if pose == "portrait":
            y = height + 0.05 * tall
        plan.append((y, number, kind, pose, tall, width * where))
    whole = {}
    for y, number, kind, pose, tall, x in sorted(plan):
        stand(number, x, y, tall, _animal, kind, pose)
        head = int((owner == number + HEAD).sum())
        face = {"portrait": 0.36}.get(pose, 0.21) * tall
        whole[number] = int((owner == number).sum()) + head, max(head, 2.5 * face * face)
    for y, number, kind, pose, tall, x in plan:
        if attempt < 8 and dice.chance(0.4):
            s = tall * dice.real(0.3, 0.55)
            stand(0, x + tall * dice.real(-0.45, 0.45), min(y + 0.1 * s, height + 0.2 * s), s, dice.pick(FRONT_IN if indoors else FRONT_OUT))
    sound = True
    for number, (full, head) in whole.items():
        face = int((owner == number + HEAD).sum())
        seen = int((owner == number).sum()) + face
        sound &= seen >= max(0.5 * full, 0.008 * height * width) and face >= 0.5 * head
    return canvas, owner, sound


class DrawnWeak:
    LABELS = (*CLASSES, "background")
    def __init__(self, split="train", count=3000, seed=0):
        self.split, self.seed = split, seed
        self.labels = [self.LABELS[i % 3] for i in range(count)]
        self.names = [f"{split}-{label}-{i:05d}" for i, label in enumerate(self.labels)]
        self.digest = digest([split, count, seed, GENERATOR_VERSION]); self.description = "drawn"
    def __len__(self): return len(self.labels)
    def image(self, i):
        label = self.labels[i]
        kinds = () if label == "background" else (label,)
        return draw(np.random.SeedSequence(self.seed, spawn_key=(0 if self.split == "train" else 1, i)), kinds)[0]
