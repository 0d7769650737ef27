"""What a scan of photographs passed over, and why: JSON lines for programs, a few sentences for people."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..files import atomic
from . import synsets
from .index import Index

KINDS = {
    "defect": "cannot be decoded and are left out",
    "note": "are decoded right and used, though something about them is odd",
    "ignored": "entries are no photographs of a synset, or cannot be read in place",
}
"""Kinds of remark, as a sentence about them ends."""


@dataclass(frozen=True)
class Remark:
    """One thing worth knowing: its kind (one of `KINDS`), what it is about, and the reason."""

    kind: str
    name: str
    reason: str


@dataclass(frozen=True)
class Report:
    """What is in an index, and what is not.

    Attributes
    ----------
    counts : mapping
        Label to number of photographs.
    synsets : mapping
        Label to number of synsets that have any.
    left_out : mapping
        Synset above cat or dog, whose photographs may hold one, to number of photographs left out.
    remarks : sequence of Remark
    """

    counts: Mapping[str, int]
    synsets: Mapping[str, int]
    left_out: Mapping[str, int]
    remarks: Sequence[Remark]

    @property
    def kinds(self) -> dict[str, int]:
        """Number of remarks of each kind."""
        found = Counter(remark.kind for remark in self.remarks)
        return {kind: found[kind] for kind in KINDS}

    def checked(self, index: Index, remarks: Sequence[Remark]) -> Report:
        """The same with what decoding found: the photographs that are left, and remarks on the others."""
        return Report(index.counts, self.synsets, self.left_out, [*self.remarks, *remarks])

    def write(self, path: str | Path) -> None:
        """Write JSON lines: the counts, each synset left out, each remark."""
        rows = [{"kind": "counts", "photographs": dict(self.counts), "synsets": dict(self.synsets),
                 "left_out": sum(self.left_out.values()), "remarks": self.kinds}]
        rows += [{"kind": "left out", "name": synset, "words": synsets.words(synset), "photographs": number,
                  "reason": "above cat or dog, or a group of them: may hold one"}
                 for synset, number in self.left_out.items()]
        rows += [dataclasses.asdict(remark) for remark in self.remarks]
        with atomic(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)

    def lines(self) -> list[str]:
        """The counts in words.

        >>> Report({"cat": 2, "background": 5}, {"cat": 1, "background": 3}, {"n02075296": 7}, []).lines()
        ['2 cat (1 synsets), 5 background (3 synsets)', '7 photographs of 1 synsets above cat or dog are left out']
        """
        held = ", ".join(f"{n:,} {label} ({self.synsets[label]:,} synsets)" for label, n in self.counts.items())
        lines = [held]
        if self.left_out:
            lines.append(f"{sum(self.left_out.values()):,} photographs of {len(self.left_out):,} synsets above cat or "
                         "dog are left out")
        return lines + [f"{n:,} {KINDS[kind]}" for kind, n in self.kinds.items() if n]
