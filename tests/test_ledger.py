"""The ledger: every row of the page has evidence, and the evidence is what a slow count gives."""

import itertools
import re

import numpy as np
import pytest
from conftest import ROOT, run_page

from lsegrepro import paper
from lsegrepro.book import ledger
from lsegrepro.book.ledger.contradictions import agreeing, implied_share
from lsegrepro.files import read_json, read_npz
from lsegrepro.runs import experiments
from lsegrepro.runs.folder import open_run


@pytest.fixture(scope="module")
def run(formula_folder):
    return open_run(formula_folder / "tiny.toml", formula_folder / "run", progress=False)


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
    assert missing == {"init", "photographs", "rate", "hard", "balance", "negatives", "steps", "batch", "momentum",
                       "precision", "mining", "superpixels"}
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
    assert "all 4 agree to their rounding" in cat and "no two of them agree" in dog and "at least 3 of the 4" in dog


def test_the_largest_group_that_agrees_is_that_of_all_subsets():
    rng = np.random.default_rng(0)
    for _ in range(50):
        low = rng.integers(0, 10, 5)
        shares = {str(i): (int(a), int(a + w)) for i, (a, w) in enumerate(zip(low, rng.integers(0, 5, 5), strict=True))}
        largest = max(len(some) for size in range(1, 6) for some in itertools.combinations(shares.values(), size)
                      if max(a for a, _ in some) <= min(b for _, b in some))
        group = agreeing(shares)
        assert len(group) == largest
        assert max(shares[name][0] for name in group) <= min(shares[name][1] for name in group)


def test_the_published_run_says_what_its_cards_say():
    run = open_run("local", ROOT / "published", depth="evidence", progress=False)
    cards = {r: [read_json(path)["arguments"] for path in (ROOT / "published" / "weights").glob(f"*-round{r}-*.json")]
             for r in (1, 2)}
    said = ledger.rows(run)
    for rate in {a["rate"] for a in cards[1]}:
        assert f"{rate:g}, {rate / 0.001:g} times" in said["rate"]
    assert all(f"{a['hard']:g}" in said["hard"] for a in cards[2])
    assert all(f"{a['precision']} for {a['cls']}" in said["precision"] for a in cards[1])
    content = read_json(ROOT / "published" / "evidence" / "facts-weak-labels.json")["content"]["train"]
    share = sum(content["sources"]["voc"].values()) / content["images"]
    assert f"{100 * share:.0f} % come from VOC" in said["photographs"]
    names = read_npz(ROOT / "published" / "negatives" / "LSE1-cat-seed0.npz", ("names",))["names"]
    voc = sum("voc" in name for name in names.tolist())
    assert f"{voc} of the {len(names)} images are photographs of VOC" in said["mining"]
    name = run.name("LSE1", "cat", 1, 0)
    for key, experiment in (("rate", "literal-settings"), ("init", "literal-initialisation"), ("jitter", "no-jitter")):
        less = experiments.found(run, experiment)[name].ap - experiments.found(run, "unchanged")[name].ap
        assert f": {100 * less:.1f} [" in said[key] and "points of AP (LSE1, cat)" in said[key]


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
