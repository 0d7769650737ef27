"""`lsegrepro reproduce` from drawn pictures to HTML, in a small clone: stopped on the way, gone on with, finished."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT, TINY
from test_site import notebook

for package in ("snakemake", "papermill", "jupyter_book"):
    pytest.importorskip(package, reason="the book's packages are not installed")


@pytest.fixture
def clone(tmp_path) -> Path:
    """The repository with one short chapter, one page of prose and nothing published."""
    folder = tmp_path / "clone"
    (folder / "book/executed").mkdir(parents=True)
    (folder / "notebooks").mkdir()
    for name in ("lsegrepro", "workflow"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "_config.yml", "book/_static", "book/_vendor", "book/_scripts",
                 "book/references.bib"):
        (folder / name).symlink_to(ROOT / name)
    site = folder / "lsegrepro/book/site.py"
    chapters = re.sub(r"NOTEBOOKS = \(.*?\n\)", 'NOTEBOOKS = ("01-data",)', site.read_text("utf-8"), flags=re.DOTALL)
    site.write_text(chapters, "utf-8")
    (folder / "notebooks/01-data.ipynb").write_text(json.dumps(notebook(
        "from lsegrepro.runs.folder import open_run\n"
        "run = open_run(profile, run_folder or None, depth=depth)\n"
        "print(run_folder, run.scores('LSE1', 'cat', 2).digest)")))
    (folder / "book/intro.md").write_text("# A book\n")
    (folder / "book/page.md").write_text("# A page\n")
    (folder / "_toc.yml").write_text("format: jb-book\nroot: book/intro\nparts:\n  - caption: Pages\n    chapters:\n"
                                     "      - file: book/page\n")
    (folder / "tiny.toml").write_text(TINY.replace('"max1", ', ""))
    return folder


def test_a_reproduction_that_was_stopped_goes_on(clone):
    """In an environment whose every setting misleads, and without a home folder."""
    command = [sys.executable, "-m", "lsegrepro.cli", "reproduce", "--profile", "tiny.toml", "--run", "run", "--device",
               "cpu", "--cores", "2"]
    hostile = {"HOME": "/proc/nowhere", "SNAKEMAKE_PROFILE": "/nowhere", "MPLBACKEND": "TkAgg", "GIT_DIR": "/nowhere",
               "PYTHONPATH": str(clone)}
    options = {"cwd": clone, "env": os.environ | hostile, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT,
               "text": True}
    first = subprocess.Popen(command, **options)
    while not list(clone.glob("run/weights/*round1*.safetensors")):
        assert first.poll() is None, first.communicate()[0]
        time.sleep(0.1)
    first.send_signal(signal.SIGTERM)
    assert "the same command goes on from there" in first.communicate()[0] and first.returncode == 143
    done = subprocess.run(command, **options)
    assert done.returncode == 0, done.stdout[-3000:]
    for page in ("index.html", "book/page.html", "book/run/01-data.html"):
        assert (clone / "run/site/_build/html" / page).is_file()
    assert "run " in (clone / "run/executed/01-data.ipynb").read_text()
    index = clone / "run/site/_build/html/index.html"
    before = index.stat().st_mtime_ns
    assert subprocess.run(command, **options).returncode == 0 and index.stat().st_mtime_ns == before
