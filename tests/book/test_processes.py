"""What the programs that are started get: this interpreter, an explicit environment, and an end with their starter."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT

from lsegrepro.book import processes


def test_a_child_imports_this_package_and_nothing_of_the_working_folder(tmp_path):
    (tmp_path / "json.py").write_text("raise SystemExit('the wrong json')")
    code = "import sys, json, lsegrepro; print(json.dumps([sys.executable, lsegrepro.__file__]))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=processes.environment(tmp_path / "home"),
                          capture_output=True, text=True)
    assert json.loads(done.stdout) == [sys.executable, str(ROOT / "lsegrepro" / "__init__.py")], done.stderr


GROUP = """
import os, signal, sys
from lsegrepro.book.processes import run_program
from lsegrepro.cli import _terminate
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGTERM, _terminate)
inner = "import subprocess, time; p = subprocess.Popen(['sleep', '600']); print(p.pid, flush=True); time.sleep(600)"
run_program([sys.executable, "-c", inner], os.environ)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_a_program_started_ends_with_the_command(number):
    first = subprocess.Popen([sys.executable, "-c", GROUP], cwd=ROOT, stdout=subprocess.PIPE, text=True,
                             stderr=subprocess.DEVNULL)
    state = Path(f"/proc/{first.stdout.readline().strip()}/stat")
    first.send_signal(number)
    first.wait(60)
    deadline = time.monotonic() + 30
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it ended
        while state.read_text().split()[2] != "Z":  # or it did, and nobody has asked for its exit code
            assert time.monotonic() < deadline, "a process outlived the command that it worked for"
            time.sleep(0.05)


# The Makefile's environment


PYTHON = """#!/bin/bash
# Stands in for Python: `-m venv DIR` makes DIR/bin/python, a copy of this; the rest is written to a log.
if [ "$2" = venv ]; then mkdir -p "$3/bin"; cp "$0" "$3/bin/python"; fi
echo "$(pwd) $*" >> "$LOG"
"""


@pytest.fixture
def checkout(tmp_path):
    """A checkout of the Makefile and what it reads, with a Python that only writes down what it was asked."""
    folder = tmp_path / "proj"
    folder.mkdir()
    for name in ("Makefile", "pyproject.toml", "requirements-torch.txt", "requirements.lock"):
        (folder / name).write_bytes((ROOT / name).read_bytes())
    python = tmp_path / "python"
    python.write_text(PYTHON)
    python.chmod(0o755)
    log = tmp_path / "log"

    def make(target: str = "env") -> list[str]:
        log.write_text("")
        subprocess.run(["make", "-s", target, f"PYTHON={python}"], cwd=folder, check=True,
                       env=os.environ | {"LOG": str(log)})
        return log.read_text().splitlines()

    return folder, make


def test_an_environment_is_made_once_and_again_when_it_has_to_be(checkout):
    folder, make = checkout
    calls = make()
    assert len(calls) == 5 and calls[0].endswith("-m venv .venv") and calls[-1].endswith("check") and make() == []
    with (folder / "requirements.lock").open("a") as lock:
        lock.write("\n")
    calls = make()
    assert len(calls) == 4 and "venv" not in calls[0]  # what is installed already stays
    (folder / ".venv/.installed").unlink()  # interrupted before the end
    assert len(make()) == 5


def test_clean_keeps_runs(checkout):
    folder, make = checkout
    for path in (".venv", "runs/local/__pycache__", "lsegrepro/__pycache__"):
        (folder / path).mkdir(parents=True)
    make("clean")
    assert not (folder / ".venv").exists() and not (folder / "lsegrepro/__pycache__").exists()
    assert (folder / "runs/local/__pycache__").is_dir()
    make("clean-runs")
    assert not (folder / "runs").exists()
