"""Results as records: a row of Table 2, and a difference of two networks."""

from __future__ import annotations

from dataclasses import dataclass

from .intervals import Interval


@dataclass(frozen=True)
class TableRow:
    """One class of one row of our Table 2, in fractions.

    Attributes
    ----------
    model : str
        A model of the paper's table, or any other name (a baseline).
    cls : str
    foreground, background, ap : Interval or None
        Pixel accuracies and AP; None if there is no such number.
    theta : float, optional
        What the numbers were measured at.
    """

    model: str
    cls: str
    foreground: Interval | None
    background: Interval | None
    ap: Interval | None
    theta: float | None = None


@dataclass(frozen=True)
class Difference:
    """AP of one network minus AP of another on the same images, in fractions.

    Attributes
    ----------
    name : str
        ``"LSE1 − max1"``.
    cls : str
    interval : Interval
    paper : float or None
        The same difference in the paper's Table 2.
    """

    name: str
    cls: str
    interval: Interval
    paper: float | None = None

    @property
    def sign(self) -> int:
        """1 or -1 if the interval lies on one side of zero, else 0: the images cannot tell.

        >>> Difference("a − b", "cat", Interval(0.1, 0.02, 0.2)).sign
        1
        """
        return int(self.interval.low > 0) - int(self.interval.high < 0)
