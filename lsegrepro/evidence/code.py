"""A digest of the code that computes scores: a note whether evidence was made by the code at hand."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

SCORING_MODULES = ("network", "evidence/superpixels", "evidence/scoring", "data/images")
"""Modules, or packages of them, below ``lsegrepro``: from a photograph and weights to scores."""


@cache
def code_digest() -> str:
    """Short SHA-256 of the source of `SCORING_MODULES`, the same on every machine.

    A comment changes it too, so a difference calls for a look, and is no reason to refuse anything.
    A run's cache of score maps is named by it, so that evidence never mixes two versions.

    >>> len(code_digest()), code_digest() == code_digest()
    (16, True)
    """
    return source_digest(Path(__file__).parents[1], SCORING_MODULES)


def source_digest(root: Path, modules: tuple[str, ...]) -> str:
    """Digest (16 hex digits) of the sources of `modules` below `root`, names included.

    >>> root = Path(__file__).parent
    >>> source_digest(root, ("code",)) == source_digest(root, ("code", "archive"))
    False
    """
    total = hashlib.sha256()
    for path in (root / name for name in modules):
        for source in sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]:
            # Read as text: a checkout with other line ends is the same code.
            total.update(f"\n# {source.relative_to(root).as_posix()}\n{source.read_text(encoding='utf-8')}".encode())
    return total.hexdigest()[:16]
