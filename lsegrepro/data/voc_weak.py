"""Pascal VOC 2012 as a weak set: photographs that have no mask, known by what they show."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .. import paper
from ..files import LsegreproError
from ..oldfiles import MAX_TEXT, digest, read_plain
from . import images
from .weak import in_split


class VocWeak:
    """Photographs of the classification task with their labels for cat and dog.

    No photograph of any segmentation list is in it: on those theta is chosen and the networks are measured. One with
    a cat and a dog, or with one that the annotators call difficult, has no single label and is left out. The rest
    without either is background.

    Parameters
    ----------
    root : path
        ``VOCdevkit/VOC2012``, as ``lsegrepro data fetch voc2012`` unpacks it.
    split, heldout, fraction
        As in `weak.WeakFolder`, by the same hash.

    Raises
    ------
    LsegreproError
        If a list is missing or is not the published kind, or no photograph of the split is present.
    """

    def __init__(
        self, root: str | Path, split: str = "train", *, heldout: float = 0.15, fraction: float = 1.0
    ) -> None:
        self.root = Path(root)
        keep = in_split(split, heldout, fraction)
        lists = self.root / "ImageSets"
        masked = {name for path in (lists / "Segmentation").glob("*.txt") for name in _words(path)}
        if not masked:
            raise LsegreproError(f"no lists in {lists / 'Segmentation'}: without them photographs of the evaluation "
                                 "would be trained on; get VOC 2012 with lsegrepro data fetch voc2012")
        shown = {cls: _presence(lists / "Main" / f"{cls}_trainval.txt") for cls in paper.CLASSES}
        labels = {}
        for name in shown["cat"]:
            marks = [shown[cls].get(name) for cls in paper.CLASSES]
            if name not in masked and marks.count("-1") >= len(marks) - 1 and set(marks) <= {"1", "-1"}:
                labels[f"{name}.jpg"] = paper.CLASSES[marks.index("1")] if "1" in marks else "background"
        present = {path.name for path in (self.root / "JPEGImages").glob("*.jpg")}
        self.absent = [name for name in labels if name not in present]
        names = [name for name in labels if name in present and keep(name)]
        if not names:
            raise LsegreproError(f"no photograph for split {split!r} in {self.root / 'JPEGImages'}")
        self.labels = [labels[name] for name in names]
        self.names = [f"JPEGImages/{name}" for name in names]
        self.digest = digest([self.names, self.labels])
        counts = ", ".join(f"{self.labels.count(label):,} {label}" for label in (*paper.CLASSES, "background"))
        self.description = (f"{len(self):,} photographs of VOC 2012 without masks ({counts}), split {split!r}; "
                            f"{len(self.absent):,} are absent")

    def __len__(self) -> int:
        return len(self.names)

    def image(self, index: int) -> np.ndarray:
        """Photograph `index`, prepared: (300, 300, 3) uint8."""
        return images.prepare(images.load_image(self.root / self.names[index]))


def is_voc(root: str | Path) -> bool:
    """Whether a folder has the layout of Pascal VOC with its labels of photographs."""
    return (Path(root) / "ImageSets" / "Main").is_dir()


def _words(path: Path) -> list[str]:
    try:
        return read_plain(path, MAX_TEXT).decode("utf-8").split()
    except (LsegreproError, UnicodeDecodeError) as error:
        raise LsegreproError(f"cannot read the list {path}: get VOC 2012 with lsegrepro data fetch voc2012") from error


def _presence(path: Path) -> dict[str, str]:
    """Mark by photograph: 1 shown, -1 not shown, 0 shown but difficult to recognise."""
    words = _words(path)
    if len(words) % 2 or not set(words[1::2]) <= {"1", "0", "-1"}:
        raise LsegreproError(f"{path} is no list of photographs with 1, 0 or -1 after each")
    return dict(zip(words[::2], words[1::2], strict=True))
