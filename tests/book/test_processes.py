"""What the programs that are started get: this interpreter, an explicit environment, and an end with their starter."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT

from lsegrepro.book import processes

HOSTILE = {
    "PYTHONPATH": "/nowhere", "PYTHONSTARTUP": "/nowhere/startup.py", "PYTHONHOME": "/nowhere", "GIT_DIR": "/nowhere",
    "MPLBACKEND": "no such backend", "SNAKEMAKE_PROFILE": "/nowhere/profile", "JUPYTER_PATH": "/nowhere/jupyter",
    "IPYTHONDIR": "/nowhere/ipython", "HOME": "/proc/nowhere",
}
"""Settings of a user that would mislead every child process."""


def test_nothing_that_misleads_is_passed_on(monkeypatch, tmp_path):
    passed_on = dict.fromkeys(("LC_ALL", "CUDA_VISIBLE_DEVICES", "LSEGREPRO_DATA", "SLURM_JOB_ID"), "set")
    for key, value in (HOSTILE | passed_on).items():
        monkeypatch.setenv(key, value)
    variables = processes.environment(tmp_path / "home")
    assert not [key for key, value in HOSTILE.items() if variables.get(key) == value]
    assert variables.items() >= {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **passed_on}.items()
    own = processes.environment(tmp_path / "home", tmp_path / "photographs")
    assert own["LSEGREPRO_DATA"] == str(tmp_path / "photographs")


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


def test_a_program_gives_its_exit_code_and_a_log(tmp_path):
    code = "import sys; print('a line'); sys.exit('why')"
    assert processes.run_program([sys.executable, "-c", code], os.environ, tmp_path / "log") == 1
    assert sorted((tmp_path / "log").read_text().split("\n")) == ["", "a line", "why"]


# The Makefile's environment


PYTHON = """#!/bin/bash
# Stands in for Python: `-m venv DIR` makes DIR/bin/python, a copy of this; the rest is written to a log.
if [ "$2" = venv ]; then
    mkdir -p "$3/bin"; cp "$0" "$3/bin/python"
    [ ! -e no-ensurepip ] || exit 1
fi
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

    def make(target: str = "env", where: Path = folder) -> tuple[int, list[str]]:
        log.write_text("")
        done = subprocess.run(["make", "-s", target, f"PYTHON={python}"], cwd=where, capture_output=True, text=True,
                              env=os.environ | {"LOG": str(log)})
        return done.returncode, log.read_text().splitlines()

    return folder, make


def test_an_environment_is_made_once_and_again_when_it_has_to_be(checkout):
    folder, make = checkout
    (folder / "no-ensurepip").touch()  # Debian without python3-venv: a python without pip stays behind
    assert make()[0] != 0 and (folder / ".venv/bin/python").exists()
    (folder / "no-ensurepip").unlink()
    code, calls = make()
    assert code == 0 and len(calls) == 5 and calls[0].endswith("-m venv .venv") and calls[-1].endswith("check")
    assert make() == (0, [])
    with (folder / "requirements.lock").open("a") as lock:
        lock.write("\n")
    code, calls = make()
    assert code == 0 and len(calls) == 4 and "venv" not in calls[0]  # what is installed already stays
    (folder / ".venv/.installed").unlink()  # interrupted before the end
    assert len(make()[1]) == 5
    copy = shutil.copytree(folder, folder.with_name("copy"))
    code, calls = make(where=copy)
    assert code == 0 and len(calls) == 5 and all(call.startswith(f"{copy} ") for call in calls)
    assert make(where=copy) == make() == (0, [])


def test_clean_keeps_runs(checkout):
    folder, make = checkout
    for path in (".venv", "runs/local/__pycache__", "lsegrepro/__pycache__"):
        (folder / path).mkdir(parents=True)
    make("clean")
    assert not (folder / ".venv").exists() and not (folder / "lsegrepro/__pycache__").exists()
    assert (folder / "runs/local/__pycache__").is_dir()
    make("clean-runs")
    assert not (folder / "runs").exists()
