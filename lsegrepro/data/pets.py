"""Oxford-IIIT Pet as a weak set: which photographs show a cat, and which a dog.

Parkhi et al., *Cats and Dogs*, CVPR 2012. The set also has masks of the animals (trimaps). They are
neither unpacked by `fetch` nor read here: what is trained on image labels must not meet a mask. The set has no
photograph without a pet; join it with one that has (`sources.open_weak`).
"""

from __future__ import annotations

from pathlib import Path

from ..files import LsegreproError
from . import images
from .weak import Photographs, read_text

SPECIES = {"1": "cat", "2": "dog"}
"""Labels by the third column of the list."""


class OxfordPets(Photographs):
    """``root/images/*.jpg`` with the labels of ``root/annotations/list.txt``; other arguments as in `weak.Photographs`.

    Raises
    ------
    LsegreproError
        If the list is missing or is not the published one, or no photograph of the split is present.
    """

    def __init__(self, root: str | Path, split: str = "train", *, heldout: float = 0.15, fraction: float = 1.0) -> None:
        root = Path(root)
        labels = _read_labels(root / "annotations" / "list.txt")
        present = {f"images/{file}" for file in images.list_photographs(root / "images")[0]}
        super().__init__(root, labels, split, heldout, fraction, "of Oxford-IIIT Pet", present=present)


def is_pets(root: str | Path) -> bool:
    """Whether a folder has the layout of Oxford-IIIT Pet."""
    return (Path(root) / "annotations" / "list.txt").is_file()


def _read_labels(path: Path) -> dict[str, str]:
    """Label by name, in the order of the list: lines ``Abyssinian_1 1 1 1`` are image, class, species, breed."""
    if not path.is_file():
        raise LsegreproError(f"no list {path}: get Oxford-IIIT Pet with: lsegrepro prepare pets")
    labels: dict[str, str] = {}
    for number, line in enumerate(read_text(path).splitlines(), 1):
        fields = line.split()
        if not fields or line.startswith("#"):
            continue
        if len(fields) != 4 or fields[2] not in SPECIES or "/" in fields[0] or "\\" in fields[0]:
            raise LsegreproError(f"{path}, line {number}: expected an image's name, its class, 1 (cat) or 2 (dog) and "
                                 f"its breed, got {line[:80]!r}")
        name = f"images/{fields[0].removesuffix('.jpg')}.jpg"
        if labels.setdefault(name, SPECIES[fields[2]]) != SPECIES[fields[2]]:
            raise LsegreproError(f"{path}, line {number}: {fields[0]} is a cat in one line and a dog in another")
    return labels
