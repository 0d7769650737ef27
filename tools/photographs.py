"""List the photographs with weak labels that the networks are trained on, since they cannot be published themselves.

    python tools/photographs.py WEAK_FOLDER > published/photographs.csv

One row a photograph of a folder with an ``index.csv`` (columns file, label, source, original): its name (a folder a
label), the collection it comes from, its name there, and 16 hex digits of the SHA-256 of its file.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

from lsegrepro.files import sha256


def main(root: Path) -> None:
    """Write the list to standard output, in the order of the names."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["file", "source", "original", "sha256"])
    with (root / "index.csv").open(encoding="utf-8", newline="") as index:
        for row in sorted(csv.DictReader(index), key=lambda row: row["file"]):
            writer.writerow([row["file"], row["source"], row["original"], sha256(root / row["file"])[:16]])


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
