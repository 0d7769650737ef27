"""The Sphinx side: events, labels and directives."""

from __future__ import annotations

import json
import pkgutil
import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import lsegrepro

from ..files import LsegreproError
from . import captions, notebook, origin, site, status

_MODULES = re.compile(r"^```\{modules\} (.+)\n```$", re.M)

_SECTION = """\
## `{0}`

```{{eval-rst}}
.. automodule:: lsegrepro.{0}
   :members:
   :ignore-module-all:
   :no-value:
```
"""


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect events and directives."""
    app.add_directive("published-run", PublishedRun)
    app.connect("config-inited", _without_torch)
    app.connect("source-read", _modules)
    app.connect("doctree-read", _number, priority=400)
    app.connect("doctree-read", _lead_numbers_home, priority=401)
    app.connect("html-page-context", _keep_numbers_whole)
    app.connect("html-page-context", _accessible)
    app.connect("autodoc-process-docstring", _keep_sentences, priority=400)  # napoleon's is 500
    app.connect("autodoc-process-docstring", _restore_sentences, priority=600)
    return {"version": lsegrepro.__version__, "parallel_read_safe": False, "parallel_write_safe": True}


def _without_torch(app: Sphinx, config: Any) -> None:
    """The page of the library can be made where torch is not installed: from its docstrings alone."""
    if find_spec("torch") is None:
        config.autodoc_mock_imports = ["torch"]


# Figures and tables


def _number(app: Sphinx, doctree: nodes.document) -> None:
    """Number the page's figures and tables, say under each where it comes from, and let it be referred to."""
    docname = app.env.docname
    page = Path(app.env.doc2path(docname))
    chapter, counts, found = _chapter(app, docname), {}, []
    line = next(filter(None, (captions.provenance_line(n.astext()) for n in _outputs(doctree))), "")
    for node in _outputs(doctree):
        cell = _cell(node)
        text, labels = captions.number(
            node.astext(), chapter, counts, lambda cell=cell: _made_by(docname, page, cell, line) if cell else ""
        )
        if labels:
            node.children = [nodes.Text(text)]
            node.rawsource = text
            found += labels
    for container in doctree.findall(nodes.container):
        number = container.get("exec_count")
        if container.get("nb_element") == "cell_code" and number:
            container["ids"].append(f"cell-{number}")
    _label(app, doctree, docname, found)


def _outputs(doctree: nodes.document) -> list[nodes.raw]:
    return [node for node in doctree.findall(nodes.raw) if "html" in node.get("format", "")]


def _cell(node: nodes.Node) -> int:
    """The number of the code cell that a node lies in, 0 if in none."""
    while node is not None:
        if isinstance(node, nodes.container) and node.get("nb_element") == "cell_code":
            return node.get("exec_count") or 0
        node = node.parent
    return 0


def _chapter(app: Sphinx, docname: str) -> str:
    """First part of the numbers of a page: that of the notebook; 0 for the first page; a letter for the others."""
    stem = docname.rsplit("/", 1)[-1]
    if stem in site.NOTEBOOKS:
        return str(site.NOTEBOOKS.index(stem) + 1)
    if docname == app.config.root_doc:
        return "0"
    others = [name for name in app.config.external_site_map if name.rsplit("/", 1)[-1] not in site.NOTEBOOKS]
    return chr(ord("A") + others.index(docname) - 1) if docname in others else stem


def _made_by(docname: str, page: Path, cell: int, line: str) -> str:
    published = docname.startswith("book/executed/")
    run = dict.fromkeys(part for part in line.split("; ") if part)
    short = [part.removeprefix("profile ") for part in run if part.startswith(("profile ", "seed "))]
    commit = origin.commit_of(page, site.ROOT / f"{docname}.ipynb", site.ROOT) if published else ""
    return captions.details(
        f"{page.stem}, cell {cell}; {', '.join(short)}" if short else f"{page.stem}, cell {cell}",
        {
            "notebook": f"{page.name}, cell {cell}, SHA-256 of its cells {origin.source_digest(page)}",
            "commit": commit,
            "run": "; ".join(run),
        },
    )


def _label(app: Sphinx, doctree: nodes.document, docname: str, found: list[captions.Label]) -> None:
    """Let ``{ref}`` find each figure by its anchor; on the page itself, before any page of the same name."""
    labels, anonymous = (app.env.domaindata["std"][key] for key in ("labels", "anonlabels"))
    own = {}
    for label in found:
        for name in (f"{docname}/{label.anchor}", label.anchor):
            if labels.get(name, (docname,))[0] == docname:
                labels[name] = (docname, label.anchor, label.title)
                anonymous[name] = (docname, label.anchor)
        own[label.anchor] = f"{docname}/{label.anchor}"
    for reference in doctree.findall(addnodes.pending_xref):
        if reference.get("refdomain") == "std" and reference.get("reftarget") in own:
            reference["reftarget"] = own[reference["reftarget"]]


# Numbers that a page quotes


def _lead_numbers_home(app: Sphinx, doctree: nodes.document) -> None:
    """Make each quoted number a link to the cell that computed it."""
    from myst_nb.ext.glue.utils import PendingGlueReference

    docname = app.env.docname
    for node in list(doctree.findall(PendingGlueReference)):
        cell = _glued(Path(app.env.doc2path(node.refdoc))).get(node.key)
        if node.refdoc == docname or cell is None:
            continue
        target = f"{app.builder.get_relative_uri(docname, node.refdoc)}#cell-{cell}"
        said = f"computed in notebook {node.refdoc.rsplit('/', 1)[-1]}, cell {cell}"
        link = nodes.reference("", "", internal=True, refuri=target, reftitle=said, classes=["quoted"])
        node.replace_self(link)
        link += node


def _glued(page: Path) -> dict[str, int]:
    """Key of each text that a page puts aside for others, to the number of its cell."""
    if page.suffix != ".ipynb" or not page.is_file():
        return {}
    return {
        output["metadata"]["scrapbook"]["name"]: cell["execution_count"]
        for cell in json.loads(page.read_text(encoding="utf-8"))["cells"]
        for output in cell.get("outputs", [])
        if "scrapbook" in output.get("metadata", {})
    }


def _keep_numbers_whole(app: Sphinx, pagename: str, template: str, context: dict, doctree: Any) -> None:
    """Let no line end inside an interval that a page quotes, as in the tables of the chapters."""
    if body := context.get("body"):
        quoted = r'(?<=<span class="pasted-text">)[^<]+'
        context["body"] = re.sub(quoted, lambda found: notebook.unbroken(found[0]), body)


def _accessible(app: Sphinx, pagename: str, template: str, context: dict, doctree: Any) -> None:
    """Mend what axe-core finds in the HTML that Sphinx writes.

    The list of a bibliography holds elements that a list may not, and ``doc-biblioentry`` is deprecated
    (DPUB-ARIA 1.1). The box of an equation scrolls on a narrow screen, so the keyboard must reach it.
    """
    if body := context.get("body"):
        body = body.replace('<div role="list" class="citation-list">', '<div class="citation-list">')
        body = body.replace(' role="doc-biblioentry"', "")
        context["body"] = body.replace('<div class="math ', '<div tabindex="0" class="math ')


# The pages of the library, and of what ran


def _modules(app: Sphinx, docname: str, source: list[str]) -> None:
    """Write out the lines ```` ```{modules} a b ```` of a page: a heading and the docstrings for each module.

    A package stands for its modules too; ``*`` for every module that no page of the library names. Modules
    whose name begins with an underscore stay out.
    """
    if "{modules}" in source[0]:
        beside = Path(app.env.doc2path(docname)).parent.glob("library-*.md")
        named = {name for page in beside for words in _MODULES.findall(page.read_text(encoding="utf-8"))
                 for name in _named(words)}
        rest = sorted(set(_every()) - named)
        source[0] = _MODULES.sub(
            lambda found: "\n".join(map(_SECTION.format, _named(found[1]) if found[1] != "*" else rest)), source[0])


def _keep_sentences(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Keep the text of a constant: napoleon takes what stands before a colon for its type. Head examples."""
    if what in ("data", "attribute"):
        app.env.temp_data[f"docstring of {name}"] = list(lines)
    lines[:] = head_example(lines)


def head_example(lines: list[str]) -> list[str]:
    """Put a heading above an example that follows a section, or napoleon takes it for a part of that.

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


def _restore_sentences(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    lines[:] = app.env.temp_data.pop(f"docstring of {name}", lines)


def _named(words: str) -> list[str]:
    """Modules for the words of one directive, in order.

    >>> _named("evidence.code paper")
    ['evidence.code', 'paper']
    """
    return [name for word in words.split() for name in _every() if name == word or name.startswith(f"{word}.")]


@cache
def _every() -> list[str]:
    package = Path(lsegrepro.__file__).parent
    names = (info.name.removeprefix("lsegrepro.") for info in pkgutil.walk_packages([str(package)], "lsegrepro."))
    return sorted(name for name in names if not any(part.startswith("_") for part in name.split(".")))


class PublishedRun(SphinxDirective):
    """One table of `status.TABLES`, of the published run and of the pages of this build."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        try:
            made = status.TABLES[self.arguments[0]](Path(self.env.srcdir) / "book" / "executed")
        except (LsegreproError, KeyError) as error:
            raise self.error(f"published-run: {error}") from error
        # As a notebook's output lies in a page: the theme lets such a box scroll, by keyboard too.
        box = f'<div class="cell_output ran"><div class="output text_html">{made._repr_html_()}</div></div>'
        return [nodes.raw("", box, format="html")]
