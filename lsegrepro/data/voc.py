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
        listed = _read_ids(path)
        self.listed = len(listed)
        self.ids = [name for name in listed if self._photograph(name).is_file() and self._mask(name).is_file()]
        present = set(self.ids)
        self.absent = [name for name in listed if name not in present]
        if not self.ids:
            raise LsegreproError(f"none of the {self.listed} images of {path} is present: expected "
                                 f"{self._photograph(listed[0])} and {self._mask(listed[0])}")
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

        Raises `LsegreproError` as `read_mask`; if it has another size than its photograph, or that is stored turned.
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

    Raises
    ------
    LsegreproError
        If it is not such a PNG: other colours or indices, a foreground mask of 0 and 255, a trimap of 1, 2 and 3.
    """
    values, palette = images.load_indices(path)
    used = np.unique(values)
    if palette is None:
        if used.tolist() in ([0, VOID], [1, 2, 3]):
            raise LsegreproError(f"{path} is a foreground mask (0 and 255) or a trimap (1, 2, 3) and says nothing of "
                                 "classes: use SegmentationClass as published")
    else:
        index_of_colour = {tuple(colour): index for index, colour in enumerate(colour_map().tolist())}
        classes = [index_of_colour.get(tuple(colour)) for colour in palette[used[used < len(palette)]].tolist()]
        if None in classes or len(classes) < len(used):
            raise LsegreproError(f"{path} has a palette with other colours than VOC 2012's, so its indices may mean "
                                 "other classes: use SegmentationClass as published")
        lookup = np.zeros(256, np.uint8)
        lookup[used] = classes
        values, used = lookup[values], np.array(classes)
    if wrong := sorted(set(used.tolist()) - {*range(N_CLASSES), VOID}):
        raise LsegreproError(f"{path} holds the indices {wrong}: VOC 2012 has 0 to 20 and 255 (void)")
    return values


class VocWeak(Photographs):
    """Photographs of VOC's classification task that have no mask, with their labels for cat and dog.

    No photograph of any segmentation list is in it: on those theta is chosen and the networks are measured. One with
    a cat and a dog, or with one that the annotators call difficult, has no single label and is left out. The rest
    without either is background. Arguments are as in `weak.Photographs`.

    Raises
    ------
    LsegreproError
        If a list is missing or is not the published one, the lists are not of one set of photographs, or no
        photograph of the split is present.
    """

    def __init__(self, root: str | Path, split: str = "train", *, heldout: float = 0.15, fraction: float = 1.0) -> None:
        root, cure = _find_voc(Path(root)), "get VOC 2012 with: lsegrepro prepare voc2012"
        lists = root / "ImageSets" / "Segmentation"
        segmentation = {word.replace("\\", "/").split("/")[-1].split(".")[0] for path in lists.glob("*.txt")
                        for word in read_text(path).split()}
        if not segmentation:
            raise LsegreproError(f"no lists in {lists}: without them photographs of the evaluation would be trained "
                                 f"on; {cure}")
        cat, dog = (root / "ImageSets" / "Main" / f"{cls}_trainval.txt" for cls in paper.CLASSES)
        marks_of_cat, marks_of_dog = _read_presence(cat), _read_presence(dog)
        if marks_of_cat.keys() != marks_of_dog.keys():
            raise LsegreproError(f"{cat} and {dog} name different photographs: {cure}")
        present = {f"JPEGImages/{file}" for file in images.list_photographs(root / "JPEGImages")[0]}
        if segmentation.isdisjoint({*marks_of_cat, *(Path(name).stem for name in present)}):
            raise LsegreproError(f"the lists in {lists} name no photograph of {cat} or of {root / 'JPEGImages'}: they "
                                 "are of another set, and photographs of the evaluation would be trained on")
        labels = {f"JPEGImages/{name}.jpg": _LABEL[mark, marks_of_dog[name]] for name, mark in marks_of_cat.items()
                  if name not in segmentation and (mark, marks_of_dog[name]) in _LABEL}
        super().__init__(root, labels, split, heldout, fraction, "of VOC 2012 without masks", present=present)
        self.digest = digest([self.names, self.labels])


_LABEL = {("1", "-1"): "cat", ("-1", "1"): "dog", ("-1", "-1"): "background"}
"""Label by the marks for cat and dog: 1 shown, -1 not shown, 0 shown but difficult to recognise."""


def is_voc(root: str | Path) -> bool:
    """Whether a folder has the layout of Pascal VOC with its image labels."""
    return (Path(root) / "ImageSets" / "Main").is_dir()


def _find_voc(root: Path) -> Path:
    for folder in (root, root / "VOC2012", root / "VOCdevkit" / "VOC2012"):
        if (folder / "ImageSets" / "Segmentation").is_dir():
            return folder
    raise LsegreproError(
        f"no VOC 2012 below {root}: expected VOCdevkit/VOC2012 with JPEGImages, SegmentationClass and "
        "ImageSets/Segmentation, as the official archive unpacks"
    )


def _read_ids(path: Path) -> list[str]:
    """Image names of a list, one a line, with or without the file's extension."""
    ids = [name.removesuffix(".jpg").removesuffix(".png") for name in read_text(path).split()]
    if not ids:
        raise LsegreproError(f"{path} is empty: expected one image name a line")
    if paths := [name for name in ids if "/" in name or "\\" in name]:
        raise LsegreproError(f"{path} names {paths[0]!r}: expected names of images, not paths")
    if len(set(ids)) < len(ids):
        raise LsegreproError(f"{path} names an image twice: expected one image name a line")
    return ids


def _read_presence(path: Path) -> dict[str, str]:
    """Mark by photograph, of a list of VOC's classification task."""
    words = read_text(path).split()
    if len(words) % 2 or not set(words[1::2]) <= {"1", "0", "-1"}:
        raise LsegreproError(f"{path} is no list of photographs with 1, 0 or -1 after each: get VOC 2012 with: "
                             "lsegrepro prepare voc2012")
    return {name.removesuffix(".jpg"): mark for name, mark in zip(words[::2], words[1::2], strict=True)}
