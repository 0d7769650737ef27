"""Rates of the way from photographs to the training: preparing them into shards, and reading them."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from ..data.index import LABELS, Index
from ..data.names import Names
from ..data.preparation import Prepared, prepare_shards
from ..data.shards import reading_rate
from ..files import cores

SIZE = (375, 500)
"""Of the photographs, in pixels: common in Pascal VOC, whatever size the dense inference is measured at."""

QUALITY = 95
"""Makes files of 80 kB and 3 ms of decoding, as those of Pascal VOC are."""

SHARD_BYTES = 600_000
"""About what 15 photographs take: every process gets several shards."""


def write_photographs(folder: Path, number: int) -> Index:
    """Write crops of scikit-image's free photograph of a cup of coffee as JPEGs of 375x500 pixels.

    Every second one bears the label cat, the others background; for a rate, the label is only a word.

    Returns
    -------
    Index
        Of the files, in `folder`.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     index = write_photographs(Path(folder), 3)
    ...     index.counts, index.image(2).shape
    ({'cat': 2, 'dog': 0, 'background': 1}, (300, 300, 3))
    """
    from skimage.data import coffee

    picture = coffee()  # (400, 600, 3)
    rng = np.random.default_rng(0)
    names, sizes = [f"{k:06d}.jpg" for k in range(number)], []
    for name in names:
        top, left = (int(rng.integers(0, whole - part + 1)) for whole, part in zip(picture.shape, SIZE, strict=False))
        Image.fromarray(picture[top : top + SIZE[0], left : left + SIZE[1]]).save(folder / name, quality=QUALITY)
        sizes.append((folder / name).stat().st_size)
    packed = Names.pack(names)
    labels = np.array([LABELS.index("cat"), LABELS.index("background")], np.uint8)
    return Index(folder, np.resize(labels, number), packed, packed, np.arange(number, dtype=np.int32),
                 np.zeros(number, np.int64), np.array(sizes, np.int64), "crops of one photograph")


def write_shards(folder: Path, number: int) -> Index:
    """Prepare `number` such photographs into shards below a folder, in this process."""
    originals = folder / "originals"
    originals.mkdir()
    return _prepare(write_photographs(originals, number), folder / "shards", 1).index


def data_rates(number: int, *, rounds: int) -> dict[str, object]:
    """Rates of preparation, in one process and on all cores, and of reading in random order, in one thread.

    Files that were just written lie in the system's cache: these are rates of a processor, not of a disk.

    Parameters
    ----------
    number : int
        Photographs that are written; with many cores, the preparation on all of them takes them several times.
    rounds : int
        Times each set is read, in turns; the best counts.

    Returns
    -------
    dict
        ``photographs``, ``bytes`` (of one, in the mean), ``preparation`` (``one_process`` and ``all_cores``:
        ``processes``, ``images_per_second``, ``images_per_second_per_core``) and ``reading``
        (``originals`` and ``shards``: ``images_per_second``, ``images_per_second_per_core``).
    """
    every = cores()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "originals").mkdir()
        originals = write_photographs(folder / "originals", number)
        enough = originals.take(np.resize(np.arange(number), max(number, number * every // 4)))
        one = _prepare(originals, folder / "one", 1)
        prepared = {"one_process": _rates(one, 1), "all_cores": _rates(_prepare(enough, folder / "all", every), every)}
        sets = {"originals": originals, "shards": one.index}
        found = [{kind: reading_rate(weak, images=number) for kind, weak in sets.items()} for _ in range(rounds)]
    rates = ("images_per_second", "images_per_second_per_core")
    return {
        "photographs": number,
        "bytes": float(originals.size.mean()),
        "preparation": prepared,
        "reading": {kind: {rate: max(each[kind][rate] for each in found) for rate in rates} for kind in sets},
    }


def _prepare(originals: Index, out: Path, processes: int) -> Prepared:
    return prepare_shards(originals, out, workers=processes, shard_bytes=SHARD_BYTES, progress=False)


def _rates(done: Prepared, processes: int) -> dict[str, float]:
    return {"processes": processes, "images_per_second": done.rate, "images_per_second_per_core": done.rate_per_core}
