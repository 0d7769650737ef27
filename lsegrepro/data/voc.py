"""Pascal VOC 2012 in its official layout: images with masks, and photographs with image labels only."""

from pathlib import Path

import numpy as np

from .. import paper
from ..files import LsegreproError, digest
from . import images
from .weak import Photographs, read_text


class VocSegmentation:
    """One split of Pascal VOC 2012: photographs and masks.

    `root` is ``VOCdevkit/VOC2012``; `split` is train, val or trainval. An image of the official list whose photograph
    or mask is not on the disk is counted and named in `absent`, never silently left out. Raises `LsegreproError` if the
    layout is not the official one, or no image of the split is present.
    """

    redistributable = False

    def __init__(self, root: str | Path, split: str = "val") -> None:
        self.root = Path(root)
        path = self.root / "ImageSets" / "Segmentation" / f"{split}.txt"
        if not path.is_file():
            raise LsegreproError(f"no list {path}: expected JPEGImages, SegmentationClass and ImageSets, as the "
                                 "official archive of VOC 2012 unpacks, and train, val or trainval")
        listed = _read_names(path)
        self.listed = len(listed)
        self.ids = [name for name in listed if self._photograph(name).is_file() and self._mask(name).is_file()]
        present = set(self.ids)
        self.absent = [name for name in listed if name not in present]
        if not self.ids:
            raise LsegreproError(f"none of the {self.listed} images of {path} is present: expected JPEGImages/NAME.jpg "
                                 f"and SegmentationClass/NAME.png below {self.root}")
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
        """Mask `index`: (H, W) uint8, 0 background, 1-20 classes, 255 void.

        Raises `LsegreproError` as `read_mask`, or if its photograph is of another size or stored turned.
        """
        path, photograph = self._mask(self.ids[index]), self._photograph(self.ids[index])
        values = read_mask(path)
        if values.shape != (size := images.image_size(photograph)):
            raise LsegreproError(f"the mask {path} has {values.shape[1]}x{values.shape[0]} pixels and its photograph "
                                 f"{photograph} {size[1]}x{size[0]}: they are not of one image")
        return values


def read_mask(path: str | Path) -> np.ndarray:
    """Read a mask of VOC classes: (H, W) uint8, 0 background, 1-20 classes, 255 void.

    Raises `LsegreproError` if it is no PNG of such indices.
    """
    with images.open_image(path, ("PNG",), "mask") as image:
        if image.mode not in ("P", "L"):
            raise LsegreproError(f"{path} has mode {image.mode}: a VOC mask is a palette PNG of class indices; "
                                 "use SegmentationClass as published, not a coloured copy")
        values, palette = np.array(image), image.getpalette()
    if palette and (palette[24:27] != [64, 0, 0] or palette[36:39] != [64, 0, 128]):  # VOC's cat, 8, and dog, 12
        raise LsegreproError(f"{path} has another palette than VOC's, as programs that make a PNG smaller write it, so "
                             "its indices may be other classes: use SegmentationClass as published")
    if wrong := set(np.unique(values).tolist()) - {*range(21), 255}:
        raise LsegreproError(f"{path} holds indices (such as {min(wrong)}) that are none of VOC's, 0 to 20 and 255: "
                             "use SegmentationClass as published")
    return values


class VocWeak(Photographs):
    """Photographs of VOC's classification task that have no mask, with their labels for cat and dog.

    No photograph of any segmentation list is in it: on those theta is chosen and the networks are measured. One with
    a cat and a dog, or with one that the annotators call difficult, has no single label and is left out. Arguments are
    as in `weak.Photographs`. Raises `LsegreproError` as that, and if a list is missing or is not the published one.
    """

    def __init__(self, root: str | Path, split: str = "train", *, heldout: float = 0.15, fraction: float = 1.0) -> None:
        root = Path(root)
        lists = root / "ImageSets" / "Segmentation"
        segmentation = {name for path in lists.glob("*.txt") for name in _read_names(path)}
        if not segmentation:
            raise LsegreproError(f"no lists in {lists}: without them photographs of the evaluation would be trained "
                                 "on; get VOC 2012 with: lsegrepro prepare voc2012")
        cat, dog = (_read_presence(root / "ImageSets" / "Main" / f"{cls}_trainval.txt") for cls in paper.CLASSES)
        labels = {f"JPEGImages/{name}.jpg": _LABEL[mark, dog[name]] for name, mark in cat.items()
                  if name not in segmentation and (mark, dog.get(name)) in _LABEL}
        super().__init__(root, labels, split, heldout, fraction, "of VOC 2012 without masks", listed=True)
        self.digest = digest([self.names, self.labels])


_LABEL = {("1", "-1"): "cat", ("-1", "1"): "dog", ("-1", "-1"): "background"}
"""Label by the marks for cat and dog: 1 shown, -1 not shown, 0 shown but difficult to recognise."""


def _read_names(path: Path) -> list[str]:
    """Image names of a list, in which paths and the extensions of files may stand."""
    return [Path(word).stem for word in read_text(path).split()]


def _read_presence(path: Path) -> dict[str, str]:
    """Mark by photograph, of a list of VOC's classification task."""
    words = read_text(path).split()
    if len(words) % 2 or not set(words[1::2]) <= {"1", "0", "-1"}:
        raise LsegreproError(f"{path} is no list of photographs with 1, 0 or -1 after each: get VOC 2012 with: "
                             "lsegrepro prepare voc2012")
    return dict(zip(words[::2], words[1::2], strict=True))
