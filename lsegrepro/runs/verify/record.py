"""The numbers of the published run as a file: what a recomputation is compared with.

``results.json`` lies beside the evidence. It holds the results of the book, the digests of all
files that they were computed from, of the lists and of the code, and a seal of its own.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path

from ... import __version__
from ...files import LsegreproError
from ...evidence import code_digest
from ...evidence.code import source_digest
from ...files import digest, read_json, sha256, write_json
from ..folder import SPLITS, RunFolder
from .numbers import Number, numbers

FORMAT, VERSION = "lsegrepro results", 1

EVALUATING_MODULES = ("evaluation", "evidence", "runs/results", "runs/comparisons", "runs/verify/numbers", "paper")
"""From evidence to numbers."""

KINDS = ("weights/*.safetensors", "negatives/*.npz", "evidence/*.npz", "evidence/*.json")
"""Files of a run that its numbers come from, directly or through a training."""


@dataclass(frozen=True)
class Record:
    """A file of published numbers.

    Attributes
    ----------
    profile : str
    files : dict
        Path below the run's folder to SHA-256.
    lists : dict
        Split to the digest of its list of images.
    code : dict
        ``scoring`` and ``evaluation``: digests of the sources that made the evidence, and the numbers.
    numbers : list of Number
    """

    profile: str
    files: dict[str, str]
    lists: dict[str, str]
    code: dict[str, str]
    numbers: list[Number]


def evaluation_digest() -> str:
    """Digest of the sources that turn evidence into numbers.

    >>> len(evaluation_digest())
    16
    """
    return source_digest(Path(__file__).parents[2], EVALUATING_MODULES)


def record_path(folder: Path) -> Path:
    """Where the numbers of a run folder are kept."""
    return folder / "results.json"


def write_record(run: RunFolder) -> Path:
    """Compute the results of a run and write them beside its evidence."""
    found = numbers(run)  # first: it refuses evidence that does not hold together
    paths = sorted(path for kind in KINDS for path in run.folder.glob(kind))
    files = {path.relative_to(run.folder).as_posix(): sha256(path) for path in paths}
    lists = {split: run.regions(split).data_digest for split in SPLITS}
    value = {
        "format": FORMAT, "version": VERSION, "package_version": __version__, "profile": run.profile.name,
        "files": files, "lists": lists, "code": {"scoring": code_digest(), "evaluation": evaluation_digest()},
        "numbers": [_slim(number) for number in found],
    }
    path = record_path(run.folder)
    write_json(path, value | {"digest": digest(value)})
    return path


def read_record(folder: Path) -> Record:
    """Read the numbers of a run folder.

    Raises
    ------
    LsegreproError
        If the file is absent, altered, or of another format.
    """
    path = record_path(folder)
    value = read_json(path)
    seal = value.pop("digest", None)
    if seal != digest(value):
        raise LsegreproError(f"{path} is refused: it was altered or is cut short; fetch it again")
    if (value.get("format"), value.get("version")) != (FORMAT, VERSION):
        raise LsegreproError(f"{path} is refused: it is {value.get('format')!r} version {value.get('version')}, "
                             f"wanted {FORMAT!r} version {VERSION}")
    try:
        kept = [Number(**number) for number in value["numbers"]]
        tables = [value[key] for key in ("files", "lists", "code")]
        if not all(isinstance(table, dict) and all(isinstance(v, str) for v in table.values()) for table in tables):
            raise TypeError("files, lists and code are tables of text")
        return Record(value["profile"], *tables, kept)
    except (KeyError, TypeError) as error:
        raise LsegreproError(f"{path} is refused: {error}") from error


def check_files(run: RunFolder, record: Record) -> None:
    """Refuse a run folder whose files are not those that the numbers were computed from.

    Raises
    ------
    LsegreproError
        Naming the first file that is absent, damaged or another one, and what differs.
    """
    path = record_path(run.folder)
    if record.profile != run.profile.name:
        raise LsegreproError(f"{path} is refused: its profile is {record.profile}, asked for was {run.profile.name}")
    for split in SPLITS:
        if run.regions(split).data_digest != record.lists.get(split):  # a damaged file is refused by its reader
            raise LsegreproError(f"{run.regions_path(split)} is refused: its images have the digest "
                                 f"{run.regions(split).data_digest}, {path.name} says {record.lists.get(split)}")
    for network in run.networks():
        for split in SPLITS:
            run.scores(*network, split)
    for name, wanted in record.files.items():
        file = run.folder / name
        if not file.is_file():
            raise LsegreproError(f"{file} is not there, and {path.name} names it: fetch it again")
        if (found := sha256(file)) != wanted:
            raise LsegreproError(f"{file} is refused: its SHA-256 begins {found[:16]}, {path.name} says {wanted[:16]}")
        if file.suffix == ".safetensors" and read_json(file.with_suffix(".json")).get("sha256") != found:
            raise LsegreproError(f"{file} and its card disagree on the digest: one of them was changed")


def _slim(number: Number) -> dict:
    """As JSON, without the fields that say nothing (JSON knows no nan)."""
    return {key: value for key, value in dataclasses.asdict(number).items()
            if value != "" and not (isinstance(value, float) and math.isnan(value))}
