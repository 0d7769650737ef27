"""The page "Build on it" as a reader would use it: its code, block after block, in an empty folder."""

import re

from conftest import ROOT

from lsegrepro import config
from lsegrepro.files import read_json
from lsegrepro.network import model

PAGE = ROOT / "book" / "build.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)


def test_the_code_of_the_page_runs(tmp_path, monkeypatch):
    """It registers an aggregation and trains with it, and measures a class of the reader's."""
    space = {"__name__": "page"}
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(config, "AGGREGATION_NAMES", list(config.AGGREGATION_NAMES))
    monkeypatch.setattr(model, "AGGREGATIONS", dict(model.AGGREGATIONS))
    for number, block in enumerate(BLOCKS, 1):
        exec(compile(block, f"{PAGE.name}, block {number}", "exec"), space)  # noqa: S102
    assert len(BLOCKS) >= 5 and 0 <= space["ap"] <= 1
    card = read_json(space["path"].with_suffix(".json"))
    assert card["arguments"]["aggregation"] == "noisy-or" and card["samples"] == 8
    regions, val = space["regions"], space["val"]  # the place of cats holds the dogs of the set, and nothing else
    dogs = [(val.data.mask(i) == 12).sum() for i in range(len(val))]
    assert sum(dogs) > 0 and regions.totals[:, 0].tolist() == dogs and regions.totals[:, 1].sum() == 0
