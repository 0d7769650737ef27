"""Whether the published numbers come out again, at three depths.

``evidence``: every result recomputed from the committed evidence, by numpy, in seconds.
``weights``: the published networks score the reader's own copy of VOC, against the evidence.
``scratch``: everything is trained again, and each AP set against the published interval.

Each depth begins with a check that the published files belong together. A difference beyond the
stated tolerance is a verdict; a file that is damaged, or that does not belong, is an error.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ...config import DEPTHS
from ...files import LsegreproError
from ...evaluation import Interval
from ...evidence import code_digest
from ..results import coverage, result
from ..folder import RunFolder
from .machine import IMAGES_ON_CPU, Depth, depths
from .numbers import Number, network_name, numbers
from .record import Record, check_files, evaluation_digest, read_record, record_path, write_record
from .verdicts import Verdict, compare

__all__ = [
    "Depth", "Number", "Record", "Verdict", "Verification", "check_files", "compare", "depths", "numbers",
    "read_record", "record_path", "verify", "write_record",
]  # fmt: skip


@dataclass(frozen=True)
class Verification:
    """A check under way: what the machine can do, what was chosen, notes, and the verdicts as they come.

    Attributes
    ----------
    machine : list of Depth
    depth : str
    notes : list of str
        What a reader should know of the comparison, one line each.
    verdicts : iterator of Verdict
        To be run through once; the work is done on the way.
    """

    machine: list[Depth]
    depth: str
    notes: list[str]
    verdicts: Iterator[Verdict]


def verify(run: RunFolder, depth: str | None = None, *, images: int | None = None, work: Path) -> Verification:
    """Check the published run `run`.

    Parameters
    ----------
    run : RunFolder
        The published run: the folder of the evidence, with the reader's photographs if there are any.
    depth : {"evidence", "weights", "scratch"}, optional
        Default the deepest of evidence and weights that this machine can do.
    images : int, optional
        At depth weights, score so many, evenly spaced; 0 is all. Default all on a GPU, else `IMAGES_ON_CPU`.
    work : path
        Folder for what is computed on the way; the same command goes on from it.

    Raises
    ------
    LsegreproError
        If this machine cannot do the depth, or a published file is damaged or does not belong to the others.
    """
    if depth not in (None, *DEPTHS):
        raise LsegreproError(f"unknown depth {depth!r}: choose one of {', '.join(DEPTHS)}")
    if images is not None and images < 0:
        raise LsegreproError(f"--images must be 0 (all) or more, got {images}")
    found = depths(run)
    can = {each.name: each for each in found}
    depth = depth or ("weights" if can["evidence"].can and can["weights"].can else "evidence")
    for name in dict.fromkeys(("evidence", depth)):  # every depth compares with the evidence
        if not can[name].can:
            raise LsegreproError(f"this machine cannot verify at depth {name}: {can[name].why}")
    record = read_record(run.folder)
    check_files(run, record)
    steps = {"evidence": lambda: iter(()), "weights": lambda: _weights(run, images, work),
             "scratch": lambda: _scratch(run, work)}

    def verdicts() -> Iterator[Verdict]:
        yield from compare(numbers(run), record.numbers)
        yield from steps[depth]()

    return Verification(found, depth, _notes(record, depth), verdicts())


def _notes(record: Record, depth: str) -> list[str]:
    notes = []
    if record.code.get("evaluation") != evaluation_digest():
        notes.append("the code from evidence to numbers is not that of the published numbers")
    if depth == "weights" and record.code.get("scoring") != code_digest():
        notes.append("the code that scores is not that of the published numbers")
    return notes


def _weights(run: RunFolder, images: int | None, work: Path) -> Iterator[Verdict]:
    from ...training.distributed import own_device  # torch
    from . import rescore

    if images is None:
        images = 0 if own_device(run.device).type == "cuda" else IMAGES_ON_CPU
    for network, part in rescore.rescore(run, images, work / "cache", progress=run.progress).items():
        yield from rescore.verdicts(run, network, part)


def _scratch(run: RunFolder, work: Path) -> Iterator[Verdict]:
    """Train, mine and score in a folder of its own, and set each AP against the published interval."""
    from ..make import make_run  # torch

    own = dataclasses.replace(run, folder=work)
    make_run(own)
    for network in own.networks():
        new, old = (result(r, *network).chosen.ap for r in (own, run))
        on = coverage(own.regions("val"))
        yield Verdict(network_name(run, *network), "AP at theta from train", _inside(new, old),
                      f"{_text(new)} on {on}, {100 * (new.value - old.value):+.2f} points;",
                      f"{_text(old)}, and its interval is the tolerance")


def _inside(new: Interval, old: Interval) -> bool:
    return math.isnan(old.low) or old.low <= new.value <= old.high


def _text(interval: Interval) -> str:
    return Number("", "", interval.value, interval.low, interval.high).text
