"""The ledger: every row of the page has evidence, and the evidence is what a slow count gives."""

import re

import numpy as np
import pytest
from conftest import ROOT, run_page

from lsegrepro import ledger, paper
from lsegrepro.ledger.contradictions import implied_share
from lsegrepro.run import open_run


@pytest.fixture(scope="module")
def run(formula_folder):
    return open_run(formula_folder / "tiny.toml", formula_folder / "run", progress=False, compute=False)


@pytest.fixture(scope="module")
def said(run):
    return ledger.rows(run)


def test_every_row_of_the_page_has_evidence_and_every_evidence_a_place():
    page = (ROOT / "book" / "ledger.md").read_text(encoding="utf-8")
    labels = re.findall(r"\(ledger-([a-z0-9]+)\)=", page)
    quoted = re.findall(r"11-ledger\.ipynb::ledger ([a-z0-9]+):s", page)
    assert sorted(quoted) == sorted(ledger.ROWS) == sorted(ledger.TITLES) and len(set(labels)) == len(labels)
    assert set(labels) <= set(quoted)


def test_what_this_run_cannot_say_it_says(said):
    assert list(said) == list(ledger.ROWS)
    missing = {key for key, text in said.items() if text.startswith("This cannot be measured here")}
    assert missing == {"init", "balance", "negatives", "steps", "batch", "momentum", "mining", "superpixels"}
    assert all(text.endswith(".") and "nan" not in text and "None" not in text for text in said.values())


@pytest.mark.parametrize("model, cls", [(m, c) for m in paper.TABLE_2 for c in paper.CLASSES])
def test_the_share_that_a_row_implies_gives_its_ap_back(model, cls):
    row = paper.TABLE_2[model][cls]
    low, high = implied_share(row)
    assert 0 < low < high < 0.05
    for share in (low, high):  # pixels of foreground for one of background
        ap = row.foreground * share / (share + 1 - row.background / 100)
        assert ap == pytest.approx(row.ap, abs=0.12)  # three roundings, each of half a hundredth, one of them magnified
    middle = (low + high) / 2
    assert row.foreground * middle / (middle + 1 - row.background / 100) == pytest.approx(row.ap, abs=0.005)


def test_table_2_agrees_with_itself_for_cat_alone(said):
    cat, dog = said["table2"].split("For dog")
    assert "agree to their rounding" in cat and "do not agree" in dog


def test_counts_of_pixels_are_those_of_the_masks(run, said):
    data = run.segmentation("val")
    masks = [data.mask(i) for i in range(len(data))]
    holds = {cls: sum((mask == paper.VOC_INDEX[cls]).any() for mask in masks) for cls in paper.CLASSES}
    assert f"{holds['cat']} hold a cat and {holds['dog']} hold a dog" in said["counts"]
    void = sum((mask == 255).sum() for mask in masks) / sum(mask.size for mask in masks)
    assert said["void"].startswith(f"{100 * void:.1f} %")


def test_borders_are_counted_pixel_by_pixel(run, said):
    """At the size of the test, for each pixel whether a patch centred on it fits."""
    for name in ("LSE1", "LSE2"):
        half, outside, total = (paper.ARCHITECTURES[name].patch - 1) // 2, 0, 0
        for height, width in run.regions("val").sizes * 300 / run.regions("val").sizes.min(axis=1, keepdims=True):
            rows, columns = np.arange(round(height)), np.arange(round(width))
            fits = np.outer((rows >= half) & (rows < round(height) - half),
                            (columns >= half) & (columns < round(width) - half))
            outside, total = outside + (~fits).sum(), total + fits.size
        found = int(re.search(rf"(\d+) % of the pixels for {name}", said["borders"])[1])
        assert abs(found - 100 * outside / total) <= 1


def test_the_page_computes_them_without_torch(formula_folder, said):
    found = run_page(formula_folder, "11-ledger", 'spaces["said"]')
    assert {key: text.split(":")[0] for key, text in found.items() if "run/" in text} == {
        key: text.split(":")[0] for key, text in said.items() if "run/" in text}  # the path of a file is not the same
    assert all(found[key] == text for key, text in said.items() if "run/" not in text)
