"""From a run to the HTML: notebooks executed whole or not at all, pages staged, failures told in a line."""

import dataclasses
import json
import os
import shutil
import sys
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, TINY, refused

from lsegrepro.book import site
from lsegrepro.files import locked, read_json, write_json
from lsegrepro.runs.folder import DATA_VARIABLE, open_run

pytest.importorskip("papermill", reason="the book's packages are not installed")
nbformat = pytest.importorskip("nbformat")


def notebook(*cells: str) -> dict:
    """A notebook of code cells, the first after the title tagged as the parameters."""
    from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

    names = ("profile", "run_folder", "data", "device", "depth")
    parameters = "\n".join([*(f'{name} = ""' for name in names), "stand_in = False"])
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return new_notebook(
        metadata={"kernelspec": kernel, "custom": "dropped"},
        cells=[new_markdown_cell("# A title"), new_code_cell(parameters, metadata={"tags": ["parameters"]}),
               *(new_code_cell(source) for source in cells)],
    )


@pytest.fixture
def book(tmp_path, monkeypatch):
    """A repository of one chapter, whose cells a test gives; the working folder is another one."""
    root = tmp_path / "repository"
    (root / "notebooks").mkdir(parents=True)
    (root / "_toc.yml").write_text("root: intro\n")
    monkeypatch.setattr(site, "ROOT", root)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)

    def write(*cells: str):
        path = root / "notebooks" / "01-data.ipynb"
        nbformat.write(notebook(*cells), path)
        return open_run("quick", "results", device="cpu")

    return write


# Executing a notebook


def test_a_notebook_is_executed_with_the_runs_parameters(book, tmp_path, monkeypatch, capfd):
    """Its page tells nothing of the machine; what the setup has to know is shown where a reader opens it."""
    monkeypatch.setenv(DATA_VARIABLE, "/elsewhere")
    run = dataclasses.replace(book(
        "import os", "print(profile, run_folder, device, stand_in, depth)",
        f"place = os.environ['{DATA_VARIABLE}']\nprint(place == data, len(place), os.path.basename(place))",
    ), data=Path("photographs"))
    path = site.ROOT / "notebooks" / "01-data.ipynb"
    source = nbformat.read(path, 4)
    folded = {"tags": ["hide-input"], "mystnb": {"code_prompt_show": "Show the setup"}}
    source.cells[2].metadata.update(folded)
    nbformat.write(source, path)
    target = site.execute(run, "01-data", stand_in=True)
    assert target == Path("results/executed/01-data.ipynb") and list(target.parent.glob("*.ipynb")) == [target]
    done = nbformat.read(target, 4)
    nbformat.validate(done)
    printed = [output.text for cell in done.cells if cell.cell_type == "code" for output in cell.outputs]
    place = tmp_path / "work" / "photographs"
    assert printed == ["quick results cpu True scratch\n", f"False {len(str(place))} photographs\n"]
    text = target.read_text()
    assert str(tmp_path) not in text and "papermill" not in text and "/elsewhere" not in text
    assert set(done.metadata) <= {"kernelspec", "language_info"}
    assert [cell.metadata for cell in done.cells] == [
        {}, {"tags": ["parameters"]}, {"tags": ["injected-parameters", "remove-input"]}, folded, {}, {}]
    assert done.cells[3].source == f"{done.cells[2].source}\n\nimport os"
    assert capfd.readouterr() == ("", "")


def test_a_cell_that_raises_leaves_nothing_under_the_final_name(book):
    run = book("print('so far')", "raise ValueError('first line\\nsecond line')", "print('never')")
    partial = Path("results/executed/01-data.failed.ipynb")
    message = refused(lambda: site.execute(run, "01-data"), "notebook 01-data stopped in cell ",
                      f": ValueError: first line; see {partial}")
    assert list(partial.parent.glob("*.ipynb")) == [partial]
    text = partial.read_text()
    assert "so far" in text and "second line" in text
    number = next(cell["execution_count"] for cell in json.loads(text)["cells"] if "raise" in "".join(cell["source"]))
    assert f"stopped in cell {number}:" in message
    site.execute(book("print('now')"), "01-data")
    assert [path.name for path in partial.parent.glob("*.ipynb")] == ["01-data.ipynb"]


def test_a_kernel_that_dies_is_told(book):
    run = book("import os; os._exit(1)")
    refused(lambda: site.execute(run, "01-data"), "notebook 01-data stopped: its kernel died", "memory")
    assert not Path("results/executed/01-data.ipynb").exists()


def test_a_notebook_runs_in_this_interpreter_whatever_kernelspecs_there_are(book, tmp_path, monkeypatch):
    """Another python3 in the user's folders."""
    other = {"argv": ["/bin/false"], "display_name": "Other", "language": "python"}
    write_json(tmp_path / "home/.local/share/jupyter/kernels/python3/kernel.json", other)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    run = book("import sys, os, lsegrepro; print(sys.executable, lsegrepro.__file__, os.environ['HOME'])")
    (output,) = read_json(site.execute(run, "01-data"))["cells"][-1]["outputs"]
    package, cache = ROOT / "lsegrepro/__init__.py", (run.folder / "cache/home").resolve()
    assert "".join(output["text"]).split() == [sys.executable, str(package), str(cache)]


def test_what_cannot_be_done_is_refused(tmp_path, monkeypatch):
    run = open_run("quick", tmp_path / "run")
    refused(lambda: site.execute(run, "8-more"), "no notebook '8-more' at depth scratch: choose one of 01-data, 02-lse")
    at_weights = open_run("local", tmp_path / "run", depth="weights")
    refused(lambda: site.execute(at_weights, "03-training"), "no notebook '03-training' at depth weights")
    with monkeypatch.context() as patch:
        patch.setattr(site, "find_spec", lambda name: None)
        for call in (lambda: site.execute(run, "01-data"), lambda: site.build(run), lambda: site.reproduce(run)):
            refused(call, "this needs ", "make env", "pip install 'lsegrepro[book]'")
    monkeypatch.setattr(site, "ROOT", tmp_path)
    refused(lambda: site.build(run), "the book's sources are not beside the package")
    assert not (tmp_path / "run").exists()


def test_what_is_missing_is_said_before_any_work(tmp_path, monkeypatch, capfd):
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    shutil.copytree(ROOT / "published" / "evidence", tmp_path / "lacking" / "evidence",
                    ignore=lambda folder, names: [name for name in names if not name.startswith("regions")])
    for folder, depth, part in (("empty", "evidence", "regions-train.npz is not there"),
                                ("lacking", "evidence", "round1-seed0-train.npz is not there"),
                                ("empty", "weights", "set LSEGREPRO_DATA"), ("empty", "scratch", "set LSEGREPRO_DATA")):
        run = open_run("local", tmp_path / folder, depth=depth)
        refused(lambda run=run: site.reproduce(run), part)
    assert not (tmp_path / "empty").exists() and capfd.readouterr().out == ""


# Staging and building


@pytest.fixture(autouse=True)
def published(tmp_path, monkeypatch) -> Path:
    """A published run of which no page was executed here."""
    folder = tmp_path / "published"
    (folder / "executed").mkdir(parents=True)
    monkeypatch.setattr(site, "PUBLISHED", folder)
    return folder


@pytest.fixture
def staged(tmp_path):
    """Stage a run of a profile of this name with these pages; its table of contents and the folder."""

    def stage(name: str, *pages: str):
        profile = tmp_path / f"{name}.toml"
        profile.write_text(TINY)
        run = open_run(profile, tmp_path / "run")
        (run.folder / "executed").mkdir(parents=True, exist_ok=True)
        for page in pages:
            (run.folder / "executed" / f"{page}.ipynb").write_text(json.dumps(notebook()))
        folder = run.folder / "site"
        site._stage(run, folder)
        return yaml.safe_load((folder / "_toc.yml").read_text()), folder

    return stage


def test_the_pages_of_a_run_become_a_part_of_the_book(staged):
    name = "it's \"mine\": a #1"
    committed = yaml.safe_load((site.ROOT / "_toc.yml").read_text())
    table, folder = staged(name, "01-data.failed")
    assert table == committed and not (folder / "book" / "run").exists()
    for source in ("_config.yml", "book/intro.md", "book/_static/book.css", "book/executed/05-theta.ipynb"):
        assert (folder / source).read_bytes() == (site.ROOT / source).read_bytes()
    staged(name, "02-lse-vs-max")
    (folder.parent / "executed/02-lse-vs-max.ipynb").unlink()
    table, folder = staged(name, "06-table-2", "01-data")
    *others, part = table["parts"]
    assert others == committed["parts"] and part["caption"] == f"Your run: profile {name}"
    assert [chapter["file"] for chapter in part["chapters"]] == ["book/run/01-data", "book/run/06-table-2"]
    assert {path.name for path in (folder / "book/run").iterdir()} == {"01-data.ipynb", "06-table-2.ipynb"}


def test_pages_recomputed_here_take_the_place_of_the_committed_ones(staged, published):
    for name in ("05-theta", "06-table-2"):
        (published / "executed" / f"{name}.ipynb").write_text(json.dumps(notebook("'recomputed'")))
    os.utime(published / "executed" / "06-table-2.ipynb", (1e9, 1e9))  # before the committed page was written
    _, folder = staged("mine")
    for name in site.NOTEBOOKS:
        page = folder / "book" / "executed" / f"{name}.ipynb"
        assert ("recomputed" in page.read_text()) is (name == "05-theta"), name


def test_the_published_run_is_no_part_beside_itself(tmp_path, published):
    (published / "executed" / "05-theta.ipynb").write_text(json.dumps(notebook("'recomputed'")))
    site._stage(open_run("local", published, depth="evidence"), tmp_path / "site")
    assert (tmp_path / "site" / "_toc.yml").read_bytes() == (site.ROOT / "_toc.yml").read_bytes()
    assert "recomputed" in (tmp_path / "site" / "book" / "executed" / "05-theta.ipynb").read_text()


def test_a_build_that_warns_leaves_no_index(tmp_path, monkeypatch, capsys):
    def fake(command, variables, log):
        index = Path(command[command.index("build") + 1]) / "_build" / "html" / "index.html"
        index.parent.mkdir(parents=True)
        index.write_text("half a book")
        log.write_text("WARNING: a page lacks something\n")
        return 1

    monkeypatch.setattr(site, "run_program", fake)
    run = open_run("quick", tmp_path / "run")
    refused(lambda: site.build(run), "Jupyter Book stopped", run.folder / "site.new" / "build.log")
    assert "a page lacks something" in capsys.readouterr().err
    assert not (run.folder / "site" / "_build" / "html" / "index.html").exists()


@pytest.fixture
def commands(monkeypatch) -> list[list[str]]:
    """The commands that would have been run."""
    commands = []

    def fake(command, variables):
        settings = read_json(command[command.index("--configfile") + 1])
        commands.append([*command, settings])
        return 0

    monkeypatch.setattr(site, "run_program", fake)
    return commands


def test_reproduce_leaves_the_cores_to_a_profile(tmp_path, commands, monkeypatch):
    monkeypatch.setattr(site, "cores", lambda: 5)  # of the affinity and a container's quota, not of the machine
    for options in ({}, {"snakemake_profile": "there"}, {"snakemake_profile": "there", "jobs": 3}):
        site.reproduce(open_run("quick", tmp_path / "run"), dry_run=True, **options)
    assert not (tmp_path / "run").exists()  # a dry run leaves no trace
    with_cores = [command[command.index("--cores") + 1] if "--cores" in command else None for command in commands]
    assert with_cores == ["5", None, "3"]
    assert [command[command.index("--profile") + 1] for command in commands] == ["none", "there", "there"]


def test_a_second_process_on_one_run_is_told(tmp_path, commands, monkeypatch):
    run = open_run("quick", tmp_path / "run")
    monkeypatch.setattr(site, "GRACE", 0.0)
    for name, call in (("reproduce", site.reproduce), ("site", site.build)):
        with locked(run.folder / name):
            refused(lambda call=call: call(run), "another process is making", run.folder / name)
    assert commands == []
