"""Which synset of ImageNet is a cat, a dog, neither, or too wide to tell: from WordNet 3.0, derived by a script."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from .. import paper

PATTERN = re.compile(r"n\d{8}")
"""ImageNet's name of a synset: n and its offset in WordNet 3.0's ``data.noun``."""


@dataclass(frozen=True)
class Synsets:
    """What ``synsets.json`` (written by tools/synsets.py) holds, each as synset -> words.

    Attributes
    ----------
    below : dict of str to dict
        For cat and dog, every hyponym, near or far; the class itself is not among them.
    above : dict
        Every hypernym of those: carnivore, animal, but also racer, which is above greyhound.
    groups : dict
        What has any of those as a member: a genus, a pack.
    """

    below: dict[str, dict[str, str]]
    above: dict[str, str]
    groups: dict[str, str]


@cache
def load() -> Synsets:
    """Read the lists.

    >>> {cls: len(found) for cls, found in load().below.items()}
    {'cat': 38, 'dog': 189}
    >>> load().below["cat"]["n02123597"], load().above["n02075296"]
    ('Siamese cat, Siamese', 'carnivore')
    """
    found = json.loads(files(__package__).joinpath("synsets.json").read_text(encoding="utf-8"))
    return Synsets({cls: below["synsets"] for cls, below in found["below"].items()}, found["above"], found["groups"])


def label(synset: str) -> str | None:
    """Label of a synset's photographs, or None if they may or may not show a cat or a dog.

    Cat and dog are the class's own synset (`paper.SYNSETS`) and all below it (Section 3.1). What lies above
    them (carnivore, animal), and the groups of them (genus Canis, pack), is neither a class nor background:
    its photographs may well hold one. Everything else is background, a wolf (which is no dog) included.

    >>> [label(s) for s in ("n02121620", "n02123597", "n02084071", "n02114367", "n02075296")]
    ['cat', 'cat', 'dog', 'background', None]
    """
    lists = load()
    for cls in paper.CLASSES:
        if synset == paper.SYNSETS[cls] or synset in lists.below[cls]:
            return cls
    return None if synset in lists.above or synset in lists.groups else "background"


def words(synset: str) -> str:
    """Words of a synset that the lists hold, or nothing.

    >>> words("n07994941")
    'pack'
    """
    lists = load()
    for found in (*lists.below.values(), lists.above, lists.groups):
        if synset in found:
            return found[synset]
    return ""
