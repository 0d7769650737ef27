"""A bag of patches by hand: drag the scores, and see the aggregated score and who gets the gradient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..figures.style import Html
from ..files import LsegreproError
from . import packing, piece


def bag_explorer(bags: Mapping[str, Sequence[float]], r: float = 1.0) -> Html:
    r"""The aggregations of a bag's scores as a figure that answers to the hand.

    Each score of one class is a slider in [-1, 1], as the tanh leaves it. Shown are the mean, the
    tempered LSE :math:`\frac{1}{r}\log\frac{1}{N}\sum_i e^{r F_i}`, the paper's LSE of equations (1) and
    (3), and the maximum (`model.mean`, `model.tempered`, `model.lse`, `model.maximum`); for each patch
    the derivative of the score by its own; and the way from mean to maximum as `r` grows. Computed in
    the browser, in double precision, from the same formulas.

    Parameters
    ----------
    bags : mapping
        Name to N scores, a button each; the first is shown at the start.
    r : float
        The temperature parameter at the start, from 0.001 to 1,000.

    Raises
    ------
    LsegreproError
        If there is no bag, the bags differ in size, or a score or `r` is out of range.

    >>> bag_explorer({"two good": [0.9, 0.9, -0.5]})
    a bag of 3 scores by hand: mean, LSE and max, and the gradient on each patch
    """
    sizes = {len(scores) for scores in bags.values()}
    if len(sizes) != 1 or 0 in sizes:
        raise LsegreproError(f"bags must be one or more, of the same number of scores; got {sorted(sizes)}")
    if not all(-1 <= score <= 1 for scores in bags.values() for score in scores):
        raise LsegreproError("scores must lie in [-1, 1], as the tanh leaves them")
    if not 0.001 <= r <= 1000:
        raise LsegreproError(f"r must lie in [0.001, 1000], got {r}")
    (count,) = sizes
    data = packing.embed({"r": r, "bags": [[name, [float(s) for s in scores]] for name, scores in bags.items()]})
    said = f"a bag of {count} scores by hand: mean, LSE and max, and the gradient on each patch"
    return piece.static("bag", "LSE versus max, by hand", data, piece.BAG, said)
