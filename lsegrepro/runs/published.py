"""The published run: where it lies, and how another run takes its files."""

from pathlib import Path

from ..config import read_card
from ..files import LsegreproError, atomic, read_bytes, sha256, write_json
from .folder import repository

# The run folder that is versioned with the book: weights and evidence, no photograph.
PUBLISHED = (repository() or Path(__file__).resolve().parents[2]) / "published"
PROFILE = "local"  # that it is a run of


def adopt_weights(path: Path) -> None:
    """Copy the published network of the name of `path` there, with its card and training curve.

    The card gains ``"published": true``: other images than the reader's trained it, and that is no fault. Raises
    `LsegreproError` if there is no such network, or it is not the one of its card.
    """
    source = published_file(path)
    card = read_card(source.with_suffix(".json"))
    if card.get("sha256") != sha256(source):
        raise LsegreproError(f"{source} and its card disagree on the digest: one of them was changed or is incomplete")
    copy_file(source.with_suffix(".jsonl"), path.with_suffix(".jsonl"))
    write_json(path.with_suffix(".json"), card | {"published": True})
    copy_file(source, path)  # last: a weights file always has a card


def published_file(path: Path) -> Path:
    """The published file of the name of `path`, in the folder of the same name; `LsegreproError` if there is none."""
    source = PUBLISHED / path.parent.name / path.name
    if not source.is_file():
        raise LsegreproError(f"{source.name} is not among the published {path.parent.name}: depth weights "
                             "begins from them; take depth scratch to make it")
    return source


def copy_file(source: Path, target: Path) -> None:
    """Copy a file; the copy has its name when it is whole."""
    content = read_bytes(source)  # its own error names the source
    with atomic(target) as temporary:
        temporary.write_bytes(content)
