"""The whole of `lsegrepro reproduce`, killed at a random moment; ``LSEGREPRO_KILLS=30`` kills it thirty times."""

import os
import random
import shutil
import signal
import time

import kills
import pytest
import reproductions

from lsegrepro.runs.folder import SPLITS, open_run

pytest.importorskip("snakemake", reason="the book's packages are not installed")
KILLS = int(os.environ.get("LSEGREPRO_KILLS", "1"))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Weights, hard negatives and evidence of the same run, made in this process."""
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "tiny.toml").write_text(kills.PROFILE)
    run = open_run(folder / "tiny.toml", folder / "run", device="cpu", progress=False)
    for network in run.networks():
        for split in SPLITS:
            run.scores(*network, split)
    return reproductions.results(folder)


@pytest.mark.fault("kills", tried="lsegrepro reproduce: SIGKILL of the command alone at random moments",
                   survived="its jobs end with it; the same command finishes: the same bytes, no lock, no half book")
@pytest.mark.fault("processes", tried="a second reproduction of the same run",
                   survived="told which process is at it; the first is not disturbed")
def test_a_reproduction_that_was_killed_goes_on(tmp_path, undisturbed):
    clone = reproductions.clone(tmp_path / "clone")
    rng = random.Random(os.environ.get("LSEGREPRO_KILLS_SEED"))
    begun = time.monotonic()
    for _ in range(KILLS):
        moment, wrong = reproductions.kill(clone, 40, rng)
        assert not wrong, (moment, wrong)
    for made in ("executed", "site"):  # so that there is work left, wherever the last kill came
        shutil.rmtree(clone / "run" / made, ignore_errors=True)
    first = reproductions.start(clone)
    lock = clone / "run" / ".reproduce.lock"
    while not (lock.exists() and f"process {first.pid} " in lock.read_text()):
        assert first.poll() is None and time.monotonic() - begun < 3600
        time.sleep(0.1)
    first.send_signal(signal.SIGSTOP)  # a fast machine would be done before the second gives up waiting
    second = reproductions.start(clone)
    told = second.communicate()[0]
    first.send_signal(signal.SIGCONT)
    assert second.returncode == 2 and f"is being made by process {first.pid} on" in told.splitlines()[-1], told
    said = first.communicate()[0]
    assert first.returncode == 0, said[-3000:]
    found = reproductions.results(clone)
    assert found.keys() - undisturbed.keys() == {"executed/01-data.ipynb"}
    assert not [name for name, data in undisturbed.items() if found.get(name) != data]
    assert b"run " in found["executed/01-data.ipynb"]
    for page in ("index.html", "book/page.html", "book/run/01-data.html"):
        assert (clone / "run" / "site" / "_build" / "html" / page).is_file()
    assert not reproductions.living(clone)
    assert sorted(path.name for path in (clone / "run").iterdir()) == [
        "cache", "evidence", "executed", "negatives", "site", "weights"]
