"""The workflow plans the jobs a profile needs, none twice, and runs them whatever the paths are called."""

import os
import random
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, TINY, write_voc
from PIL import Image

from lsegrepro import cli, evidence
from lsegrepro.run import DATA_VARIABLE

pytest.importorskip("snakemake", reason="the book's packages are not installed")


def snakemake(*words, folder=ROOT, **config) -> str:
    """Run Snakemake as `reproduce` does; what it printed."""
    command = [sys.executable, "-m", "snakemake", *words, "--snakefile", ROOT / "workflow" / "Snakefile",
               "--directory", folder, "--cores", "1", "--rerun-triggers", "mtime"]
    command += ["--config", *(f"{key}={value}" for key, value in config.items())]
    environment = {key: value for key, value in os.environ.items() if key != DATA_VARIABLE}
    done = subprocess.run([str(word) for word in command], cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout[-3000:]
    return done.stdout


def planned(output: str) -> dict[str, int]:
    """The table of jobs in what a dry run printed."""
    table = output.split("Job stats:")[-1].split("total")[0]
    return {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE)}


@pytest.mark.parametrize("profile, networks", [
    ("quick", 2 * 1 * 1),
    ("paper", 4 * 2 * 1),
    ("models = ['LSE2', 'max1']\nclasses = ['dog', 'cat']\nseeds = [0, 5, 9]", 2 * 2 * 3),
])
def test_every_job_is_planned_once(profile, networks, tmp_path):
    """Two rounds a network, two splits a round, and no photograph is needed to plan."""
    if "\n" in profile:
        (tmp_path / "mine.toml").write_text(profile)
        profile = tmp_path / "mine.toml"
    output = snakemake("--dry-run", profile=profile, run=tmp_path / "run")
    assert planned(output) == {"all": 1, "site": 1, "notebook": 7, "regions": 2, "train": 2 * networks,
                               "mine": networks, "score": 4 * networks}
    commands = Counter(re.findall(r"^ *output: (.*)$", output, re.MULTILINE))
    assert set(commands.values()) == {1}
    assert not (tmp_path / "run").exists()


def test_reproduce_plans_the_published_run(tmp_path, voc_masks, monkeypatch, capfd):
    """The local profile, through the command, on photographs in the right layout."""
    for split in ("train", "val"):
        write_voc(tmp_path, voc_masks, split)
    for label in ("cat", "dog", "background"):
        (tmp_path / "weak" / label).mkdir(parents=True)
        for i in range(12):
            Image.fromarray(np.full((30, 40, 3), 20 * i, np.uint8)).save(tmp_path / "weak" / label / f"{i}.jpg")
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    run = tmp_path / "run"
    words = ["reproduce", "--profile", "local", "--run", run, "--data", tmp_path, "--dry-run", "--device", "cpu"]
    assert cli.main([str(word) for word in words]) == 0
    output = "".join(capfd.readouterr())
    assert planned(output) == {"all": 1, "site": 1, "notebook": 7, "regions": 2, "train": 4, "mine": 2, "score": 8}
    assert not run.exists()


def test_a_finished_run_is_not_trained_again_when_files_were_copied(own_run):
    """Copying gives files other times, in any order; only what is absent is planned."""
    own_run.scores_path("LSE1", "cat", 2).unlink()
    files = [path for path in own_run.folder.rglob("*") if path.is_file()]
    random.Random(0).shuffle(files)
    for age, path in enumerate(files):
        os.utime(path, (1.7e9 + age, 1.7e9 + age))
    output = snakemake("--dry-run", profile=own_run.profile.path, run=own_run.folder)
    assert planned(output) == {"all": 1, "site": 1, "notebook": 7, "score": 1}


def test_a_changed_sentence_runs_its_notebook_and_nothing_else(own_run, tmp_path):
    """All is there, the notebooks younger than the evidence; then one source is touched."""
    executed = own_run.folder / "executed"
    executed.mkdir()
    folder = tmp_path / "repository"
    (folder / "notebooks").mkdir(parents=True)
    for name in ("_config.yml", "_toc.yml"):
        (folder / name).write_text("")
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        (executed / path.name).write_text("{}")
        (folder / "notebooks" / path.name).write_text("{}")
    index = own_run.folder / "site" / "_build" / "html" / "index.html"
    index.parent.mkdir(parents=True)
    index.write_text("a book")
    times = {path: 2e9 for path in executed.iterdir()} | {index: 2.01e9} | {
        path: 1e9 for path in folder.rglob("*") if path.is_file()}
    for path, time in times.items():
        os.utime(path, (time, time))
    config = {"profile": own_run.profile.path, "run": own_run.folder}
    assert "Nothing to be done" in snakemake("--dry-run", folder=folder, **config)
    os.utime(folder / "notebooks" / "05-theta.ipynb", (2.1e9, 2.1e9))
    assert planned(snakemake("--dry-run", folder=folder, **config)) == {"all": 1, "site": 1, "notebook": 1}


def test_a_job_runs_whatever_the_paths_are_called(tmp_path):
    """Spaces, quotes and signs of the shell in the profile's name and the run's folder."""
    profile = tmp_path / "it's $HOME & more.toml"
    profile.write_text(TINY)
    run = Path(tmp_path / "a run (1)")
    target = run / "evidence" / "regions-train.npz"
    snakemake(target, "--quiet", "all", folder=tmp_path, profile=profile, run=run, device="cpu")
    assert len(evidence.read_regions(target)) == 4
