"""The book's Sphinx extension without a build: numbers of figures and tables, and the names of the library."""

import pkgutil
import re

import pytest
from conftest import ROOT
from matplotlib.figure import Figure

from lsegrepro.book import notebook
from lsegrepro.book.extension import ROOMS, library_list, number_outputs
from lsegrepro.figures.style import show

FIGURE = '<figure class="lsegrepro" style="margin:0"><img alt="x"><figcaption>A &lt; b.</figcaption></figure>'
TABLE = '<table class="lsegrepro" id="peaks"><caption style="x">Peaks.</caption><tbody></tbody></table>'


def test_figures_and_tables_are_counted_apart_over_the_outputs_of_a_page():
    counts, titles = {}, {}
    for piece in (FIGURE + TABLE, "<p>nothing</p>", FIGURE):
        titles |= number_outputs(piece, "5", counts)[1]
    assert titles == {"figure-5-1": "Figure 5.1", "peaks": "Table 5.1", "figure-5-2": "Figure 5.2"}


def test_the_number_begins_the_caption_and_nothing_else_changes():
    text, _ = number_outputs(f"a {FIGURE} b {TABLE} c", "2", {})
    plain = text.replace(' id="figure-2-1"', "")
    for number in ("Figure 2.1.", "Table 2.1."):
        plain = plain.replace(f'<b class="number">{number}</b> ', "")
    assert plain == f"a {FIGURE} b {TABLE} c"
    assert '<figcaption><b class="number">Figure 2.1.</b> A &lt; b.' in text


def test_other_tables_are_left_alone():
    other = '<table class="dataframe"><caption>No.</caption></table>'
    assert number_outputs(other, "1", {}) == (other, {})


@pytest.mark.parametrize("output", [
    show(Figure(), alt="none", caption="None.", name="curve"), notebook.table(["a"], [[1]], "One.", name="curve")])
def test_a_name_given_in_the_notebook_is_the_anchor(output):
    assert list(number_outputs(output.html, "3", {})[1]) == ["curve"]


def test_the_library_is_listed_by_module_without_what_is_private():
    sections = dict(re.findall(r"^## ([\w.]+)\n(.*?)(?=^## |\Z)", library_list(), re.M | re.S))
    assert set(ROOMS) == {name.partition(".")[0] for name in sections}
    assert "- `number_outputs(piece, chapter, counts)`: Put " in sections["book.extension"]
    assert "`_" not in library_list() and "data._painter" not in sections


@pytest.mark.parametrize("page", [*sorted(ROOT.glob("book/*.md")), ROOT / "CONTRIBUTING.md"], ids=lambda p: p.stem)
def test_every_name_of_the_library_on_a_page_is_there(page):
    """In full (`lsegrepro.data.WeakSet`), and by its room in the map (`data.WeakSet`)."""
    text = page.read_text(encoding="utf-8")
    rooms = "|".join(ROOMS)
    for name in re.findall(rf"`(?:lsegrepro\.)?((?:{rooms}|config|paper|files)(?:\.\w+)+)`", text):
        if not name.endswith(".md"):
            pkgutil.resolve_name(f"lsegrepro.{name}")
