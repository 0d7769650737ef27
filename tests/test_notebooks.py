"""The notebooks: sources without outputs, each of which runs on its own on a tiny run."""

import ast
import json
import re
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from lsegrepro.book.site import NOTEBOOKS

nbformat = pytest.importorskip("nbformat")
PARAMETERS = {"profile": "quick", "run_folder": "", "data": "", "device": "auto", "stand_in": False,
              "depth": "scratch"}


def source(name: str):
    path = ROOT / "notebooks" / f"{name}.ipynb"
    assert path.is_file(), f"notebooks/{name}.ipynb is missing"
    return nbformat.read(path, 4)


def tagged(notebook, tag: str) -> list:
    return [cell for cell in notebook.cells if tag in cell.metadata.get("tags", [])]


# The sources


def test_there_is_a_source_for_each_chapter_and_no_other():
    assert sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb")) == sorted(NOTEBOOKS)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_source_is_a_valid_notebook_without_outputs(name):
    notebook = source(name)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) >= (4, 5)
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
    assert notebook.metadata.kernelspec.name == "python3" and notebook.metadata.kernelspec.language == "python"
    assert set(notebook.metadata) <= {"kernelspec", "language_info"}
    for cell in notebook.cells:
        assert set(cell.metadata) <= {"tags", "mystnb"} and cell.source.strip()
        if cell.cell_type == "code":
            assert cell.outputs == [] and cell.execution_count is None


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_source_opens_with_a_title_and_a_question_then_its_parameters(name):
    first, second, *rest = source(name).cells
    title, *body = first.source.split("\n")
    assert first.cell_type == "markdown" and re.fullmatch(r"# \S.*", title) and "?" in "".join(body)
    assert tagged(source(name), "parameters") == [second] and "remove-input" in second.metadata.tags
    assigned = {statement.targets[0].id: ast.literal_eval(statement.value)
                for statement in ast.parse(second.source).body}
    assert assigned == PARAMETERS
    assert not any(cell.source.startswith("# ") for cell in rest if cell.cell_type == "markdown")


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_code_is_open_and_short(name):
    """One folded cell of imports; every other cell is shown, and short enough to be copied."""
    cells = [cell for cell in source(name).cells if cell.cell_type == "code"]
    assert [cell.metadata.get("tags", []) for cell in cells[1:2]] == [["hide-input"]]
    for cell in cells[2:]:
        assert not {"hide-input", "hide-cell", "remove-input", "remove-cell"} & set(cell.metadata.get("tags", []))
    for cell in cells:
        assert lines_of_code(cell) <= 15, cell.source


def test_the_notebooks_hold_little_code():
    assert sum(lines_of_code(cell) for name in NOTEBOOKS for cell in source(name).cells
               if cell.cell_type == "code") <= 900


def lines_of_code(cell) -> int:
    return sum(bool(line.strip()) for line in cell.source.splitlines())


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_no_sentence_is_assembled_in_code(name):
    for cell in source(name).cells:
        assert cell.cell_type != "code" or not re.search(r"\bMarkdown\(", cell.source), cell.source


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_source_is_thin_and_speaks_of_no_machine(name):
    for cell in source(name).cells:
        assert not re.search(r"/(home|work|root|tmp|Users)/|https?://(localhost|127)", cell.source)
        if cell.cell_type == "code":
            tree = ast.parse(cell.source)
            imported = [node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
                        for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
            assert not {"matplotlib", "PIL"} & {module.split(".")[0] for module in imported}


# Their execution


def page(executed, name: str):
    folder, said = executed
    assert said[name].returncode == 0, said[name].stderr[-3000:]
    path = folder / ("stand-in.ipynb" if name == "stand-in" else f"run/executed/{name}.ipynb")
    return path, nbformat.read(path, 4)


@pytest.mark.parametrize("name", [*NOTEBOOKS, "stand-in"])
def test_a_notebook_runs_on_its_own(executed, name):
    path, notebook = page(executed, name)
    nbformat.validate(notebook)
    injected = tagged(notebook, "injected-parameters")
    assert len(injected) == 1 and f"stand_in = {name == 'stand-in'}" in injected[0].source
    shown = 0
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.execution_count is not None
            for output in cell.outputs:
                assert output.output_type != "error"
                shown += output.output_type in ("display_data", "execute_result")
                if output.output_type == "stream":  # progress, in a cell that hides it
                    assert output.name == "stderr" and "remove-stderr" in cell.metadata.get("tags", []), output.text
    assert shown >= 5


@pytest.mark.parametrize("name", [*NOTEBOOKS, "stand-in"])
def test_an_executed_notebook_tells_nothing_of_the_machine(executed, name):
    path, notebook = page(executed, name)
    assert set(notebook.metadata) <= {"kernelspec", "language_info"}
    assert all(set(cell.metadata) <= {"tags", "mystnb"} for cell in notebook.cells)
    text = path.read_text(encoding="utf-8")
    for place in (str(executed[0]), str(ROOT), str(Path.home()), sys.prefix):
        if len(place) > 1 and place != "/root":
            assert place not in text
    assert "/tmp/" not in text and "site-packages" not in text


@pytest.mark.parametrize("name", [*NOTEBOOKS, "stand-in"])
def test_figures_and_findings_are_whole(executed, name):
    _, notebook = page(executed, name)
    html = text = ""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            assert "application/vnd.jupyter.widget-view+json" not in data  # a page has no kernel to answer it
            assert "image/png" not in data  # figures come through one function, as HTML with words beside them
            html += data.get("text/html", "")
            text += data.get("text/plain", "")
    images = re.findall(r"<img\b[^>]*>", html)
    assert all(re.search(r'\balt="[^"]+"', image) for image in images)
    assert len(images) + html.count("<svg") + html.count("<table") >= 2
    assert 'class="provenance"' in html and "profile tiny" in html
    for word in (r"\bnan\b", r"\bNone\b", r"\binf\b", r"\{[a-z_]+\}"):
        assert not re.search(word, text), re.search(f".{{40}}{word}.{{40}}", text)


def test_executing_changes_no_result(executed, tiny_folder):
    """The notebooks find everything done: no weight, no evidence is written again."""
    page(executed, "03-training")
    for kind in ("weights", "negatives", "evidence"):
        for path in (tiny_folder / "run" / kind).iterdir():
            copy = executed[0] / "run" / kind / path.name
            assert copy.read_bytes() == path.read_bytes()
            assert copy.stat().st_mtime_ns == path.stat().st_mtime_ns
        names = {path.name for path in (executed[0] / "run" / kind).iterdir()}
        assert {name for name in names if not name.startswith("facts-")} == {
            path.name for path in (tiny_folder / "run" / kind).iterdir()}


def test_what_is_shown_is_what_the_run_holds(executed, tiny_run):
    """The table of the chapter on Table 2 holds the AP that the library computes."""
    from lsegrepro.runs.results import result

    _, notebook = page(executed, "06-table-2")
    text = json.dumps([cell.get("outputs", []) for cell in notebook.cells])
    for model in ("max1", "LSE1"):
        assert f"{100 * result(tiny_run, model, 'cat', 2).chosen.ap.value:.1f}" in text


# The published pages, recomputed from what is committed


NUMBER = re.compile(r"(?<![\w.])[-+−]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?")


def numbers(text: str) -> list[float]:
    return [float(number.replace(",", "").replace("−", "-")) for number in NUMBER.findall(text)]


def said_by(notebook) -> list[str]:
    """What each output says in words: tables, sentences, and the words beside each figure."""
    found = []
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            found.append(data.get("text/markdown") or data.get("text/plain") or output.get("text", ""))
    return found


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_published_page_comes_out_again_without_a_photograph(live, name):
    """Every sentence, table and description of the committed page, recomputed from the committed evidence."""
    folder, done = live
    assert done[name].returncode == 0, done[name].stderr[-3000:]
    committed = nbformat.read(ROOT / "book" / "executed" / f"{name}.ipynb", 4)
    again = nbformat.read(folder / "published" / "executed" / f"{name}.ipynb", 4)
    assert [cell.source for cell in again.cells] == [cell.source for cell in committed.cells]
    ours, theirs = said_by(again), said_by(committed)
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert NUMBER.sub("#", one) == NUMBER.sub("#", other)
        if one != other:  # another processor may round the last digit of what a network computes
            assert numbers(one) == pytest.approx(numbers(other), rel=0.02, abs=0.02)


def test_recomputing_leaves_the_published_results_alone(live):
    folder, _ = live
    for kind in ("weights", "negatives", "evidence"):
        theirs = ROOT / "published" / kind
        assert {p.name for p in (folder / "published" / kind).iterdir()} == {p.name for p in theirs.iterdir()}
        for path in theirs.iterdir():
            assert (folder / "published" / kind / path.name).read_bytes() == path.read_bytes()
