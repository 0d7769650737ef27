"""A run of one's own begins from published results; a finished run becomes the published one."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, file_size_limit, refused

from lsegrepro.files import read_json, sha256
from lsegrepro.runs import publish, published, verify
from lsegrepro.runs.experiments import load_experiments, read_experiment
from lsegrepro.runs.folder import RunFolder, open_run
from lsegrepro.runs.statistics import STATISTICS, read_statistics, statistics_path, write_statistics
from lsegrepro.runs.superpixel_search import choose_setting, read_search

NETWORK = ("LSE1", "cat", 2, 0)


@pytest.fixture
def finished(own_run, monkeypatch) -> RunFolder:
    write_statistics(own_run)
    monkeypatch.setattr(publish, "PROFILE", str(own_run.profile.path))
    return own_run


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A published folder with a file of before."""
    folder = tmp_path / "published"
    monkeypatch.setattr(publish, "PUBLISHED", folder)
    (folder / "evidence").mkdir(parents=True)
    (folder / "evidence" / "of-before.npz").write_text("old")
    return folder


def test_published_weights_are_taken_whole_or_not_at_all(finished, tmp_path, monkeypatch):
    monkeypatch.setattr(published, "PUBLISHED", finished.folder)
    run = open_run(finished.profile.path, tmp_path / "mine", device="cpu", progress=False, depth="weights")
    path, theirs = run.weights_path(*NETWORK), finished.weights_path(*NETWORK)
    published.adopt_weights(path)
    assert sha256(path) == sha256(theirs)
    assert run.card(*NETWORK) == finished.card(*NETWORK) | {"published": True}
    assert run.curve(*NETWORK) == finished.curve(*NETWORK)
    path.unlink()
    data = bytearray(theirs.read_bytes())
    data[-1] ^= 1
    theirs.write_bytes(bytes(data))
    refused(lambda: published.adopt_weights(path), theirs, "disagree on the digest")
    theirs.unlink()
    refused(lambda: published.adopt_weights(path), theirs.name, "is not among the published weights: depth")
    assert not path.exists()


def test_a_finished_run_is_published_whole(finished, folder):
    (finished.folder / "weights" / "LSE1-cat-round1-seed0.checkpoint").write_text("half")
    (finished.folder / "experiments" / "mean").mkdir(parents=True)
    (finished.folder / "experiments" / "mean" / "large.npz").write_text("of a run of its own")
    (finished.folder / "experiments" / "mean.json").write_text("{}")
    (folder / "README.md").write_text("kept")
    publish.publish(finished)
    copied = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    theirs = {path.relative_to(finished.folder).as_posix() for path in finished.folder.rglob("*") if path.is_file()}
    left_out = {name for name in theirs if name.startswith(("cache/", "experiments/mean/")) or name.endswith(".lock")
                or "round1" in name and name.endswith((".checkpoint", ".safetensors"))}
    copied = {name for name in copied if not name.endswith(".lock")}
    assert copied == theirs - left_out | {"results.json", "README.md"}
    only = open_run(finished.profile.path, folder, depth="evidence", progress=False)
    assert not [line for line in verify.verify(only) if line.differing]
    before = (folder / "results.json").read_bytes()
    publish.publish(dataclasses.replace(finished, folder=folder))  # in place
    assert (folder / "results.json").read_bytes() == before


@pytest.mark.parametrize("lacks", ["negatives/LSE1-cat-seed0.npz", "statistics/bags.json"])
def test_a_run_that_lacks_a_result_or_whose_evidence_is_damaged_replaces_nothing(finished, folder, lacks):
    path = finished.scores_path("LSE1", "cat", 1)
    path.write_bytes(path.read_bytes()[:-100])
    refused(lambda: publish.publish(finished), path)
    (finished.folder / lacks).unlink()
    refused(lambda: publish.publish(finished), finished.folder / lacks, "is not there", "lsegrepro reproduce")
    assert (folder / "evidence" / "of-before.npz").read_text() == "old" and not (folder / "weights").exists()


def test_an_experiment_that_was_published_is_not_lost(finished, folder):
    path = folder / "experiments" / "mean.json"
    path.parent.mkdir()
    path.write_text("{}")
    refused(lambda: publish.publish(finished), finished.folder / "experiments" / "mean.json", "copy or delete")


def test_a_full_disk_leaves_what_was_published(finished, folder):
    with file_size_limit(5000), pytest.raises(OSError):
        publish.publish(finished)
    assert [path.name for path in folder.rglob("*.npz")] == ["of-before.npz"]


def test_a_run_of_another_profile_is_refused(own_run, tmp_path, monkeypatch):
    monkeypatch.setattr(publish, "PUBLISHED", tmp_path / "published")
    refused(lambda: publish.publish(own_run), "the published run is of profile local", own_run.profile.path)
    assert not (tmp_path / "published").exists()


def test_the_tool_refuses_in_one_line(tmp_path, monkeypatch):
    monkeypatch.delenv("LSEGREPRO_DATA", raising=False)  # without the images no silhouettes can be drawn
    done = subprocess.run([sys.executable, ROOT / "tools" / "publish.py", tmp_path], capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "set LSEGREPRO_DATA" in done.stderr


def test_the_committed_run_can_be_read():
    run = open_run(publish.PROFILE, ROOT / "published", depth="evidence")
    for name in STATISTICS:
        assert read_statistics(run, name) and read_json(statistics_path(run, name))["command"]
    for path in Path(ROOT, "published", "experiments").glob("*.json"):
        assert path.stem in load_experiments(run.profile) and read_experiment(run, path.stem)
    assert choose_setting(read_search(run)).achievable["cat"] >= 0.85
