"""Oxford-IIIT Pet as a weak set: which photographs show a cat, which a dog, and nothing else.

Parkhi et al., *Cats and Dogs*, CVPR 2012. The set has masks of the animals as well (trimaps). They are
neither unpacked by `fetch` nor read here: what is trained on labels must not meet a mask. The set has no
photograph without a pet; join it with one that has (`joined`).
"""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from tqdm import tqdm

from .. import paper
from ..files import LsegreproError
from ..oldfiles import MAX_TEXT, digest, read_json, read_plain, write_json
from . import images
from .weak import in_split

SPECIES = {"1": "cat", "2": "dog"}
"""Labels by the third column of the list."""

REPORT = "unreadable.json"
"""File below the root: which photographs cannot be read, and why. Deleting it has them all read again."""


class OxfordPets:
    """``root/images/*.jpg`` with the labels of ``root/annotations/list.txt``, split by file name.

    A photograph that the list names and the folder lacks is kept in `absent`, one that cannot be decoded in
    `unreadable`: counted and named, never silently left out. All photographs are decoded once to find these, and
    the answer is kept below the root.

    Parameters
    ----------
    root : path
        Folder of the two folders, as ``lsegrepro data fetch pets`` unpacks them.
    split : {"train", "heldout", "all"}
    heldout, fraction : float
        As in `weak.WeakFolder`, by the same hash.
    progress : bool
        Show how far the first decoding is.

    Attributes
    ----------
    names : list of str
        ``images/Abyssinian_1.jpg``.
    labels : list of str
    absent : list of str
        Of all splits.
    unreadable : dict of str to str
        Name to reason, of all splits.

    Raises
    ------
    LsegreproError
        If the list is missing or is not the published kind, or no photograph of the split is present.
    """

    def __init__(
        self, root: str | Path, split: str = "train", *, heldout: float = 0.15, fraction: float = 1.0,
        progress: bool = True,
    ) -> None:
        self.root = Path(root)
        keep = in_split(split, heldout, fraction)
        listed = _read_list(self.root / "annotations" / "list.txt")
        sizes = {name: _size(self.root / name) for name in listed}
        self.absent = [name for name, size in sizes.items() if size is None]
        present = {name: size for name, size in sizes.items() if size is not None}
        self.unreadable = _unreadable(self.root, present, progress)
        self.names = [n for n in present if n not in self.unreadable and keep(n.removeprefix("images/"))]
        self.labels = [listed[name] for name in self.names]
        if not self.names:
            raise LsegreproError(f"no photograph for split {split!r} in {self.root / 'images'}: "
                                 f"{len(present)} of the {len(listed)} listed are there")
        self.digest = digest(self.names)
        self.description = (
            f"{len(self):,} photographs of Oxford-IIIT Pet ({self.labels.count('cat'):,} cat, "
            f"{self.labels.count('dog'):,} dog), split {split!r}; of the {len(listed):,} listed, "
            f"{len(self.absent):,} are absent and {len(self.unreadable):,} cannot be read"
        )

    def __len__(self) -> int:
        return len(self.names)

    def image(self, index: int) -> np.ndarray:
        """Photograph `index`, prepared: (300, 300, 3) uint8."""
        return images.prepare(images.load_image(self.root / self.names[index]))


def is_pets(root: str | Path) -> bool:
    """Whether a folder has the layout of Oxford-IIIT Pet."""
    return (Path(root) / "annotations" / "list.txt").is_file()


def _read_list(path: Path) -> dict[str, str]:
    """Label by name, in the order of the list: lines ``Abyssinian_1 1 1 1`` are image, class, species, breed."""
    try:
        lines = read_plain(path, MAX_TEXT).decode("utf-8").splitlines()
    except (LsegreproError, UnicodeDecodeError) as error:
        raise LsegreproError(f"cannot read the list {path}: get Oxford-IIIT Pet with lsegrepro data "
                             "fetch pets") from error
    listed = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        fields = line.split()
        name = f"images/{fields[0]}.jpg"
        if len(fields) != 4 or fields[2] not in SPECIES or Path(name).parts != ("images", f"{fields[0]}.jpg"):
            raise LsegreproError(f"{path}, line {number}: expected an image's name, its class, 1 (cat) or 2 (dog) and "
                                 f"its breed, got {line[:80]!r}")
        if listed.setdefault(name, SPECIES[fields[2]]) != SPECIES[fields[2]]:
            raise LsegreproError(f"{path}, line {number}: {fields[0]} is a cat in one line and a dog in another")
    return listed


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _unreadable(root: Path, sizes: dict[str, int], progress: bool) -> dict[str, str]:
    """Which photographs cannot be decoded, from the report, or found out now if the files are others."""
    made_for = digest([*sizes.items()])
    with contextlib.suppress(LsegreproError, KeyError, AttributeError):  # of another's making
        kept = read_json(root / REPORT)
        if kept.get("made_for") == made_for:
            return {str(name): str(reason) for name, reason in kept["unreadable"].items()}
    with ThreadPoolExecutor() as pool:  # Pillow decodes outside Python's lock
        reasons = tqdm(pool.map(lambda name: _reason(root, name), sizes), total=len(sizes), desc="reading once",
                       unit="image", disable=not progress, leave=False)
        found = {name: reason for name, reason in zip(sizes, reasons, strict=True) if reason}
    with contextlib.suppress(LsegreproError):  # data that may only be read: they are decoded the next time again
        write_json(root / REPORT, {"made_for": made_for, "unreadable": found})
    return found


def _reason(root: Path, name: str) -> str | None:
    try:
        image = images.load_image(root / name)
        images.short_side(image, paper.IMAGE_SIDE)
    except LsegreproError as error:
        return str(error).replace(f"{root}/", "")
    return None
