"""Open the photographs with image labels that a profile names: one set, or several end to end."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..files import LsegreproError, digest
from . import WeakSet
from .imagenet import ImageNet, find_synsets
from .pets import OxfordPets
from .voc import VocWeak
from .weak import WeakFolder


class WeakSets:
    """Weak sets end to end.

    The key of each comes before its names, so that no two are alike, and is the source of its images, unless the set
    says more of them.

    >>> from lsegrepro.data.drawn import DrawnWeak
    >>> both = WeakSets({"a": DrawnWeak("train", 6, 0), "b": DrawnWeak("heldout", 4, 0)})
    >>> len(both), both.names[6].startswith("b/"), both.image(6).shape
    (10, True, (300, 300, 3))
    """

    def __init__(self, parts: Mapping[str, WeakSet]) -> None:
        self._places = [(part, i) for part in parts.values() for i in range(len(part))]
        self.labels = [label for part in parts.values() for label in part.labels]
        self.sources = [source for key, part in parts.items()
                        for source in getattr(part, "sources", [key] * len(part))]
        self.names = [f"{key}/{name}" for key, part in parts.items() for name in part.names]
        self.digest = digest([[key, part.digest] for key, part in parts.items()])
        self.description = "; ".join(f"{key}: {part.description}" for key, part in parts.items())

    def __len__(self) -> int:
        return len(self.names)

    def image(self, index: int) -> np.ndarray:
        """Image `index`, prepared: (300, 300, 3) uint8."""
        part, place = self._places[index]
        return part.image(place)


def open_weak(root: str | Path, names: str, split: str, *, heldout: float, fraction: float = 1.0) -> WeakSet:
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
        layout = (OxfordPets if (folder / "annotations" / "list.txt").is_file() else
                  VocWeak if (folder / "ImageSets" / "Main").is_dir() else
                  ImageNet if find_synsets(folder) else WeakFolder)
        parts[name] = layout(folder, split, heldout=heldout, fraction=fraction)
    return WeakSets(parts) if len(parts) > 1 else parts[folders[0]]
