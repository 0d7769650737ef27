"""Pascal VOC 2012 in its official layout: images with masks, and photographs with image labels only."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .. import paper
from ..files import LsegreproError, digest
from . import images
from .weak import Photographs, read_text

N_CLASSES = 21
"""VOC's classes with background, 0: the indices of a mask are 0 to 20, and 255 for void."""

VOID = 255


def colour_map() -> np.ndarray:
    """VOC's official palette, (256, 3) uint8: the colour of each index of a mask.

    Bit k of red, green and blue, counted from the highest, is bit 3k, 3k + 1 and 3k + 2 of the index.

    >>> colour_map()[[0, 8, 12, 255]].tolist()  # background, cat, dog, void
    [[0, 0, 0], [64, 0, 0], [64, 0, 128], [224, 224, 192]]
    """
    index, channel = np.arange(256)[:, None], np.arange(3)
    return sum(((index >> (3 * k + channel)) & 1) << (7 - k) for k in range(3)).astype(np.uint8)


class VocSegmentation:
    """One split of Pascal VOC 2012: photographs and masks.

    `root` is ``VOCdevkit/VOC2012`` or a folder above it; `split` is train, val or trainval. An image of the official
    list whose photograph or mask is not on the disk is counted and named in `absent`, never silently left out. Raises
    `LsegreproError` if the layout is not the official one, or no image of the split is present.
    """

    redistributable = False

    def __init__(self, root: str | Path, split: str = "val") -> None:
        self.root = _find_voc(Path(root))
        path = self.root / "ImageSets" / "Segmentation" / f"{split}.txt"
        if not path.is_file():
            raise LsegreproError(f"no list {path}: splits of VOC 2012 segmentation are train, val and trainval")
        listed = _read_names(path)
        if len(set(listed)) < len(listed):
            raise LsegreproError(f"{path} names an image twice: expected one image name a line")
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

        Raises `LsegreproError` as `read_mask`, if it has another size than its photograph, or that is stored turned.
        """
        path, photograph = self._mask(self.ids[index]), self._photograph(self.ids[index])
        values = read_mask(path)
        if values.shape != (size := images.image_size(photograph)):
            raise LsegreproError(f"the mask {path} has {values.shape[1]}x{values.shape[0]} pixels and its photograph "
                                 f"{photograph} {size[1]}x{size[0]}: they are not of one image")
        return values


def read_mask(path: str | Path) -> np.ndarray:
    """Read a mask of VOC classes: (H, W) uint8, 0 background, 1-20 classes, 255 void.

    Where the mask has a palette its colours decide, by VOC's official `colour_map`: programs that make a PNG smaller
    reorder the palette, and then the stored indices are no longer those of VOC. A grey mask holds the indices.
    Raises `LsegreproError` if it is not such a PNG, such as a foreground mask of 0 and 255 or a trimap of 1, 2 and 3.
    """
    with images.open_image(path, ("PNG",), "mask") as image:
        if image.mode not in ("P", "L"):
            raise LsegreproError(f"{path} has mode {image.mode}: a VOC mask is a palette PNG of class indices; "
                                 "use SegmentationClass as published, not a coloured copy")
        images.require_upright(image, path)
        values, palette = np.array(image), image.getpalette()
    if palette is not None:
        index_of_colour = {tuple(colour): index for index, colour in enumerate(colour_map().tolist())}
        colours = zip(palette[::3], palette[1::3], palette[2::3], strict=True)
        lookup = np.full(256, N_CLASSES, np.uint8)  # of a colour that is none of VOC's
        lookup[: len(palette) // 3] = [index_of_colour.get(colour, N_CLASSES) for colour in colours]
        values = lookup[values]
    elif np.unique(values).tolist() in ([0, VOID], [1, 2, 3]):
        raise LsegreproError(f"{path} is a foreground mask (0 and 255) or a trimap (1, 2, 3) and says nothing of "
                             "classes: use SegmentationClass as published")
    if wrong := set(np.unique(values).tolist()) - {*range(N_CLASSES), VOID}:
        raise LsegreproError(f"{path} holds colours or indices (such as {min(wrong)}) that are none of VOC's, 0 to 20 "
                             "and 255: use SegmentationClass as published")
    return values


class VocWeak(Photographs):
    """Photographs of VOC's classification task that have no mask, with their labels for cat and dog.

    No photograph of any segmentation list is in it: on those theta is chosen and the networks are measured. One with
    a cat and a dog, or with one that the annotators call difficult, has no single label and is left out. Arguments are
    as in `weak.Photographs`. Raises `LsegreproError` as that, and if a list is missing or is not the published one.
    """

    def __init__(self, root: str | Path, split: str = "train", *, heldout: float = 0.15, fraction: float = 1.0) -> None:
        root, cure = _find_voc(Path(root)), "get VOC 2012 with: lsegrepro prepare voc2012"
        lists = root / "ImageSets" / "Segmentation"
        segmentation = {name for path in lists.glob("*.txt") for name in _read_names(path)}
        if not segmentation:
            raise LsegreproError(f"no lists in {lists}: without them photographs of the evaluation would be trained "
                                 f"on; {cure}")
        cat, dog = (_read_presence(root / "ImageSets" / "Main" / f"{cls}_trainval.txt") for cls in paper.CLASSES)
        if cat.keys() != dog.keys():
            raise LsegreproError(f"the lists for cat and dog in {root / 'ImageSets' / 'Main'} name different "
                                 f"photographs: {cure}")
        if segmentation.isdisjoint(cat) and segmentation.isdisjoint(
                Path(name).stem for name in images.list_photographs(root / "JPEGImages")[0]):
            raise LsegreproError(f"the lists in {lists} name no photograph of {root / 'JPEGImages'}: they are of "
                                 "another set, and photographs of the evaluation would be trained on")
        labels = {f"JPEGImages/{name}.jpg": _LABEL[mark, dog[name]] for name, mark in cat.items()
                  if name not in segmentation and (mark, dog[name]) in _LABEL}
        super().__init__(root, labels, split, heldout, fraction, "of VOC 2012 without masks", listed=True)
        self.digest = digest([self.names, self.labels])


_LABEL = {("1", "-1"): "cat", ("-1", "1"): "dog", ("-1", "-1"): "background"}
"""Label by the marks for cat and dog: 1 shown, -1 not shown, 0 shown but difficult to recognise."""


def _find_voc(root: Path) -> Path:
    for folder in (root, root / "VOC2012", root / "VOCdevkit" / "VOC2012"):
        if (folder / "ImageSets" / "Segmentation").is_dir():
            return folder
    raise LsegreproError(f"no VOC 2012 below {root}: expected VOCdevkit/VOC2012 with JPEGImages, SegmentationClass and "
                         "ImageSets/Segmentation, as the official archive unpacks")


def _read_names(path: Path) -> list[str]:
    """Image names of a list, in which paths, of any system's, and the extensions of files may stand."""
    return [Path(word.replace("\\", "/")).stem for word in read_text(path).split()]


def _read_presence(path: Path) -> dict[str, str]:
    """Mark by photograph, of a list of VOC's classification task."""
    words = read_text(path).split()
    if len(words) % 2 or not set(words[1::2]) <= {"1", "0", "-1"}:
        raise LsegreproError(f"{path} is no list of photographs with 1, 0 or -1 after each: get VOC 2012 with: "
                             "lsegrepro prepare voc2012")
    return {name.removesuffix(".jpg"): mark for name, mark in zip(words[::2], words[1::2], strict=True)}
