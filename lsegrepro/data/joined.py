"""Several weak sets as one: where one has the cats and dogs, and another the background."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ..files import LsegreproError, digest
from . import WeakSet
from .imagenet import is_imagenet
from .index import label_codes
from .pets import OxfordPets, is_pets
from .shards import is_indexed, open_indexed
from .voc_weak import VocWeak, is_voc
from .weak import WeakFolder


class Joined:
    """Weak sets end to end; the images of the first come first.

    Parameters
    ----------
    parts : mapping of str to weak set
        The key comes before the names of its part, so that no two are alike.

    Raises
    ------
    LsegreproError
        If there is no part.

    >>> from lsegrepro.data.drawn import DrawnWeak
    >>> both = Joined({"a": DrawnWeak("train", 6, 0), "b": DrawnWeak("heldout", 4, 0)})
    >>> len(both), both.names[6].startswith("b/"), both.image(6).shape
    (10, True, (300, 300, 3))
    """

    def __init__(self, parts: Mapping[str, WeakSet]) -> None:
        if not parts:
            raise LsegreproError("no weak sets to join: name at least one")
        self.parts = dict(parts)
        self._sets = sets = list(self.parts.values())
        self.labels = _labels(sets)
        self.names = _Names([s.names for s in sets], [f"{key}/" for key in self.parts])
        self.digest = digest([[key, s.digest] for key, s in self.parts.items()])
        self.description = "; ".join(f"{key}: {s.description}" for key, s in self.parts.items())

    def __len__(self) -> int:
        return len(self.names)

    @property
    def sources(self) -> np.ndarray:
        """(n,) str: where each image comes from, its part or what that part says of it; a shortcut to be tested for."""
        return np.concatenate([getattr(s, "sources", np.repeat(key, len(s))) for key, s in self.parts.items()])

    def image(self, index: int) -> np.ndarray:
        """Image `index`, prepared: (300, 300, 3) uint8."""
        part, index = self.names.find(index)
        return self._sets[part].image(index)


def open_weak(root: str | Path, names: str, split: str, *, heldout: float, fraction: float = 1.0) -> WeakSet:
    """Open the weak photographs that a profile names: one folder below `root`, or several joined by ``+``.

    A folder that holds Oxford-IIIT Pet or Pascal VOC in its published layout is read as that, photographs with
    an index (an ImageNet, shards) by the index; any other is one folder a label. ``pets+VOCdevkit/VOC2012`` is cats
    and dogs of both, and the background of VOC.

    Raises
    ------
    LsegreproError
        If a folder is named twice, or cannot be opened.
    """
    folders = [name.strip() for name in names.split("+")]
    if len(set(folders)) < len(folders) or not all(folders):
        raise LsegreproError(f"weak photographs {names!r}: expected different folders, joined by +")
    parts = {}
    for name in folders:
        folder = Path(root) / name
        if not is_indexed(folder) and is_imagenet(folder):
            raise LsegreproError(f"{folder} is an ImageNet without an index: make one, once, with "
                                 f"lsegrepro data index {folder}")
        kind = (OxfordPets if is_pets(folder) else VocWeak if is_voc(folder) else
                open_indexed if is_indexed(folder) else WeakFolder)
        parts[name] = kind(folder, split, heldout=heldout, fraction=fraction)
    return Joined(parts) if len(parts) > 1 else parts[folders[0]]


def _labels(sets: Sequence[WeakSet]) -> list[str] | np.ndarray:
    """All labels: words, or codes if any set has codes."""
    if not any(isinstance(s.labels, np.ndarray) for s in sets):
        return [label for s in sets for label in s.labels]
    return np.concatenate([label_codes(s) for s in sets])


class _Names(Sequence[str]):
    """Names of all parts end to end, looked up and not copied."""

    def __init__(self, parts: Sequence[Sequence[str]], before: Sequence[str]) -> None:
        self.parts, self.before = list(parts), list(before)
        self.ends = np.cumsum([len(part) for part in self.parts])

    def __len__(self) -> int:
        return int(self.ends[-1])

    def __getitem__(self, index):
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        part, index = self.find(index)
        return self.before[part] + self.parts[part][index]

    def find(self, index: int) -> tuple[int, int]:
        """Which part holds number `index`, and its number there."""
        index = range(len(self))[index]
        part = int(np.searchsorted(self.ends, index, side="right"))
        return part, index - int(self.ends[part - 1] if part else 0)
