"""Open the photographs with image labels that a profile names: one set, or several end to end."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from itertools import chain, islice
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ..files import LsegreproError, digest
from . import WeakSet
from .imagenet import ImageNet, is_imagenet
from .pets import OxfordPets, is_pets
from .voc import VocWeak, is_voc
from .weak import WeakFolder

MAX_REPLACEMENTS = 20
"""So many photographs in a row that cannot be read are no accident but a lost disk."""


def open_weak(
    root: str | Path, names: str, split: str, *, heldout: float, fraction: float = 1.0
) -> ReplaceUnreadable:
    """Open one folder below `root`, or several joined by ``+``, each by its layout.

    A folder in the published layout of Oxford-IIIT Pet, Pascal VOC or ImageNet is opened as that; any other is one
    folder a label. ``pets+VOCdevkit/VOC2012`` is the cats and dogs of both, and the background of VOC. Other arguments
    are as in `weak.Photographs`. Raises `LsegreproError` if a folder is named twice, or cannot be opened.
    """
    folders = [name.strip() for name in names.split("+")]
    if len(set(folders)) < len(folders) or not all(folders):
        raise LsegreproError(f"weak photographs {names!r}: expected different folders, joined by +")
    parts = {}
    for name in folders:
        folder = Path(root) / name
        layout = (OxfordPets if is_pets(folder) else VocWeak if is_voc(folder) else
                  ImageNet if is_imagenet(folder) else WeakFolder)
        parts[name] = layout(folder, split, heldout=heldout, fraction=fraction)
    return ReplaceUnreadable(JoinedSets(parts) if len(parts) > 1 else parts[folders[0]])


class JoinedSets:
    """Weak sets end to end; the images of the first come first.

    The key of a part comes before its names, so that no two are alike, and is the source of its images, unless the part
    says more of them.

    >>> from lsegrepro.data.drawn import DrawnWeak
    >>> both = JoinedSets({"a": DrawnWeak("train", 6, 0), "b": DrawnWeak("heldout", 4, 0)})
    >>> len(both), both.names[6].startswith("b/"), both.image(6).shape
    (10, True, (300, 300, 3))
    """

    def __init__(self, parts: Mapping[str, WeakSet]) -> None:
        self.parts = list(parts.values())
        self.labels = [label for part in parts.values() for label in part.labels]
        self.names = [f"{key}/{name}" for key, part in parts.items() for name in part.names]
        self.sources = [source for key, part in parts.items()
                        for source in getattr(part, "sources", [key] * len(part))]
        self.digest = digest([[key, part.digest] for key, part in parts.items()])
        self.description = "; ".join(f"{key}: {part.description}" for key, part in parts.items())

    def __len__(self) -> int:
        return len(self.names)

    def image(self, index: int) -> np.ndarray:
        """Image `index`, prepared: (300, 300, 3) uint8."""
        index = range(len(self))[index]
        for part in self.parts:
            if index < len(part):
                break
            index -= len(part)
        return part.image(index)


class ReplaceUnreadable:
    """A weak set in which the next photograph of the same label replaces one that cannot be read.

    So one damaged file in ten thousand does not end hours of training. Which photograph replaces which depends on
    the files alone, so a training is repeated, and resumed, with the same ones. Names, labels and digest are those
    of the set: they are of its list, not of its pixels.

    Attributes
    ----------
    unreadable : dict of str to str
        Name and reason of each unreadable photograph met so far. Each is reported once, on stderr.
    """

    def __init__(self, dataset: WeakSet) -> None:
        self.dataset = dataset
        self.names, self.labels = dataset.names, dataset.labels
        self.digest, self.description = dataset.digest, dataset.description
        if hasattr(dataset, "sources"):
            self.sources = dataset.sources
        self.unreadable: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self.names)

    def image(self, index: int) -> np.ndarray:
        """Image `index`, or the next of its label that can be read: (300, 300, 3) uint8.

        Raises `LsegreproError` if none of the next `MAX_REPLACEMENTS` can be read.
        """
        following = chain(range(index, len(self)), range(index))
        same_label = (other for other in following if self.labels[other] == self.labels[index])
        for candidate in islice(same_label, MAX_REPLACEMENTS + 1):
            name = self.names[candidate]
            try:
                if name not in self.unreadable:
                    return self.dataset.image(candidate)
            except LsegreproError as error:
                reason = str(error)
                if self.unreadable.setdefault(name, reason) is reason:  # threads may meet it at the same time
                    tqdm.write(f"lsegrepro: {reason}; the next photograph with label {self.labels[index]} replaces it",
                               file=sys.stderr)
        raise LsegreproError(f"{self.unreadable[self.names[index]]}; nor can those of its label that "
                             "come next be read: is the disk there?")
