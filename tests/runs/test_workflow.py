"""The workflow plans the jobs a profile needs, none twice, and runs them whatever the paths are called."""

import os
import random
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from conftest import ROOT, TINY

from lsegrepro import evidence
from lsegrepro.book.site import NOTEBOOKS, ON_TRAINING
from lsegrepro.config import load_profile
from lsegrepro.runs.experiments import load_experiments
from lsegrepro.runs.folder import DATA_VARIABLE
from lsegrepro.runs.statistics import STATISTICS

pytest.importorskip("snakemake", reason="the book's packages are not installed")
PAGES = len(NOTEBOOKS)


@pytest.fixture
def snakemake(tmp_path):
    """Run Snakemake as `reproduce` does, in a fresh clone or another folder; gives what it printed."""
    clone = tmp_path / "clone"
    for name in ("_config.yml", "_toc.yml", "notebooks", "published/weights", "published/evidence"):
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        (clone / name).symlink_to(ROOT / name)

    def run(*words, folder=clone, **config) -> str:
        command = [sys.executable, "-m", "snakemake", *words, "--snakefile", ROOT / "workflow" / "Snakefile",
                   "--directory", folder, "--rerun-triggers", "mtime"]
        command += [] if "--profile" in words else ["--cores", "1"]
        command += ["--config", *(f"{key}={value}" for key, value in config.items())]
        environment = {key: value for key, value in os.environ.items() if key != DATA_VARIABLE}
        done = subprocess.run([str(word) for word in command], cwd=ROOT, env=environment, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert done.returncode == 0, done.stdout[-3000:]
        return done.stdout

    return run


def planned(output: str) -> dict[str, int]:
    """The table of jobs in what a dry run printed."""
    table = output.split("Job stats:")[-1].split("total")[0]
    return {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE)}


def write_statistics(folder: Path) -> None:
    """Empty files in the place of a run's statistics."""
    (folder / "statistics").mkdir()
    for name in STATISTICS:
        (folder / "statistics" / f"{name}.json").write_text("{}")


def test_experiments_are_planned_after_the_run_they_vary(snakemake):
    jobs = planned(snakemake("experiments", "--dry-run", profile="full", device="cpu"))
    assert jobs == {"experiments": 1, "experiment": len(load_experiments(load_profile("full"))), "regions": 2,
                    "train": 4 * 2 * 2 * 3, "mine": 4 * 2 * 3}


def test_every_job_is_planned_once(snakemake, tmp_path):
    """Two rounds a network, two splits a round, the published pages beside; no photograph is needed to plan."""
    (tmp_path / "mine.toml").write_text("models = ['LSE2', 'max1']\nclasses = ['dog', 'cat']\nseeds = [0, 5, 9]")
    for profile, networks in (("paper", 4 * 2 * 1), (tmp_path / "mine.toml", 2 * 2 * 3)):
        output = snakemake("--dry-run", profile=profile, run=tmp_path / "run")
        assert planned(output) == {"all": 1, "site": 1, "notebook": PAGES, "page": PAGES, "statistics": 1, "regions": 2,
                                   "train": 2 * networks, "mine": networks, "score": 4 * networks}
        assert set(Counter(re.findall(r"^ *output: (.*)$", output, re.MULTILINE)).values()) == {1}
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("machine", ["slurm", "local-gpus"])
def test_jobs_that_compute_with_a_network_ask_for_a_gpu(snakemake, tmp_path, machine):
    """Planned without the plugin of SLURM and without a GPU."""
    words = ["--dry-run", "--profile", ROOT / "workflow" / "profiles" / machine, "--executor", "dryrun"]
    output = snakemake(*words, profile="quick", run=tmp_path / "run", device="cuda")
    jobs = re.findall(r"^rule (\w+):\n((?:    .*\n)+)", output, re.MULTILINE)
    counts = Counter(rule for rule, text in jobs if "gpu=1" in text)
    assert counts == {"train": 4, "mine": 2, "score": 8, "statistics": 1}
    assert not any(re.search(r"gpu=(?!1\b)", text) for _, text in jobs)
    first = [text for rule, text in jobs if rule == "train" and "round=1" in text]
    assert len(first) == 2 and not any("input:" in text for text in first)  # they wait for nothing


def test_a_finished_run_is_not_trained_again_when_files_were_copied(snakemake, own_run):
    """Copying gives files other times, in any order; only what is absent is planned."""
    write_statistics(own_run.folder)
    own_run.scores_path("LSE1", "cat", 2).unlink()
    files = [path for path in own_run.folder.rglob("*") if path.is_file()]
    random.Random(0).shuffle(files)
    for year in (1.7e9, 4e9):  # past and future
        for age, path in enumerate(files):
            os.utime(path, (year + age, year + age))
        output = snakemake("--dry-run", profile=own_run.profile.path, run=own_run.folder)
        assert planned(output) == {"all": 1, "site": 1, "notebook": PAGES, "page": PAGES, "score": 1}


def test_a_changed_sentence_runs_its_notebook_and_nothing_else(snakemake, own_run, tmp_path):
    """All is there, the pages younger than the notebooks and the evidence; then one source is touched."""
    write_statistics(own_run.folder)
    folder, executed = tmp_path / "repository", own_run.folder / "executed"
    index = own_run.folder / "site/_build/html/index.html"
    pages = [executed / f"{name}.ipynb" for name in NOTEBOOKS]
    sources = [folder / "notebooks" / page.name for page in pages]
    for path in (*pages, *sources, index, folder / "_config.yml", folder / "_toc.yml"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
        os.utime(path, (time := 2e9 if path in pages else 2.01e9 if path == index else 1e9, time))
    config = {"profile": own_run.profile.path, "run": own_run.folder}
    assert "Nothing to be done" in snakemake("--dry-run", folder=folder, **config)
    os.utime(sources[4], (2.1e9, 2.1e9))
    assert planned(snakemake("--dry-run", folder=folder, **config)) == {"all": 1, "site": 1, "notebook": 1}


def test_from_evidence_nothing_is_trained_or_scored(snakemake, own_run):
    """The published run has its pages; another run has its own as well."""
    for config, own in (({"profile": "local", "run": "published"}, {}),
                        ({"profile": own_run.profile.path, "run": own_run.folder}, {"notebook": PAGES})):
        output = snakemake("--dry-run", "--printshellcmds", depth="evidence", **config)
        assert planned(output) == {"all": 1, "site": 1, "page": PAGES} | own
        assert output.count("--depth evidence") == PAGES + 1 + sum(own.values()) and "--stand-in" in output


def test_from_weights_the_same_jobs_are_told_to_take_them(snakemake, tmp_path):
    output = snakemake("--dry-run", "--printshellcmds", profile="local", run=tmp_path / "run", depth="weights")
    # Of eight networks round 2 alone is published: its weights are taken, and the pages on round 1 left out.
    assert planned(output) == {"all": 1, "site": 1, "notebook": PAGES - len(ON_TRAINING), "page": PAGES,
                               "statistics": 1, "regions": 2,
                               "train": 8, "score": 16}
    assert len(re.findall(r"lsegrepro.cli (?:train|score) .*--depth weights", output)) == 26


def test_a_job_runs_whatever_the_paths_are_called(snakemake, tmp_path):
    """Spaces, quotes and signs of the shell in the profile's name and the run's folder."""
    profile = tmp_path / "it's $HOME & more.toml"
    profile.write_text(TINY)
    target = tmp_path / "a run (1)" / "evidence" / "regions-train.npz"
    snakemake(target, "--quiet", "all", folder=tmp_path, profile=profile, run=target.parents[1], device="cpu")
    assert len(evidence.read_regions(target)) == 4
