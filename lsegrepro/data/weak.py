"""Photographs known by their label only: one folder a label."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np

from .. import paper
from ..files import LsegreproError, one_line
from ..oldfiles import MAX_TEXT, digest, is_file, is_folder, read_plain
from . import images

LABELS = (*paper.CLASSES, "background")


class WeakFolder:
    """``root/cat``, ``root/dog`` and ``root/background``, split by file name.

    A photograph belongs to ``heldout`` when the SHA-256 of its name falls in the
    first `heldout` part of its range: the split does not move when photographs
    are added. An ``index.csv`` (columns file, source) names each photograph's source.

    Parameters
    ----------
    root : path
        Folder of the three folders.
    split : {"train", "heldout", "all"}
    heldout : float
        Share of photographs held out, in [0, 1).
    fraction : float
        Part of the split that is kept, in (0, 1], by the same hash: 1/8 is inside 1/4.

    Raises
    ------
    LsegreproError
        If a folder is missing or empty, or an argument is out of range.
    """

    def __init__(
        self, root: str | Path, split: str = "train", *, heldout: float = 0.15, fraction: float = 1.0
    ) -> None:
        self.root = Path(root)
        keep = in_split(split, heldout, fraction)
        sources = _sources(self.root / "index.csv")
        self.names: list[str] = []
        self.labels: list[str] = []
        for label in LABELS:
            folder = self.root / label
            if not is_folder(folder):
                raise LsegreproError(
                    f"no folder {folder}: weak labels are one folder a label, {', '.join(LABELS)}, below {self.root}"
                )
            try:
                names = sorted(p.name for p in folder.iterdir() if p.suffix.lower() in images.EXTENSIONS)
            except OSError as error:
                raise LsegreproError(f"cannot read the folder {folder}: {error.strerror or error}") from error
            kept = [f"{label}/{name}" for name in names if keep(name)]
            if not kept:
                raise LsegreproError(f"no photograph in {folder} for split {split!r} ({', '.join(images.EXTENSIONS)})")
            self.names += kept
            self.labels += [label] * len(kept)
        self.sources = [sources.get(name, "unknown") for name in self.names]
        self.digest = digest(self.names)
        counts = ", ".join(f"{self.labels.count(label):,} {label}" for label in LABELS)
        self.description = f"{len(self):,} photographs with weak labels ({counts}), split {split!r}"

    def __len__(self) -> int:
        return len(self.names)

    def image(self, index: int) -> np.ndarray:
        """Photograph `index`, prepared: (300, 300, 3) uint8."""
        return images.prepare(images.load_image(self.root / self.names[index]))


def in_split(split: str, heldout: float, fraction: float) -> Callable[[str], bool]:
    """Tells of a file's name whether it belongs to a split, by the name alone; arguments as in `WeakFolder`.

    >>> train, held = in_split("train", 0.5, 1.0), in_split("heldout", 0.5, 1.0)
    >>> all(train(name) != held(name) for name in ("a.jpg", "b.jpg", "c.jpg"))
    True
    """
    if split not in ("train", "heldout", "all"):
        raise LsegreproError(f"unknown split {split!r} of weak labels: choose train, heldout or all")
    if not 0 <= heldout < 1 or not 0 < fraction <= 1:
        raise LsegreproError(f"heldout must lie in [0, 1) and fraction in (0, 1], got {heldout} and {fraction}")

    def keep(name: str) -> bool:
        held = _place(name, "split") < heldout
        return ((split == "all" or held == (split == "heldout"))
                and (fraction == 1 or _place(name, "fraction") < fraction))

    return keep


def _place(name: str, salt: str) -> float:
    """A number in [0, 1) that depends on nothing but the name and the salt."""
    whole = hashlib.sha256(f"{salt}/{name}".encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(whole[:8], "big") / 2**64


def _sources(index: Path) -> dict[str, str]:
    if not is_file(index):
        return {}
    try:
        text = read_plain(index, MAX_TEXT).decode("utf-8")
        rows = csv.DictReader(io.StringIO(text, newline=""))
        return {row["file"]: row.get("source") or "unknown" for row in rows if row.get("file")}
    except (UnicodeDecodeError, csv.Error) as error:
        raise LsegreproError(f"{index} is not a table of file and source ({one_line(error)}): mend it, or move it "
                             "away to do without sources") from error
