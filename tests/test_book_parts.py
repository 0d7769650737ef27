"""The pieces the book is made with, without building it: captions, origins, the check of built pages."""

import json
import re
import subprocess

import pytest
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st

from lsegrepro.book import captions, check, origin

FIGURE = '<figure class="lsegrepro" style="margin:0"><img alt="x"><figcaption>A &lt; b.</figcaption></figure>'
TABLE = '<table class="lsegrepro" id="peaks"><caption style="x">Peaks.</caption><tbody></tbody></table>'


# What ran


def test_a_network_has_a_date_only_where_its_weights_are_published():
    from lsegrepro.book.status import networks

    rows = re.findall(r"<tr>(.*?)</tr>", networks(ROOT).html)[1:]
    assert len(rows) == 16
    for row in rows:
        name, *_, weights, date = re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)
        there = (ROOT / "published" / "weights" / f"{name}.safetensors").is_file()
        assert weights == ("published" if there else "not published") and (there or date == "–")


# Captions


def test_figures_and_tables_are_counted_apart_over_the_outputs_of_a_page():
    counts, labels = {}, []
    for piece in (FIGURE + TABLE, "<p>nothing</p>", FIGURE):
        text, found = captions.number(piece, "5", counts, lambda: "<i>made</i>")
        labels += found
        assert text.count("<i>made</i>") == len(found)
    assert [label.title for label in labels] == ["Figure 5.1", "Table 5.1", "Figure 5.2"]
    assert [label.anchor for label in labels] == ["figure-5-1", "peaks", "figure-5-2"]


def test_the_number_begins_the_caption_and_the_origin_ends_it():
    text, _ = captions.number(FIGURE, "2", {}, lambda: "<i>made</i>")
    assert '<figcaption><b class="number">Figure 2.1.</b> A &lt; b.<i>made</i></figcaption>' in text
    assert text.startswith('<figure class="lsegrepro" style="margin:0" id="figure-2-1">')


def test_other_tables_and_what_stands_around_are_left_alone():
    other = '<table class="dataframe"><caption>No.</caption></table>'
    text, labels = captions.number(f"a {other} b {TABLE} c", "1", {})
    assert text.startswith(f"a {other} b <table") and text.endswith("</table> c") and len(labels) == 1


@given(st.text(), st.text())
def test_whatever_an_origin_says_is_text(key, value):
    made = captions.details(key, {"k": value})
    inner = made.replace("<details", "").replace("<summary>", "").replace("<dl>", "").replace("<div>", "")
    inner = inner.replace("<dt>", "").replace("<dd>", "").replace("</", "")
    assert "<" not in inner


def test_the_line_of_provenance_is_read_as_it_was_written(tmp_path):
    from lsegrepro.book import notebook
    from lsegrepro.runs.folder import open_run

    made = notebook.provenance(open_run("quick", tmp_path), also=["measured on a & b"])
    assert captions.provenance_line(made._repr_html_()) == made.text and "measured on a & b" in made.text
    assert captions.provenance_line(FIGURE) == ""


def test_a_name_given_to_a_figure_or_a_table_is_its_anchor():
    from matplotlib.figure import Figure

    from lsegrepro.book.notebook import table
    from lsegrepro.figures import show

    for made in (show(Figure(), alt="none", caption="None.", name="curve"), table(["a"], [[1]], "One.", name="curve")):
        assert captions.number(made.html, "3", {})[1][0].anchor == "curve"


# Origins


@pytest.fixture
def repository(tmp_path):
    """A repository with one page, and a call that commits it."""
    def git(*words):
        command = ["git", "-C", str(tmp_path), "-c", "user.name=t", "-c", "user.email=t@example.org", *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    page = tmp_path / "page.ipynb"

    def commit(text):
        page.write_text(text)
        git("add", "page.ipynb")
        git("commit", "--quiet", "--allow-empty", "-m", "a page")
        return git("rev-parse", "HEAD")

    git("init", "--quiet")
    origin._history.cache_clear(), origin.head.cache_clear(), origin.commit_of.cache_clear()
    yield page, commit, git
    origin._history.cache_clear(), origin.head.cache_clear(), origin.commit_of.cache_clear()


def test_a_page_names_the_commit_that_changed_it(repository, tmp_path):
    page, commit, git = repository
    first = commit("one")
    (tmp_path / "other").write_text("x")
    git("add", "other"), git("commit", "--quiet", "-m", "another file")
    copy = tmp_path / "copy.ipynb"
    copy.write_text("one")
    assert origin.commit_of(copy, page, tmp_path) == first[:12]
    assert origin.date_of(page, tmp_path) == git("log", "-1", "--format=%cs")
    copy = tmp_path / "recomputed.ipynb"
    copy.write_text("two")
    assert origin.commit_of(copy, page, tmp_path) == f"on top of {git('rev-parse', 'HEAD')[:12]}"


def test_without_a_whole_history_no_commit_is_named(repository, tmp_path):
    page, commit, git = repository
    commit("one"), commit("two")
    shallow = tmp_path / "shallow"
    git("clone", "--quiet", "--depth", "1", f"file://{tmp_path}", str(shallow))
    assert origin.commit_of(shallow / "page.ipynb", shallow / "page.ipynb", shallow) == ""
    (tmp_path / "bare").mkdir()
    assert origin.commit_of(page, page, tmp_path / "bare") == "" == origin.head(tmp_path / "bare")


def test_a_notebook_and_its_page_have_one_digest(tmp_path):
    cells = [{"cell_type": "code", "source": ["a = 1\n", "a"], "metadata": {"tags": ["parameters"]}, "outputs": []}]
    (tmp_path / "source.ipynb").write_text(json.dumps({"cells": cells}))
    injected = {"cell_type": "code", "source": ["a = 2"], "metadata": {"tags": ["injected-parameters"]}, "outputs": []}
    made = [cells[0] | {"source": "a = 1\na", "outputs": [1], "execution_count": 1}, injected]
    (tmp_path / "page.ipynb").write_text(json.dumps({"cells": made}))
    (tmp_path / "edited.ipynb").write_text(json.dumps({"cells": [cells[0] | {"source": ["a = 3"]}]}))
    source, page, edited = (origin.source_digest(tmp_path / f"{name}.ipynb") for name in ("source", "page", "edited"))
    assert source == page != edited


# The check of built pages

WHOLE = ('<html><head><link rel="stylesheet" href="s.css"></head><body><article id="top"><p>' + "text " * 60
         + '</p><a href="b.html#top">b</a><a href="https://example.org/x">x</a><img src="i.png" alt="i"></article>')


@pytest.fixture
def built(tmp_path):
    for name in ("a.html", "b.html", "index.html"):
        (tmp_path / name).write_text(WHOLE)
    (tmp_path / "i.png").write_bytes(b"x")
    (tmp_path / "s.css").write_text("p {background: url(i.png)}")
    return tmp_path


def test_whole_pages_have_no_fault(built):
    assert list(check.faults(built, ["a", "b"])) == []


@pytest.mark.parametrize(("old", "new", "fault"), [
    ("b.html#top", "c.html", "leads nowhere"),
    ("b.html#top", "b.html#bottom", "no such place"),
    ("https://example.org/x", "https://exam ple/x", "no address"),
    ("https://example.org/x", "htp://example.org", "unknown scheme"),
    ('src="i.png"', 'src="https://example.org/i.png"', "from outside"),
    ('src="i.png"', 'src="j.png"', "not there"),
    ('src="i.png"', 'src="../out.png"', "not there"),
    ('href="s.css"', 'href="//example.org/s.css"', "from outside"),
    ('alt="i"', 'alt=""', "without alternative text"),
    ("text " * 60, "text", "a is empty"),
])
def test_each_fault_is_found_and_named(built, old, new, fault):
    assert old in WHOLE
    (built.parent / "out.png").write_bytes(b"x")
    (built / "a.html").write_text(WHOLE.replace(old, new))
    (found,) = check.faults(built, ["a", "b"])
    assert fault in found and found.startswith("a")


def test_a_font_from_elsewhere_and_a_page_that_is_missing_are_found(built):
    (built / "s.css").write_text("@font-face {src: url('https://example.org/f.woff2')}")
    (built / "b.html").unlink()
    found = list(check.faults(built, ["a", "b"]))
    assert any("f.woff2 from outside" in line for line in found) and "b is not there" in found


def test_an_empty_site_does_not_pass(tmp_path, capsys):
    (tmp_path / "_build/html").mkdir(parents=True)
    (tmp_path / "_toc.yml").write_text("root: book/intro\nparts:\n  - chapters:\n      - file: book/one\n")
    assert check.contents(tmp_path / "_toc.yml") == ["book/intro", "book/one"]
    assert check.main([str(tmp_path)]) == 2 and "book/one is not there" in capsys.readouterr().out
    (tmp_path / "_toc.yml").write_text("")
    assert check.main([str(tmp_path)]) == 2 and check.main([]) == check.main([str(tmp_path / "_build")]) == 2


def test_the_workflow_checks_what_it_publishes():
    import re

    import yaml
    from conftest import ROOT

    text = (ROOT / ".github/workflows/book.yml").read_text(encoding="utf-8")
    jobs = yaml.safe_load(text)["jobs"]
    steps = jobs["build"]["steps"]
    runs = [step.get("run", "") for step in steps]
    built = next(i for i, run in enumerate(runs) if "lsegrepro site" in run)
    checked = next(i for i, run in enumerate(runs) if "lsegrepro.book.check published/site" in run)
    uploaded = next(i for i, step in enumerate(steps) if "upload-pages-artifact" in step.get("uses", ""))
    assert built < checked < uploaded and steps[uploaded]["with"]["path"] == "published/site/_build/html"
    assert jobs["deploy"]["needs"] == "build" and "refs/heads/main" in jobs["deploy"]["if"]
    assert all(re.fullmatch(r"actions/[\w-]+@v\d+", uses) for uses in re.findall(r"uses: (\S+)", text))
