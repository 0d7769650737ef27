"""ImageNet in its usual layout, a folder a synset, and its photographs scaled down once for training."""

from __future__ import annotations

import io
import json
import re
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from .. import paper
from ..files import LsegreproError, atomic, cores, digest
from . import count_labels, images
from .weak import in_split

LAYOUTS = ("", "train", "ILSVRC/Data/CLS-LOC/train", "Data/CLS-LOC/train")
"""Folders below a root where the synsets may lie, as the copies in use have them."""

JPEG_QUALITY = 95


class ImageNet:
    """Photographs in ``root/nXXXXXXXX/*.JPEG``, labelled by the synset of their folder, split by file name.

    Cat and dog are the synsets that WordNet has below them (`synset_label`). The photographs of synsets above them
    are left out, because they may hold a cat or a dog; all the others are background.

    Parameters
    ----------
    root : path
        ILSVRC 2012 or the wider archive, unpacked, or what `prepare_imagenet` made of it. The folders may also lie
        below one of `LAYOUTS`.
    split, heldout, fraction
        As in `weak.WeakFolder`, by the same hash.

    Attributes
    ----------
    names : list of str
        ``n02121620/n02121620_10.JPEG``.

    Raises
    ------
    LsegreproError
        If the root has no such folder, or no photograph of the split.
    """

    def __init__(self, root: str | Path, split: str = "train", *, heldout: float = 0.15, fraction: float = 1.0) -> None:
        self.root = _find_synsets(Path(root))
        belongs = in_split(split, heldout, fraction)
        self.names: list[str] = []
        self.labels: list[str] = []
        above, others = 0, Counter()
        for synset in _synsets(self.root):
            label, (names, left_out) = synset_label(synset), images.list_photographs(self.root / synset)
            names = [f"{synset}/{name}" for name in names if belongs(name)]
            others += left_out
            if label is None:
                above += len(names)
                continue
            self.names += names
            self.labels += [label] * len(names)
        if not self.names:
            raise LsegreproError(f"no photograph of a cat, a dog or a background for split {split!r} in the synsets of "
                                 f"{self.root} ({', '.join(images.EXTENSIONS)})")
        self.digest = digest(self.names)
        self.description = (f"{len(self):,} photographs of ImageNet ({count_labels(self.labels)}), split {split!r}; "
                            f"{above:,} of synsets above cat and dog are left out{images.describe_others(others)}")

    def __len__(self) -> int:
        return len(self.names)

    def image(self, index: int) -> np.ndarray:
        """Photograph `index`, prepared: (300, 300, 3) uint8."""
        return images.prepare(images.load_image(self.root / self.names[index]))


@dataclass(frozen=True)
class PreparedImageNet:
    """What `prepare_imagenet` did.

    Attributes
    ----------
    written, skipped : int
        Photographs written, and those that were there already.
    unreadable : dict of str to str
        Name and reason of each photograph that could not be read; also in ``unreadable.json`` of the target.
    """

    written: int
    skipped: int
    unreadable: dict[str, str]


def prepare_imagenet(
    source: str | Path, target: str | Path, workers: int | None = None, *, progress: bool = True
) -> PreparedImageNet:
    """Scale the photographs of an ImageNet to a short side of 300 pixels, once, in parallel processes.

    `target` has the layout and the file names of `source`, so it has the same labels and splits, and its photographs
    take less time to decode. Synsets above cat and dog are left out. A photograph that is in `target` is skipped, so
    the same call goes on where an earlier one was stopped.

    Parameters
    ----------
    source : path
        A folder of synset folders, as in `ImageNet`; it is only read.
    target : path
        Made if it is not there.
    workers : int, optional
        Processes; default the cores this process may use.
    progress : bool

    Raises
    ------
    LsegreproError
        If `source` holds no synset, is `target`, or `target` cannot be written.
    """
    source, target = _find_synsets(Path(source)), Path(target)
    if workers is not None and workers < 1:
        raise LsegreproError(f"workers must be at least 1, got {workers}")
    if target.resolve() == source.resolve():
        raise LsegreproError(f"{target} is the source itself: choose another folder for the scaled photographs")
    tasks, skipped = [], 0
    for synset in _synsets(source):
        if synset_label(synset) is None:
            continue
        present = {path.name for path in (target / synset).glob("*")}
        names = images.list_photographs(source / synset)[0]
        skipped += len(present.intersection(names))
        tasks += [(source, target, f"{synset}/{name}") for name in names if name not in present]
    try:
        with ProcessPoolExecutor(workers or cores()) as pool:
            reasons = tqdm(pool.map(_scale, tasks, chunksize=16), total=len(tasks), desc="scaling", unit="image",
                           disable=not progress)
            unreadable = {task[2]: reason for task, reason in zip(tasks, reasons, strict=True) if reason}
    except BrokenProcessPool as error:
        raise LsegreproError("a process that scales photographs was killed, perhaps for memory: take fewer workers; "
                             "the same call goes on from there") from error
    with atomic(target / "unreadable.json") as temporary:
        temporary.write_text(json.dumps(unreadable, indent=2) + "\n")
    return PreparedImageNet(len(tasks) - len(unreadable), skipped, unreadable)


def _scale(task: tuple[Path, Path, str]) -> str | None:
    """Write one photograph with a short side of 300 pixels; the reason if it cannot be read."""
    source, target, name = task
    try:
        image = images.short_side(images.load_image(source / name), paper.IMAGE_SIDE)
    except LsegreproError as error:
        return str(error)
    encoded = io.BytesIO()  # to a file, Pillow does not notice a disk that is full
    Image.fromarray(image).save(encoded, "JPEG", quality=JPEG_QUALITY, subsampling="4:4:4")
    with atomic(target / name) as temporary:  # JPEG whatever the name says: reading goes by the content
        temporary.write_bytes(encoded.getvalue())
    return None


def is_imagenet(root: str | Path) -> bool:
    """Whether a folder holds synset folders, itself or below one of `LAYOUTS`."""
    return any(True for layout in LAYOUTS for _ in _synsets(Path(root) / layout))


def _find_synsets(root: Path) -> Path:
    for layout in LAYOUTS:
        if any(True for _ in _synsets(root / layout)):
            return root / layout
    raise LsegreproError(f"no ImageNet at {root}: expected folders nXXXXXXXX of photographs, one a synset; unpack tar "
                         "files first")


def _synsets(folder: Path) -> Iterator[str]:
    """Names of the synset folders in a folder, sorted."""
    entries = sorted(folder.iterdir()) if folder.is_dir() else []
    return (path.name for path in entries if SYNSET.fullmatch(path.name) and path.is_dir())


# Synsets of WordNet 3.0

SYNSET = re.compile(r"n\d{8}")
"""ImageNet's name of a synset: n and its offset in WordNet 3.0's ``data.noun``."""


@cache
def synset_labels() -> dict[str, str | None]:
    """Label of each synset that WordNet has below, above or around cat and dog, from ``synsets.json``.

    Cat and dog are the class's own synset (`paper.SYNSETS`) and all below it (Section 3.1). What lies above them
    (carnivore, animal; racer, which is above greyhound), and the groups of them (genus Canis, pack), is neither a class
    nor background, and has None.

    >>> labels = list(synset_labels().values())
    >>> labels.count("cat") - 1, labels.count("dog") - 1  # below the class
    (38, 189)
    """
    content = json.loads(files(__package__).joinpath("synsets.json").read_text(encoding="utf-8"))
    below = {synset: cls for cls in paper.CLASSES for synset in content["below"][cls]["synsets"]}
    return dict.fromkeys([*content["above"], *content["groups"]]) | below | {paper.SYNSETS[c]: c for c in paper.CLASSES}


def synset_label(synset: str) -> str | None:
    """Label of a synset's photographs; None if they may or may not show a cat or a dog.

    What `synset_labels` does not hold is background, a wolf (which is no dog) included.

    >>> [synset_label(s) for s in ("n02121620", "n02123597", "n02084071", "n02114367", "n02075296")]
    ['cat', 'cat', 'dog', 'background', None]
    """
    return synset_labels().get(synset, "background")
