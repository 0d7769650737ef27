"""From a run to the HTML: notebooks executed whole or not at all, pages staged, failures told in a line."""

import dataclasses
import json
import os
from pathlib import Path

import pytest
import yaml
from conftest import TINY, one_line

from lsegrepro.book import site
from lsegrepro.files import LsegreproError, locked
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


def test_a_notebook_is_executed_with_the_runs_parameters(book, tmp_path, monkeypatch):
    monkeypatch.setenv(DATA_VARIABLE, "/elsewhere")
    run = dataclasses.replace(book(
        "print(profile, run_folder, device, stand_in, depth)",
        f"import os; print(os.environ['{DATA_VARIABLE}'] == data, len("
        f"os.environ['{DATA_VARIABLE}']), os.path.basename(os.environ['{DATA_VARIABLE}']))",
    ), data=Path("photographs"))
    target = site.execute(run, "01-data", stand_in=True)
    assert target == Path("results/executed/01-data.ipynb") and list(target.parent.glob("*.ipynb")) == [target]
    done = nbformat.read(target, 4)
    nbformat.validate(done)
    said = [output.text for cell in done.cells if cell.cell_type == "code" for output in cell.outputs]
    place = tmp_path / "work" / "photographs"
    assert said == ["quick results cpu True scratch\n", f"False {len(str(place))} photographs\n"]
    assert os.environ[DATA_VARIABLE] == "/elsewhere"  # given to the kernel alone
    text = target.read_text()
    assert str(tmp_path) not in text and "papermill" not in text and "/elsewhere" not in text
    assert set(done.metadata) <= {"kernelspec", "language_info"}
    assert [cell.metadata for cell in done.cells] == [
        {}, {"tags": ["parameters"]}, {"tags": ["injected-parameters", "remove-input"]}, {}, {}]


def test_the_parameters_are_shown_with_the_setup(book, tmp_path, monkeypatch):
    """The cell of the setup is folded into one line, which opens to what a reader has to copy."""
    run = book("import math")
    path = site.ROOT / "notebooks" / "01-data.ipynb"
    source = nbformat.read(path, 4)
    folded = {"tags": ["hide-input"], "mystnb": {"code_prompt_show": "Show the setup"}}
    source.cells[-1].metadata.update(folded)
    nbformat.write(source, path)
    *_, injected, setup = nbformat.read(site.execute(run, "01-data"), 4).cells
    assert "remove-input" in injected.metadata.tags and setup.metadata == folded
    assert setup.source.startswith(injected.source) and setup.source.endswith("import math")


def test_a_cell_that_raises_leaves_nothing_under_the_final_name(book):
    run = book("print('so far')", "raise ValueError('first line\\nsecond line')", "print('never')")
    with pytest.raises(LsegreproError) as error:
        site.execute(run, "01-data")
    one_line(error, "notebook 01-data stopped in cell ", ": ValueError: first line; see ",
             Path("results/executed/01-data.failed.ipynb"))
    folder = Path("results/executed")
    assert [path.name for path in folder.glob("*.ipynb")] == ["01-data.failed.ipynb"]
    kept = (folder / "01-data.failed.ipynb").read_text()
    assert "so far" in kept and "second line" in kept
    stopped = json.loads(kept)["cells"]
    number = next(cell["execution_count"] for cell in stopped if "raise" in "".join(cell["source"]))
    assert f"stopped in cell {number}:" in str(error.value)
    site.execute(book("print('now')"), "01-data")
    assert [path.name for path in folder.glob("*.ipynb")] == ["01-data.ipynb"]


def test_a_kernel_that_dies_is_told(book):
    with pytest.raises(LsegreproError) as error:
        site.execute(book("import os; os._exit(1)"), "01-data")
    one_line(error, "the kernel of notebook 01-data died")
    assert not Path("results/executed/01-data.ipynb").exists()


def test_an_unknown_notebook_or_a_missing_package_is_refused(tmp_path, monkeypatch):
    run = open_run("quick", tmp_path / "run")
    with pytest.raises(LsegreproError) as error:
        site.execute(run, "8-more")
    one_line(error, "no notebook '8-more': choose one of 01-data, 02-lse-vs-max")
    monkeypatch.setattr(site, "find_spec", lambda name: None)
    for call in (lambda: site.execute(run, "01-data"), lambda: site.build(run), lambda: site.reproduce(run)):
        with pytest.raises(LsegreproError) as error:
            call()
        one_line(error, "this needs ", "make env", "pip install 'lsegrepro[book]'")
    monkeypatch.undo()
    monkeypatch.setattr(site, "ROOT", tmp_path)
    with pytest.raises(LsegreproError) as error:
        site.build(run)
    one_line(error, "the book's sources are not beside the package")
    assert not (tmp_path / "run").exists()


def test_a_kernel_starts_without_a_word(book, capfd):
    site.execute(book("print('quiet')"), "01-data")
    assert capfd.readouterr() == ("", "")


def test_what_is_missing_is_said_before_any_work(own_run, tmp_path, monkeypatch, capfd):
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    empty = open_run("local", tmp_path / "empty", depth="evidence")
    lacking = open_run(own_run.profile.path, own_run.folder, depth="evidence")
    own_run.scores_path("LSE1", "cat", 2).unlink()
    for run, part in ((empty, "regions-train.npz is not there"),
                      (lacking, "LSE1-cat-round2-seed0-val.npz is not there"),
                      (open_run("local", tmp_path / "empty", depth="weights"), "set LSEGREPRO_DATA"),
                      (open_run("local", tmp_path / "empty"), "set LSEGREPRO_DATA")):
        with pytest.raises(LsegreproError) as error:
            site.reproduce(run)
        one_line(error, part)
    assert not (tmp_path / "empty").exists() and capfd.readouterr().out == ""


# Staging and building


@pytest.fixture(autouse=True)
def published(tmp_path, monkeypatch) -> Path:
    """A published run of which no page was executed here."""
    folder = tmp_path / "published"
    (folder / "executed").mkdir(parents=True)
    (folder / "evidence").mkdir()
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


def test_the_book_alone_is_staged_as_it_is(staged):
    table, folder = staged("mine", "01-data.failed")
    assert table == yaml.safe_load((site.ROOT / "_toc.yml").read_text())
    assert not (folder / "book" / "run").exists()
    assert (folder / "_config.yml").read_bytes() == (site.ROOT / "_config.yml").read_bytes()
    for path in (site.ROOT / "book").rglob("*"):
        copy = folder / "book" / path.relative_to(site.ROOT / "book")
        assert copy.is_dir() if path.is_dir() else copy.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("name", ["mine", "it's \"mine\"", "a: b #c", "Kätzchen"])
def test_the_pages_of_a_run_become_a_part_of_the_book(staged, name):
    table, folder = staged(name, "06-table-2", "01-data")
    part = table["parts"][-1]
    assert part["caption"] == f"Your run: profile {name}"
    assert [chapter["file"] for chapter in part["chapters"]] == ["book/run/01-data", "book/run/06-table-2"]
    assert all((folder / f"{chapter['file']}.ipynb").is_file() for chapter in part["chapters"])
    assert table["parts"][:-1] == yaml.safe_load((site.ROOT / "_toc.yml").read_text())["parts"]


def test_staging_again_leaves_nothing_of_before(staged):
    _, folder = staged("mine", "06-table-2", "01-data")
    (folder / "_build").mkdir()
    for path in (folder.parent / "executed").iterdir():
        path.unlink()
    table, folder = staged("mine", "05-theta")
    assert [path.name for path in (folder / "book" / "run").iterdir()] == ["05-theta.ipynb"]
    assert not (folder / "_build").exists() and len(table["parts"][-1]["chapters"]) == 1


def test_pages_recomputed_here_take_the_place_of_the_committed_ones(staged, published):
    for name in ("05-theta", "06-table-2"):
        (published / "executed" / f"{name}.ipynb").write_text(json.dumps(notebook("'recomputed'")))
    os.utime(published / "executed" / "06-table-2.ipynb", (1e9, 1e9))  # before its notebook was changed
    _, folder = staged("mine")
    for name in site.NOTEBOOKS:
        page = folder / "book" / "executed" / f"{name}.ipynb"
        assert ("recomputed" in page.read_text()) is (name == "05-theta"), name
    evidence = published / "evidence" / "regions-val.npz"
    evidence.write_text("newer")
    os.utime(evidence, (4e9, 4e9))
    _, folder = staged("mine")
    assert "recomputed" not in (folder / "book" / "executed" / "05-theta.ipynb").read_text()


def test_the_published_run_is_no_part_beside_itself(tmp_path, published):
    page = published / "executed" / "05-theta.ipynb"
    page.write_text(json.dumps(notebook("'recomputed'")))
    site._stage(open_run("local", published, depth="evidence"), tmp_path / "site")
    table = yaml.safe_load((tmp_path / "site" / "_toc.yml").read_text())
    assert table == yaml.safe_load((site.ROOT / "_toc.yml").read_text())
    assert (tmp_path / "site" / "book" / "executed" / "05-theta.ipynb").read_bytes() == page.read_bytes()


def test_without_torch_two_chapters_are_recomputed(monkeypatch):
    assert site.chapters() == site.chapters("evidence") == site.NOTEBOOKS
    monkeypatch.setattr(site, "find_spec", lambda name: None)
    assert site.chapters("evidence") == site.WITHOUT_TORCH and site.chapters() == site.NOTEBOOKS


def test_every_page_in_the_table_of_contents_has_a_source():
    table = yaml.safe_load((site.ROOT / "_toc.yml").read_text())
    files = [table["root"], *(chapter["file"] for part in table["parts"] for chapter in part["chapters"])]
    assert len(files) == len(set(files))
    for file in files:
        if "executed" in file:
            assert Path(file).name in site.NOTEBOOKS
        else:
            assert (site.ROOT / f"{file}.md").is_file(), file
    assert [Path(file).name for file in files if "executed" in file] == list(site.NOTEBOOKS)


def test_a_build_that_warns_leaves_no_index(tmp_path, monkeypatch, capsys):
    def fake(command, variables, stdout, **options):
        index = Path(command[command.index("build") + 1]) / "_build" / "html" / "index.html"
        index.parent.mkdir(parents=True)
        index.write_text("half a book")
        stdout.write("WARNING: a page lacks something\n")
        return 1

    monkeypatch.setattr(site, "run_program", fake)
    run = open_run("quick", tmp_path / "run")
    with pytest.raises(LsegreproError) as error:
        site.build(run)
    one_line(error, "Jupyter Book stopped", run.folder / "site.new" / "build.log")
    assert "a page lacks something" in capsys.readouterr().err
    assert not (run.folder / "site" / "_build" / "html" / "index.html").exists()


def test_the_notebooks_on_both_rounds_are_refused_where_one_is(tmp_path):
    for name in site.ON_TRAINING:
        with pytest.raises(LsegreproError) as error:
            site.execute(open_run("local", tmp_path / "run", depth="weights"), name)
        one_line(error, f"notebook {name} is about both rounds", "take depth evidence or scratch")
    assert not (tmp_path / "run").exists()


def test_reproduce_leaves_the_cores_to_a_profile(tiny_run, monkeypatch):
    commands = []
    monkeypatch.setattr(site, "run_program", lambda command, variables: commands.append(command) or 0)
    monkeypatch.setattr(site, "cores", lambda: 5)  # of the affinity and a container's quota, not of the machine
    for options in ({}, {"snakemake_profile": "there"}, {"snakemake_profile": "there", "jobs": 3}):
        site.reproduce(tiny_run, dry_run=True, **options)
    with_cores = [command[command.index("--cores") + 1] if "--cores" in command else None for command in commands]
    assert with_cores == ["5", None, "3"]
    assert [command[command.index("--profile") + 1] for command in commands] == ["none", "there", "there"]
    assert all({"--nolock", "--rerun-incomplete"} < set(command) for command in commands)


@pytest.mark.parametrize("name", ["1e3", "010", "true", "a: b", "it's \"x\"", "Kätzchen 😺", "a #b", "[a, b]", "a=b"])
def test_snakemake_gets_the_name_as_it_is(tmp_path, monkeypatch, name):
    parse = pytest.importorskip("snakemake.cli").parse_config
    commands = []
    monkeypatch.setattr(site, "run_program", lambda command, variables: commands.append(command) or 0)
    monkeypatch.setattr(site, "ROOT", tmp_path)
    (tmp_path / "_toc.yml").write_text("")
    (tmp_path / "tiny.toml").write_text(TINY)
    site.reproduce(open_run(tmp_path / "tiny.toml", tmp_path / name, device="cpu"), dry_run=True)
    (command,) = commands
    assert parse(command[command.index("--config") + 1 :]) == {
        "profile": ["tiny.toml"], "run": [name], "device": ["cpu"], "depth": ["scratch"]}
    with pytest.raises(LsegreproError) as error:
        site.reproduce(open_run(tmp_path / "tiny.toml", tmp_path / "{a}", device="cpu"), dry_run=True)
    one_line(error, "braces", "{a}")


def test_a_second_process_on_one_run_is_told(tiny_run, tmp_path, monkeypatch):
    run = dataclasses.replace(tiny_run, folder=tmp_path / "run")
    monkeypatch.setattr(site, "GRACE", 0.0)
    monkeypatch.setattr(site, "run_program", lambda *_: pytest.fail("it began"))
    for name, call in (("reproduce", lambda: site.reproduce(run)), ("site", lambda: site.build(run))):
        with locked(run.folder / name), pytest.raises(LsegreproError) as error:
            call()
        one_line(error, "another process is making", run.folder / name)
