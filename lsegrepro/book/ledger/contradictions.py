"""Where the paper contradicts itself, shown from its own numbers and the masks."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ... import evaluation, paper
from ...runs.results import coverage
from ...runs.folder import RunFolder
from ...runs.statistics import read_statistics
from ..notebook import bounded, percent
from .silences import experiment


def widths(run: RunFolder) -> str:
    """Parameters of the widths that Table 1 prints, and of those that give its count, and what the printed ones do."""
    printed, other = paper.ARCHITECTURES["LSE2-40-80"], paper.ARCHITECTURES["LSE2"]
    lse1 = paper.ARCHITECTURES["LSE1"]
    return (f"40-80 has {printed.parameters:,} parameters and 50-100 has {other.parameters:,}; "
            f"{other.printed_parameters:,} are printed. For LSE1 the count, {lse1.parameters:,}, is the one printed."
            + experiment(run, "width-40-80", "With 40-80"))


def stride(run: RunFolder) -> str:
    """The input sizes that the two strides lead to, beside those printed."""
    said = []
    for name in ("LSE1", "LSE2"):
        a = paper.ARCHITECTURES[name]
        second = a.patch - a.filters[0] + 1 - a.pools[0] + 1
        third = second - a.filters[1] + 1 - a.pools[1] + 1
        wanted = tuple(int(size.split("x")[0]) for size in paper.TABLE_1_AS_PRINTED[name]["Input Size, sz"])
        same = "the sizes printed" if a.input_sizes == wanted else "other sizes than those printed"
        said.append(f"{name}: a stride of the pool's size gives {' → '.join(map(str, a.input_sizes))}, {same}; a "
                    f"stride of 1 would give {a.patch} → {second} → {third}")
    return ". ".join(said) + "."


def maximum(run: RunFolder) -> str:
    """How many numbers each reading leaves for the softmax over two classes."""
    scores = np.random.default_rng(0).uniform(-1, 1, (paper.ARCHITECTURES["LSE1"].patches, 2))  # F of one image
    return (f"F of an image is {scores.shape[0]} × {scores.shape[1]}. A maximum over each row leaves "
            f"{scores.max(1).size} numbers, one a patch; over each column {scores.max(0).size}, one a class, which "
            f"is what the softmax takes.")


def counts(run: RunFolder) -> str:
    """Val images with each class, counted from the masks."""
    val = run.regions("val")
    here = " and ".join(f"{int(evaluation.present(val, c).sum())} hold a {c}" for c in paper.CLASSES)
    return (f"Of {coverage(val)}, {here}; the paper says {paper.VAL_CLAIMED['cat']} cats and "
            f"{paper.VAL_CLAIMED['dog']} dogs. The public masks of the whole list have "
            f"{paper.VAL_IMAGES_WITH_CLASS['cat']} and {paper.VAL_IMAGES_WITH_CLASS['dog']} such images.")


def initial(run: RunFolder) -> str:
    """Saturation before any training, and what comes of it."""
    found = read_statistics(run, "first-steps")["initial"]
    least, most = min(found["literal"]["saturated"].values()), max(found["torch7"]["saturated"].values())
    dead = sum(v < 1e-6 for v in found["literal"]["gradients"])
    return (f"To the letter at least {percent(least, 0)} of every layer's outputs lie beyond ±0.99 before any "
            f"training, and {dead} of {len(found['literal']['gradients'])} images leave the first layer without a "
            f"gradient; with Torch7's weights {bounded(most)} lie beyond it."
            + experiment(run, "literal-initialisation", "Trained from the letter"))


def implied_share(row: paper.Row) -> tuple[float, float]:
    """Foreground pixels for each background pixel that a row of Table 2 implies, at the ends of its rounding.

    With f and b the two accuracies, AP = f P / (P + (1 - b) N), so P / N = AP (1 - b) / (f - AP).

    >>> low, high = implied_share(paper.TABLE_2["LSE1"]["cat"])
    >>> round(low, 4), round(high, 4)
    (0.0239, 0.0241)
    """
    half = 0.005  # of the last digit printed
    ends = [(row.ap + s * half) * (100 - row.background + s * half) / (row.foreground - row.ap - 2 * s * half)
            for s in (-1, 1)]
    return ends[0] / 100, ends[1] / 100


def agreeing(shares: Mapping[str, tuple[float, float]]) -> list[str]:
    """The largest group of rows whose ranges have a value in common; the first of equal ones.

    >>> agreeing({"a": (1.0, 2.0), "b": (1.5, 3.0), "c": (4.0, 5.0)})
    ['a', 'b']
    """
    groups = [[name for name, (low, high) in shares.items() if low <= start <= high] for start, _ in shares.values()]
    return max(groups, key=len)


def table2(run: RunFolder) -> str:
    """How many rows of Table 2 agree on how many pixels are foreground."""
    said = []
    for cls in paper.CLASSES:
        shares = {model: implied_share(row[cls]) for model, row in paper.TABLE_2.items()}
        group = agreeing(shares)
        listed = ", ".join(f"{100 * (low + high) / 2:.2f} ({model})" for model, (low, high) in shares.items())
        if len(group) == len(shares):
            found = f"all {len(shares)} agree to their rounding"
        else:
            most = "no two of them" if len(group) == 1 else f"no more than {len(group)} of them ({', '.join(group)})"
            found = (f"{most} agree, though the images are the same, so at least {len(shares) - len(group)} of the "
                     f"{len(shares)} rows are misprinted or were measured otherwise")
        said.append(f"For {cls} the rows of Table 2 imply this many foreground pixels in a hundred of background: "
                    f"{listed}; {found}")
    return ". ".join(said) + "."
