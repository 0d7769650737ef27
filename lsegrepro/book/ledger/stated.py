"""What the paper states, and whether a run follows it."""

from __future__ import annotations

from ... import paper
from ...runs.folder import RunFolder
from ...runs.statistics import read_statistics
from ..notebook import percent
from .silences import cards, experiment, of_source


def photographs(run: RunFolder) -> str:
    """What the run was trained on, and how much of it comes from where val comes from."""
    train = read_statistics(run, "weak-labels")["train"]
    voc = sum(sum(counts.values()) for source, counts in train["sources"].items() if of_source(source, "voc"))
    theirs = sum(paper.TRAINING_IMAGES.values())
    text = f"This run has {train['images']:,} training images, the paper {theirs:,}."
    if train["sources"]:
        text += " By source: " + ", ".join(
            f"{sum(counts.values()):,} {source}" for source, counts in train["sources"].items()) + "."
    if voc:
        text += f" So {percent(voc / train['images'], 0)} come from VOC, outside its segmentation lists."
    return text


def rate(run: RunFolder) -> str:
    """The rates in the cards, beside the paper's, and what the paper's does."""
    found = sorted({card["arguments"]["rate"] for card in cards(run)})
    return ("The networks of this run were trained at "
            + " or ".join("the paper's" if rate == paper.LEARNING_RATE else
                          f"{rate:g}, {rate / paper.LEARNING_RATE:g} times the paper's" for rate in found) + "."
            + experiment(run, "literal-settings", f"At {paper.LEARNING_RATE:g}, one image a step"))


def hard(run: RunFolder) -> str:
    """The chances in the cards of round 2."""
    found = sorted({card["arguments"]["hard"] for card in cards(run, 2)})
    return (f"In round 2 of this run a negative sample is one of hard negatives with a chance of "
            f"{' or '.join(f'{chance:g}' for chance in found)}.")
