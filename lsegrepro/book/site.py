"""From a run to the HTML: Snakemake runs what is missing, Jupyter Book builds the pages."""

import json
import os
import shutil
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from ..files import LsegreproError, atomic, cores, locked, read_json, write_json
from ..runs.folder import SPLITS, RunFolder, has_images, open_run, repository
from ..runs.published import PUBLISHED
from .processes import GRACE, environment, run_program

ROOT = repository() or Path(__file__).resolve().parents[2]
"""The repository: the book's sources stand beside the package."""

NOTEBOOKS = (
    "01-data", "02-lse-vs-max", "03-training", "04-hard-negatives", "05-theta", "06-table-2", "07-qualitative",
    "08-speed", "09-verdicts", "10-experiments",
)

ON_TRAINING = ("03-training", "04-hard-negatives")  # about both rounds, with what led from the one to the other

PATIENCE = 1800.0  # seconds to wait for another process that executes the same page of the published run


def reproduce(
    run: RunFolder, *, jobs: int | None = None, dry_run: bool = False, snakemake_profile: str | None = None
) -> None:
    """Do everything a run lacks, run the notebooks and build the book (Snakemake, papermill, Jupyter Book).

    At depth evidence nothing is trained or scored; at depth weights the published networks are taken instead of
    trained. `jobs` are cores for all jobs together: default those that this process may use, or what the Snakemake
    profile says. Raises `LsegreproError` if an input is missing, before any work, or if a job fails.
    """
    _require_book()
    _check_inputs(run)
    command = [
        sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "workflow/Snakefile"), "--directory", str(ROOT),
        "--rerun-incomplete", "--rerun-triggers", "mtime", "--quiet", "rules", "--keep-going",
        "--nolock",  # its own locks outlive a kill; ours do not
        "--profile", snakemake_profile or "none", "--workflow-profile", "none", *["--dry-run"] * dry_run,
    ]
    if jobs or not snakemake_profile:  # a profile says it for its machines
        command += ["--cores", str(jobs or cores())]
    spec = run.profile.spec if run.profile.path is None else os.path.relpath(run.profile.path, ROOT)
    settings = {"profile": spec, "run": os.path.relpath(run.folder, ROOT), "device": run.device, "depth": run.depth}
    with tempfile.TemporaryDirectory() if dry_run else locked(run.folder / "reproduce", timeout=GRACE) as temporary:
        home = Path(temporary or run.folder / "cache/home")  # a dry run writes nothing into the run
        write_json(home / "settings.json", settings)
        command += ["--configfile", str((home / "settings.json").resolve())]
        if run_program(command, environment(home, run.data)):
            raise LsegreproError("reproduce stopped; the first error is above. The same command goes on from there")
    if not dry_run:
        print(f"The book: {run.folder / 'site/_build/html/index.html'}")


def _check_inputs(run: RunFolder) -> None:
    """Raise `LsegreproError` if evidence, photographs or a device is missing, before any work."""
    if run.depth == "evidence":
        for network in run.networks():
            for split in SPLITS:
                run.scores(*network, split)  # refuses what is absent or damaged
        return
    if run.profile.data.kind == "photographs":
        if run.depth == "scratch":
            run.weak("train"), run.weak("heldout")
        run.segmentation("train"), run.segmentation("val")
    from ..network.devices import parse_device

    parse_device(run.device)


def chapters(depth: str = "scratch") -> tuple[str, ...]:
    """The notebooks that can be executed: at depth weights, which has the last round alone, not `ON_TRAINING`."""
    return tuple(name for name in NOTEBOOKS if depth != "weights" or name not in ON_TRAINING)


def build(run: RunFolder) -> Path:
    """Build the HTML: the published pages, and those this run has executed.

    Gives the path of ``index.html``, below the run's folder; raises `LsegreproError` if Jupyter Book is not installed,
    or warns (its log is then shown).
    """
    _require_book()
    site, staged = run.folder / "site", run.folder / "site.new"
    with locked(site, timeout=GRACE):
        _stage(run, staged)
        # Not the program jupyter-book, whose first line names the interpreter that it was installed with.
        command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build", str(staged), "-W",
                   "--keep-going", "--all", "-q"]
        log = staged / "build.log"
        if run_program(command, environment(run.folder / "cache/home"), log):
            sys.stderr.write(log.read_text(encoding="utf-8")[-8000:])
            raise LsegreproError(f"Jupyter Book stopped; the log above is {log}")
        static = staged / "_build/html/_static"  # of which no page loads translations, maps or fonts of old browsers
        shutil.rmtree(static / "locales", ignore_errors=True)
        for unused in [*static.rglob("*.map"), *static.rglob("*.ttf")]:
            unused.unlink()
        shutil.rmtree(site, ignore_errors=True)
        (site / "_build").mkdir(parents=True)
        (staged / "_build/html").rename(site / "_build/html")  # pages that lack something never have this name
        shutil.rmtree(staged)
    return site / "_build/html/index.html"


def _stage(run: RunFolder, site: Path) -> None:
    """Copy the book's sources: with the published pages that were recomputed here since the committed ones were
    written, and with this run's pages as a part of their own."""
    from . import browser  # Matplotlib, which the other commands do without

    shutil.rmtree(site, ignore_errors=True)
    site.mkdir(parents=True)
    shutil.copytree(ROOT / "book", site / "book", ignore=shutil.ignore_patterns("tfjs"))
    browser.write(site / "book/_scripts/try", ROOT / "book/_vendor/tfjs")
    for name in NOTEBOOKS:
        page, committed = (folder / "executed" / f"{name}.ipynb" for folder in (PUBLISHED, ROOT / "book"))
        if page.is_file() and (not committed.is_file() or page.stat().st_mtime >= committed.stat().st_mtime):
            shutil.copy(page, site / "book/executed")
    shutil.copy(ROOT / "_config.yml", site)
    table = (ROOT / "_toc.yml").read_text(encoding="utf-8")
    pages = [page for name in NOTEBOOKS if (page := run.folder / "executed" / f"{name}.ipynb").is_file()]
    if pages and run.folder.resolve() != PUBLISHED.resolve():
        (site / "book/run").mkdir()
        caption = json.dumps(f"Your run: profile {run.profile.name}")  # JSON's quotes are YAML's
        table += f"  - caption: {caption}\n    chapters:\n"
        for page in pages:
            shutil.copy(page, site / "book/run")
            table += f"      - file: book/run/{page.stem}\n"
    (site / "_toc.yml").write_text(table, encoding="utf-8")


def execute(run: RunFolder, name: str, *, stand_in: bool = False) -> Path:
    """Run one notebook with papermill into the run's folder.

    A cell that raises stops it: the `LsegreproError` names the notebook and the cell, and what was executed so far is
    kept beside, ending in ``.failed.ipynb``. With `stand_in`, for pages that are published, no photograph of the data
    is shown, but a drawn picture or a free one.
    """
    if name not in (choices := chapters(run.depth)):
        raise LsegreproError(f"no notebook {name!r} at depth {run.depth}: choose one of {', '.join(choices)}")
    _require_book()
    target, log = run.folder / "executed" / f"{name}.ipynb", run.folder / "cache" / f"{name}.log"
    partial = target.with_suffix(".failed.ipynb")
    parameters = {"profile": run.profile.spec, "run_folder": run.folder.as_posix(), "device": run.device,
                  "stand_in": stand_in, "depth": run.depth}
    command = [sys.executable, "-m", "papermill", str(ROOT / "notebooks" / target.name), str(partial),
               "--kernel", "python3", "--no-progress-bar",
               "--start-timeout", "600",  # a busy machine takes more than the minute that is usual
               "--parameters_yaml", json.dumps(parameters, ensure_ascii=False)]
    with locked(target, timeout=PATIENCE):
        partial.parent.mkdir(parents=True, exist_ok=True)
        partial.unlink(missing_ok=True)
        if run_program(command, environment(run.folder / "cache/home", run.data), log):
            raise LsegreproError(f"notebook {name} stopped{_reason(partial, log)}; see "
                                 f"{partial if partial.is_file() else log}")
        notebook = _clean(read_json(partial))
        with atomic(target) as temporary:
            temporary.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        partial.unlink()
    return target


def _reason(partial: Path, log: Path) -> str:
    """Why papermill stopped: the cell that raised and its error, or the last line that it printed."""
    for cell in read_json(partial)["cells"] if partial.is_file() else ():
        for output in cell.get("outputs", ()):
            if output["output_type"] == "error":
                first_line = output["evalue"].partition("\n")[0]
                return f" in cell {cell['execution_count']}: {output['ename']}: {first_line}"
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() or ["it was killed"]
    return ": its kernel died, as it does when memory runs out" if "DeadKernelError" in lines[-1] else f": {lines[-1]}"


def publish_pages(run: RunFolder) -> list[Path]:
    """Make a run the published one (`publish`), and execute its pages from the evidence, into ``book/executed``.

    The silhouettes of some val images are made again, since other networks pick other images; so those must be at hand.
    """
    from ..runs.publish import publish
    from ..runs.silhouettes import write_silhouettes

    if not has_images(run):
        raise LsegreproError("publishing draws silhouettes of val images, which are not at hand: set LSEGREPRO_DATA")
    publish(run)
    write_silhouettes(open_run(run.profile.spec, PUBLISHED, data=run.data, device=run.device))
    shown = open_run(run.profile.spec, os.path.relpath(PUBLISHED), device=run.device, depth="evidence")
    folder = ROOT / "book/executed"
    folder.mkdir(exist_ok=True)
    return [Path(shutil.move(execute(shown, name, stand_in=True), folder / f"{name}.ipynb")) for name in NOTEBOOKS]


def _clean(notebook: dict) -> dict:
    """Drop what differs between two runs of the same notebook, or tells of the machine.

    The parameters are shown where a reader opens the setup.
    """
    notebook["metadata"] = {k: v for k, v in notebook["metadata"].items() if k in ("kernelspec", "language_info")}
    for cell in notebook["cells"]:
        cell["metadata"] = {k: v for k, v in cell["metadata"].items() if k in ("tags", "mystnb") and v}
        tags = cell["metadata"].get("tags", [])
        if "injected-parameters" in tags:
            tags.append("remove-input")
            cell["id"] = "injected-parameters"  # papermill draws one
            parameters = cell["source"]
        elif "hide-input" in tags:
            cell["source"] = [*parameters, "\n\n", *cell["source"]]
    return notebook


def _require_book() -> None:
    missing = [name for name in ("snakemake", "papermill", "jupyter_book") if find_spec(name) is None]
    if missing:
        raise LsegreproError(f"this needs {', '.join(missing)}, which the book's environment has: run `make env`, or "
                             "pip install 'lsegrepro[book]'")
    if not (ROOT / "_toc.yml").is_file():
        raise LsegreproError("the book's sources are not beside the package: run this in a clone of the repository")
