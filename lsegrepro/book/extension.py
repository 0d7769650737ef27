"""Sphinx extension of the book: numbered figures, links of glued numbers, and the pages of the library.

The notebooks' figures and tables are HTML outputs, which Sphinx's ``numfig`` does not see, so they are numbered here.
"""

from __future__ import annotations

import json
import pkgutil
import re
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx

import lsegrepro

from . import site

_OUTPUT = re.compile(r'<(figure|table)\b[^>]*\bclass="(?:lsegrepro|table-2)"[^>]*>')
_CAPTION = {"figure": "<figcaption", "table": "<caption"}
_MODULES = re.compile(r"^```\{modules\} (.+)\n```$", re.M)
_MODULE = """\
## `{0}`

```{{eval-rst}}
.. automodule:: lsegrepro.{0}
   :members:
   :ignore-module-all:
   :no-value:
```
"""
_VERSIONS = ("jupyter-book", "sphinx", "myst-nb", "sphinx-book-theme", "papermill", "matplotlib", "numpy")


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the event handlers; Sphinx calls this."""
    app.connect("config-inited", _configure)
    app.connect("source-read", _expand_modules)
    app.connect("doctree-read", _number_outputs, priority=400)
    app.connect("doctree-read", _link_glued_numbers, priority=401)
    app.connect("html-page-context", _repair_html)
    app.connect("autodoc-process-docstring", _before_napoleon, priority=400)  # napoleon's is 500
    app.connect("autodoc-process-docstring", _after_napoleon, priority=600)
    app.connect("build-finished", _remove_unused)
    return {"version": lsegrepro.__version__, "parallel_read_safe": False, "parallel_write_safe": True}


def _configure(app: Sphinx, config: Any) -> None:
    """Build without torch where it is not installed, and let pages state the versions of this build."""
    if find_spec("torch") is None:
        config.autodoc_mock_imports = ["torch"]
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in _VERSIONS)
    config.myst_substitutions = {**config.myst_substitutions, "versions": versions}


def _remove_unused(app: Sphinx, error: Exception | None) -> None:
    """Remove what no page loads: source maps, and TensorFlow.js in parts, of which `browser` makes one script."""
    for pattern in ("**/*.map", "tfjs/*.js", "tfjs/*.wasm"):
        for path in Path(app.outdir, "_static").glob(pattern):
            path.unlink()


# Figures and tables


def number_outputs(piece: str, chapter: str, counts: dict[str, int]) -> tuple[str, dict[str, str]]:
    """Put "Figure 5.1." before the captions in the HTML of one output of a cell.

    Parameters
    ----------
    piece : str
        HTML with any number of figures and tables of the library.
    chapter : str
        First part of each number.
    counts : dict
        Figures and tables of the page so far; updated.

    Returns
    -------
    str
        The HTML, each figure and table with an id.
    dict
        Id to the words of a reference, such as "Figure 5.1".

    >>> piece, titles = number_outputs('<table class="lsegrepro" id="a"><caption>A.</caption></table>', "5", {})
    >>> piece
    '<table class="lsegrepro" id="a"><caption><b class="number">Table 5.1.</b> A.</caption></table>'
    >>> titles
    {'a': 'Table 5.1'}
    """
    titles: dict[str, str] = {}
    parts, end = [], 0
    for match in _OUTPUT.finditer(piece):
        kind, opening = match[1], match[0]
        counts[kind] = counts.get(kind, 0) + 1
        title = f"{kind.capitalize()} {chapter}.{counts[kind]}"
        given = re.search(r'\bid="([^"]+)"', opening)
        anchor = given[1] if given else title.lower().replace(" ", "-").replace(".", "-")
        titles[anchor] = title
        parts += [piece[end : match.start()], opening if given else f'{opening[:-1]} id="{anchor}">']
        end = match.end()
        caption = piece.find(_CAPTION[kind], end)
        if 0 <= caption < piece.index(f"</{kind}>", end):
            start = piece.index(">", caption) + 1
            parts += [piece[end:start], f'<b class="number">{title}.</b> ']
            end = start
    return "".join([*parts, piece[end:]]), titles


def _number_outputs(app: Sphinx, doctree: nodes.document) -> None:
    """Number a page's figures and tables, and register their names for the ``ref`` role."""
    docname, counts, titles = app.env.docname, {}, {}
    stem = docname.rsplit("/", 1)[-1]
    if stem not in site.NOTEBOOKS:
        return
    for node in [node for node in doctree.findall(nodes.raw) if "html" in node.get("format", "")]:
        text, named = number_outputs(node.astext(), str(site.NOTEBOOKS.index(stem) + 1), counts)
        if named:
            node.children, node.rawsource = [nodes.Text(text)], text
            titles |= named
    for container in doctree.findall(nodes.container):
        if container.get("nb_element") == "cell_code" and container.get("exec_count"):
            container["ids"].append(f"cell-{container['exec_count']}")
    # A run's own pages repeat the names of the published ones, so each page refers to its own figures.
    labels, anonymous = (app.env.domaindata["std"][key] for key in ("labels", "anonlabels"))
    for anchor, title in titles.items():
        labels[f"{docname}/{anchor}"] = (docname, anchor, title)
        anonymous[f"{docname}/{anchor}"] = (docname, anchor)
    for reference in doctree.findall(addnodes.pending_xref):
        if reference.get("refdomain") == "std" and reference.get("reftarget") in titles:
            reference["reftarget"] = f"{docname}/{reference['reftarget']}"


# Glued numbers


def _link_glued_numbers(app: Sphinx, doctree: nodes.document) -> None:
    """Make each glued number a link to the cell that computed it."""
    from myst_nb.ext.glue.utils import PendingGlueReference

    docname = app.env.docname
    for node in list(doctree.findall(PendingGlueReference)):
        cell = _glued_cells(Path(app.env.doc2path(node.refdoc))).get(node.key)
        if cell and node.refdoc != docname:
            target = f"{app.builder.get_relative_uri(docname, node.refdoc)}#cell-{cell}"
            title = f"computed in notebook {node.refdoc.rsplit('/', 1)[-1]}, cell {cell}"
            link = nodes.reference("", "", internal=True, refuri=target, reftitle=title, classes=["quoted"])
            node.replace_self(link)
            link += node


@cache
def _glued_cells(page: Path) -> dict[str, int]:
    """Key of each glued output of a notebook to the number of its cell."""
    if page.suffix != ".ipynb" or not page.is_file():
        return {}
    return {
        output["metadata"]["scrapbook"]["name"]: cell["execution_count"]
        for cell in json.loads(page.read_text(encoding="utf-8"))["cells"]
        for output in cell.get("outputs", [])
        if "scrapbook" in output.get("metadata", {})
    }


def _repair_html(app: Sphinx, pagename: str, template: str, context: dict, doctree: Any) -> None:
    """Repair what axe-core reports in Sphinx's HTML.

    A bibliography is a list of elements that a list may not hold, with a role that DPUB-ARIA 1.1 deprecates. The box
    of an equation scrolls on a narrow screen, so the keyboard must reach it.
    """
    if body := context.get("body"):
        body = body.replace('<div role="list" class="citation-list">', '<div class="citation-list">')
        body = body.replace(' role="doc-biblioentry"', "")
        context["body"] = body.replace('<div class="math ', '<div tabindex="0" class="math ')


# The pages of the library


def _expand_modules(app: Sphinx, docname: str, source: list[str]) -> None:
    """Replace ```` ```{modules} data paper ```` by headings and ``automodule`` directives."""
    source[0] = _MODULES.sub(lambda match: "\n".join(map(_MODULE.format, modules(match[1]))), source[0])


def modules(names: str) -> list[str]:
    """Public modules of the library below some names, in order.

    >>> modules("paper book.notebook")
    ['paper', 'book.notebook']
    """
    root = Path(lsegrepro.__file__).parent
    public = sorted(info.name.removeprefix("lsegrepro.") for info in pkgutil.walk_packages([str(root)], "lsegrepro.")
                    if "._" not in info.name)
    return [name for word in names.split() for name in public if name == word or name.startswith(f"{word}.")]


def _before_napoleon(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Keep a constant's text, of which napoleon would take what stands before a colon for its type; head examples."""
    if what in ("data", "attribute"):
        app.env.temp_data[f"docstring of {name}"] = list(lines)
    lines[:] = head_example(lines)


def _after_napoleon(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    lines[:] = app.env.temp_data.pop(f"docstring of {name}", lines)


def head_example(lines: list[str]) -> list[str]:
    """Put a heading above an example that follows a section, or napoleon takes it for a part of that section.

    >>> head_example(["Raises", "------", "KeyError", "    If not.", "", ">>> 1"])[4:]
    ['', 'Examples', '--------', '>>> 1']
    >>> head_example(["Add.", "", ">>> 1"])
    ['Add.', '', '>>> 1']
    """
    rules = [i for i, line in enumerate(lines) if line and not line.strip("-")]
    first = next((i for i, line in enumerate(lines) if line.startswith(">>>")), 0)
    if not rules or first < rules[0] or "Examples" in lines:
        return lines
    return [*lines[:first], "Examples", "--------", *lines[first:]]
