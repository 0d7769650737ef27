"""Decode every photograph of an index once, in parallel: which are damaged, and why."""

from __future__ import annotations

import dataclasses
import io
import json
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from ..files import LsegreproError, cores
from ..oldfiles import atomic, is_lost, read_jsonl, remove_leftovers
from . import images
from .index import Index
from .report import Remark

CHUNK = 256
"""Photographs a worker decodes before it reports; a kill loses so many a worker."""

FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP", ".bmp": "BMP", ".tif": "TIFF",
           ".tiff": "TIFF", ".gif": "GIF"}
"""Pillow's format by extension."""


def check(
    index: Index, progress_file: str | Path, *, workers: int | None = None, progress: bool = True
) -> tuple[Index, list[Remark]]:
    """Decode all photographs; what cannot be decoded is left out of the index, and remarked on.

    A photograph that is decoded right but is odd gives a note: another format than its name says, CMYK, Exif
    that cannot be parsed, whatever else Pillow warns of. A bit that flipped inside the coded picture is seen by
    no decoder.

    Parameters
    ----------
    index : Index
    progress_file : path
        What has been done so far. The next call goes on from it; it is deleted at the end.
    workers : int, optional
        Processes; default one a core. With 1 the work is done in this process.
    progress : bool

    Returns
    -------
    Index
        Those that can be decoded.
    list of Remark
        In the order of the index.

    Raises
    ------
    LsegreproError
        If a photograph's file is gone or has become shorter, or a worker dies.
    """
    if workers is None:
        workers = cores()
    if workers < 1:
        raise LsegreproError(f"workers must be at least 1, got {workers}")
    path = Path(progress_file)
    done = _begin(path, {"digest": index.digest, "chunk": CHUNK})
    chunks = [range(len(index))[first : first + CHUNK] for first in range(0, len(index), CHUNK)]
    todo = [chunk for chunk in chunks if chunk.start not in done]
    bar = tqdm(total=len(index), initial=len(index) - sum(map(len, todo)), desc="checking", unit="image",
               disable=not progress)
    try:
        with bar, open(path, "a", encoding="utf-8") as file:
            for chunk, rows in zip(todo, _checked(index, todo, min(workers, len(todo))), strict=True):
                done[chunk.start] = rows
                file.write(json.dumps({"first": chunk.start, "rows": rows}) + "\n")
                file.flush()
                bar.update(len(chunk))
    except OSError as error:
        raise LsegreproError(f"cannot write {path}: {error.strerror or error}") from error
    rows = [row for first in sorted(done) for row in done[first]]
    sound = np.ones(len(index), bool)
    sound[[i for i, kind, _ in rows if kind == "defect"]] = False
    found = index if sound.all() else index.take(np.flatnonzero(sound))
    path.unlink(missing_ok=True)
    return (dataclasses.replace(found, description=index.description.replace("not checked", "checked")),
            [Remark(kind, index.names[i], reason) for i, kind, reason in rows])


def _begin(path: Path, identity: dict[str, Any]) -> dict[int, list]:
    """Chunks that an earlier call finished; the file is left so that lines can be added to it."""
    remove_leftovers(path.parent, path.name)
    rows = read_jsonl(path) if path.is_file() else []
    rows = [row for row in rows[1:] if isinstance(row.get("rows"), list)] if rows and rows[0] == identity else []
    with atomic(path) as temporary:  # anew: a kill may have left half a line at its end
        temporary.write_text("".join(json.dumps(row) + "\n" for row in [identity, *rows]), encoding="utf-8")
    return {row.get("first"): row["rows"] for row in rows}


def _checked(index: Index, todo: list[range], workers: int) -> Iterator[list]:
    if workers <= 1:
        _start(index)
        yield from map(_check, todo)
        return
    with ProcessPoolExecutor(workers, get_context("spawn"), _start, (index,)) as processes:
        yield from processes.map(_check, todo)


_index: Index
"""The index that this worker decodes."""


def _start(index: Index) -> None:
    global _index
    _index = index


def _check(chunk: range) -> list:
    """Number, kind and reason of each photograph of a chunk that there is something to say about."""
    return [[i, kind, reason] for i in chunk for kind, reason in _look(i)]


def _look(i: int) -> list[tuple[str, str]]:
    try:
        data = _index.read(i)
    except LsegreproError as error:
        if error.__cause__ is None or is_lost(error):  # it has changed since it was indexed, or its disk is gone
            raise
        return [("defect", str(error))]
    return examine(data, _index.names[i])


def examine(data: bytes, name: str) -> list[tuple[str, str]]:
    """What there is to say about one photograph's bytes: (kind, reason), of the kinds of `report.KINDS`.

    >>> examine(b"not a picture", "a.jpg")
    [('defect', 'a.jpg is not a photograph that can be read (JPEG, PNG, WebP, TIFF, ...)')]
    """
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            images.prepare(images.decode_image(data, name))
            with Image.open(io.BytesIO(data), formats=images.FORMATS) as image:
                kind, mode, exif = image.format, image.mode, _exif(image)
        except Exception as error:  # a decoder fed with anything may raise anything
            reason = str(error) if isinstance(error, LsegreproError) else f"{type(error).__name__}: {error}"
            return [("defect", " ".join(reason.split()))]
    notes = []
    extension = PurePosixPath(name).suffix.lower()
    if kind != FORMATS.get(extension):
        notes.append(f"a {kind} file named {extension or 'without extension'}")
    if mode == "CMYK":
        notes.append("CMYK, converted to RGB")
    if exif:
        notes.append(exif)
    notes += sorted({" ".join(str(warning.message).split()) for warning in warned})
    return [("note", note) for note in notes]


def _exif(image: Image.Image) -> str:
    """What is wrong with a photograph's Exif, if anything."""
    try:
        exif = image.getexif()
        exif.tobytes()
    except Exception as error:  # as above
        return f"Exif cannot be parsed ({type(error).__name__}: {error})"
    if (turn := exif.get(0x0112, 1)) not in range(1, 9):
        return f"Exif has the orientation {turn!r}, which does not exist; taken as upright"
    return ""
