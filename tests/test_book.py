"""The book as a reader gets it: every page in a browser with no network, on a wide screen and on a phone."""

import re
import shutil
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from conftest import ROOT

from lsegrepro import site
from lsegrepro.run import open_run

WIDTHS = (1280, 360)
LOOK = """() => ({
    title: document.title,
    headings: [...document.querySelectorAll("article h1")].map(h => h.textContent.replace("#", "").trim()),
    text: (document.querySelector("article") || document.body).innerText,
    ids: [...document.querySelectorAll("[id], a[name]")].flatMap(e => [e.id, e.getAttribute("name")]),
    links: [...document.querySelectorAll("a[href]")].map(a => a.href),
    silent: [...document.images].filter(i => !i.hasAttribute("alt") || (i.closest("article") && !i.alt.trim()))
        .map(i => i.outerHTML.slice(0, 200)),
    broken: [...document.images].filter(i => i.complete && !i.naturalWidth).map(i => i.outerHTML.slice(0, 200)),
    maths: document.querySelectorAll("article .math").length,
    drawn: document.querySelectorAll("article mjx-container").length,
    outside: [...document.querySelectorAll("script[src], link[rel=stylesheet], img, iframe, video, source")]
        .map(e => e.src || e.href).filter(url => url && !/^(file|data|blob):/.test(url)),
})"""
WIDER = """() => {
    const limit = document.documentElement.clientWidth;
    if (document.scrollingElement.scrollWidth <= limit) return [];
    const wide = [...document.querySelectorAll("article *")].filter(e => e.getBoundingClientRect().right > limit + 1);
    const named = wide.slice(0, 5).map(e => e.outerHTML.slice(0, 150));
    return [`${document.scrollingElement.scrollWidth} > ${limit}`, ...named];
}"""


@pytest.fixture(scope="session")
def html(executed) -> Path:
    """The built book: the published pages, and those of the tiny run as a part of their own."""
    if shutil.which("jupyter-book") is None and not Path(site.sys.executable).with_name("jupyter-book").is_file():
        pytest.skip("jupyter-book is not installed")
    absent = [name for name in site.NOTEBOOKS if not (ROOT / "book" / "executed" / f"{name}.ipynb").is_file()]
    assert not absent, f"book/executed lacks the pages of the published run: {', '.join(absent)}"
    folder, said = executed
    assert all(done.returncode == 0 for done in said.values()), "a notebook fails: see tests/test_notebooks.py"
    index = site.build(open_run(folder / "tiny.toml", folder / "run"))
    assert index.is_file()
    return index.parent


@pytest.fixture(scope="session")
def pages(html) -> dict[str, dict]:
    """What the browser found on each page, by its path below the book's folder."""
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        pytest.skip("no Chromium is installed")
    paths = sorted(p for p in html.rglob("*.html") if not p.relative_to(html).parts[0].startswith("_"))
    paths.remove(html / "index.html")  # it leads on to the first page, and is nothing itself
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        context = browser.new_context(viewport={"width": WIDTHS[0], "height": 900})
        found = {str(path.relative_to(html)): visit(context, path) for path in paths}
        browser.close()
    return found


def visit(context, path: Path) -> dict:
    """Open a page, look at it, and narrow the window."""
    asked, said = [], []
    page = context.new_page()

    def only_files(route):
        if urlsplit(route.request.url).scheme in ("file", "data", "blob"):
            route.continue_()
        else:
            asked.append(route.request.url)
            route.abort()

    page.route("**/*", only_files)
    page.on("console", lambda message: said.append(f"{message.type}: {message.text}")
            if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: said.append(f"exception: {error}"))
    page.on("requestfailed", lambda request: said.append(f"failed: {request.url}"))
    page.goto(path.as_uri(), wait_until="load")
    page.evaluate("() => window.MathJax && MathJax.startup && MathJax.startup.promise")
    found = page.evaluate(LOOK)
    found["wider"] = {}
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_timeout(50)
        found["wider"][width] = page.evaluate(WIDER)
    page.close()
    return found | {"asked": asked, "said": said}


def faults(pages, key: str) -> dict:
    return {name: page[key] for name, page in pages.items() if page[key]}


def test_every_page_is_there(pages):
    for folder in ("executed", "run"):
        for name in site.NOTEBOOKS:
            assert f"book/{folder}/{name}.html" in pages
    for path in (ROOT / "book").glob("*.md"):
        assert f"book/{path.stem}.html" in pages


def test_the_index_leads_to_the_first_page(html):
    forward = re.search(r'http-equiv="refresh" content="0; *url=([^"]+)"', (html / "index.html").read_text(), re.I)
    assert forward and (html / forward[1]).is_file() and forward[1] == "book/intro.html"


def test_no_page_asks_anything_of_the_network(pages):
    assert faults(pages, "asked") == {} and faults(pages, "outside") == {}


def test_the_console_is_clean(pages):
    assert faults(pages, "said") == {}


@pytest.mark.parametrize("width", WIDTHS)
def test_no_page_is_wider_than_the_screen(pages, width):
    assert {name: page["wider"][width] for name, page in pages.items() if page["wider"][width]} == {}


def test_every_image_is_there_and_has_words(pages):
    assert faults(pages, "silent") == {} and faults(pages, "broken") == {}


def test_every_page_has_a_title_and_formulas_are_set(pages):
    for name, page in pages.items():
        if name.startswith("book/"):
            assert page["title"].strip() and len(page["headings"]) == 1, name
            assert page["drawn"] >= page["maths"], name
    assert sum(page["maths"] for page in pages.values()) > 10


def test_internal_links_resolve(pages, html):
    dead = set()
    for name, page in pages.items():
        for link in page["links"]:
            place = urlsplit(link)
            if place.scheme != "file":
                continue
            target = Path(unquote(place.path))
            if not target.is_file():
                dead.add((name, link))
            elif place.fragment and target.suffix == ".html":
                ids = pages[str(target.relative_to(html))]["ids"]
                if unquote(place.fragment) not in ids:
                    dead.add((name, link))
    assert dead == set()


def test_executed_pages_say_what_made_them(pages):
    for folder, profile in (("executed", "profile local"), ("run", "profile tiny")):
        for name in site.NOTEBOOKS:
            text = pages[f"book/{folder}/{name}.html"]["text"]
            assert profile in text, name
            for word in ("nan %", "Traceback (most", "{glue"):
                assert word not in text, (name, word)


def test_published_numbers_carry_their_coverage(pages):
    """An AP on part of the list is never shown as one on all of it."""
    for name in ("05-theta", "06-table-2", "07-qualitative"):
        assert "886 of 1,449 val images" in pages[f"book/executed/{name}.html"]["text"]
