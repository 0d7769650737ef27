"""Sphinx extension of the book: numbered figures, links of glued numbers, and the list of the library's functions.

The notebooks' figures and tables are HTML outputs, which Sphinx's ``numfig`` does not see, so they are numbered here.
"""

import ast
import json
import re
from collections import Counter
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx

import lsegrepro

from . import site

_OUTPUT = re.compile(r'<(figure|table) class="lsegrepro"[^>]*>')
ROOMS = ("data", "network", "training", "evidence", "evaluation", "figures", "explorer", "runs", "book")
"""Folders of the library, in the order of the data."""


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the event handlers; Sphinx calls this."""
    app.connect("config-inited", _state_versions)
    app.connect("source-read", _list_library)
    app.connect("doctree-read", _number_outputs, priority=400)
    app.connect("doctree-read", _link_glued_numbers, priority=401)
    return {"version": lsegrepro.__version__, "parallel_read_safe": False, "parallel_write_safe": True}


def _state_versions(app: Sphinx, config: Any) -> None:
    """Let pages state the versions of this build."""
    names = ("jupyter-book", "sphinx", "myst-nb", "sphinx-book-theme", "papermill", "matplotlib", "numpy")
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in names)
    config.myst_substitutions = {**config.myst_substitutions, "versions": versions}


def number_output(piece: str, chapter: int, counts: Counter[str]) -> tuple[str, str, str]:
    """Put "Figure 5.1." before the caption of a figure or table of the library, and give it an id if it has none.

    Takes the HTML of one output of a cell, and how many figures and tables the page has so far, which is updated. Gives
    the HTML, the id, and the title, such as "Figure 5.1"; the HTML unchanged and empty texts if there is neither.

    >>> number_output('<table class="lsegrepro" id="a"><caption>A.</caption></table>', 5, Counter())[0]
    '<table class="lsegrepro" id="a"><caption><b class="number">Table 5.1.</b> A.</caption></table>'
    """
    opening = _OUTPUT.search(piece)
    if opening is None:
        return piece, "", ""
    tag, kind = opening[0], opening[1]
    counts[kind] += 1
    anchor, title = f"{kind}-{chapter}-{counts[kind]}", f"{kind.capitalize()} {chapter}.{counts[kind]}"
    if name := re.search(r' id="([^"]+)"', tag):
        anchor = name[1]
    else:
        piece = piece.replace(tag, f'{tag[:-1]} id="{anchor}">', 1)
    return re.sub("<(?:fig)?caption>", rf'\g<0><b class="number">{title}.</b> ', piece, count=1), anchor, title


def _number_outputs(app: Sphinx, doctree: nodes.document) -> None:
    """Number a page's figures and tables, and register their names for the ``ref`` role."""
    docname, counts, titles = app.env.docname, Counter(), {}
    stem = docname.rsplit("/", 1)[-1]
    if stem not in site.NOTEBOOKS:
        return
    for node in [node for node in doctree.findall(nodes.raw) if "html" in node.get("format", "")]:
        text, anchor, title = number_output(node.astext(), site.NOTEBOOKS.index(stem) + 1, counts)
        if anchor:
            node.children, titles[anchor] = [nodes.Text(text)], title
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


def _link_glued_numbers(app: Sphinx, doctree: nodes.document) -> None:
    """Make each glued number a link to the cell that computed it."""
    from myst_nb.ext.glue.utils import PendingGlueReference

    for node in list(doctree.findall(PendingGlueReference)):
        cell = _glued_cells(Path(app.env.doc2path(node.refdoc))).get(node.key)
        if cell and node.refdoc != app.env.docname and isinstance(node.parent, nodes.TextElement):  # no whole figure
            target = f"{app.builder.get_relative_uri(app.env.docname, node.refdoc)}#cell-{cell}"
            title = f"computed in notebook {node.refdoc.rsplit('/', 1)[-1]}, cell {cell}"
            link = nodes.reference("", "", internal=True, refuri=target, reftitle=title, classes=["quoted"])
            node.replace_self(link)
            link += node


@cache
def _glued_cells(page: Path) -> dict[str, int]:
    """Key of each glued output of a notebook to the number of its cell."""
    cells = json.loads(page.read_text(encoding="utf-8"))["cells"] if page.suffix == ".ipynb" else ()
    return {
        output["metadata"]["scrapbook"]["name"]: cell["execution_count"]
        for cell in cells for output in cell.get("outputs", []) if "scrapbook" in output.get("metadata", {})
    }


def _list_library(app: Sphinx, docname: str, source: list[str]) -> None:
    source[0] = source[0].replace("% The list of the library\n", library_list())


def library_list() -> str:
    """List the public functions and classes of the library in Markdown, by module, each with its first line.

    >>> "- `threshold(theta)`: " in library_list()
    True
    """

    def first_line(node: ast.AST) -> str:
        return (ast.get_docstring(node) or "").partition("\n\n")[0].replace("\n", " ")

    package, parts = Path(lsegrepro.__file__).parent, []
    for path in [path for room in ROOMS for path in sorted((package / room).glob("*.py"))]:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        members = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)
                   and not node.name.startswith("_")]
        if not members or re.match("_[a-z]", path.stem):
            continue
        parts.append(f"\n## {path.parent.name}.{path.stem}\n\n{first_line(tree)}\n".replace(".__init__", ""))
        for node in members:  # names of arguments alone: `help` shows types and defaults
            names = [part.arg for part in ast.walk(getattr(node, "args", node)) if isinstance(part, ast.arg)]
            arguments = f"({', '.join(names)})" if isinstance(node, ast.FunctionDef) else ""
            parts.append(f"- `{node.name}{arguments}`: {first_line(node)}")
    return "\n".join(parts)
