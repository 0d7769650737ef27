"""Photographs known by their label only: one folder a label."""

from __future__ import annotations

import codecs
import csv
import hashlib
import io
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..files import LsegreproError, digest, one_line, read_bytes
from . import LABELS, count_labels, images


class WeakFolder:
    """Photographs in ``root/cat``, ``root/dog`` and ``root/background``, split by file name.

    A photograph belongs to ``heldout`` when the SHA-256 of its name falls in the
    first `heldout` part of its range: the split does not move when photographs
    are added. An ``index.csv`` (columns file, source) says where each photograph is from.

    Parameters
    ----------
    root : path
        Folder of the three folders.
    split : {"train", "heldout", "all"}
    heldout : float
        Share of photographs held out, in [0, 1).
    fraction : float
        Part of the split that is used, in (0, 1], by the same hash: 1/8 is inside 1/4.

    Raises
    ------
    LsegreproError
        If a folder is missing or has no photograph, an argument is out of range, or ``index.csv`` is no table or
        names none of the photographs.
    """

    def __init__(self, root: str | Path, split: str = "train", *, heldout: float = 0.15, fraction: float = 1.0) -> None:
        self.root = Path(root)
        belongs = in_split(split, heldout, fraction)
        self.names: list[str] = []
        self.labels: list[str] = []
        present, others = set(), Counter()
        for label in LABELS:
            folder = self.root / label
            if not folder.is_dir():
                raise LsegreproError(
                    f"no folder {folder}: weak labels are one folder a label, {', '.join(LABELS)}, below {self.root}"
                )
            files, left_out = images.list_photographs(folder)
            present.update(f"{label}/{file}" for file in files)
            others += left_out
            names = [f"{label}/{file}" for file in files if belongs(file)]
            if not names:
                raise LsegreproError(f"no photograph in {folder} for split {split!r} ({', '.join(images.EXTENSIONS)})"
                                     f"{images.describe_others(left_out)}")
            self.names += names
            self.labels += [label] * len(names)
        sources = _read_sources(self.root / "index.csv", present)
        self.sources = [sources.get(name, "unknown") for name in self.names]
        self.digest = digest(self.names)
        self.description = (f"{len(self):,} photographs with weak labels ({count_labels(self.labels)}), "
                            f"split {split!r}{images.describe_others(others)}")

    def __len__(self) -> int:
        return len(self.names)

    def image(self, index: int) -> np.ndarray:
        """Photograph `index`, prepared: (300, 300, 3) uint8."""
        return images.prepare(images.load_image(self.root / self.names[index]))


def in_split(split: str, heldout: float, fraction: float) -> Callable[[str], bool]:
    """A test whether a file belongs to a split, by its name alone; arguments as in `WeakFolder`.

    >>> train, heldout = in_split("train", 0.5, 1.0), in_split("heldout", 0.5, 1.0)
    >>> all(train(name) != heldout(name) for name in ("a.jpg", "b.jpg", "c.jpg"))
    True
    """
    if split not in ("train", "heldout", "all"):
        raise LsegreproError(f"unknown split {split!r} of weak labels: choose train, heldout or all")
    if not 0 <= heldout < 1 or not 0 < fraction <= 1:
        raise LsegreproError(f"heldout must lie in [0, 1) and fraction in (0, 1], got {heldout} and {fraction}")

    def belongs(name: str) -> bool:
        is_heldout = uniform_hash(name, "split") < heldout
        return ((split == "all" or is_heldout == (split == "heldout"))
                and (fraction == 1 or uniform_hash(name, "fraction") < fraction))

    return belongs


def uniform_hash(name: str, salt: str) -> float:
    """A number in [0, 1) that depends on nothing but the name and the salt.

    >>> uniform_hash("a.jpg", "split") == uniform_hash("a.jpg", "split") != uniform_hash("a.jpg", "fraction")
    True
    """
    sha = hashlib.sha256(f"{salt}/{name}".encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(sha[:8], "big") / 2**64


def read_text(path: Path) -> str:
    """A text file of any system's making: UTF-8 or UTF-16 with a byte-order mark, else UTF-8, else Windows-1252.

    Raises
    ------
    LsegreproError
        If it cannot be read, or is no text.
    """
    data = read_bytes(path)
    utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    for encoding in ("utf-16",) if utf16 else ("utf-8-sig", "cp1252"):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text
    raise LsegreproError(f"{path} is no text file: save it as plain text (UTF-8)")


def _read_sources(path: Path, photographs: set[str]) -> dict[str, str]:
    """Source by photograph, from an index as this project, a spreadsheet or an editor writes it; empty without one."""
    if not path.is_file():
        return {}
    text = read_text(path)
    header = text.partition("\n")[0]
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=header.count)))
    except csv.Error as error:
        raise LsegreproError(f"{path} is not a table of file and source ({one_line(error)}): correct it, or move it "
                             "away to do without sources") from error
    columns = [column.strip().lower() for column in rows[0]] if rows else []
    if "file" not in columns:
        raise LsegreproError(f"{path} has no column named file, and needs file and source: correct it, or move it "
                             "away to do without sources")
    sources = {}
    for row in rows[1:]:
        cells = dict(zip(columns, map(str.strip, row), strict=False))
        name = "/".join(cells.get("file", "").replace("\\", "/").split("/")[-2:])  # label/NAME, whatever stands before
        sources[name] = cells.get("source") or "unknown"
    if photographs.isdisjoint(sources):
        raise LsegreproError(f"{path} names none of the {len(photographs):,} photographs below {path.parent}: expected "
                             f"lines such as {min(photographs)}, or move it away to do without sources")
    return sources
