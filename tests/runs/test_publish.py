"""A run of one's own begins from published results; a finished run becomes the published one."""

import dataclasses
import shutil
from pathlib import Path

import pytest
from conftest import one_line

from lsegrepro.files import LsegreproError, read_json, sha256
from lsegrepro.runs import facts, publish
from lsegrepro.runs.folder import SPLITS, RunFolder, open_run
from lsegrepro.runs.verify import read_record
from lsegrepro.training import loop, mining


@pytest.fixture
def theirs(own_run, tmp_path, monkeypatch) -> RunFolder:
    """A published run: the finished tiny one."""
    facts.count_all(own_run)
    monkeypatch.setattr(publish, "PUBLISHED", own_run.folder)
    return own_run


def mine(run: RunFolder, folder: Path, **options) -> RunFolder:
    return open_run(run.profile.path, folder, device="cpu", progress=False, **options)


def test_depth_weights_takes_what_was_trained_and_scores_it_again(theirs, tmp_path, monkeypatch):
    def never(*args, **options):
        raise AssertionError("this was published")

    monkeypatch.setattr(loop, "train", never)
    monkeypatch.setattr(mining, "mine", never)
    run = mine(theirs, tmp_path / "mine", depth="weights")
    network = ("LSE1", "cat", 2, 0)
    scores = run.scores(*network)
    assert sha256(run.weights_path(*network)) == sha256(theirs.weights_path(*network))
    assert run.networks() == run.last_networks() == theirs.last_networks() and not run.holds("LSE1", "cat", 1)
    assert run.card(*network) == theirs.card(*network) | {"published": True}
    assert run.curve(*network) == theirs.curve(*network)
    expected = theirs.scores(*network)
    assert (scores.statistics == expected.statistics).all() and scores.meta == expected.meta
    assert facts.sources(run) == facts.sources(theirs)
    assert (run.folder / "evidence" / "facts-sources.json").is_file()
    assert facts.weak_labels(run) == facts.weak_labels(theirs)


def test_published_weights_are_not_held_against_the_readers_images(theirs, tmp_path):
    """Their training images are not the reader's; weights of one's own must be of one's own images."""
    run = mine(theirs, tmp_path / "mine", depth="weights")
    run.trained("LSE1", "cat", 2)
    data = dataclasses.replace(run.profile.data, seed=1)
    other = dataclasses.replace(run.profile, data=data)
    assert dataclasses.replace(run, profile=other).trained("LSE1", "cat", 2).is_file()
    with pytest.raises(LsegreproError) as error:
        dataclasses.replace(theirs, profile=other).trained("LSE1", "cat")
    one_line(error, theirs.weights_path("LSE1", "cat"), "data_digest = ", "delete it or choose another run folder")
    assert dataclasses.replace(theirs, profile=other).trained("LSE1", "cat").is_file()  # only read


def test_what_was_not_published_is_said(theirs, tmp_path):
    theirs.weights_path("LSE1", "cat", 2).unlink()
    run = mine(theirs, tmp_path / "mine", depth="weights")
    with pytest.raises(LsegreproError) as error:
        run.trained("LSE1", "cat", 2)
    one_line(error, "LSE1-cat-round2-seed0.safetensors is not among the published", "take depth scratch")
    assert not (tmp_path / "mine").exists()


def test_a_published_network_that_was_changed_is_not_taken(theirs, tmp_path):
    path = theirs.weights_path("LSE1", "cat", 2)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(LsegreproError) as error:
        mine(theirs, tmp_path / "mine", depth="weights").trained("LSE1", "cat", 2)
    one_line(error, path, "disagree on the digest")
    assert not (tmp_path / "mine").exists()


def test_depth_evidence_computes_nothing_and_looks_at_no_photograph(theirs, tmp_path, monkeypatch):
    run = mine(theirs, theirs.folder, depth="evidence")
    assert run.scores("LSE1", "cat", 2).cls == "cat" and not run.compute
    theirs.scores_path("LSE1", "cat", 2).unlink()
    with pytest.raises(LsegreproError) as error:
        run.scores("LSE1", "cat", 2)
    one_line(error, "is not there, and this call was asked to compute nothing")
    monkeypatch.setenv("LSEGREPRO_DATA", str(tmp_path))
    with pytest.raises(LsegreproError) as error:
        open_run("local", tmp_path, depth="evidence").segmentation("val")
    one_line(error, "at depth evidence no photograph is looked at")
    with pytest.raises(LsegreproError) as error:
        open_run(depth="photographs")
    one_line(error, "unknown depth 'photographs': choose one of evidence, weights, scratch")
    assert open_run("local", depth="weights").folder == Path("runs/local-weights")


def test_a_finished_run_is_published_whole(own_run, tmp_path, monkeypatch):
    folder = tmp_path / "published"
    monkeypatch.setattr(publish, "PUBLISHED", folder)
    with pytest.raises(LsegreproError) as error:
        publish.publish(own_run)
    one_line(error, "the published run is of profile local", own_run.profile.path)
    assert not folder.exists()
    monkeypatch.setattr(publish, "PROFILE", str(own_run.profile.path))
    (own_run.folder / "weights" / "LSE1-cat-round1-seed0.checkpoint").write_text("half")
    (folder / "evidence").mkdir(parents=True)
    (folder / "evidence" / "of-before.npz").write_text("old")
    (folder / "README.md").write_text("kept")
    publish.publish(own_run)
    shutil.rmtree(own_run.folder / "cache")
    copied = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
    theirs = {path.relative_to(own_run.folder) for path in own_run.folder.rglob("*") if path.is_file()}
    unpublished = {path for path in theirs if "round1" in path.name and path.suffix in (".checkpoint", ".safetensors")}
    assert copied == theirs - unpublished | {Path("results.json"), Path("README.md")} and len(unpublished) == 3
    only = open_run(own_run.profile.path, folder, depth="evidence")
    for network in only.networks():
        assert only.trained_card(*network)["sha256"] == own_run.card(*network)["sha256"]
    assert {f"evidence/facts-{name}.json" for name in ("bags", "crop", "weak-labels")} < {p.as_posix() for p in copied}
    record = read_record(folder)
    assert record.profile == "tiny" and record.lists == {s: own_run.regions(s).data_digest for s in SPLITS}
    assert all(sha256(folder / name) == value for name, value in record.files.items())
    before = (folder / "results.json").read_bytes()
    publish.publish(dataclasses.replace(own_run, folder=folder))  # in place
    assert (folder / "results.json").read_bytes() == before
    assert not list(folder.rglob("*round1*.safetensors"))  # not trained again
    only.weights_path("max1", "cat").with_suffix(".json").unlink()
    with pytest.raises(LsegreproError) as error:
        only.trained_card("max1", "cat")
    one_line(error, "max1-cat-round1-seed0.json is not there")


@pytest.mark.parametrize("lacks", ["evidence/max1-cat-round1-seed0-val.npz", "negatives/LSE1-cat-seed0.npz",
                                   "weights/LSE1-cat-round2-seed0.safetensors"])
def test_a_run_that_lacks_a_result_replaces_nothing(own_run, tmp_path, monkeypatch, lacks):
    folder = tmp_path / "published"
    monkeypatch.setattr(publish, "PUBLISHED", folder)
    monkeypatch.setattr(publish, "PROFILE", str(own_run.profile.path))
    (folder / "evidence").mkdir(parents=True)
    (folder / "evidence" / "of-before.npz").write_text("old")
    (own_run.folder / lacks).unlink()
    with pytest.raises(LsegreproError) as error:
        publish.publish(own_run)
    one_line(error, own_run.folder / lacks, "is not there")
    assert [path.name for path in folder.rglob("*")] == ["evidence", "of-before.npz"]
    with pytest.raises(LsegreproError) as error:
        publish.publish(dataclasses.replace(own_run, profile=dataclasses.replace(own_run.profile, rounds=(2,))))
    one_line(error, "with rounds 2")


def test_the_committed_run_can_be_read():
    """What is committed belongs together, without a photograph and without torch's help."""
    run = open_run(publish.PROFILE, publish.PUBLISHED, depth="evidence")
    if not (publish.PUBLISHED / "results.json").is_file():
        pytest.skip("no published run is beside the package")
    for name in ("bags", "crop", "sources", "weak-labels", "first-steps"):
        assert facts.read_fact(run.path("evidence", "facts", name, suffix=".json"), name)
    assert read_json(publish.PUBLISHED / "results.json")["profile"] == read_record(publish.PUBLISHED).profile
