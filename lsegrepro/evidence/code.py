"""A digest of the code that computes scores: it tells whether evidence was made by this version of it."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[1]

SCORING_MODULES = ("network", "evidence/superpixels.py", "evidence/scoring.py", "data/images.py")
"""Modules, or packages of them, below ``lsegrepro``: from a photograph and weights to scores."""


@cache
def code_digest(package: Path = PACKAGE) -> str:
    """Short SHA-256 of the source of `SCORING_MODULES`, the same on every machine.

    A comment changes it too, so a difference calls for a look, and is no reason to refuse anything.
    A run's cache of score maps is named by it, so that evidence never mixes two versions.

    >>> len(code_digest())
    16
    """
    total = hashlib.sha256()
    for path in (package / name for name in SCORING_MODULES):
        for source in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            # Read as text: a checkout with other line ends is the same code.
            total.update(f"\n# {source.relative_to(package).as_posix()}\n{source.read_text(encoding='utf-8')}".encode())
    return total.hexdigest()[:16]
