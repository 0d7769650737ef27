"""Two processes on one run, folders that vanish, clocks that jump, places that cannot be written."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from conftest import ROOT, TINY, one_line

from lsegrepro import LsegreproError, files, locks
from lsegrepro.book import site
from lsegrepro.runs import publish
from lsegrepro.runs.folder import open_run

REGIONS = [sys.executable, "-m", "lsegrepro.cli", "regions", "--profile", "tiny.toml", "--run", "run"]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


@pytest.fixture
def tiny(tmp_path) -> Path:
    (tmp_path / "tiny.toml").write_text(TINY)
    return tmp_path


# Two at once


@pytest.mark.fault("processes", tried="a lock that another process holds for a moment",
                   survived="who is patient waits for it; who is not is told")
def test_a_lock_is_waited_for(tmp_path):
    held, path = threading.Event(), tmp_path / "w"

    def hold():
        with locks.locked(path):
            held.set()
            time.sleep(0.5)

    first = threading.Thread(target=hold)
    first.start()
    held.wait()
    with pytest.raises(LsegreproError) as error, locks.locked(path):
        pytest.fail("held twice")
    one_line(error, path, "is being made by process")
    with locks.locked(path, patience=60):
        assert not first.is_alive() or (tmp_path / ".w.lock").exists()
    first.join()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.fault("processes", tried="the same regions counted by two processes at once",
                   survived="both end well; one whole file, nothing beside it")
def test_two_that_count_the_same_regions(tiny, tiny_folder):
    both = [subprocess.Popen(REGIONS, cwd=tiny, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate()[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    evidence = tiny / "run" / "evidence"
    assert [path.name for path in evidence.iterdir()] == ["regions-val.npz"]
    assert (evidence / "regions-val.npz").read_bytes() == (
        tiny_folder / "run" / "evidence" / "regions-val.npz").read_bytes()


@pytest.mark.fault("processes", tried="two reproductions, two builds of a site, into one run folder",
                   survived="the second is told who is at it")
def test_two_reproductions_of_one_run(tiny_run, tiny, monkeypatch):
    run = open_run(tiny / "tiny.toml", tiny / "run", device="cpu")
    monkeypatch.setattr(site, "GRACE", 0.0)
    monkeypatch.setattr(site, "run_group", lambda *_: pytest.fail("it began"))
    for name, call in (("reproduce", lambda: site.reproduce(run)), ("site", lambda: site.build(run))):
        with locks.locked(run.folder / name), pytest.raises(LsegreproError) as error:
            call()
        one_line(error, run.folder / name, "is being made by process")
    assert list(run.folder.iterdir()) == []


@pytest.mark.fault("kills", tried="Snakemake killed with its own lock on the working folder",
                   survived="its lock is not used; the same command goes on")
def test_no_lock_of_snakemake(tiny, monkeypatch):
    commands = []
    monkeypatch.setattr(site, "run_group", lambda command, environment: commands.append(command) or 0)
    site.reproduce(open_run(tiny / "tiny.toml", tiny / "run", device="cpu"))
    assert {"--nolock", "--rerun-incomplete"} < set(commands[0])
    assert list((tiny / "run").iterdir()) == []  # ours ended with it


@pytest.mark.fault("processes", tried="a publication beside another, or killed while it copies",
                   survived="told who is at it; what was published before is whole")
def test_a_publication_that_does_not_finish(own_run, tmp_path, monkeypatch):
    folder = tmp_path / "published"
    monkeypatch.setattr(publish, "PUBLISHED", folder)
    monkeypatch.setattr(publish, "PROFILE", str(own_run.profile.path))
    for kind in ("weights", "negatives", "evidence"):
        (folder / kind).mkdir(parents=True)
        (folder / kind / "of-before.npz").write_text("old")
    with locks.locked(folder / "results.json"), pytest.raises(LsegreproError) as error:
        publish.publish(own_run)
    one_line(error, "results.json is being made by process")
    copytree, copied = publish.shutil.copytree, []

    def killed(*given, **named):
        copied.append(given)
        if len(copied) == 3:
            raise KeyboardInterrupt
        return copytree(*given, **named)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(publish.shutil, "copytree", killed)
        publish.publish(own_run)
    assert all((folder / kind / "of-before.npz").read_text() == "old" for kind in ("weights", "negatives", "evidence"))
    publish.publish(own_run)
    assert not list(folder.rglob("of-before.npz")) and not list(folder.glob(".*"))


# Leftovers


@pytest.mark.fault("kills", tried="temporary files, of a dead process and of a living one, in one folder",
                   survived="the first go, the second stay, also where it is the very moment of clearing")
def test_leftovers_of_the_dead_alone_are_removed(tmp_path, monkeypatch):
    dead = [tmp_path / name for name in (".a.npz.abcd_123.npz", ".b.abcd_123", ".a.tar.gz.abcd_123.gz")]
    others = [tmp_path / name for name in ("a.npz", ".a.npz.lock", ".a.npz.abcd_123.txt", ".hidden",
                                           ".a.npz.ABCD_123.npz")]
    for path in dead + others:
        path.write_text("half")
    with files.atomic(tmp_path / "c.npz") as living:
        living.write_text("half")
        files.remove_leftovers(tmp_path)
        assert sorted(tmp_path.iterdir()) == sorted([*others, living])
        living.write_text("whole")
    assert (tmp_path / "c.npz").read_text() == "whole"
    made, mkstemp = [], files.tempfile.mkstemp

    def cleared(**given):  # between the making of the file and its lock
        handle, name = mkstemp(**given)
        made.append(name)
        if len(made) == 1:
            files.remove_leftovers(tmp_path)
        return handle, name

    monkeypatch.setattr(files.tempfile, "mkstemp", cleared)
    files.write_json(tmp_path / "d.json", {})
    assert len(made) == 2 and json.loads((tmp_path / "d.json").read_text()) == {}


@pytest.mark.fault("kills", tried="a kill after a result is whole, before its checkpoint or parts are gone",
                   survived="the next command clears them away")
def test_what_is_no_longer_needed_goes(own_run):
    checkpoint = own_run.weights_path("LSE1", "cat").with_suffix(".checkpoint")
    parts = own_run.negatives_path("LSE1", "cat").with_name("LSE1-cat-seed0.npz.parts")
    checkpoint.write_text("old")
    parts.mkdir()
    (parts / "00000000.npz").write_text("old")
    looking = open_run(own_run.profile.path, own_run.folder, device="cpu")
    looking.trained("LSE1", "cat"), looking.mined("LSE1", "cat")
    assert checkpoint.exists() and parts.exists()  # who only looks changes nothing
    own_run.trained("LSE1", "cat"), own_run.mined("LSE1", "cat")
    assert not checkpoint.exists() and not parts.exists()


# Disks


def mounted(mount: str, command: list, **options) -> subprocess.CompletedProcess:
    """Run a command where `mount` was done for it alone, or skip."""
    if subprocess.run(["unshare", "-rm", "sh", "-c", mount], capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount")
    return subprocess.run(["unshare", "-rm", "sh", "-c", f'{mount} && exec "$@"', "sh", *map(str, command)],
                          capture_output=True, text=True, env=ENVIRONMENT, **options)


@pytest.mark.fault("disk", tried="regions and score into a run folder mounted for reading only",
                   survived="one line that names it, exit code 2; what is finished is found there")
def test_a_run_folder_for_reading_only(own_run):
    folder = own_run.folder
    (folder / "evidence" / "regions-val.npz").rename(folder.parent / "kept.npz")
    mount = f"mount --bind '{folder}' '{folder}' && mount -o remount,bind,ro '{folder}'"
    command = [word.replace("run", str(folder)) if word == "run" else word for word in REGIONS]
    done = mounted(mount, command, cwd=folder.parent)
    lines = [line for line in done.stderr.splitlines() if line.startswith("lsegrepro: ")]
    assert done.returncode == 2 and len(lines) == 1 and "Read-only file system" in lines[0], done.stderr
    assert "Traceback" not in done.stderr
    (folder.parent / "kept.npz").rename(folder / "evidence" / "regions-val.npz")
    assert mounted(mount, command, cwd=folder.parent).returncode == 0


@pytest.mark.fault("disk", tried="regions onto a disk of 16 KiB",
                   survived="one line, exit code 2; nothing half-written")
def test_a_full_disk_for_evidence(tiny):
    (tiny / "run").mkdir()
    mount = f"mount -t tmpfs -o size=16k none '{tiny / 'run'}'"
    done = mounted(mount, ["sh", "-c", '"$@"; code=$?; ls -A run/evidence 2>/dev/null; exit $code', "sh", *REGIONS],
                   cwd=tiny)
    lines = [line for line in done.stderr.splitlines() if line.startswith("lsegrepro: ")]
    assert done.returncode == 2 and len(lines) == 1 and "No space left" in lines[0], done.stderr
    assert done.stdout == "" and "Traceback" not in done.stderr


@pytest.mark.fault("disk", tried="a full /tmp, and a home that cannot be written",
                   survived="regions are counted all the same")
def test_a_full_tmp_and_no_home(tiny):
    work = Path("/var/tmp") if str(tiny).startswith("/tmp") else tiny
    folder = Path(files.tempfile.mkdtemp(dir=work))
    try:
        (folder / "tiny.toml").write_text(TINY)
        mount = ("mount -t tmpfs -o size=4k none /tmp && head -c 4096 /dev/zero > /tmp/full && "
                 "export HOME=/proc/none TMPDIR=/tmp")
        done = mounted(mount, REGIONS, cwd=folder)
        assert done.returncode == 0, done.stderr
        assert (folder / "run" / "evidence" / "regions-val.npz").is_file()
    finally:
        site.shutil.rmtree(folder)


# Names


@pytest.mark.parametrize("name", ["1e3", "010", "true", "nan", "a: b", "it's \"x\"", "'x'", "Kätzchen 😺", "a #b",
                                  "[a, b]", "a=b"])
@pytest.mark.fault("surroundings", tried="a run folder whose name YAML reads as a number, a list, a comment",
                   survived="reproduce hands Snakemake the name as it is")
def test_snakemake_gets_the_name_as_it_is(tiny, monkeypatch, name):
    parse = pytest.importorskip("snakemake.cli").parse_config
    commands = []
    monkeypatch.setattr(site, "run_group", lambda command, environment: commands.append(command) or 0)
    monkeypatch.setattr(site, "ROOT", tiny)
    (tiny / "_toc.yml").write_text("")
    site.reproduce(open_run(tiny / "tiny.toml", tiny / name, device="cpu"), dry_run=True)
    (command,) = commands
    found = parse(command[command.index("--config") + 1:])
    assert found == {"profile": ["tiny.toml"], "run": [name], "device": ["cpu"], "depth": ["scratch"]}


@pytest.mark.fault("surroundings", tried="a run folder with braces in its name",
                   survived="reproduce refuses it in one line")
def test_braces_are_snakemakes_own(tiny):
    with pytest.raises(LsegreproError) as error:
        site.reproduce(open_run(tiny / "tiny.toml", tiny / "{a}", device="cpu"), dry_run=True)
    one_line(error, "braces", "{a}")
