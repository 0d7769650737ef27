"""Look at built pages without a browser: is each there, does each link lead somewhere, is nothing fetched from outside?

``python -m lsegrepro.book.check published/site`` says what is wrong, one line each, and exits with 2 if anything is.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LEAST = 200
"""Characters of text that a page has at least; a page that lost its content has a frame and no more."""

_FETCHED = dict.fromkeys(("script", "img", "iframe", "source", "video", "audio", "embed"), "src")
_IN_CSS = re.compile(r"""url\(\s*['"]?(?!data:|#)([^'")]+)""")
_IN_STYLES = {"stylesheet", "icon", "preload", "modulepreload", "manifest"}


@dataclass
class Page(HTMLParser):
    """What one page holds: anchors, links, what it fetches, images without words, and how much text."""

    ids: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    fetched: list[str] = field(default_factory=list)
    silent: int = 0
    text: int = 0
    _article: int = 0
    _quiet: int = 0

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note one tag."""
        given = dict(attrs)
        self.ids.update(given[key] for key in ("id", "name") if given.get(key))
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        if tag in _FETCHED and given.get(_FETCHED[tag]):
            self.fetched.append(given[_FETCHED[tag]])
        if tag == "link" and _IN_STYLES & set((given.get("rel") or "").split()) and given.get("href"):
            self.fetched.append(given["href"])
        self.fetched += _IN_CSS.findall(given.get("style") or "")
        self.silent += tag == "img" and self._article > 0 and not (given.get("alt") or "").strip()
        self._article += tag == "article"
        self._quiet += tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        """Leave one tag."""
        self._article -= tag == "article"
        self._quiet -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        """Count text that a reader sees."""
        if self._article and not self._quiet:
            self.text += len(data.strip())


def read(path: Path) -> Page:
    """Read one page."""
    page = Page()
    page.feed(path.read_text(encoding="utf-8"))
    return page


def faults(folder: Path, wanted: Iterable[str]) -> Iterator[str]:
    """What is wrong with the pages in a folder, one line each.

    Parameters
    ----------
    folder : Path
        With ``index.html``.
    wanted : iterable of str
        Pages that must be there, without their ending: ``"book/intro"``.
    """
    files = [path for path in folder.rglob("*.html") if not path.relative_to(folder).parts[0].startswith("_")]
    pages = {path.resolve(): read(path) for path in sorted(files)}
    for name in wanted:
        page = pages.get((folder / f"{name}.html").resolve())
        if page is None or page.text < LEAST:
            yield f"{name} is {'not there' if page is None else 'empty'}"
    if not (folder / "index.html").is_file():
        yield "index.html is not there"
    for path, page in pages.items():
        name = path.relative_to(folder.resolve()).as_posix()
        for address in page.fetched:
            yield from (f"{name}: {fault}" for fault in _fetched(path, address, folder))
        for link in page.links:
            yield from (f"{name}: {fault}" for fault in _linked(path, link, pages))
        if page.silent:
            yield f"{name}: {page.silent} images without alternative text"
    for path in sorted(folder.rglob("*.css")):
        for address in _IN_CSS.findall(path.read_text(encoding="utf-8")):
            yield from (f"{path.relative_to(folder)}: {fault}" for fault in _fetched(path, address, folder))


def _fetched(path: Path, address: str, folder: Path) -> Iterator[str]:
    place = urlsplit(address)
    if place.scheme in ("data", "blob"):
        return
    target = (path.parent / unquote(place.path)).resolve()
    if place.scheme or place.netloc:
        yield f"fetches {address} from outside"
    elif not target.is_relative_to(folder.resolve()) or not target.is_file():
        yield f"fetches {address}, which is not there"


def _linked(path: Path, link: str, pages: dict[Path, Page]) -> Iterator[str]:
    place = urlsplit(link)
    if place.scheme in ("http", "https"):
        if not re.fullmatch(r"[\w-]+(\.[\w-]+)+(:\d+)?", place.netloc) or re.search(r"\s", link):
            yield f"the link {link} is no address"
    elif place.scheme:
        if place.scheme != "mailto":
            yield f"the link {link} has an unknown scheme"
    else:
        target = (path.parent / unquote(place.path)).resolve() if place.path else path
        if not target.is_file():
            yield f"the link {link} leads nowhere"
        elif place.fragment and target in pages and unquote(place.fragment) not in pages[target].ids:
            yield f"the link {link} has no such place on its page"


def contents(table: Path) -> list[str]:
    """Pages that a table of contents names, in order."""
    return re.findall(r"^\s*(?:- file|root): *(\S+)\s*$", table.read_text(encoding="utf-8"), re.M)


def main(words: list[str]) -> int:
    """Check the site in the folder named; the exit code is 0 or 2."""
    if len(words) != 1 or not ((site := Path(words[0])) / "_toc.yml").is_file():  # the folder above _build/html
        print("usage: python -m lsegrepro.book.check published/site", file=sys.stderr)
        return 2
    wanted = contents(site / "_toc.yml")
    found = list(faults(site / "_build/html", wanted))
    for line in found:
        print(line)
    print(f"{len(wanted)} pages, {len(found)} faults")
    return 2 if found or not wanted else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
