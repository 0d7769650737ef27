"""The notebooks: sources without outputs, each of which runs on its own on a tiny run."""

import ast
import re
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import ROOT

from lsegrepro import evaluation
from lsegrepro.book.site import NOTEBOOKS, execute
from lsegrepro.runs.folder import DATA_VARIABLE, open_run
from lsegrepro.runs.results import choose_theta
from lsegrepro.runs.statistics import write_statistics

pytest.importorskip("papermill", reason="the book's packages are not installed")
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


def test_there_is_a_source_for_each_chapter_and_no_other_and_little_code_in_all():
    assert sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb")) == sorted(NOTEBOOKS)
    code = [cell.source for name in NOTEBOOKS for cell in source(name).cells if cell.cell_type == "code"]
    assert sum(bool(line.strip()) for text in code for line in text.splitlines()) <= 900


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_source_is_a_valid_notebook_without_outputs_that_speaks_of_no_machine(name):
    notebook = source(name)
    nbformat.validate(notebook)
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
    assert notebook.metadata.kernelspec.name == "python3" and notebook.metadata.kernelspec.language == "python"
    assert set(notebook.metadata) <= {"kernelspec", "language_info"}
    for cell in notebook.cells:
        assert set(cell.metadata) <= {"tags", "mystnb"} and cell.source.strip()
        assert not cell.get("outputs") and cell.get("execution_count") is None
        assert not re.search(r"/(home|work|root|tmp|Users)/|https?://(localhost|127)", cell.source)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_source_opens_with_a_title_and_a_question_then_its_parameters(name):
    """Then comes one folded cell of imports; every other is shown, and short enough to be copied."""
    first, second, *rest = source(name).cells
    title, *body = first.source.split("\n")
    assert first.cell_type == "markdown" and re.fullmatch(r"# \S.*", title) and "?" in "".join(body)
    assert tagged(source(name), "parameters") == [second] and "remove-input" in second.metadata.tags
    assigned = {statement.targets[0].id: ast.literal_eval(statement.value)
                for statement in ast.parse(second.source).body}
    assert assigned == PARAMETERS
    assert not any(cell.source.startswith("# ") for cell in rest if cell.cell_type == "markdown")
    setup, *others = [cell for cell in rest if cell.cell_type == "code"]
    assert setup.metadata.tags == ["hide-input"]
    for cell in others:
        assert not {"hide-input", "hide-cell", "remove-input", "remove-cell"} & set(cell.metadata.get("tags", []))
    assert all(sum(bool(line.strip()) for line in cell.source.splitlines()) <= 15 for cell in (setup, *others))


# Their execution


@pytest.fixture(scope="module")
def executed(tiny_folder, tmp_path_factory) -> Path:
    """The folder of a copy of the tiny run, with every notebook executed, two at a time.

    ``stand-in.ipynb`` is the chapter of pictures executed with that option.
    """
    folder = tmp_path_factory.mktemp("notebooks")
    shutil.copytree(tiny_folder, folder, dirs_exist_ok=True)
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(2) as pool:
        patch.chdir(folder)  # pages state the run's folder
        run = open_run("tiny.toml", "run", device="cpu", progress=False)
        write_statistics(run)
        execute(run, "07-qualitative", stand_in=True).rename("run/executed/stand-in.ipynb")
        list(pool.map(lambda name: execute(run, name), NOTEBOOKS))
    return folder / "run"


@pytest.mark.parametrize("name", [*NOTEBOOKS, "stand-in"])
def test_a_notebook_runs_on_its_own(executed, name):
    """Its figures are whole, its sentences have no hole, and it tells nothing of the machine."""
    path = executed / f"executed/{name}.ipynb"
    notebook = nbformat.read(path, 4)
    nbformat.validate(notebook)
    (injected,) = tagged(notebook, "injected-parameters")
    assert f"stand_in = {name == 'stand-in'}" in injected.source
    assert set(notebook.metadata) <= {"kernelspec", "language_info"}
    assert all(set(cell.metadata) <= {"tags", "mystnb"} for cell in notebook.cells)
    shown, html, text = 0, "", ""
    for cell in (cell for cell in notebook.cells if cell.cell_type == "code"):
        assert cell.execution_count is not None
        for output in cell.outputs:
            if output.output_type == "stream":  # progress, in a cell that hides it
                assert output.name == "stderr" and "remove-stderr" in cell.metadata.get("tags", []), output.text
                continue
            shown += 1
            # A page has no kernel to answer a widget, and figures come as HTML with words beside them.
            assert not {"application/vnd.jupyter.widget-view+json", "image/png"} & set(output.data)
            html += output.data.get("text/html", "")
            text += output.data.get("text/plain", "")
    images = re.findall(r"<img\b[^>]*>", html)
    assert all(re.search(r'\balt="[^"]+"', image) for image in images)
    assert shown >= 5 and len(images) + html.count("<svg") + html.count("<table") >= 2
    assert 'class="provenance"' in html and "profile tiny" in html
    for word in (r"\bnan\b", r"\bNone\b", r"\binf\b", r"\{[a-z_]+\}"):
        assert not re.search(word, text), re.search(f".{{40}}{word}.{{40}}", text)
    content = path.read_text(encoding="utf-8")
    for place in (str(executed), str(ROOT), str(Path.home()), sys.prefix, "/tmp/", "site-packages"):
        assert place in ("/", "/root") or place not in content


def test_executing_changes_no_result_and_twice_gives_the_same_bytes(executed, tiny_folder, monkeypatch):
    for kind in ("weights", "negatives", "evidence"):
        theirs = tiny_folder / "run" / kind
        assert {path.name for path in (executed / kind).iterdir()} == {path.name for path in theirs.iterdir()}
        for path in theirs.iterdir():
            copy = executed / kind / path.name
            assert (copy.read_bytes(), copy.stat().st_mtime_ns) == (path.read_bytes(), path.stat().st_mtime_ns)
    path = executed / "executed/06-table-2.ipynb"
    before = path.read_bytes()
    monkeypatch.chdir(executed.parent)
    execute(open_run("tiny.toml", "run", device="cpu"), path.stem)
    assert path.read_bytes() == before


def test_what_is_shown_is_what_the_run_holds(executed, tiny_run):
    """The table of the chapter on Table 2 holds the AP that the library computes."""
    text = (executed / "executed/06-table-2.ipynb").read_text(encoding="utf-8")
    for model in ("max1", "LSE1"):
        ap = evaluation.ap(tiny_run.smoothed(model, "cat", 2).at(choose_theta(tiny_run, model, "cat", 2)))
        assert f"{100 * ap:.1f}" in text


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


@pytest.fixture(scope="module")
def live(tmp_path_factory) -> Path:
    """A copy of the published run with every page executed as in a fresh clone, where no photograph is at hand."""
    folder = tmp_path_factory.mktemp("clone") / "published"
    shutil.copytree(ROOT / "published", folder, ignore=shutil.ignore_patterns("executed", "site", "cache"))
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(2) as pool:
        patch.delenv(DATA_VARIABLE, raising=False)
        patch.chdir(folder.parent)
        run = open_run("local", "published", depth="evidence")
        list(pool.map(lambda name: execute(run, name, stand_in=True), NOTEBOOKS))
    return folder


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_published_page_comes_out_again_without_a_photograph(live, name):
    """Every sentence, table and description of the committed page, recomputed from the committed evidence."""
    committed = nbformat.read(ROOT / f"book/executed/{name}.ipynb", 4)
    again = nbformat.read(live / f"executed/{name}.ipynb", 4)
    assert [cell.source for cell in again.cells] == [cell.source for cell in committed.cells]
    for one, other in zip(said_by(again), said_by(committed), strict=True):
        assert NUMBER.sub("#", one) == NUMBER.sub("#", other)
        if one != other:  # another processor may round the last digit of what a network computes
            assert numbers(one) == pytest.approx(numbers(other), rel=0.02, abs=0.02)
