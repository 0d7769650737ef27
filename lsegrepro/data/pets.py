"""Oxford-IIIT Pet as a weak set: which photographs show a cat, and which a dog.

Parkhi et al., *Cats and Dogs*, CVPR 2012. The set also has masks of the animals (trimaps). They are
neither unpacked by `fetch` nor read here: what is trained on image labels must not meet a mask. The set has no
photograph without a pet; join it with one that has (`sources.open_weak`).
"""

from pathlib import Path

from ..files import LsegreproError
from .weak import Photographs, read_text

SPECIES = {"1": "cat", "2": "dog"}  # labels by the third column of the list


class OxfordPets(Photographs):
    """``root/images/*.jpg`` with the labels of ``root/annotations/list.txt``; other arguments as in `weak.Photographs`.

    Raises `LsegreproError` as that, and if the list is missing or is not the published one.
    """

    def __init__(self, root: str | Path, split: str = "train", *, heldout: float = 0.15, fraction: float = 1.0) -> None:
        path, labels = Path(root) / "annotations" / "list.txt", {}
        if not path.is_file():
            raise LsegreproError(f"no list {path}: get Oxford-IIIT Pet with: lsegrepro prepare pets")
        for line in read_text(path).splitlines():
            if line.startswith("#"):
                continue
            fields = line.split()  # Abyssinian_1 1 1 1: image, class, species, breed
            if len(fields) != 4 or fields[2] not in SPECIES:
                raise LsegreproError(f"{path}: expected an image's name, its class, 1 (cat) or 2 (dog) and its breed, "
                                     f"got {line[:80]!r}")
            labels[f"images/{fields[0]}.jpg"] = SPECIES[fields[2]]
        super().__init__(Path(root), labels, split, heldout, fraction, "of Oxford-IIIT Pet", listed=True)
