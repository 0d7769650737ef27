"""Verification: what comes out again is the same, what does not differs, and what is damaged is refused."""

import dataclasses
import json
import math
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import ROOT, one_line
from hypothesis import given, settings
from hypothesis import strategies as st

from lsegrepro import cli, evaluation, evidence
from lsegrepro.book import site
from lsegrepro.files import LsegreproError, digest, read_json, write_json
from lsegrepro.runs import facts, publish, results, verify
from lsegrepro.runs.folder import RunFolder, open_run
from lsegrepro.runs.verify import machine, record, rescore
from lsegrepro.runs.verify.numbers import Number

NETWORK = ("LSE1", "cat", 2, 0)


@pytest.fixture(scope="session")
def published_tiny(tiny_folder, tmp_path_factory) -> Path:
    """The finished tiny run with its facts and its numbers, as a published one; treat it as read-only."""
    folder = tmp_path_factory.mktemp("published")
    shutil.copytree(tiny_folder, folder, dirs_exist_ok=True)
    run = open_run(folder / "tiny.toml", folder / "run", device="cpu", progress=False)
    facts.count_all(run)
    record.write_record(run)
    return folder


@pytest.fixture
def theirs(published_tiny, tmp_path) -> RunFolder:
    """A copy of it that a test may spoil."""
    shutil.copytree(published_tiny, tmp_path / "theirs")
    return open_run(tmp_path / "theirs/tiny.toml", tmp_path / "theirs/run", device="cpu", progress=False)


def checked(run: RunFolder, depth: str | None = "evidence", **options) -> list[verify.Verdict]:
    return list(verify.verify(run, depth, work=options.pop("work", run.folder.parent / "work"), **options).verdicts)


def refused(run: RunFolder, *parts) -> None:
    with pytest.raises(LsegreproError) as error:
        checked(run)
    one_line(error, *parts)


def altered(run: RunFolder, change) -> None:
    """Change results.json and seal it again, as somebody who knows how would."""
    path = record.record_path(run.folder)
    value = read_json(path)
    del value["digest"]
    change(value)
    write_json(path, value | {"digest": digest(value)})


# Numbers


def test_the_numbers_are_those_of_the_pages(published_tiny):
    run = open_run(published_tiny / "tiny.toml", published_tiny / "run", depth="evidence")
    kept = {number.key: number for number in record.read_record(run.folder).numbers}
    for network in run.networks():
        model, cls, round, _ = network
        r, of = results.result(run, *network), f"{model} {cls} round {round}"
        for where, cell in (("at theta from train", r.chosen), ("at the paper's theta", r.papers),
                            ("at the oracle's theta", r.oracle), ("raw, theta from train", r.raw)):
            for name, interval in (("AP", cell.ap), ("foreground", cell.foreground), ("background", cell.background)):
                found = kept[of, f"{name} {where}"]
                assert np.array_equal((found.value, found.low, found.high),
                                      (interval.value, interval.low, interval.high), equal_nan=True)
        assert kept[of, "theta from train"].value == r.chosen.theta
        right = kept[of, "classification, right"].value
        assert right == r.classification.accuracy
    everything = kept["everything foreground, cat", "AP"].value
    assert everything == evaluation.ap(evaluation.everything_foreground(run.regions("val"), "cat").sum(axis=0))
    names = {of for of, _ in kept}
    assert {"LSE1 − max1, cat", "LSE1, round 2 − round 1, cat", "centred box, cat"} < names


def test_a_number_is_printed_as_on_a_page():
    assert Number("a", "b", -0.0123, -0.02, 0.001, "points", "zero is inside").text == \
        "-1.23 [-2.00, +0.10], zero is inside"
    assert Number("a", "b").text == "–" and Number("a", "b", unit="text", said="yes").text == "yes"


numbers = st.builds(
    Number, st.sampled_from("ab"), st.sampled_from("cd"), *[st.floats(-1, 1) | st.just(math.nan)] * 3,
    st.sampled_from(["%", "theta"]), st.sampled_from(["", "above zero"]),
)
lists = st.lists(numbers, unique_by=lambda number: number.key, max_size=4)


@given(lists)
def test_a_list_is_the_same_as_itself(one):
    assert [v.same for v in verify.compare(one, one)] == [True] * len(one)
    kept = [record._slim(number) for number in one]
    assert all(v.same for v in verify.compare([Number(**json.loads(json.dumps(k))) for k in kept], one))


@settings(max_examples=50)
@given(lists, lists)
def test_verdicts_cover_both_lists_and_say_what_differs(found, old):
    verdicts = verify.compare(found, old)
    assert {(v.of, v.what) for v in verdicts} == {n.key for n in (*found, *old)} and len(verdicts) == len(
        {n.key for n in (*found, *old)})
    new, before = ({n.key: n for n in each} for each in (found, old))
    for v in verdicts:
        a, b = new.get((v.of, v.what)), before.get((v.of, v.what))
        if v.same:
            assert a.text == b.text and (v.found, v.published) == (a.text, b.text)
        else:
            assert v.found != v.published  # the report shows a difference
        assert v.line.startswith("same " if v.same else "differs ")


def test_the_tolerance_is_one_of_rounding():
    for gap, same in ((5e-10, True), (2e-9, False)):
        for field in ("value", "low", "high"):
            a = Number("a", "b", 0.5, 0.4, 0.6)
            b = dataclasses.replace(a, **{field: getattr(a, field) + gap})
            assert verify.compare([b], [a])[0].same is same
    twice = [Number("a", "b", 0.5)] * 2
    with pytest.raises(LsegreproError):
        verify.compare(twice, twice)


# Evidence


def test_the_published_numbers_come_out_again(theirs):
    verdicts = checked(theirs)
    assert len(verdicts) > 60 and all(v.same for v in verdicts)
    assert [(v.of, v.what) for v in verdicts] == [n.key for n in record.read_record(theirs.folder).numbers]


def test_a_number_that_was_changed_differs(theirs):
    def change(value):
        value["numbers"][5]["value"] = value["numbers"][5].get("value", 0) + 1e-4
        del value["numbers"][7]
        value["numbers"].append({"of": "LSE3", "what": "AP", "value": 0.5})

    altered(theirs, change)
    wrong = [v for v in checked(theirs) if not v.same]
    assert len(wrong) == 3
    assert [v.published for v in wrong if v.found == "nothing"] == ["50.00"]
    assert sum(v.published == "nothing" for v in wrong) == 1


def test_evidence_is_neither_cut_short_nor_altered(theirs):
    for path in (theirs.scores_path(*NETWORK), theirs.regions_path("train")):
        whole = path.read_bytes()
        other = bytearray(whole)
        other[len(whole) // 2] ^= 1
        for data, said in ((whole[:-9], "truncated"), (bytes(other), "altered")):
            path.write_bytes(data)
            refused(theirs, path, "refused", said)
        path.unlink()
        refused(theirs, path, "is not there")
        path.write_bytes(whole)
    checked(theirs)


def test_evidence_of_another_network_is_refused(theirs):
    """Well made, well sealed, and of something else."""
    mine = theirs.scores_path(*NETWORK)
    shutil.copy(theirs.scores_path("LSE1", "cat", 1), mine)
    refused(theirs, mine, "round = 1", "says 2")


def test_evidence_that_was_made_again_is_refused(theirs):
    """It belongs to its regions and weights, but it is not what the numbers were computed from."""
    path, regions = theirs.scores_path(*NETWORK), theirs.regions("val")
    scores = evidence.read_scores(path, regions)
    evidence.write_scores(path, dataclasses.replace(scores, image_scores=scores.image_scores[::-1]))
    refused(theirs, path, "its SHA-256 begins", "results.json says")


def test_lists_and_profile_must_agree(theirs):
    altered(theirs, lambda value: value["lists"].update(train="0" * 16))
    refused(theirs, theirs.regions_path("train"), theirs.regions("train").data_digest, "results.json says 0000")
    altered(theirs, lambda value: value.update(profile="paper"))
    refused(theirs, record.record_path(theirs.folder), "its profile is paper, asked for was tiny")


def test_weights_that_are_not_those_of_the_evidence_are_refused(theirs):
    path = theirs.weights_path(*NETWORK)
    shutil.copy(theirs.weights_path("LSE1", "cat", 1), path)
    refused(theirs, path, "its SHA-256 begins")
    card = path.with_suffix(".json")
    write_json(card, read_json(card) | {"sha256": "0" * 64})
    refused(theirs, theirs.scores_path(*NETWORK, split="train"), "other weights")


@pytest.mark.parametrize("content", ["", "{}", '{"format": "lsegrepro results"}', "[1]"])
def test_a_file_of_numbers_that_is_none_is_refused(theirs, content):
    record.record_path(theirs.folder).write_text(content)
    refused(theirs, "this machine cannot verify at depth evidence", record.record_path(theirs.folder))


def test_any_changed_digit_of_the_numbers_is_refused(theirs):
    path = record.record_path(theirs.folder)
    whole = path.read_bytes()
    places = [i for i, byte in enumerate(whole) if chr(byte).isdigit()]
    for i in np.random.default_rng(0).choice(places, 40, replace=False):
        changed = whole[:i] + (b"3" if whole[i : i + 1] == b"7" else b"7") + whole[i + 1 :]
        path.write_bytes(changed)
        if json.loads(changed) != json.loads(whole):  # the seventeenth digit of a float need not change it
            with pytest.raises(LsegreproError) as error:
                record.read_record(theirs.folder)
            one_line(error, path, "refused")


def test_other_code_is_noted_and_not_refused(theirs):
    altered(theirs, lambda value: value.update(code={"evaluation": "0", "scoring": "0"}))
    check = verify.verify(theirs, "evidence", work=theirs.folder)
    assert check.notes == ["the code from evidence to numbers is not that of the published numbers"]
    assert all(v.same for v in check.verdicts)


def test_evidence_needs_neither_torch_nor_the_books_packages(theirs):
    """The whole command, with everything hidden but numpy, matplotlib and what they need."""
    code = """
import sys
for name in ("torch", "matplotlib", "papermill", "nbclient", "snakemake", "jupyter_book", "IPython", "skimage",
             "safetensors"):
    sys.modules[name] = None
from lsegrepro.cli import main
sys.exit(main(["verify", "--depth", "evidence", "--profile", "tiny.toml", "--run", "run"]))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=theirs.folder.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "evidence  yes" in done.stdout and "numbers are the published ones" in done.stdout
    assert not (theirs.folder.parent / "runs").exists()  # nothing is written


# The command


def run_cli(run: RunFolder, *words) -> int:
    return cli.main([str(w) for w in ("verify", "--profile", run.profile.path, "--run", run.folder, "--device", "cpu",
                                      "--work", run.folder.parent / "work", *words)])


def test_the_command_prints_a_line_a_number(theirs, capsys):
    assert run_cli(theirs, "--depth", "evidence") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:5]] == ["This", "evidence", "weights", "scratch", "Doing:"]
    verdicts = [line for line in lines if line.startswith("same ")]
    assert len(verdicts) == len(record.read_record(theirs.folder).numbers) and "published" in verdicts[0]
    assert lines[-1] == f"All {len(verdicts)} numbers are the published ones."


def test_a_difference_is_told_and_ends_with_code_2(theirs, capsys):
    altered(theirs, lambda value: value["numbers"][2].update(value=0.123))
    assert run_cli(theirs, "--depth", "evidence") == 2
    said = capsys.readouterr()
    assert said.err.count("\n") == 1 and "lsegrepro: 1 of " in said.err
    assert sum(line.startswith("differs ") for line in said.out.splitlines()) == 1
    assert run_cli(theirs, "--depth", "evidence", "--json") == 2
    found = json.loads(capsys.readouterr().out)
    assert found["depth"] == "evidence" and [d["name"] for d in found["machine"]] == ["evidence", "weights", "scratch"]
    assert [v["published"] for v in found["verdicts"] if not v["same"]] == ["0.123"]


def test_a_damaged_file_ends_with_code_2_and_its_name(theirs, capsys):
    theirs.regions_path("val").write_bytes(b"nothing")
    assert run_cli(theirs, "--depth", "evidence") == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and str(theirs.regions_path("val")) in said


def test_an_argument_that_makes_no_sense_is_refused(theirs, capsys):
    for words in (("--depth", "weights", "--images", "-1"), ("--images", "-3")):
        assert run_cli(theirs, *words) == 2
        assert "--images must be 0 (all) or more" in capsys.readouterr().err
    with pytest.raises(LsegreproError):
        verify.verify(theirs, "photographs", work=theirs.folder)


@pytest.mark.parametrize("words, profile, folder, depth", [
    ([], "quick", "runs/quick", "scratch"),
    (["--depth", "evidence"], "local", publish.PUBLISHED, "evidence"),
    (["--depth", "evidence", "--run", "other"], "local", "other", "evidence"),
    (["--depth", "evidence", "--profile", "quick"], "quick", "runs/quick", "evidence"),
    (["--depth", "weights"], "local", "runs/local-weights", "weights"),
    (["--depth", "weights", "--profile", "paper"], "paper", "runs/paper-weights", "weights"),
])
def test_reproduce_begins_where_it_is_told(words, profile, folder, depth, monkeypatch):
    asked, compared = [], []
    monkeypatch.setattr(site, "reproduce", lambda run, **options: asked.append(run))
    monkeypatch.setattr(cli, "_verify", compared.append)
    assert cli.main(["reproduce", *words]) == 0
    (run,) = asked
    assert (run.profile.name, run.folder, run.depth) == (profile, Path(folder), depth)
    assert run.compute is (depth != "evidence")
    # From weights, all that was scored is compared with the published evidence, and nothing is scored twice.
    assert [(args.work, args.images, args.run, args.depth) for args in compared] == (
        [(Path(folder), 0, None, "weights")] if depth == "weights" else [])


# The machine


def test_a_machine_says_what_it_lacks(theirs, monkeypatch):
    assert [(d.name, d.can) for d in machine.depths(theirs)] == [
        ("evidence", True), ("weights", True), ("scratch", True)]
    monkeypatch.setattr(machine, "find_spec", lambda name: None)
    assert [d.can for d in machine.depths(theirs)] == [True, False, False]
    assert "PyTorch is not installed" in machine.depths(theirs)[1].why
    with pytest.raises(LsegreproError) as error:
        checked(theirs, "weights")
    one_line(error, "this machine cannot verify at depth weights: PyTorch is not installed")
    assert verify.verify(theirs, work=theirs.folder).depth == "evidence"


def test_a_machine_without_photographs_says_what_to_set(theirs, monkeypatch, tmp_path):
    monkeypatch.delenv("LSEGREPRO_DATA", raising=False)
    data = dataclasses.replace(theirs.profile.data, kind="photographs", weak="weak", segmentation="VOC")
    run = dataclasses.replace(theirs, profile=dataclasses.replace(theirs.profile, data=data))
    found = machine.depths(run)
    assert [d.can for d in found] == [True, False, False]
    assert all("set LSEGREPRO_DATA (or --data)" in d.why for d in found[1:])


def test_without_weights_there_is_evidence(theirs):
    shutil.rmtree(theirs.folder / "weights")
    found = machine.depths(theirs)
    assert [d.can for d in found] == [True, False, True]
    assert f"{theirs.weights_path(*theirs.last_networks()[0])} is not there" == found[1].why


# Weights


def test_the_same_weights_give_the_same_scores(theirs):
    verdicts = checked(theirs, None, images=0)
    again = [v for v in verdicts if v.what == "p of a superpixel"]
    assert len(again) == 2 and all(v.same for v in verdicts)
    assert all(v.found.startswith("6 images, ") and "(0 codes) at most" in v.found for v in again)


def test_a_part_of_the_images_is_evenly_spaced_and_kept(theirs, monkeypatch):
    seen = []
    score = rescore.score_image
    monkeypatch.setattr(rescore, "score_image", lambda w, image, args, cache: seen.append(cache) or score(
        w, image, args, cache))
    cache = theirs.folder.parent / "work" / "cache"
    parts = rescore.rescore(dataclasses.replace(theirs), 3, cache, progress=False)
    ids = theirs.regions("val").ids
    assert {path.stem for path in seen} == {ids[i] for i in (0, 2, 4)} and len(seen) == 6
    assert all(path.is_file() for path in seen)  # an interrupted check goes on from these
    assert all(part.regions.ids == (ids[0], ids[2], ids[4]) for part in parts.values())


def test_a_part_is_cut_out_of_the_evidence(theirs):
    """The curve of a subset, from its slices, is that of the images counted one by one."""
    regions, scores = theirs.regions("val"), theirs.scores(*NETWORK)
    index = np.array([1, 4, 5])
    part = rescore.subset(regions, index)
    assert part.ids == tuple(regions.ids[i] for i in index) and (part.totals == regions.totals[index]).all()
    counts = evaluation.per_image_counts(regions, scores, theta=0.5)[index].sum(axis=0)
    codes = scores.statistics[rescore._superpixels(regions, index)]
    assert evaluation.curve(codes, *part.pixels("cat")).at(0.5) == evaluation.Counts(*counts.tolist())


@pytest.mark.parametrize("moved, same", [(0.001, True), (0.05, False)])
def test_scores_may_move_within_the_tolerance(theirs, moved, same, monkeypatch):
    """Every pixel of every image a little more likely: known in advance what each verdict must say."""
    score = rescore.score_image

    def shifted(*args):
        codes, image_scores = score(*args)
        return np.minimum(codes + round(moved * 65535), 65535).astype(np.uint16), image_scores

    monkeypatch.setattr(rescore, "score_image", shifted)
    tolerance = rescore.Tolerance(0.002, 0.01)
    monkeypatch.setattr(rescore, "TOLERANCE", {"float32": tolerance, "bfloat16": tolerance})
    run = dataclasses.replace(theirs)
    for network, part in rescore.rescore(run, 0, theirs.folder.parent / "c", progress=False).items():
        verdicts = {v.what.split(" at ")[0]: v for v in rescore.verdicts(run, network, part)}
        assert (part.found - part.kept == round(moved * 65535)).all()
        assert f"{moved:.5f}"[:5] in verdicts["p of a superpixel"].found
        assert verdicts["p of a superpixel"].same is same and verdicts["scores of whole images"].same
        assert verdicts["histograms of raw pixels"].same is same or not same  # tiny networks hardly spread
        if same:
            assert all(v.same for v in verdicts.values())


@given(st.integers(0, 3), st.integers(0, 1000))
def test_a_histogram_that_moved_by_some_bins_is_told(steps, seed):
    rng = np.random.default_rng(seed)
    places = rng.integers(0, 201, (2, 50))
    kept = np.stack([np.bincount(row, minlength=201)[None] for row in places])
    moves = rng.integers(-steps, steps + 1, places.shape)
    found = np.stack([np.bincount(row, minlength=201)[None] for row in np.clip(places + moves, 0, 200)])
    assert rescore._shifted_at_most(found, kept, max(steps, 1))
    far = np.stack([np.bincount(np.minimum(row + steps + 2, 200), minlength=201)[None] for row in places])
    if places.max() + steps + 2 <= 200:
        assert not rescore._shifted_at_most(far, kept, steps + 1)


def test_other_superpixels_or_masks_are_refused(theirs, monkeypatch):
    cut = rescore.oversegment_all
    monkeypatch.setattr(rescore, "oversegment_all", lambda *args: (np.zeros_like(each) for each in cut(*args)))
    with pytest.raises(LsegreproError) as error:
        checked(theirs, "weights", images=1)
    one_line(error, f"the superpixels of {theirs.regions('val').ids[0]} are not those of the regions")


def test_images_that_the_reader_lacks_are_left_out(theirs, monkeypatch):
    data = theirs.segmentation("val")
    here = SimpleNamespace(ids=list(data.ids)[::-1][:2], image=lambda i: data.image(len(data) - 1 - i),
                           mask=lambda i: data.mask(len(data) - 1 - i), description="two", digest=data.digest)
    monkeypatch.setattr(RunFolder, "segmentation", lambda self, split: here)
    parts = rescore.rescore(dataclasses.replace(theirs), 0, theirs.folder.parent / "c", progress=False)
    for part in parts.values():
        assert part.regions.ids == tuple(data.ids[-2:]) and (part.found == part.kept).all()
    here.ids = ["another", "one"]
    with pytest.raises(LsegreproError) as error:
        rescore.rescore(dataclasses.replace(theirs), 0, theirs.folder.parent / "c", progress=False)
    one_line(error, "none of the 6 images of", "is in two")


# Scratch


def test_scratch_makes_what_is_missing_in_a_folder_of_its_own(theirs, tmp_path):
    """As after an interruption: one network of four, and its evidence, are still to be made."""
    work, name = tmp_path / "work", theirs.name(*NETWORK)
    shutil.copytree(theirs.folder, work)
    for path in (*work.glob(f"weights/{name}*"), *work.glob(f"evidence/{name}*")):
        path.unlink()
    before = {path: path.stat().st_mtime_ns for path in theirs.folder.rglob("*") if path.is_file()}
    made = [v for v in checked(theirs, "scratch", work=work) if "points;" in v.found]
    assert len(made) == 4 and all(v.same and "+0.00 points" in v.found for v in made)  # same seed, same machine
    assert (work / "weights" / f"{name}.safetensors").is_file()
    assert {path: path.stat().st_mtime_ns for path in theirs.folder.rglob("*") if path.is_file()} == before


def test_an_ap_outside_the_published_interval_differs():
    old = evaluation.Interval(0.1, 0.08, 0.12)
    assert [verify._inside(evaluation.Interval(v, v, v), old) for v in (0.08, 0.12, 0.079, 0.121)] == [
        True, True, False, False]


# What is committed


def test_the_committed_numbers_come_out_of_the_committed_evidence():
    run = open_run(publish.PROFILE, publish.PUBLISHED, depth="evidence")
    if not record.record_path(run.folder).is_file():
        pytest.skip("no published run is beside the package")
    verdicts = checked(run, work=ROOT / "runs" / "verify")
    assert verdicts and [v.line for v in verdicts if not v.same] == []
