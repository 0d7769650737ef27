"""Photographs known by their label only: what all such sets share, and the layout of one folder a label."""

import contextlib
import csv
import hashlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..files import LsegreproError, digest, read_bytes
from . import LABELS, images


class Photographs:
    """A weak set of files below `root`, split by file name: what the layouts below share.

    A photograph belongs to ``heldout`` when the SHA-256 of its name falls in the first `heldout` part of its range: the
    split does not move when photographs are added. Raises `LsegreproError` if the split has no photograph.

    `labels` holds the label by name below `root` of the photographs of all splits, in their order; `split` is train,
    heldout or all. `fraction` in (0, 1] is the part of the split that is used, by the same hash: 1/8 is inside 1/4.
    `kind` and `note` are for the description: what they are, and what was left out. Where labels are `listed`, those of
    a published list, photographs may be absent.
    """

    def __init__(
        self, root: Path, labels: Mapping[str, str], split: str, heldout: float, fraction: float, kind: str,
        note: str = "", listed: bool = False,
    ) -> None:
        if split not in ("train", "heldout", "all"):
            raise LsegreproError(f"unknown split {split!r} of weak labels: choose train, heldout or all")
        self.root, available = root, list(labels)
        if listed:
            available = [name for name in labels if (root / name).is_file()]
            note = f"; {len(labels) - len(available):,} of the {len(labels):,} listed are absent"
        self.names = [name for name in available if _in_split(name.split("/")[-1], split, heldout, fraction)]
        if not self.names:
            raise LsegreproError(f"no photograph {kind} for split {split!r} in {root}{note}")
        self.labels = [labels[name] for name in self.names]
        self.digest = digest(self.names)
        counts = ", ".join(f"{self.labels.count(label):,} {label}" for label in LABELS)
        self.description = f"{len(self):,} photographs {kind} ({counts}), split {split!r}{note}"

    def __len__(self) -> int:
        return len(self.names)

    def image(self, index: int) -> np.ndarray:
        """Photograph `index`, prepared: (300, 300, 3) uint8."""
        return images.prepare(images.load_image(self.root / self.names[index]))


class WeakFolder(Photographs):
    """Photographs in ``root/cat``, ``root/dog`` and ``root/background``; other arguments as in `Photographs`.

    An ``index.csv`` with columns file (``cat/a.jpg``) and source says where each photograph is from, for `sources`.
    Raises `LsegreproError` as `Photographs`, and if a folder has no photograph of the split.
    """

    def __init__(self, root: str | Path, split: str = "train", *, heldout: float = 0.15, fraction: float = 1.0) -> None:
        root, labels, others = Path(root), {}, Counter()
        for label in LABELS:
            if not (root / label).is_dir():
                raise LsegreproError(f"no folder {root / label}: weak labels are one folder a label, "
                                     f"{', '.join(LABELS)}, below {root}")
            files, left_out = images.list_photographs(root / label)
            labels |= {f"{label}/{file}": label for file in files}
            others += left_out
        sources, note = _read_sources(root / "index.csv"), images.describe_others(others)
        super().__init__(root, labels, split, heldout, fraction, "with weak labels", note)
        if missing := [label for label in LABELS if label not in self.labels]:
            raise LsegreproError(f"no photograph in {root / missing[0]} for split {split!r} "
                                 f"({', '.join(images.EXTENSIONS)}){note}")
        self.sources = [sources.get(name, "unknown") for name in self.names]
        if sources and (unknown := self.sources.count("unknown")):
            self.description += f"; index.csv has no source of {unknown:,} of them"


def _in_split(file: str, split: str, heldout: float, fraction: float) -> bool:
    is_heldout = uniform_hash(file, "split") < heldout
    return ((split == "all" or is_heldout == (split == "heldout"))
            and (fraction == 1 or uniform_hash(file, "fraction") < fraction))


def uniform_hash(name: str, salt: str) -> float:
    """A number in [0, 1) that depends on nothing but the name and the salt."""
    sha = hashlib.sha256(f"{salt}/{name}".encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(sha[:8], "big") / 2**64


def read_text(path: Path) -> str:
    """A text file in UTF-8. Raises `LsegreproError` if it cannot be read."""
    return read_bytes(path).decode("utf-8-sig", errors="replace")


def _read_sources(path: Path) -> dict[str, str]:
    """Source by photograph, from the columns file and source of an index; empty without one."""
    if not path.is_file():
        return {}
    with contextlib.suppress(csv.Error):
        rows = csv.DictReader(read_text(path).splitlines())
        if {"file", "source"} <= set(rows.fieldnames or ()):
            return {row["file"]: row["source"] or "unknown" for row in rows}
    raise LsegreproError(f"{path} needs columns named file and source: correct it, or move it away to do without")
