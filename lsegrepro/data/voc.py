"""Pascal VOC 2012 segmentation in its official layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..files import LsegreproError
from ..oldfiles import MAX_TEXT, digest, is_file, read_plain
from . import images


class VocSegmentation:
    """One split of Pascal VOC 2012: photographs and masks.

    An image of the official list whose photograph or mask is not on the disk is kept
    in `absent`: it is counted and named, never silently left out.

    Parameters
    ----------
    root : path
        ``VOCdevkit/VOC2012``, or a folder above it.
    split : {"train", "val", "trainval"}

    Raises
    ------
    LsegreproError
        If the layout is not the official one, or no image of the split is present.
    """

    redistributable = False

    def __init__(self, root: str | Path, split: str = "val") -> None:
        self.root = _find(Path(root))
        listing = self.root / "ImageSets" / "Segmentation" / f"{split}.txt"
        if not listing.is_file():
            raise LsegreproError(f"no list {listing}: splits of VOC 2012 segmentation are train, val and trainval")
        try:
            listed = read_plain(listing, MAX_TEXT).decode("utf-8").split()
        except UnicodeDecodeError as error:
            raise LsegreproError(f"{listing} is no text: expected one image name a line") from error
        if outside := [name for name in listed if "/" in name or "\0" in name]:
            raise LsegreproError(f"{listing} names {outside[0]!r}: expected names of images, not paths")
        if len(set(listed)) < len(listed):
            raise LsegreproError(f"{listing} names an image twice: expected one image name a line")
        self.listed = len(listed)
        self.ids = [i for i in listed if is_file(self._photograph(i)) and is_file(self._mask(i))]
        present = set(self.ids)
        self.absent = [i for i in listed if i not in present]
        if not listed:
            raise LsegreproError(f"{listing} is empty: expected one image name a line")
        if not self.ids:
            raise LsegreproError(
                f"none of the {self.listed} images of {listing} is present: expected {self._photograph(listed[0])} "
                f"and {self._mask(listed[0])}"
            )
        self.digest = digest([split, self.ids])
        self.description = f"{len(self.ids):,} of {self.listed:,} images of VOC 2012 {split}"

    def __len__(self) -> int:
        return len(self.ids)

    def _photograph(self, name: str) -> Path:
        return self.root / "JPEGImages" / f"{name}.jpg"

    def _mask(self, name: str) -> Path:
        return self.root / "SegmentationClass" / f"{name}.png"

    def image(self, index: int) -> np.ndarray:
        """Photograph `index`: (H, W, 3) uint8."""
        return images.load_image(self._photograph(self.ids[index]))

    def mask(self, index: int) -> np.ndarray:
        """Mask `index`: (H, W) uint8, 0 background, 1-20 classes, 255 void."""
        path = self._mask(self.ids[index])
        values = images.load_indices(path)
        wrong = np.setdiff1d(np.unique(values), [*range(21), 255])
        if wrong.size:
            raise LsegreproError(f"{path} holds the indices {wrong.tolist()}: VOC 2012 has 0 to 20 and 255 (void)")
        return values


def _find(root: Path) -> Path:
    for folder in (root, root / "VOC2012", root / "VOCdevkit" / "VOC2012"):
        if (folder / "ImageSets" / "Segmentation").is_dir():
            return folder
    raise LsegreproError(
        f"no VOC 2012 below {root}: expected VOCdevkit/VOC2012 with JPEGImages, SegmentationClass and "
        "ImageSets/Segmentation, as the official archive unpacks"
    )
