"""The page "Build on it" as a reader would use it: its code, block after block, in an empty folder."""

import re

import pytest
from conftest import ROOT

PAGE = ROOT / "book" / "build.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """The names that the page's code leaves."""
    from lsegrepro import config
    from lsegrepro.network import model

    aggregations, names, space = dict(model.AGGREGATIONS), list(config.AGGREGATIONS), {"__name__": "page"}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("reader"))
        try:
            for number, block in enumerate(BLOCKS, 1):
                exec(compile(block, f"{PAGE.name}, block {number}", "exec"), space)  # noqa: S102
            yield space
        finally:
            model.AGGREGATIONS.clear()
            model.AGGREGATIONS.update(aggregations)
            config.AGGREGATIONS[:] = names


def test_the_code_of_the_page_runs(played):
    assert len(BLOCKS) >= 5 and 0 <= played["ap"] <= 1


def test_the_new_aggregation_trained_a_network(played):
    from lsegrepro.files import read_json

    card = read_json(played["path"].with_suffix(".json"))
    assert card["arguments"]["aggregation"] == "noisy-or" and card["samples"] == 8


def test_the_new_class_is_what_is_measured(played):
    """The place of cats holds the dogs of the set, pixel for pixel, and nothing else."""
    regions, val = played["regions"], played["val"]
    dogs = [(val.data.mask(i) == 12).sum() for i in range(len(val))]
    assert sum(dogs) > 0 and regions.totals[:, 0].tolist() == dogs and regions.totals[:, 1].sum() == 0
