"""What ran to make the published pages: when, how long, with which versions, to which digests."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from .. import __version__
from ..evidence import code_digest
from ..files import read_json, sha256
from ..runs.publish import PROFILE, PUBLISHED
from ..runs.folder import SPLITS, RunFolder, open_run
from ..runs.verify import read_results
from . import origin, site
from .notebook import table

if TYPE_CHECKING:
    from ..figures.style import Html

BUILT_WITH = ("jupyter-book", "sphinx", "myst-nb", "sphinx-book-theme", "papermill", "matplotlib", "numpy")
"""Packages whose versions a build states."""

SHORT = 12
"""Hexadecimal digits of a digest that a table shows."""


def networks(_: Path) -> Html:
    """Each published network: samples, hours, device, versions, digest, and if published, when."""
    run, rows, hours, made = _run(), [], 0.0, {}
    for network in run.networks():
        card = run.card(*network)
        if not card:
            continue
        hours += card["hours"]
        versions = ", ".join(f"{name} {version}" for name, version in sorted(card["versions"].items()))
        made[f"{card['device']}: {versions}"] = None
        weights = run.weights_path(*network)
        there = weights.is_file()
        rows.append([
            run.name(*network), card["samples"], f"{card['hours']:.2f}", card["data_digest"][:SHORT],
            card["sha256"][:SHORT], "published" if there else "not published", _when(weights, card) if there else "–",
        ])
    return table(
        ["network", "images seen", "hours", "data", "SHA-256", "weights", "date"], rows,
        f"Trained networks: {len(rows)} of the {len(run.networks())} that profile {run.profile.name} names, "
        f"{hours:.2f} hours in all. Trained on {'; '.join(made)}.",
    )


def evidence(_: Path) -> Html:
    """Each file of scores: what was scored where, and whether by the code at hand."""
    run, rows, devices = _run(), [], {}
    for network in run.networks():
        for split in SPLITS:
            if run.has_scores(*network, split):
                path, meta = run.scores_path(*network, split), run.scores(*network, split).meta
                devices[meta["device"]] = None
                rows.append([
                    path.stem, f"{len(run.regions(split)):,} of {run.regions(split).listed:,}",
                    meta["arguments"].get("precision", "float32"), meta["code_digest"][:SHORT],
                    "yes" if meta["code_digest"] == code_digest() else "no", sha256(path)[:SHORT], _when(path),
                ])
    return table(
        ["evidence", "images", "precision", "code", "at hand", "SHA-256", "date"], rows,
        f"Scores of the networks, computed on {'; '.join(devices)}. The code that scores has the digest "
        f"{code_digest()[:SHORT]} now; “at hand” says whether a file was made by it.",
    )


def pages(executed: Path) -> Html:
    """Each executed page of this build: its notebook, and the commit that holds it."""
    rows = []
    for name in site.NOTEBOOKS:
        page, source = executed / f"{name}.ipynb", site.ROOT / "notebooks" / f"{name}.ipynb"
        if not page.is_file():
            continue
        cells = json.loads(page.read_text(encoding="utf-8"))["cells"]
        digest = origin.source_digest(page)
        kept = site.ROOT / "book" / "executed" / page.name
        rows.append([
            name, sum(bool(cell.get("execution_count")) for cell in cells), digest,
            "yes" if source.is_file() and digest == origin.source_digest(source) else "no",
            origin.commit_of(page, kept, site.ROOT) or "–",
        ])
    return table(["page", "cells run", "digest of its cells", "are those of the notebook", "commit"], rows,
                 "Executed pages. The date of a page is that of its commit; its hours are in the tables above.")


def numbers(_: Path) -> Html:
    """The table of published results."""
    run = _run()
    results = read_results(run)
    return table(
        ["", "published"],
        [["results", sum(len(columns) for columns in results.values())],
         *([f"images of {split}", run.regions(split).data_digest] for split in SPLITS)],
        "Published results, which lsegrepro verify computes again, and the digests of the lists of images.",
    )


def speed(_: Path) -> Html:
    """Each measurement of speed: the machine, and when it was committed."""
    rows = []
    for path in sorted((PUBLISHED / "bench").glob("*.json")):
        found = read_json(path)
        machine = found["machine"]
        rows.append([path.stem, machine["processor"], machine["threads"], machine["gpu"] or "none", machine["torch"],
                     sha256(path)[:SHORT], _when(path)])
    return table(["measurement", "processor", "threads", "GPU", "torch", "SHA-256", "date"], rows,
                 "Measurements of the chapter on speed.")


def build(_: Path) -> Html:
    """What built these pages."""
    commit = origin.head(site.ROOT) or "–"
    rows = [["lsegrepro", __version__], ["commit", commit], ["Python", platform.python_version()]]
    for name in BUILT_WITH:
        try:
            rows.append([name, metadata.version(name)])
        except metadata.PackageNotFoundError:
            continue
    return table(["", "version"], rows, "This build of the pages.")


IN_THE_PAGES = {
    "sphinx": "search, stemmer, highlighting of found words",
    "pydata-sphinx-theme": "layout, light and dark, Bootstrap, Font Awesome's icons",
    "sphinx-book-theme": "layout",
    "sphinx-copybutton": "the button that copies code, clipboard.js",
    "sphinx-togglebutton": "notes that open",
    "sphinx-design": "grids",
    "myst-nb": "cells of notebooks",
    "pygments": "colours of code",
}
"""Packages that put scripts, styles or fonts into the pages, and for what."""


def third_party(_: Path) -> Html:
    """What the pages load that others wrote, and under which licence; all of it lies beside the pages."""
    rows = []
    for name, use in IN_THE_PAGES.items():
        try:
            found = metadata.metadata(name)
        except metadata.PackageNotFoundError:
            continue
        classified = [c.rsplit(" :: ", 1)[-1] for c in found.get_all("Classifier", []) if c.startswith("License ::")]
        licence = found.get("License-Expression") or "; ".join(classified) or found.get("License") or "see the package"
        rows.append([name, found["Version"], licence.splitlines()[0], use])
    return table(["package", "version", "licence", "for"], rows,
                 "Scripts, styles and fonts that packages put into these pages when they are built.")


TABLES: dict[str, Callable[[Path], Html]] = {
    "networks": networks, "evidence": evidence, "numbers": numbers, "speed": speed, "pages": pages, "build": build,
    "third-party": third_party,
}
"""Tables by name; each is called with the folder of executed pages of this build."""


def _run() -> RunFolder:
    return open_run(PROFILE, PUBLISHED, depth="evidence", progress=False)


def _when(path: Path, card: dict | None = None) -> str:
    """When a result was finished, if it says so; else the date of the commit that holds it."""
    return (card or {}).get("finished") or origin.date_of(path, site.ROOT) or "–"
