"""The synset lists: counts, rules, and how they are derived from WordNet."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from lsegrepro import paper
from lsegrepro.data import imagenet

ROOT = Path(__file__).parents[2]
@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("synsets_script", ROOT / "tools/synsets.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


def test_the_counts_of_wordnet_3():
    content = json.loads(Path(imagenet.__file__).with_name("synsets.json").read_text())
    assert {cls: (b["synset"], b["count"], len(b["synsets"])) for cls, b in content["below"].items()} == {
        "cat": ("n02121620", 38, 38), "dog": ("n02084071", 189, 189)}
    assert "Princeton University" in " ".join(content["licence"])  # it must go with the data
    parts = [*(set(below["synsets"]) for below in content["below"].values()), set(content["above"]),
             set(content["groups"]), set(paper.SYNSETS.values())]
    assert sum(map(len, parts)) == len(imagenet.synset_labels())  # no synset is two things


def test_labels():
    tabby, lynx, puppy, wolf, unknown = "n02123045", "n02127052", "n01322604", "n02114367", "n99999999"
    canine, animal, racer, pack = "n02083346", "n00015388", "n02384858", "n07994941"
    labels = {**dict.fromkeys((tabby, lynx), "cat"), puppy: "dog", **dict.fromkeys((wolf, unknown), "background"),
              **dict.fromkeys((canine, animal, racer, pack))}
    assert {synset: imagenet.synset_label(synset) for synset in labels} == labels


SMALL = """\
  1 This is a licence  
  2 of two lines  
00000001 03 n 01 entity 0 001 ~ 00000002 n 0000 | that which is
00000002 05 n 02 animal 0 living_beast 0 003 @ 00000001 n 0000 ~ 02121620 n 0000 ~ 02084071 n 0000 | one | two
02121620 05 n 01 cat 0 003 @ 00000002 n 0000 ~ 00000005 n 0000 #m 00000009 n 0000 | mews
00000005 05 n 01 tabby 0 003 @ 02121620 n 0000 + 00000002 v 0101 ~ 00000006 n 0000 | striped
00000006 05 n 01 stray 0 002 @ 00000005 n 0000 @ 00000008 n 0000 | of a tabby
00000008 05 n 0b a 0 b 0 c 0 d 0 e 0 f 0 g 0 h 0 i 0 j 0 k 0 002 ~ 00000006 n 0000 ~i 00000005 n 0000 | wanderer
02084071 05 n 01 dog 0 001 @ 00000002 n 0000 | barks
00000009 05 n 01 clowder 0 001 %m 02121620 n 0000 | of cats
"""


def test_parsing_and_closure(script):
    """Lines as wndb(5WN) has them: a hexadecimal count of words, verbs, instances, two parents."""
    content = script.derive(SMALL.splitlines(keepends=True))
    assert content["licence"] == ["This is a licence", "of two lines"]
    assert content["below"]["cat"] == {"synset": "n02121620", "count": 2,
                                     "synsets": {"n00000005": "tabby", "n00000006": "stray"}}
    assert content["below"]["dog"]["count"] == 0
    assert content["above"] == {"n00000001": "entity", "n00000002": "animal, living beast",
                              "n00000008": "a, b, c, d, e, f, g, h, i, j, k"}  # a parent of what is below cat
    assert content["groups"] == {"n00000009": "clowder"}
