"""ImageNet in its usual layout, a folder a synset, and its photographs scaled down once for training."""

import io
import json
import re
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from PIL import Image
from tqdm import tqdm

from .. import paper
from ..files import LsegreproError, atomic, cores, write_json
from . import images
from .weak import Photographs

LAYOUTS = ("", "train", "ILSVRC/Data/CLS-LOC/train", "Data/CLS-LOC/train")
"""Folders below a root where the synsets may lie, as the copies in use have them."""

SYNSET = re.compile(r"n\d{8}")
"""ImageNet's name of a synset: n and its offset in WordNet 3.0's ``data.noun``."""


class ImageNet(Photographs):
    """Photographs in ``root/nXXXXXXXX/*.JPEG``, labelled by the synset of their folder.

    The photographs of synsets above cat and dog are left out, because they may hold one (`synset_label`). `root` is
    ILSVRC 2012 or the wider archive, unpacked, or what `prepare_imagenet` made of it; other arguments as in
    `weak.Photographs`.
    """

    def __init__(self, root: str | Path, split: str = "train", *, heldout: float = 0.15, fraction: float = 1.0) -> None:
        root = _require_synsets(root)
        names, others = _list_labelled(root)
        super().__init__(root, {name: synset_label(name.split("/")[0]) for name in names}, split, heldout, fraction,
                         "of ImageNet", images.describe_others(others))


class PreparedImageNet(NamedTuple):
    """What `prepare_imagenet` did."""

    written: int  # photographs
    skipped: int  # photographs that were there already
    unreadable: dict[str, str]  # name and reason of each that could not be read; also in the target's unreadable.json
    left_out: Counter[str]  # other files by extension, and photographs of synsets above cat and dog


def prepare_imagenet(
    source: str | Path, target: str | Path, workers: int | None = None, *, progress: bool = True
) -> PreparedImageNet:
    """Scale the photographs of an ImageNet to a short side of 300 pixels, once, in parallel processes.

    `target` gets the layout and the file names of `source`, so it has the same labels and splits. A photograph that is
    there is skipped, so the same call goes on where an earlier one was stopped. `workers` are processes, by default one
    a core. Raises `LsegreproError` if `source` holds no synset, is `target`, or `target` cannot be written.
    """
    source, target = _require_synsets(source), Path(target)
    if target.resolve() == source.resolve():
        raise LsegreproError(f"{target} is the source itself: choose another folder for the scaled photographs")
    names, left_out = _list_labelled(source)
    tasks = [(source, target, name) for name in names if not (target / name).exists()]
    with ProcessPoolExecutor(workers or cores()) as pool:
        reasons = list(tqdm(pool.map(_scale, tasks, chunksize=16), total=len(tasks), desc="scaling", unit="image",
                            disable=not progress))
    unreadable = {task[2]: reason for task, reason in zip(tasks, reasons, strict=True) if reason}
    write_json(target / "unreadable.json", unreadable)
    return PreparedImageNet(len(tasks) - len(unreadable), len(names) - len(tasks), unreadable, left_out)


def _scale(task: tuple[Path, Path, str]) -> str | None:
    """Write one photograph with a short side of 300 pixels; the reason if it cannot be read."""
    source, target, name = task
    try:
        image = images.short_side(images.load_image(source / name), paper.IMAGE_SIDE)
    except LsegreproError as error:
        return str(error)
    encoded = io.BytesIO()  # to a file, Pillow does not notice a disk that is full
    Image.fromarray(image).save(encoded, "JPEG", quality=95, subsampling="4:4:4")
    with atomic(target / name) as temporary:  # JPEG whatever the name says: reading goes by the content
        temporary.write_bytes(encoded.getvalue())
    return None


def find_synsets(root: Path) -> Path | None:
    """The folder of synset folders: `root`, or below it one of `LAYOUTS`; None if there is none."""
    return next((root / layout for layout in LAYOUTS if _synsets(root / layout)), None)


def _require_synsets(root: str | Path) -> Path:
    if (folder := find_synsets(Path(root))) is None:
        raise LsegreproError(f"no ImageNet at {root}: expected folders nXXXXXXXX of photographs, one a synset; unpack "
                             "tar files first")
    return folder


def _synsets(folder: Path) -> list[str]:
    """Names of the synset folders in a folder, sorted."""
    return sorted(path.name for path in folder.glob("n*") if SYNSET.fullmatch(path.name) and path.is_dir())


def _list_labelled(root: Path) -> tuple[list[str], Counter[str]]:
    """Names ``n02121620/n02121620_10.JPEG`` of the photographs that have a label, and a count of what has none."""
    names, left_out = [], Counter()
    for synset in _synsets(root):
        files, others = images.list_photographs(root / synset)
        left_out += others
        if synset_label(synset) is None:
            left_out["synsets above cat and dog"] += len(files)
        else:
            names += [f"{synset}/{file}" for file in files]
    return names, left_out


@cache
def synset_labels() -> dict[str, str | None]:
    """Label of each synset that WordNet has below, above or around cat and dog, from ``synsets.json``.

    Cat and dog are the class's own synset (`paper.SYNSETS`) and all below it (Section 3.1). What lies above them
    (carnivore; racer, which is above greyhound), and groups of them (genus Canis, pack), is neither a class nor
    background, and has None.
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
