"""A small copy of the repository, in which `lsegrepro reproduce` takes less than a minute; killed at random moments.

By hand, thirty kills::

    python tests/reproductions.py /tmp/reproductions 30
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import kills

ROOT = Path(__file__).resolve().parents[1]
MARK = "LSEGREPRO_TEST_REPRODUCTION"

NOTEBOOK = {
    "cells": [
        {"cell_type": "markdown", "id": "a", "metadata": {}, "source": "# One page"},
        {"cell_type": "code", "id": "b", "metadata": {"tags": ["parameters"]}, "execution_count": None, "outputs": [],
         "source": "profile = 'quick'\nrun_folder = 'run'\ndevice = 'cpu'\nstand_in = False\ndepth = 'scratch'"},
        {"cell_type": "code", "id": "c", "metadata": {}, "execution_count": None, "outputs": [],
         "source": "from lsegrepro.runs.folder import open_run\n"
                   "run = open_run(profile, run_folder, depth=depth)\n"
                   "print(run_folder, run.scores('LSE1', 'cat', 2).digest)"},
    ],
    "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    "nbformat": 4, "nbformat_minor": 5,
}


def clone(folder: Path) -> Path:
    """The repository with one short chapter, one page of prose and nothing published."""
    folder.mkdir(parents=True)
    (folder / "book").mkdir()
    shutil.copytree(ROOT / "lsegrepro", folder / "lsegrepro", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "workflow", folder / "workflow")
    for name in ("_config.yml", "book/_static", "book/_vendor", "book/_scripts", "book/references.bib"):
        (folder / name).symlink_to(ROOT / name)
    site = folder / "lsegrepro/book/site.py"
    every = site.read_text("utf-8")
    site.write_text(re.sub(r"NOTEBOOKS = \(.*?\n\)", 'NOTEBOOKS = ("01-data",)', every, flags=re.DOTALL), "utf-8")
    (folder / "notebooks").mkdir()
    (folder / "notebooks/01-data.ipynb").write_text(json.dumps(NOTEBOOK))
    (folder / "book/executed").mkdir()
    (folder / "book/intro.md").write_text("# A book\n")
    (folder / "book/page.md").write_text("# A page\n")
    (folder / "_toc.yml").write_text("format: jb-book\nroot: book/intro\nparts:\n  - caption: Pages\n    chapters:\n"
                                     "      - file: book/page\n")
    (folder / "tiny.toml").write_text(kills.PROFILE)
    return folder


def start(folder: Path, run: str = "run", *words: str, output=None) -> subprocess.Popen:
    """`lsegrepro reproduce` in a clone."""
    command = [sys.executable, "-m", "lsegrepro.cli", "reproduce", "--profile", "tiny.toml", "--run", run,
               "--device", "cpu", "--cores", "2", *words]
    environment = {key: value for key, value in os.environ.items() if key != "LSEGREPRO_DATA"}
    return subprocess.Popen(command, cwd=folder, stdout=output or subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                            env=environment | {MARK: str(folder), "PYTHONPATH": str(folder)})


def living(folder: Path) -> list[int]:
    """Processes that work for a reproduction in `folder`."""
    return kills.processes_of(f"{MARK}={folder}\0")


def results(folder: Path, run: str = "run") -> dict[str, bytes]:
    """What a reproduction leaves, but for its site and its caches."""
    found = kills.tree(folder / run)
    return {name: data for name, data in found.items() if not name.startswith(("site/", "cache/"))}


def kill(folder: Path, seconds: float, rng: random.Random) -> tuple[float, list[str]]:
    """Begin a reproduction and kill the command alone, after up to `seconds`; what is wrong after it."""
    with open(folder / "said.txt", "w") as said:
        first = start(folder, output=said)
        moment = rng.uniform(1, seconds)
        with contextlib.suppress(subprocess.TimeoutExpired):
            first.wait(moment)
            return moment, [] if first.returncode == 0 else [f"it stopped: {(folder / 'said.txt').read_text()[-1500:]}"]
        first.send_signal(signal.SIGKILL)
        first.wait()
    give_up = time.monotonic() + 60
    while living(folder):
        if time.monotonic() > give_up:
            return moment, [f"after the kill at {moment:.1f} s these went on: {living(folder)}"]
        time.sleep(0.05)
    index = folder / "run/site/_build/html/index.html"
    if index.is_file() and not (folder / "run/site/_build/html/book/page.html").is_file():
        return moment, ["a book without its pages has the final name"]
    return moment, []


def main() -> None:
    folder, count = Path(sys.argv[1]).resolve(), int(sys.argv[2])
    rng = random.Random(os.environ.get("LSEGREPRO_KILLS_SEED"))
    begun = time.monotonic()
    whole, killed = clone(folder / "whole"), clone(folder / "killed")
    done = start(whole)
    assert not print(done.communicate()[0][-1500:]) and done.returncode == 0
    seconds, wrong, moments = time.monotonic() - begun, [], []
    for _ in range(count):
        moment, found = kill(killed, seconds, rng)
        moments.append(round(moment, 1))
        wrong += found
        index = killed / "run/site/_build/html/index.html"
        if index.is_file():
            wrong += kills.differences(results(killed), results(whole))
            shutil.rmtree(killed / "run")
    done = start(killed)
    said = done.communicate()[0]
    if done.returncode:
        wrong.append(said[-1500:])
    wrong += kills.differences(results(killed), results(whole))
    print(json.dumps({"kills": count, "seconds": round(seconds, 1), "moments": moments, "wrong": wrong}))


if __name__ == "__main__":
    main()
