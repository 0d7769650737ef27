"""Prepare any set of photographs into shards, in parallel processes, and go on after a kill."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from tqdm import tqdm

from .. import paper
from ..files import LsegreproError, cores
from ..oldfiles import read_json, remove_leftovers, write_json
from ..oldlocks import locked_folder
from . import WeakSet
from .index import Index, label_codes
from .shards import INDEX, QUALITY, RECORD, Maker, Shard, gather, spread

TYPICAL_BYTES = 40_000
"""What a photograph takes in a shard: a shard's size is a number of photographs times this, whatever they are."""


@dataclass(frozen=True)
class Prepared:
    """What a preparation did.

    Attributes
    ----------
    index : Index
        The prepared photographs, in the order of the source.
    defective : dict of str to str
        Name to reason of each photograph that was left out.
    shards, kept : int
        Tars there are, and those among them that an earlier call had made.
    seconds, cpu_seconds : float
        Of this call; the second is of all its processes together.
    photographs : int
        Read in this call.
    """

    index: Index
    defective: dict[str, str]
    shards: int
    kept: int
    seconds: float
    cpu_seconds: float
    photographs: int

    @property
    def rate(self) -> float:
        """Photographs a second of this call."""
        return self.photographs / max(self.seconds, 1e-9)

    @property
    def rate_per_core(self) -> float:
        """Photographs a second of one core's time."""
        return self.photographs / max(self.cpu_seconds, 1e-9)


def prepare_shards(
    source: WeakSet, out: str | Path, *, workers: int | None = None, shard_bytes: int = 256_000_000,
    progress: bool = True,
) -> Prepared:
    """Prepare every photograph of a set and write them to shards; goes on where an earlier call was killed.

    Which photograph goes to which shard depends on the labels and their order alone (`spread`), and the
    bytes of a shard on its photographs, so any number of processes writes the same files. A shard that
    is there with its digest is kept.

    Parameters
    ----------
    source : weak set
        An `index.Index` or any other; its `image` gives the prepared photographs.
    out : path
        A new folder, or one in which the same preparation was begun.
    workers : int, optional
        Processes; default the cores this process may use.
    shard_bytes : int
        About what a tar takes.

    Raises
    ------
    LsegreproError
        If `out` holds anything else, another process is preparing in it, or it cannot be written; if the
        source cannot be reached, which is no defect of a photograph; if a process dies.
    """
    begun, out, codes = time.monotonic(), Path(out), label_codes(source)
    if not len(codes) or shard_bytes < 1:
        raise LsegreproError(f"nothing to prepare: {len(codes)} photographs, shards of {shard_bytes} bytes")
    parts = spread(codes, -(-len(codes) * TYPICAL_BYTES // shard_bytes))
    plan = {"format": "lsegrepro shards 1", "source": source.digest, "photographs": len(codes), "shards": len(parts),
            "side": paper.IMAGE_SIDE, "quality": QUALITY}
    workers = min(workers or cores(), len(parts))
    with _alone(out, plan):
        done = _in_processes(Maker(source, codes, out, plan), parts, workers, progress)
        index, defective, tars = gather(source, codes, out, len(parts))
        index.write(out / INDEX)
        write_json(out / RECORD, {"plan": plan, "of": source.description, "prepared": len(index),
                                  "counts": index.counts, "digest": index.digest, "tars": tars,
                                  "defective": defective})
    made = [shard for shard in done if shard.made]
    return Prepared(index, defective, len(parts), len(parts) - len(made), time.monotonic() - begun,
                    sum(shard.cpu_seconds for shard in made), sum(shard.photographs for shard in made))


@contextlib.contextmanager
def _alone(out: Path, plan: dict) -> Iterator[None]:
    """Hold the folder for this preparation alone, and clear away what a killed one left."""
    if out.is_dir() and not (out / RECORD).is_file() and any(path.name[0] != "." for path in out.iterdir()):
        raise LsegreproError(f"{out} is not empty and holds no shards: choose a new folder")
    with locked_folder(out, f"another process is preparing in {out}: wait until it is done"):
        if (out / RECORD).is_file():
            found = read_json(out / RECORD).get("plan")
            found = found if isinstance(found, dict) else {}
            for key, value in plan.items():
                if found.get(key) != value:
                    raise LsegreproError(f"{out} holds shards with {key} = {found.get(key)!r}, asked for {value!r}: "
                                         "delete it or choose another folder")
        else:
            write_json(out / RECORD, {"plan": plan})
        remove_leftovers(out)
        yield


_maker: Maker | None = None
"""Of a worker process: sent once, as an index can be large."""


def _in_processes(maker: Maker, parts: Sequence[np.ndarray], workers: int, progress: bool) -> list[Shard]:
    bar = tqdm(total=sum(map(len, parts)), desc="preparing", unit="image", disable=not progress, mininterval=1)
    done = []

    def count(shard: Shard, rows: np.ndarray) -> None:
        done.append(shard)
        bar.update(len(rows))

    with bar:
        if workers == 1:
            for number, rows in enumerate(parts):
                count(maker.shard(number, rows), rows)
            return done
        with ProcessPoolExecutor(workers, get_context("spawn"), _begin, (maker,)) as processes:
            jobs = {processes.submit(_shard, number, rows): rows for number, rows in enumerate(parts)}
            for job in as_completed(jobs):
                count(job.result(), jobs[job])
    return done


def _begin(maker: Maker) -> None:
    """Keep what a worker works with."""
    global _maker
    _maker = maker


def _shard(number: int, rows: np.ndarray) -> Shard:
    return _maker.shard(number, rows)


def parse_size(text: str) -> int:
    """Bytes of a size as people write it.

    >>> parse_size("256MB"), parse_size("1.5 GiB"), parse_size("4096")
    (256000000, 1610612736, 4096)
    """
    found = re.fullmatch(r"\s*([\d.]+)\s*([kKMGT]?)(i?)B?\s*", text)
    try:
        return int(float(found[1]) * (1024 if found[3] else 1000) ** "_KMGT".index(found[2].upper() or "_"))
    except (TypeError, ValueError, OverflowError) as error:
        raise LsegreproError(f"{text!r} is no size: write it as 256MB or 1GiB") from error
