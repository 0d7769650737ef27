"""Write lsegrepro/data/synsets.json: what WordNet 3.0 has below, above and around cat and dog.

    python tools/synsets.py [data.noun]

The database is in Debian's package wordnet-base (/usr/share/wordnet/data.noun, the default). Each line of it
is a synset: its offset, which ImageNet writes as n and 8 digits, its words, and pointers to others by kind.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lsegrepro import paper
from lsegrepro.files import write_json

DATABASE = Path("/usr/share/wordnet/data.noun")
TARGET = Path(__file__).parents[1] / "lsegrepro/data/synsets.json"
BELOW, ABOVE, GROUP = "~", "@", "#m"  # hyponym, hypernym, member holonym


@dataclass(frozen=True)
class Synset:
    """One meaning: its words, and the synsets it points to by kind of pointer."""

    words: list[str]
    pointers: list[tuple[str, str]]


def parse(lines: Iterable[str]) -> tuple[list[str], dict[str, Synset]]:
    """The licence at the head of ``data.noun``, and its synsets by name, as wndb(5WN) describes them."""
    licence, synsets = [], {}
    for line in lines:
        if line.startswith("  "):
            licence.append(line.strip().partition(" ")[2])
            continue
        fields = line.partition(" | ")[0].split()
        first = 4 + 2 * int(fields[3], 16)  # words come with a number each; their count is hexadecimal
        pointers = zip(*(fields[first + k :: 4] for k in (1, 2, 3)), strict=False)
        synsets[f"n{fields[0]}"] = Synset(
            [word.replace("_", " ") for word in fields[4:first:2]],
            [(kind, f"n{offset}") for kind, offset, part in pointers if part == "n"])
    return licence, synsets


def closure(synsets: dict[str, Synset], start: Iterable[str], kind: str) -> set[str]:
    """Everything that pointers of one kind lead to, in any number of steps."""
    reached, waiting = set(), list(start)
    while waiting:
        new = {target for pointer, target in synsets[waiting.pop()].pointers if pointer == kind} - reached
        reached |= new
        waiting += new
    return reached


def derive(lines: Iterable[str]) -> dict:
    """The content of ``synsets.json``."""
    licence, synsets = parse(lines)

    def with_words(names: set[str]) -> dict[str, str]:
        return {name: ", ".join(synsets[name].words) for name in sorted(names)}

    below = {cls: closure(synsets, [synset], BELOW) for cls, synset in paper.SYNSETS.items()}
    classes = set(paper.SYNSETS.values()).union(*below.values())
    groups = {target for name in classes for kind, target in synsets[name].pointers if kind == GROUP}
    return {
        "source": "derived from WordNet 3.0 (data.noun) by tools/synsets.py",
        "licence": licence,
        "below": {cls: {"synset": paper.SYNSETS[cls], "count": len(names), "synsets": with_words(names)}
                  for cls, names in below.items()},
        "above": with_words(closure(synsets, classes, ABOVE) - classes),
        "groups": with_words(groups - classes),
    }


def main(arguments: list[str]) -> None:
    database = Path(arguments[0]) if arguments else DATABASE
    if not database.is_file():
        raise SystemExit(f"no {database}: install Debian's wordnet-base, or give the path of WordNet 3.0's data.noun")
    with open(database, encoding="ascii") as lines:
        write_json(TARGET, derive(lines))
    lists = json.loads(TARGET.read_text())
    print(f"{TARGET}: " + ", ".join(f"{below['count']} below {cls}" for cls, below in lists["below"].items())
          + f", {len(lists['above'])} above, {len(lists['groups'])} groups")


if __name__ == "__main__":
    main(sys.argv[1:])
