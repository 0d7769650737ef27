"""The published run: where it is, how a run of one's own takes its results, and how a run becomes it."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

from ..config import read_card
from ..files import LsegreproError, atomic, locked, sha256, write_json
from .folder import SPLITS, RunFolder, missing, repository

PUBLISHED = (repository() or Path(__file__).resolve().parents[2]) / "published"
"""The run folder that is versioned with the book: weights and evidence, no photograph."""

PROFILE = "local"
"""The profile that it is a run of."""

LEFT_OUT = {"weights": ("*.checkpoint", "*-round1-*.safetensors"), "negatives": (), "evidence": ()}
"""Kinds of results that are published, and the files of each that are not."""


def adopt_weights(path: Path) -> None:
    """Put the published network of the name of `path` there, with its card and training curve.

    The card gains ``"published": true``: other images than the reader's trained it, and that is no fault.

    Raises
    ------
    LsegreproError
        If there is no such network, or it is not the one of its card.
    """
    source = _source(path)
    card = read_card(source.with_suffix(".json"))
    if card.get("sha256") != sha256(source):
        raise LsegreproError(f"{source} and its card disagree on the digest: one of them was changed or is incomplete")
    _copy(source.with_suffix(".jsonl"), path.with_suffix(".jsonl"))
    write_json(path.with_suffix(".json"), card | {"published": True})
    _copy(source, path)  # last: a weights file always has a card


def adopt(path: Path) -> None:
    """Put the published file of the name of `path`, in the folder of the same name, there."""
    _copy(_source(path), path)


def _source(path: Path) -> Path:
    source = PUBLISHED / path.parent.name / path.name
    if not source.is_file():
        raise LsegreproError(f"{source.name} is not among the published {path.parent.name}: depth weights "
                             "begins from them; take depth scratch to make it")
    return source


def _copy(source: Path, target: Path) -> None:
    with atomic(target) as temporary:
        shutil.copyfile(source, temporary)


def publish(run: RunFolder) -> None:
    """Make a finished run the published one: its results, the numbers, and the facts that photographs tell.

    The photographs must be at hand, for the facts. No picture is copied, and of round 1 no weights: its cards, curves,
    hard negatives and scores say what the book says of it.

    Raises
    ------
    LsegreproError
        If the run is of another profile or lacks a result, or the photographs are not at hand. What was published
        before is then as it was.
    """
    from ..config import load_profile
    from . import facts
    from .verify import write_record

    if run.profile != load_profile(PROFILE):
        raise LsegreproError(f"the published run is of profile {PROFILE} as it is built in, with both rounds; this one "
                             f"is of {run.profile.spec}, with rounds {', '.join(map(str, run.profile.rounds))}")
    elsewhere = run.folder.resolve() != PUBLISHED.resolve()
    _require_whole(run, with_weights=elsewhere)
    facts.count_all(run)
    if elsewhere:
        with locked(PUBLISHED / "results.json"):
            _replace(run.folder)
    write_record(dataclasses.replace(run, folder=PUBLISHED))


def _require_whole(run: RunFolder, *, with_weights: bool) -> None:
    """Refuse a run that lacks a result, before anything is computed or replaced."""
    for network in run.networks():
        run.card(*network)
        for split in SPLITS:
            run.scores(*network, split)
    for network in run.last_networks():
        model, cls, _, seed = network
        negatives = run.negatives_path(model, cls, seed)
        if not negatives.is_file():
            raise missing(run, negatives, f"mine --model {model} --class {cls} --seed {seed}")
        if with_weights and not run.weights_path(*network).is_file():
            raise missing(run, run.weights_path(*network), "train", network)


def _replace(folder: Path) -> None:
    """Put the results of a run folder in the place of those published before."""
    try:
        for kind, left in LEFT_OUT.items():
            # Beside it first: a copy that is cut short leaves the results that were published before.
            copy = PUBLISHED / f".{kind}.new"
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(folder / kind, copy, ignore=shutil.ignore_patterns(*left, "*.parts", ".*"))
    except OSError:
        for kind in LEFT_OUT:
            shutil.rmtree(PUBLISHED / f".{kind}.new", ignore_errors=True)
        raise
    for kind in LEFT_OUT:
        shutil.rmtree(PUBLISHED / kind, ignore_errors=True)
        (PUBLISHED / f".{kind}.new").rename(PUBLISHED / kind)
