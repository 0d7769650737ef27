"""Oxford-IIIT Pet as a weak set: which photographs show a cat, and which a dog.

Parkhi et al., *Cats and Dogs*, CVPR 2012. The set also has masks of the animals (trimaps). They are
neither unpacked by `fetch` nor read here: what is trained on image labels must not meet a mask. The set has no
photograph without a pet; join it with one that has (`sources.open_weak`).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..files import LsegreproError, digest
from . import images
from .weak import in_split, read_text

SPECIES = {"1": "cat", "2": "dog"}
"""Labels by the third column of the list."""


class OxfordPets:
    """``root/images/*.jpg`` with the labels of ``root/annotations/list.txt``, split by file name.

    Parameters
    ----------
    root : path
        Folder of the two folders, as ``lsegrepro prepare pets`` unpacks them.
    split : {"train", "heldout", "all"}
    heldout, fraction : float
        As in `weak.WeakFolder`, by the same hash.

    Attributes
    ----------
    names : list of str
        ``images/Abyssinian_1.jpg``.
    labels : list of str
    absent : list of str
        Photographs of all splits that are listed but not there.

    Raises
    ------
    LsegreproError
        If the list is missing or is not the published one, or no photograph of the split is present.
    """

    def __init__(self, root: str | Path, split: str = "train", *, heldout: float = 0.15, fraction: float = 1.0) -> None:
        self.root = Path(root)
        belongs = in_split(split, heldout, fraction)
        labels = _read_labels(self.root / "annotations" / "list.txt")
        present = set(images.list_photographs(self.root / "images")[0])
        self.absent = [f"images/{file}" for file in labels if file not in present]
        files = [file for file in labels if file in present and belongs(file)]
        if not files:
            raise LsegreproError(f"no photograph for split {split!r} in {self.root / 'images'}: "
                                 f"{len(labels) - len(self.absent)} of the {len(labels)} listed are there")
        self.names = [f"images/{file}" for file in files]
        self.labels = [labels[file] for file in files]
        self.digest = digest(self.names)
        self.description = (
            f"{len(self):,} photographs of Oxford-IIIT Pet ({self.labels.count('cat'):,} cat, "
            f"{self.labels.count('dog'):,} dog), split {split!r}; of the {len(labels):,} listed, "
            f"{len(self.absent):,} are absent"
        )

    def __len__(self) -> int:
        return len(self.names)

    def image(self, index: int) -> np.ndarray:
        """Photograph `index`, prepared: (300, 300, 3) uint8."""
        return images.prepare(images.load_image(self.root / self.names[index]))


def is_pets(root: str | Path) -> bool:
    """Whether a folder has the layout of Oxford-IIIT Pet."""
    return (Path(root) / "annotations" / "list.txt").is_file()


def _read_labels(path: Path) -> dict[str, str]:
    """Label by file name, in the order of the list: lines ``Abyssinian_1 1 1 1`` are image, class, species, breed."""
    if not path.is_file():
        raise LsegreproError(f"no list {path}: get Oxford-IIIT Pet with: lsegrepro prepare pets")
    labels: dict[str, str] = {}
    for number, line in enumerate(read_text(path).splitlines(), 1):
        fields = line.split()
        if not fields or line.startswith("#"):
            continue
        file = f"{fields[0].removesuffix('.jpg')}.jpg"
        if len(fields) != 4 or fields[2] not in SPECIES or "/" in file or "\\" in file:
            raise LsegreproError(f"{path}, line {number}: expected an image's name, its class, 1 (cat) or 2 (dog) and "
                                 f"its breed, got {line[:80]!r}")
        if labels.setdefault(file, SPECIES[fields[2]]) != SPECIES[fields[2]]:
            raise LsegreproError(f"{path}, line {number}: {fields[0]} is a cat in one line and a dog in another")
    return labels
