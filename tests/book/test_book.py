"""The built book as a reader gets it: every page in a browser without a network, from disk and from a server."""

import json
import re
import shlex
import subprocess
import sys
from importlib import resources
from importlib.util import find_spec
from itertools import combinations, pairwise
from pathlib import Path

import pytest
from chromium import opened, served, visits
from conftest import ROOT

from lsegrepro.book import site
from lsegrepro.runs.folder import open_run

WIDTHS = (1280, 768, 360)
LOOK = """() => ({
    headings: [...document.querySelectorAll("article h1")].map(h => h.textContent.replace("#", "").trim()),
    text: (document.querySelector("article") || document.body).innerText,
    folded: [...document.querySelectorAll("article details.hide summary")].map(e => e.innerText.trim()),
    open: [...document.querySelectorAll("article .cell:not(.tag_hide-input) pre")].some(e => e.checkVisibility()),
    quoted: [...document.querySelectorAll("a.quoted")].map(a => a.href),
    outputs: [...document.querySelectorAll("article .cell_output .lsegrepro")].map(e => ({
        id: e.id, title: (e.querySelector("b.number") || {textContent: ""}).textContent})),
    unnamed: [...document.images].filter(i => !i.hasAttribute("alt") || (i.closest("article") && !i.alt.trim()))
        .map(i => i.outerHTML.slice(0, 200)),
    broken: [...document.images].filter(i => i.complete && !i.naturalWidth).map(i => i.outerHTML.slice(0, 200)),
    undrawn: document.querySelectorAll("article .math").length
        > document.querySelectorAll("article mjx-container").length,
})"""
WIDER = """() => {
    const limit = document.documentElement.clientWidth;
    if (document.scrollingElement.scrollWidth <= limit) return [];
    const wide = [...document.querySelectorAll("article *")].filter(e => e.getBoundingClientRect().right > limit + 1);
    return [`${document.scrollingElement.scrollWidth} > ${limit}`,
        ...wide.slice(0, 5).map(e => e.outerHTML.slice(0, 150))];
}"""
RULES = """rules => {
    // Contrast is slow to measure: of rows, entries and words of code made alike, the first ones stand for all.
    const alike = ["tbody tr:nth-child(n+4)", "article li:nth-child(n+4)", "pre span:nth-child(n+30)"];
    const where = rules ? {exclude: alike.map(selector => [selector])} : document;
    const wanted = rules ? {runOnly: rules} : {rules: {"color-contrast": {enabled: false}}};
    return axe.run(where, {preload: false, resultTypes: ["violations"], ...wanted}).then(result =>
        result.violations.filter(v => ["serious", "critical"].includes(v.impact)).flatMap(
            v => v.nodes.slice(0, 3).map(n => `${v.id}: ${n.target} ${n.html.slice(0, 120)}`)));
}"""


@pytest.fixture(scope="session")
def html(tmp_path_factory) -> Path:
    """The folder of the book, built with warnings as errors from the committed pages."""
    if find_spec("jupyter_book") is None:
        pytest.skip("jupyter-book is not installed")
    return site.build(open_run("quick", tmp_path_factory.mktemp("book"))).parent


@pytest.fixture(scope="session")
def pages(html, chromium) -> dict[str, dict]:
    """What the browser sees on each page, by its path below the book's folder."""
    paths = [*sorted(html.glob("book/**/*.html")), html / "search.html"]
    axe = resources.files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
    context = chromium.new_context(viewport={"width": WIDTHS[0], "height": 900}, color_scheme="light",
                                   reduced_motion="reduce")  # a colour on its way to another has no contrast of its own
    seen = {path.relative_to(html).as_posix(): look(context, path, html, axe) for path in paths}
    context.close()
    return seen


@pytest.fixture(scope="session")
def address(html):
    """The address of the book on a port of this machine."""
    with served(html) as address:
        yield address


@pytest.fixture
def visit(html, chromium):
    """Open a page of the book from disk."""
    with visits(chromium, f"{html.as_uri()}/") as visit:
        yield visit


def look(context, path: Path, html: Path, axe: str) -> dict:
    """Open a page, narrow the window, and try it by axe-core's rules in light and dark."""
    page, complaints = opened(context, path.as_uri(), html.as_uri())
    seen = page.evaluate(LOOK) | {"complaints": complaints, "wider": []}
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_timeout(50)
        seen["wider"] += page.evaluate(WIDER)
    page.wait_for_timeout(400)  # the theme looks a moment later which boxes scroll now
    page.evaluate(axe)
    seen["barriers"] = page.evaluate(RULES, None)  # on the phone, where boxes scroll
    page.set_viewport_size({"width": WIDTHS[0], "height": 900})
    for theme in ("light", "dark"):
        page.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
        seen["barriers"] += page.evaluate(RULES, ["color-contrast", "link-in-text-block"])
    page.close()
    return seen


def test_every_page_is_there_and_has_content(pages, html):
    assert "url=book/intro.html" in (html / "index.html").read_text(encoding="utf-8")
    names = [f"executed/{name}" for name in site.NOTEBOOKS] + [path.stem for path in (ROOT / "book").glob("*.md")]
    for name in names:
        page = pages[f"book/{name}.html"]
        assert len(page["headings"]) == 1 and len(page["text"]) > 200, name
    assert "open_run" in pages["book/library.html"]["text"]  # from the list of the library
    for name, page in pages.items():
        for remnant in ("{glue", "{ref", "Traceback (most") if "library" not in name else ():
            assert remnant not in page["text"], name


@pytest.mark.parametrize("fault", ["complaints", "wider", "barriers", "unnamed", "broken", "undrawn"])
def test_no_page_has_a_fault(pages, fault):
    assert {name: page[fault] for name, page in pages.items() if page[fault]} == {}


def test_a_served_page_asks_for_nothing_else(chromium, address):
    with visits(chromium, address) as visit:
        for name in ("intro", "try", "executed/02-lse-vs-max", "executed/05-theta"):
            visit(f"book/{name}.html")


def search(page, start: str, words: str) -> list[str]:
    """The pages that are listed for some words, best first."""
    page.goto(f"{start}search.html?q={words}")
    page.wait_for_selector("#search-results li a", timeout=20_000)
    return page.eval_on_selector_all("#search-results li a", "links => links.map(a => a.href)")


@pytest.mark.parametrize("place", ["disk", "server"])
def test_search_finds_the_words_of_the_field_and_chapters_first(html, chromium, address, place):
    start = html.as_uri() + "/" if place == "disk" else address
    with visits(chromium, start) as visit:
        page = visit("search.html")
        for words, wanted in (("superpixel", "executed/05-theta"), ("confidence interval", "reading"),
                              ("ablation", "reading"), ("mIoU", "reading"), ("intersection over union", "reading")):
            assert any(wanted in link for link in search(page, start, words)), words
        for words in ("bootstrap", "jitter", "superpixel", "log-sum-exp", "baseline"):
            links = search(page, start, words)
            assert re.search("/executed/|#term-", links[0]), words
            assert not any("library" in link and "/executed/" in later for link, later in combinations(links, 2)), words


def test_searched_words_are_marked_to_the_end_of_the_page(visit):
    """On a page with drawings and styles in it, which stay as they are."""
    page, words = visit("book/executed/02-lse-vs-max.html"), "the dark"
    untouched = ("() => [...document.querySelectorAll('article :is(svg, style):not(mjx-container *)')]"
                 ".map(e => e.outerHTML)")  # formulas are set once more when the page is opened again
    drawings = page.evaluate(untouched)
    page.goto(f"{page.url}?highlight={words}")
    page.wait_for_selector("article .highlighted")
    unmarked = page.evaluate("""words => {
        const walker = document.createTreeWalker(document.querySelector("article"), NodeFilter.SHOW_TEXT), found = [];
        while (walker.nextNode()) {
            const {data, parentElement: e} = walker.currentNode;
            if (words.some(word => data.toLowerCase().includes(word)) && !e.closest(
                ".highlighted, svg, style, script, mjx-container, button, select, textarea")) found.push(data);
        }
        return found;
    }""", words.split())
    assert unmarked == [] and page.evaluate(untouched) == drawings and len(drawings) > 0


def test_on_paper_every_word_is_dark_on_white(visit):
    """Printed from the dark theme, to which the screen then returns."""
    for name in ("intro", "executed/06-table-2", "build"):
        page = visit(f"book/{name}.html", viewport={"width": 800, "height": 1000})
        page.evaluate("document.documentElement.dataset.theme = 'dark'")
        page.emulate_media(media="print", reduced_motion="reduce")
        page.wait_for_timeout(300)
        pale = page.evaluate("""() => {
            const light = colour => {
                const [r, g, b, a = 1] = colour.match(/[0-9.]+/g).map(Number);
                return [0.2126 * r + 0.7152 * g + 0.0722 * b, a];
            };
            const page = light(getComputedStyle(document.body).backgroundColor);
            const words = [...document.querySelectorAll("article :is(h1, h2, p, li, td, th, pre, span, figcaption)")];
            return [page[1] && page[0] < 250 ? "the page" : "", ...words.filter(e => e.checkVisibility()
                && e.textContent.trim() && !e.closest(".lse-piece, mjx-container, svg")
                && light(getComputedStyle(e).color)[0] > 150).slice(0, 5).map(e => e.outerHTML)].filter(Boolean);
        }""")
        assert pale == [], name
        page.emulate_media(media="screen")
        page.wait_for_function("() => document.documentElement.dataset.theme === 'dark'")


def test_the_first_page_answers_in_two_screens(visit):
    """What it is, the bottom line, a slider, Table 2, the claims, and a path for each reader."""
    page = visit("book/intro.html", viewport={"width": 1280, "height": 800})
    parts = ["text=The bottom line", ".lse-slider [type=range]", "text=Table 2, beside", "text=What was claimed",
             "text=Read, run, tune", ".sd-card >> nth=2"]
    boxes = [page.locator(f"article >> {part}").first.bounding_box() for part in parts]
    assert all(above["y"] < below["y"] for above, below in pairwise(boxes))
    assert boxes[-1]["y"] + boxes[-1]["height"] <= 1600


def test_every_page_can_be_reached_by_keyboard(visit):
    page = visit("book/intro.html", viewport={"width": 1280, "height": 800})
    reached = set()
    for _ in range(200):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("() => document.activeElement.href || document.activeElement.type"))
    chapters = page.eval_on_selector_all("nav.bd-links a", "links => links.map(a => a.href)")
    assert set(chapters) <= reached and "range" in reached
    page.keyboard.press("Control+k")
    page.keyboard.type("superpixel")
    page.keyboard.press("Enter")
    page.wait_for_selector("#search-results li a")


@pytest.mark.parametrize("chapter, name", list(enumerate(site.NOTEBOOKS, 1)))
def test_a_chapter_has_one_line_of_setup_open_code_and_numbered_figures_and_tables(pages, chapter, name):
    page = pages[f"book/executed/{name}.html"]
    assert page["folded"] == ["Show the setup"] and page["open"]
    assert page["outputs"] and all(output["id"] for output in page["outputs"])
    for kind in ("Figure", "Table"):
        titles = [output["title"] for output in page["outputs"] if output["title"].startswith(kind)]
        assert titles == [f"{kind} {chapter}.{i}." for i in range(1, len(titles) + 1)]
    if name in ("05-theta", "06-table-2", "07-qualitative"):  # an AP on part of the list is never shown as one on all
        assert "886 of 1,449 val images" in page["text"]


def test_quoted_numbers_lead_to_the_cell_that_computed_them(pages, html):
    quoted = pages["book/intro.html"]["quoted"]
    assert len(quoted) >= 5
    for link in quoted:
        name, cell = re.search(r"/executed/([\w-]+)\.html#(cell-\d+)$", link).groups()
        assert f'id="{cell}"' in (html / f"book/executed/{name}.html").read_text(encoding="utf-8")


def test_the_commands_for_a_gpu_work_from_any_folder(tmp_path):
    """The lines of *Reproduce it yourself*, with this checkout and the published run in place of those of the page."""
    page = (ROOT / "book/reproduce.md").read_text(encoding="utf-8")
    lines = re.findall(r"^(?:\$ |!)(/path/to/lsegrepro/.venv/bin/(?:lsegrepro|papermill) .*)$", page, re.M)
    reproduce, papermill, jupyter = (shlex.split(line.replace("/path/to/lsegrepro/.venv/bin", str(Path(
        sys.executable).parent)).replace("/path/to/lsegrepro", str(ROOT))) for line in lines)
    assert jupyter == reproduce and reproduce[1:3] == ["reproduce", "--profile"]
    subprocess.run([*reproduce[:3], "quick", *reproduce[4:], "--dry-run"], cwd=tmp_path, check=True)
    assert papermill[3:5] == ["-p", "profile"]
    published = {"profile": "local", "run_folder": "published", "depth": "evidence"}
    subprocess.run([*papermill[:3], "--prepare-only", "-y", json.dumps(published)], cwd=tmp_path, check=True)
    assert (tmp_path / papermill[2]).is_file()


def test_the_site_is_small(html):
    """No copy of the sources, no map of a script, one network a class, and those in half precision."""
    assert not [path for name in ("_sources", "*.map", "*.ttf", "locales") for path in html.rglob(name)]
    assert {path.name for path in html.parent.parent.iterdir()} == {"_build"}
    assert sum(path.stat().st_size for path in html.rglob("*") if path.is_file()) < 15e6
