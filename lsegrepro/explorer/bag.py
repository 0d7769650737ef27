"""The bag-of-scores explorer: the aggregated score and its gradient as the scores of the patches change."""

from collections.abc import Mapping, Sequence

from ..figures.style import Html
from .fragment import BAG_SCRIPTS, fragment


def bag_explorer(bags: Mapping[str, Sequence[float]]) -> Html:
    r"""An interactive figure of the aggregations of a bag of scores.

    Each score of one class is a slider in [-1, 1], the range of the tanh. Shown are the mean, the tempered LSE
    :math:`\frac{1}{r}\log\frac{1}{N}\sum_i e^{r F_i}`, the paper's LSE of equations (1) and (3), and the maximum
    (`model.mean`, `model.tempered`, `model.lse`, `model.maximum`); for each patch the derivative of the aggregated
    score by its own; and the aggregated score against `r`. Computed in the browser, in double precision.

    `bags` has N scores for each name, a button each; the first is the initial one.

    >>> bag_explorer({"two good": [0.9, 0.9, -0.5]})
    a bag of 3 scores: mean, LSE and max, and the gradient on each patch
    """
    size = len(next(iter(bags.values())))
    text = f"a bag of {size} scores: mean, LSE and max, and the gradient on each patch"
    data = {"r": 1, "bags": [[name, [float(score) for score in scores]] for name, scores in bags.items()]}
    return fragment("bag", "LSE versus max, interactive", data, BAG_SCRIPTS, text)
