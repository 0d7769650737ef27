"""Two lists of numbers, side by side: same, or different."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ...files import LsegreproError
from .numbers import Number

ROUNDING = 1e-9
"""Tolerance of a number recomputed from evidence. Its counts of pixels are integers and exact, and so is
the choice of the resamples; only the last divisions and interpolations round, in float64."""


@dataclass(frozen=True)
class Verdict:
    """One comparison.

    Attributes
    ----------
    of, what : str
        As in `Number`.
    same : bool
    found, published : str
        As printed.
    """

    of: str
    what: str
    same: bool
    found: str
    published: str

    @property
    def line(self) -> str:
        """One line of the report.

        >>> Verdict("LSE1 cat round 2", "AP", True, "9.70", "9.70").line
        'same     LSE1 cat round 2                   AP                                9.70  published 9.70'
        """
        word = "same" if self.same else "differs"
        return f"{word:8} {self.of:34} {self.what:33} {self.found}  published {self.published}"


def compare(found: Sequence[Number], published: Sequence[Number], tolerance: float = ROUNDING) -> list[Verdict]:
    """A verdict for each published number, in their order, and for each that was not published.

    Raises
    ------
    LsegreproError
        If either list names a number twice.

    >>> a, b = Number("LSE1", "AP", 0.1), Number("LSE1", "AP", 0.10006)
    >>> [v.same for v in compare([a], [b])], [v.same for v in compare([a], [b], tolerance=1e-4)]
    ([False], [True])
    """
    new, old = _by_key(found), _by_key(published)
    return [
        Verdict(*key, key in new and key in old and _same(new[key], old[key], tolerance),
                *_distinct(new.get(key), old.get(key)))
        for key in [*old, *(key for key in new if key not in old)]
    ]


def _same(a: Number, b: Number, tolerance: float) -> bool:
    pairs = ((a.value, b.value), (a.low, b.low), (a.high, b.high))
    return (a.unit, a.said) == (b.unit, b.said) and all(
        math.isnan(x) and math.isnan(y) or abs(x - y) <= tolerance for x, y in pairs)


def _distinct(a: Number | None, b: Number | None) -> tuple[str, str]:
    """Both as printed, with all digits where they differ in digits that are not printed."""
    if a is None or b is None:
        return a.text if a else "nothing", b.text if b else "nothing"
    if a.text == b.text and not _same(a, b, ROUNDING):
        return tuple(f"{n.text} ({n.unit}: {n.value!r}, {n.low!r}, {n.high!r})" for n in (a, b))
    return a.text, b.text


def _by_key(numbers: Sequence[Number]) -> dict[tuple[str, str], Number]:
    found = {number.key: number for number in numbers}
    if len(found) != len(numbers):
        raise LsegreproError("a list of numbers names one of them twice")
    return found
