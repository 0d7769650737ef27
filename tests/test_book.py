"""The book as a reader gets it: every page in a browser with no network, from disk and served, at three widths,
light and dark, on paper, and by axe-core's rules of accessibility."""

import functools
import re
import shutil
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from pathlib import Path

import pytest
from conftest import ROOT

from lsegrepro.book import check, site
from lsegrepro.runs.folder import open_run

WIDTHS = (1280, 768, 360)
LOOK = """() => ({
    title: document.title,
    headings: [...document.querySelectorAll("article h1")].map(h => h.textContent.replace("#", "").trim()),
    text: (document.querySelector("article") || document.body).innerText,
    quoted: [...document.querySelectorAll("a.quoted")].map(a => a.href),
    shown: [...document.querySelectorAll("article .cell_output :is(.lsegrepro, .table-2)")].map(e => ({
        id: e.id, title: (e.querySelector("b.number") || {textContent: ""}).textContent,
        caption: (e.querySelector("figcaption, caption") || {textContent: ""}).textContent.trim(),
        origin: [...e.querySelectorAll("details.made-by :is(summary, dl > div)")]
            .map(d => [...d.childNodes].map(n => n.textContent).join(": ")).join("; ")})),
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
RULES = """rules => {
    // Contrast is slow to measure; on a page of thousands of entries made alike, the first ones stand for all.
    const entries = [...document.querySelectorAll("article section section")];
    const part = rules.includes("color-contrast") && document.querySelectorAll("*").length > 5000;
    const where = part ? {include: [...entries.slice(0, 2), ...document.querySelectorAll("header, nav")]} : document;
    const wanted = rules[0] === "others" ? {rules: {"color-contrast": {enabled: false}}} : {runOnly: rules};
    return axe.run(where, {preload: false, resultTypes: ["violations"], ...wanted}).then(found =>
        found.violations.filter(v => ["serious", "critical"].includes(v.impact)).flatMap(
            v => v.nodes.slice(0, 3).map(n => `${v.id}: ${n.target} ${n.html.slice(0, 120)}`)));
}"""
PAPER = """() => [...document.querySelectorAll(
    ".bd-sidebar-primary, .bd-sidebar-secondary, .bd-header-article, .headerlink, .copybtn, .cell details.hide")]
    .filter(e => e.getClientRects().length).slice(0, 3).map(e => `printed: ${e.outerHTML.slice(0, 100)}`)"""


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
def paths(html) -> list[Path]:
    """Every page but the index, which leads on to the first page and is nothing itself."""
    found = sorted(p for p in html.rglob("*.html") if not p.relative_to(html).parts[0].startswith("_"))
    found.remove(html / "index.html")
    return found


@pytest.fixture(scope="session")
def pages(html, paths, chromium) -> dict[str, dict]:
    """What the browser found on each page, by its path below the book's folder."""
    axe = resources.files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
    context = chromium.new_context(viewport={"width": WIDTHS[0], "height": 900}, color_scheme="light",
                                   reduced_motion="reduce")  # a colour on its way to another has no contrast of its own
    found = {str(path.relative_to(html)): visit(context, path, html, axe) for path in paths}
    context.close()
    return found


@pytest.fixture(scope="session")
def served(html):
    """The book on a port of this machine."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *words):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(html)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


def opened(context, url: str, allowed: str):
    """A page that has been opened, what it asked for outside the allowed place, and what it said."""
    asked, said = [], []
    page = context.new_page()

    def only_own(route):
        if route.request.url.startswith((allowed, "data:", "blob:")):
            route.continue_()
        else:
            asked.append(route.request.url)
            route.abort()

    page.route("**/*", only_own)
    page.on("console", lambda message: said.append(f"{message.type}: {message.text}")
            if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: said.append(f"exception: {error}"))
    page.on("requestfailed", lambda request: said.append(f"failed: {request.url}"))
    page.goto(url, wait_until="load")
    page.evaluate("() => window.MathJax && MathJax.startup && MathJax.startup.promise")
    return page, asked, said


def visit(context, path: Path, html: Path, axe: str) -> dict:
    """Open a page, look at it, narrow the window, print it, and try it by the rules in light and dark."""
    page, asked, said = opened(context, path.as_uri(), html.as_uri())
    found = page.evaluate(LOOK)
    found["wider"] = {}
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_timeout(50)
        found["wider"][width] = page.evaluate(WIDER)
    found["barriers"] = []
    if path.parent.name != "run":  # those pages differ from the published ones in their numbers alone
        page.wait_for_timeout(400)  # the theme looks a moment later which boxes scroll now
        page.evaluate(axe)
        found["barriers"] = page.evaluate(RULES, ["others"])  # on the phone, where boxes scroll
        page.set_viewport_size({"width": WIDTHS[0], "height": 900})
        for theme in ("light", "dark"):
            page.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
            found["barriers"] += page.evaluate(RULES, ["color-contrast", "link-in-text-block"])
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 680, "height": 900})
    found["paper"] = page.evaluate(PAPER) + page.evaluate(WIDER)
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


def test_served_pages_ask_for_nothing_else_and_say_nothing(html, paths, chromium, served):
    context, wrong = chromium.new_context(), {}
    for path in paths:
        if path.parent.name == "run" and path.stem != site.NOTEBOOKS[0]:
            continue  # one stands for them: they ask for what the published ones do
        page, asked, said = opened(context, served + path.relative_to(html).as_posix(), served)
        page.close()
        if asked or said:
            wrong[path.name] = asked + said
    context.close()
    assert wrong == {}


@pytest.mark.parametrize("place", ["disk", "server"])
def test_search_finds_a_word_without_a_network(html, chromium, served, place):
    start = html.as_uri() + "/" if place == "disk" else served
    context = chromium.new_context()
    page, asked, said = opened(context, start + "search.html?q=superpixel", start)
    page.wait_for_selector("#search-results li a")
    found = page.eval_on_selector_all("#search-results li a", "links => links.map(a => a.href)")
    context.close()
    assert any("05-theta" in link for link in found) and asked == [] and said == []


def test_axe_finds_nothing_serious_in_light_or_dark(pages):
    assert sum("run" not in name.split("/")[:-1] for name in pages) > len(site.NOTEBOOKS)
    assert faults(pages, "barriers") == {}


def test_paper_gets_the_text_and_not_the_controls(pages):
    assert faults(pages, "paper") == {}


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


def test_links_pages_and_what_they_fetch_are_whole(html):
    """The check that also stands between the pages and their publication."""
    wanted = check.contents(html.parents[1] / "_toc.yml")
    assert len(wanted) >= 2 * len(site.NOTEBOOKS) and list(check.faults(html, wanted)) == []


def test_every_figure_and_table_has_a_number_and_an_origin(pages):
    for folder, run in (("executed", "local"), ("run", "tiny")):
        for chapter, name in enumerate(site.NOTEBOOKS, 1):
            shown = pages[f"book/{folder}/{name}.html"]["shown"]
            assert shown or folder == "run", name
            for kind in ("Figure", "Table"):
                titles = [each["title"] for each in shown if each["title"].startswith(kind)]
                assert titles == [f"{kind} {chapter}.{i}." for i in range(1, len(titles) + 1)]
            for each in shown:
                assert each["title"] and each["id"] and each["caption"], (name, each)
                for part in (f"{name}, cell ", f"run: profile {run}; seed 0"):
                    assert part in each["origin"], (name, each)


def test_quoted_numbers_lead_to_the_cell_that_computed_them(pages):
    quoted = pages["book/intro.html"]["quoted"]
    assert len(quoted) >= 5 and all(re.search(r"/executed/[\w-]+\.html#cell-\d+$", link) for link in quoted)


def test_the_library_page_has_every_module(pages):
    import pkgutil

    import lsegrepro

    said = "".join(page["text"] for name, page in pages.items() if "library-" in name)
    names = [info.name.removeprefix("lsegrepro.") for info in pkgutil.walk_packages(lsegrepro.__path__, "lsegrepro.")]
    public = [name for name in names if not any(part.startswith("_") for part in name.split("."))]
    assert len(public) > 40 and not [name for name in public if not re.search(rf"^{re.escape(name)}\b", said, re.M)]


def test_what_ran_says_what_the_cards_say(pages):
    from lsegrepro.book.status import SHORT
    from lsegrepro.files import read_json

    text = pages["book/status.html"]["text"]
    for card in (ROOT / "published" / "weights").glob("*.json"):
        assert card.stem in text and read_json(card)["sha256"][:SHORT] in text
    for name in site.NOTEBOOKS:
        assert name in text


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
