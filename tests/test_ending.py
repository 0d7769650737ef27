"""How a command ends when something outside ends it, and in what surroundings it works at all."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT, TINY
from kills import processes_of

from lsegrepro import cli, ending
from lsegrepro.runs.folder import RunFolder

EVALUATE = [sys.executable, "-m", "lsegrepro.cli", "evaluate", "--profile", "local", "--run", "published"]


def run(*words: object, **options) -> subprocess.CompletedProcess:
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, **{"cwd": ROOT} | options)


# Signals


@pytest.mark.parametrize("number, code, said", [(signal.SIGINT, 130, "interrupted"),
                                                (signal.SIGTERM, 143, "told to end")])
@pytest.mark.fault("kills", tried="SIGINT and SIGTERM while a command works",
                   survived="one line that says how to go on, exit code 130 or 143, the handler of before is back")
def test_a_signal_ends_a_command_in_one_line(monkeypatch, capsys, number, code, said):
    before, interrupt = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(RunFolder, "trained", lambda *_, **__: signal.raise_signal(number))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # where tests run in the background, it is ignored
    try:
        assert cli.main(["train", "--model", "LSE1", "--class", "cat"]) == code
    finally:
        signal.signal(signal.SIGINT, interrupt)
    assert capsys.readouterr().err == f"lsegrepro: {said}; the same command goes on from there\n"
    assert signal.getsignal(signal.SIGTERM) is before


GROUP = """
import signal, subprocess, sys
from lsegrepro.ending import run_group
signal.signal(signal.SIGINT, signal.default_int_handler)
inner = "import subprocess, sys, time; subprocess.Popen(['sleep', '600']); print('up', flush=True); time.sleep(600)"
run_group([sys.executable, "-c", inner])
"""


def until(true: Callable[[], bool], otherwise: str) -> None:
    give_up = time.monotonic() + 30
    while not true():
        assert time.monotonic() < give_up, otherwise
        time.sleep(0.05)


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="no /proc here")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
@pytest.mark.fault("kills", tried="SIGKILL of the process that Snakemake or Jupyter Book works for",
                   survived="all that it had started ends with it: nothing goes on writing behind one's back")
def test_a_group_ends_with_the_process_that_started_it(tmp_path, number):
    mark = f"LSEGREPRO_TEST={tmp_path}"
    first = subprocess.Popen([sys.executable, "-c", GROUP], cwd=ROOT, stdout=subprocess.PIPE, text=True,
                             stderr=subprocess.PIPE, env=os.environ | dict([mark.split("=")]))
    assert first.stdout.readline() == "up\n"
    until(lambda: len(processes_of(mark)) >= 4, "the group was never whole")  # a new program shows its environment late
    first.send_signal(number)
    first.wait(60)
    until(lambda: not processes_of(mark), "a process outlived the one it worked for")


def test_a_group_gives_the_exit_code_of_its_command():
    assert ending.run_group([sys.executable, "-c", "raise SystemExit(7)"]) == 7
    assert ending.run_group([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"]) == 137


# Streams


@pytest.mark.fault("surroundings", tried="a reader of the output that goes away, as head does",
                   survived="no traceback; exit code 141, as of any program")
def test_a_reader_that_goes_away():
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(EVALUATE, cwd=ROOT, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.fault("surroundings", tried="output to a disk that is full", survived="one line, exit code 2")
def test_output_to_a_full_disk():
    with open("/dev/full", "w") as full:
        done = subprocess.run(EVALUATE, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and "No space left" in done.stderr


@pytest.mark.parametrize("closed", ["<&-", "<&- >&- 2>&-"])
@pytest.mark.fault("surroundings", tried="standard input, output or error closed",
                   survived="the command does its work, and no result takes their place")
def test_streams_that_are_closed(tmp_path, closed):
    (tmp_path / "tiny.toml").write_text(TINY)
    command = [sys.executable, "-m", "lsegrepro.cli", "regions", "--profile", "tiny.toml", "--run", "run"]
    done = run("sh", "-c", f'exec "$@" {closed}', "sh", *command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": ROOT})
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run/evidence/regions-val.npz").is_file()


# Surroundings


@pytest.mark.fault("surroundings", tried="a locale of C, no TERM, no HOME, a folder with quotes and non-ASCII letters",
                   survived="the command does its work and prints the path in ASCII")
def test_a_bare_environment(tmp_path):
    folder = tmp_path / "Kätzchen's \"folder\" {a} $b"
    folder.mkdir()
    (folder / "tiny.toml").write_text(TINY)
    bare = {"PATH": os.environ["PATH"], "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0",
            "PYTHONPATH": ROOT, "OMP_NUM_THREADS": "1"}
    done = run(sys.executable, "-m", "lsegrepro.cli", "regions", "--profile", folder / "tiny.toml", "--run",
               folder / "run", cwd=tmp_path, env=bare)
    assert done.returncode == 0, done.stderr
    assert (folder / "run/evidence/regions-val.npz").is_file() and "tzchen's" in done.stdout


@pytest.mark.parametrize("depth", [1, 40])
@pytest.mark.fault("surroundings", tried="a name, and a path, longer than the system allows",
                   survived="one line that names it, exit code 2")
def test_a_path_that_is_too_long(tmp_path, capsys, depth):
    folder = tmp_path.joinpath(*["x" * (300 if depth == 1 else 120)] * depth)
    assert cli.main(["evaluate", "--run", str(folder)]) == 2
    assert cli.main(["regions", "--run", str(folder)]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2 and str(folder) in said[1] and "File name too long" in said[1]


@pytest.mark.fault("surroundings", tried="no /dev/shm, so no semaphores for worker processes",
                   survived="the work is done in one process")
def test_no_semaphores(tmp_path):
    (tmp_path / "tiny.toml").write_text(TINY)
    mount = "mount -t tmpfs -o size=0,nr_inodes=1,ro none /dev/shm"
    if subprocess.run(["unshare", "-rm", "sh", "-c", mount], capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount")
    command = [sys.executable, "-m", "lsegrepro.cli", "regions", "--profile", "tiny.toml", "--run", "run"]
    done = run("unshare", "-rm", "sh", "-c", f'{mount} && exec "$@"', "sh", *command, cwd=tmp_path,
               env=os.environ | {"PYTHONPATH": ROOT})
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run/evidence/regions-val.npz").is_file()
