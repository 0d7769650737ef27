"""The book's Sphinx extension without a build: numbers of figures and tables, and the names of the library."""

import pkgutil
import re
from collections import Counter

import pytest
from conftest import ROOT
from matplotlib.figure import Figure

from lsegrepro.book import notebook
from lsegrepro.book.extension import ROOMS, library_list, number_output
from lsegrepro.figures.style import show

FIGURE = '<figure class="lsegrepro" style="margin:0"><img alt="x"><figcaption>A &lt; b.</figcaption></figure>'
TABLE = '<style>x</style><table class="lsegrepro"><caption>Peaks.</caption><tbody></tbody></table>'


def test_figures_and_tables_are_counted_apart_over_the_outputs_of_a_page():
    other = '<table class="dataframe"><caption>No.</caption></table>'
    counts = Counter()
    numbered = [number_output(piece, 5, counts) for piece in (FIGURE, TABLE, other, "<p>nothing</p>", FIGURE)]
    assert [output[1:] for output in numbered] == [
        ("figure-5-1", "Figure 5.1"), ("table-5-1", "Table 5.1"), ("", ""), ("", ""), ("figure-5-2", "Figure 5.2")]
    assert numbered[0][0] == FIGURE.replace("0\">", "0\" id=\"figure-5-1\">").replace(
        "<figcaption>", '<figcaption><b class="number">Figure 5.1.</b> ')
    assert numbered[2][0] == other


@pytest.mark.parametrize("kind", ["figure", "table"])
def test_a_name_given_in_the_notebook_is_the_anchor(kind):
    figure = Figure()
    figure.alt = "none"
    output = (show(figure, "None.", name="curve") if kind == "figure"
              else notebook.table(["a"], [[1]], "One.", name="curve"))
    text, anchor, title = number_output(output.html, 3, Counter())
    assert anchor == "curve" and text.count(" id=") == 1 and f'<b class="number">{title}.</b> ' in text


def test_the_library_is_listed_by_module_without_what_is_private():
    sections = dict(re.findall(r"^## ([\w.]+)\n(.*?)(?=^## |\Z)", library_list(), re.M | re.S))
    assert set(ROOMS) == {name.partition(".")[0] for name in sections}
    assert "- `number_output(piece, chapter, counts)`: Put " in sections["book.extension"]
    assert "`_" not in library_list() and "data._figures" not in sections


@pytest.mark.parametrize("page", [*sorted(ROOT.glob("book/*.md")), ROOT / "CONTRIBUTING.md"], ids=lambda p: p.stem)
def test_every_name_of_the_library_on_a_page_is_there(page):
    """In full (`lsegrepro.data.WeakSet`), and by its room in the map (`data.WeakSet`)."""
    text = page.read_text(encoding="utf-8")
    rooms = "|".join(ROOMS)
    for name in re.findall(rf"`(?:lsegrepro\.)?((?:{rooms}|config|paper|files)(?:\.\w+)+)`", text):
        if not name.endswith(".md"):
            pkgutil.resolve_name(f"lsegrepro.{name}")
