"""Where an executed page comes from: the digest of its notebook, and the commit that holds it.

A page cannot hold the name of its own commit, so both are found when the book is built: from the same
history the same book comes out.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from functools import cache
from pathlib import Path


@cache
def source_digest(page: Path) -> str:
    """Digest (12 hex digits) of the cells that made a page, without what they left.

    The notebook and the pages executed from it have one digest: papermill's own cell is passed over.
    """
    cells = [
        [cell["cell_type"], "".join(cell["source"])]
        for cell in json.loads(page.read_text(encoding="utf-8"))["cells"]
        if "injected-parameters" not in cell["metadata"].get("tags", [])
    ]
    return hashlib.sha256(json.dumps(cells, ensure_ascii=False).encode()).hexdigest()[:12]


@cache
def commit_of(page: Path, kept: Path, root: Path) -> str:
    """The commit that last changed `kept`, a file below `root`, if `page` still has its bytes.

    Otherwise the commit that `page` was made on top of; nothing where there is no history at hand.

    Parameters
    ----------
    page : Path
        A page as it is built, perhaps a copy.
    kept : Path
        Where it is versioned.
    root : Path
        The repository.
    """
    if not _history(root):
        return ""
    path = kept.relative_to(root).as_posix()
    if _git(root, "hash-object", str(page.resolve())) == _git(root, "rev-parse", f"HEAD:{path}"):
        return _git(root, "log", "-1", "--format=%h", "--abbrev=12", "--", path)
    return f"on top of {head(root)}" if head(root) else ""


def date_of(path: Path, root: Path) -> str:
    """The day (ISO) of the commit that last changed a file; nothing where there is no history at hand."""
    if not _history(root) or not path.is_relative_to(root):
        return ""
    return _git(root, "log", "-1", "--format=%cs", "--", path.relative_to(root).as_posix())


@cache
def head(root: Path) -> str:
    """The commit that is checked out, or nothing."""
    return _git(root, "rev-parse", "--short=12", "HEAD") if (root / ".git").exists() else ""


@cache
def _history(root: Path) -> bool:
    """Whether the whole history is there; a shallow clone would name its one commit for everything."""
    return (root / ".git").exists() and _git(root, "rev-parse", "--is-shallow-repository") == "false"


def _git(root: Path, *words: str) -> str:
    if shutil.which("git") is None:
        return ""
    done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else ""
