"""What the programs that are started get: this interpreter, an explicit environment, and an end with their starter."""

import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT, TINY

from lsegrepro.book import processes, site
from lsegrepro.runs.folder import open_run

HOSTILE = {
    "PYTHONPATH": "/nowhere", "PYTHONSTARTUP": "/nowhere/startup.py", "PYTHONHOME": "/nowhere", "GIT_DIR": "/nowhere",
    "GIT_WORK_TREE": "/nowhere", "MPLBACKEND": "no such backend", "SNAKEMAKE_PROFILE": "/nowhere/profile",
    "JUPYTER_PATH": "/nowhere/jupyter", "IPYTHONDIR": "/nowhere/ipython", "HOME": "/proc/nowhere",
}


@pytest.fixture
def hostile(monkeypatch):
    """The environment of somebody whose settings would mislead every child process."""
    for key, value in HOSTILE.items():
        monkeypatch.setenv(key, value)


def test_only_what_is_named_is_passed_on(hostile, monkeypatch, tmp_path):
    for key in ("LC_ALL", "CUDA_VISIBLE_DEVICES", "LSEGREPRO_DATA", "OMP_NUM_THREADS", "SLURM_JOB_ID", "https_proxy"):
        monkeypatch.setenv(key, "kept")
    variables = processes.environment(tmp_path / "home")
    assert not [key for key, value in HOSTILE.items() if variables.get(key) == value]
    assert {key for key, value in variables.items() if value == "kept"} == {
        "LC_ALL", "CUDA_VISIBLE_DEVICES", "LSEGREPRO_DATA", "OMP_NUM_THREADS", "https_proxy"}
    assert variables["PATH"] == os.environ["PATH"] and variables["PYTHONPATH"] == str(ROOT)
    assert processes.environment(tmp_path / "home", scheduler=True)["SLURM_JOB_ID"] == "kept"
    own = processes.environment(tmp_path / "home", tmp_path / "photographs")
    assert own["LSEGREPRO_DATA"] == str(tmp_path / "photographs")


def test_a_child_imports_this_package_and_nothing_of_the_working_folder(hostile, tmp_path):
    (tmp_path / "json.py").write_text("raise SystemExit('the wrong json')")
    code = "import sys, json, lsegrepro; print(json.dumps([sys.executable, lsegrepro.__file__]))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=processes.environment(tmp_path / "home"),
                          capture_output=True, text=True)
    assert json.loads(done.stdout) == [sys.executable, str(ROOT / "lsegrepro" / "__init__.py")], done.stderr


def test_a_notebook_runs_in_this_interpreter_whatever_kernelspecs_there_are(tmp_path, monkeypatch):
    """Another python3 on JUPYTER_PATH and in the user's folders, and a startup file of IPython."""
    pytest.importorskip("papermill")
    from test_site import notebook

    other = {"argv": ["/bin/false"], "display_name": "Other", "language": "python"}
    home = tmp_path / "home"
    for folder in (tmp_path / "path", home / ".local/share/jupyter"):
        (folder / "kernels/python3").mkdir(parents=True)
        (folder / "kernels/python3/kernel.json").write_text(json.dumps(other))
    startup = home / ".ipython/profile_default/startup/00.py"
    startup.parent.mkdir(parents=True)
    startup.write_text("print = None")
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "path"))
    monkeypatch.setenv("HOME", str(home))
    root = tmp_path / "repository"
    (root / "notebooks").mkdir(parents=True)
    (root / "_toc.yml").write_text("root: intro\n")
    monkeypatch.setattr(site, "ROOT", root)
    (root / "notebooks/01-data.ipynb").write_text(json.dumps(notebook(
        "import sys, os, lsegrepro; print(sys.executable, lsegrepro.__file__, os.environ['HOME'])")))
    run = open_run("quick", tmp_path / "run")
    page = json.loads(site.execute(run, "01-data").read_text())
    (output,) = page["cells"][-1]["outputs"]
    package = ROOT / "lsegrepro/__init__.py"
    assert "".join(output["text"]).split() == [sys.executable, str(package), str(run.folder / "cache/home")]
    assert os.environ["HOME"] == str(home)


def test_snakemake_obeys_no_profile_of_the_user_and_needs_no_home(hostile, tmp_path, monkeypatch, capfd):
    pytest.importorskip("snakemake")
    profile = tmp_path / "profile"
    profile.mkdir()
    (profile / "config.yaml").write_text("executor: no-such-executor\n")
    monkeypatch.setenv("SNAKEMAKE_PROFILE", str(profile))
    (tmp_path / "tiny.toml").write_text(TINY)
    run = open_run(tmp_path / "tiny.toml", tmp_path / "run", device="cpu")
    site.reproduce(run, dry_run=True)
    assert "score" in capfd.readouterr().out and not run.folder.exists()


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
    sleeper = int(first.stdout.readline())
    first.send_signal(number)
    first.wait(60)
    for _ in range(600):
        try:
            os.kill(sleeper, 0)
        except ProcessLookupError:
            return
        if Path(f"/proc/{sleeper}/stat").exists() and Path(f"/proc/{sleeper}/stat").read_text().split()[2] == "Z":
            return
        time.sleep(0.05)
    pytest.fail("a process outlived the command that it worked for")


def test_a_program_gives_its_exit_code():
    assert processes.run_program([sys.executable, "-c", "raise SystemExit(7)"], os.environ) == 7


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
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    log = tmp_path / "log"

    def make(target: str = "env", where: Path = folder) -> tuple[int, list[str]]:
        log.write_text("")
        done = subprocess.run(["make", "-s", target, f"PYTHON={python}"], cwd=where, capture_output=True, text=True,
                              env=os.environ | {"LOG": str(log)})
        return done.returncode, log.read_text().splitlines()

    return folder, make


def test_an_environment_is_made_once_and_again_when_its_requirements_change(checkout):
    folder, make = checkout
    code, calls = make()
    assert code == 0 and len(calls) == 5 and calls[0].endswith("-m venv .venv") and calls[-1].endswith("check")
    assert make() == (0, [])
    with (folder / "requirements.lock").open("a") as lock:
        lock.write("\n")
    code, calls = make()
    assert code == 0 and len(calls) == 4 and "venv" not in calls[0]  # what is installed already stays
    assert make() == (0, [])


def test_an_environment_that_failed_is_made_anew(checkout):
    folder, make = checkout
    (folder / "no-ensurepip").touch()  # Debian without python3-venv: a python without pip stays behind
    assert make()[0] != 0 and (folder / ".venv/bin/python").exists()
    (folder / "no-ensurepip").unlink()
    code, calls = make()
    assert code == 0 and len(calls) == 5
    (folder / ".venv/.installed").unlink()  # interrupted before the end
    assert len(make()[1]) == 5


def test_a_copied_checkout_makes_its_own_environment(checkout):
    folder, make = checkout
    make()
    copy = folder.with_name("copy")
    subprocess.run(["cp", "-a", folder, copy], check=True)
    code, calls = make(where=copy)
    assert code == 0 and len(calls) == 5 and all(call.startswith(f"{copy} ") for call in calls)
    assert make(where=copy) == make() == (0, [])


def test_clean_keeps_runs(checkout):
    folder, make = checkout
    make()
    (folder / "runs/local/__pycache__").mkdir(parents=True)
    (folder / "lsegrepro/__pycache__").mkdir(parents=True)
    make("clean")
    assert not (folder / ".venv").exists() and not (folder / "lsegrepro/__pycache__").exists()
    assert (folder / "runs/local/__pycache__").is_dir()
    make("clean-runs")
    assert not (folder / "runs").exists()
