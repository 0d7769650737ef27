"""A run makes what is missing, keeps what is there, and refuses what does not belong to it."""

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TINY, one_line, write_voc
from PIL import Image

from lsegrepro.evidence import scoring
from lsegrepro.files import LsegreproError, read_json, sha256, write_json
from lsegrepro.network.weights import load_weights, save_weights
from lsegrepro.config import load_profile
from lsegrepro.runs.folder import DATA_VARIABLE, SPLITS, RunFolder, open_run
from lsegrepro.training import loop, mining

NETWORK = ("LSE1", "cat", 2, 0)


def reopened(run: RunFolder, **changes) -> RunFolder:
    """The same run as a new process would open it, with other sections of its profile if asked."""
    profile = dataclasses.replace(run.profile, **changes)
    return RunFolder(profile, run.folder, run.data, "cpu", progress=False)


def snapshot(folder: Path) -> dict[Path, tuple[int, int]]:
    return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in folder.rglob("*")}


# What is made, and where


def test_a_run_holds_what_it_says(tiny_run):
    names = ["max1-cat-round1-seed0", "max1-cat-round2-seed0", "LSE1-cat-round1-seed0", "LSE1-cat-round2-seed0"]
    assert [tiny_run.name(*network) for network in tiny_run.networks()] == names
    found = {str(p.relative_to(tiny_run.folder)) for kind in ("weights", "negatives", "evidence")
             for p in (tiny_run.folder / kind).iterdir()}
    assert found == {
        *(f"weights/{name}{suffix}" for name in names for suffix in (".safetensors", ".json", ".jsonl")),
        *(f"negatives/{model}-cat-seed0.npz" for model in ("max1", "LSE1")),
        *(f"evidence/regions-{split}.npz" for split in SPLITS),
        *(f"evidence/{name}-{split}.npz" for name in names for split in SPLITS),
    }


def test_cards_say_what_was_asked_for(tiny_run):
    for model, cls, round, seed in tiny_run.networks():
        card = tiny_run.card(model, cls, round, seed)
        assert card["arguments"] == tiny_run.profile.arguments(model, cls, round, seed).record()
        assert card["samples"] == {1: 16, 2: 8}[round] and card["data"] == tiny_run.weak("train").description
        assert card["sha256"] == sha256(tiny_run.weights_path(model, cls, round, seed))
        assert tiny_run.curve(model, cls, round, seed)[-1]["samples"] == card["samples"]
        first = tiny_run.card(model, cls, 1, seed)["sha256"]
        assert card["start_sha256"] == (first if round == 2 else None)
        assert (card["hard_digest"] is not None) == (round == 2)


def test_evidence_is_of_the_splits(tiny_run):
    for split, count in (("train", 4), ("val", 6)):
        regions, scores = tiny_run.regions(split), tiny_run.scores(*NETWORK, split)
        assert regions.ids == tuple(tiny_run.segmentation(split).ids) and len(regions) == count
        assert scores.meta["weights_sha256"] == tiny_run.card(*NETWORK)["sha256"]
        assert scores.meta["arguments"] == {"scale_to": 48, "precision": "float32"}
        assert tiny_run.has_scores(*NETWORK, split)
        assert tiny_run.smoothed(*NETWORK, split).counts[0].sum() == regions.totals.sum()


def test_results_that_are_not_there_read_as_nothing(tiny_run):
    assert tiny_run.card("LSE1", "cat", 1, 7) == {} and tiny_run.curve("LSE1", "cat", 1, 7) == []
    assert not tiny_run.has_scores("LSE1", "cat", 1, 7) and tiny_run.has_data


# Idempotence


def everything(run: RunFolder) -> None:
    """Each call a run has, for every network."""
    for model, cls, round, seed in run.networks():
        run.trained(model, cls, round, seed)
        run.weights(model, cls, round, seed)
        run.mined(model, cls, seed)
        run.negatives(model, cls, seed)
        for split in SPLITS:
            run.regions(split)
            run.scores(model, cls, round, seed, split)


def test_a_finished_run_is_not_worked_on(own_run, monkeypatch):
    def never(*args, **options):
        raise AssertionError("this was done already")

    for module, name in ((loop, "train"), (mining, "mine"), (scoring, "score_set"), (scoring, "count_regions"),
                         (scoring, "score_image")):
        monkeypatch.setattr(module, name, never)
    before = snapshot(own_run.folder)
    everything(own_run)
    everything(reopened(own_run))
    assert snapshot(own_run.folder) == before


@pytest.mark.fault("kills", tried="results deleted from a finished run", survived="only what is missing is made again")
def test_only_what_is_missing_is_made_again(own_run):
    scores, weights = own_run.scores_path(*NETWORK, "val"), own_run.weights_path(*NETWORK)
    content = scores.read_bytes(), sha256(weights)
    scores.unlink()
    before = snapshot(own_run.folder)
    own_run.scores(*NETWORK, "val")
    after = snapshot(own_run.folder)
    assert {path for path in after if path not in before or after[path] != before[path]} <= {scores, scores.parent}
    assert scores.read_bytes() == content[0]


def test_a_training_cut_short_ends_as_one_that_was_not(own_run):
    weights, digest = own_run.weights_path("max1", "cat"), own_run.card("max1", "cat")["sha256"]
    for path in weights.parent.glob("max1-cat-round1*"):
        path.unlink()
    checkpoint = own_run.trained("max1", "cat", stop_after=1)
    assert checkpoint.suffix == ".checkpoint" and checkpoint.is_file() and not weights.exists()
    assert reopened(own_run).trained("max1", "cat") == weights
    assert sha256(weights) == digest and not checkpoint.exists()


@pytest.mark.parametrize("call, missing", [
    (lambda run: run.weights("LSE1", "cat"), "weights/LSE1-cat-round1-seed0.safetensors"),
    (lambda run: run.trained("max1", "cat", 2), "weights/max1-cat-round2-seed0.safetensors"),
    (lambda run: run.mined("LSE1", "cat"), "negatives/LSE1-cat-seed0.npz"),
    (lambda run: run.regions("val"), "evidence/regions-val.npz"),
    (lambda run: run.scores("LSE1", "cat"), "evidence/regions-val.npz"),
])
def test_a_run_that_may_compute_nothing_says_what_is_missing(tmp_path, call, missing):
    run = open_run("quick", tmp_path / "empty")
    with pytest.raises(LsegreproError) as error:
        call(run)
    one_line(error, tmp_path / "empty" / missing, "compute nothing")
    assert not (tmp_path / "empty").exists()


# Results of something else


def refused(call, *parts) -> None:
    with pytest.raises(LsegreproError) as error:
        call()
    one_line(error, *parts)


def test_weights_of_other_arguments_are_refused(own_run):
    run = reopened(own_run, training={**own_run.profile.training, "rate": 0.02})
    for call in (run.trained, run.weights):
        refused(lambda call=call: call("LSE1", "cat"), "LSE1-cat-round1-seed0", "rate = 0.006", "says 0.02")


def test_round_2_of_other_arguments_is_refused(own_run):
    run = reopened(own_run, round2={"samples": 9})
    run.weights("LSE1", "cat", 1)
    refused(lambda: run.weights("LSE1", "cat", 2), "round2-seed0.safetensors", "samples = 8", "says 9")


@pytest.mark.parametrize("changes", [{"theta": 0.3}, {"per_image": 5}, {"images": 2}])
def test_hard_negatives_mined_otherwise_are_refused(own_run, changes):
    run = reopened(own_run, mining=dataclasses.replace(own_run.profile.mining, **changes))
    for call in (run.mined, run.negatives):
        refused(lambda call=call: call("LSE1", "cat"), "negatives/LSE1-cat-seed0.npz", "mined with other arguments")


def test_hard_negatives_of_other_weights_are_refused(own_run):
    other_weights(own_run, "LSE1", "cat", 1, 0)
    refused(lambda: own_run.negatives("LSE1", "cat"), "negatives/LSE1-cat-seed0.npz", "or weights")
    own_run.negatives("max1", "cat")


def test_regions_of_other_superpixels_or_pictures_are_refused(own_run):
    run = reopened(own_run, superpixels=dataclasses.replace(own_run.profile.superpixels, scale=50))
    refused(lambda: run.regions("val"), "evidence/regions-val.npz", "superpixels = ", "scale=50")
    for changes in ({"segmentation_val": 7}, {"seed": 1}):
        run = reopened(own_run, data=dataclasses.replace(own_run.profile.data, **changes))
        refused(lambda run=run: run.scores(*NETWORK, "val"), "evidence/regions-val.npz", "data_digest")
    shutil.copy(own_run.regions_path("train"), own_run.regions_path("val"))
    refused(lambda: own_run.regions("val"), "regions-val.npz", "split = 'train'")


def test_scores_made_otherwise_are_refused(own_run):
    run = reopened(own_run, scoring=dataclasses.replace(own_run.profile.scoring, scale_to=64))
    refused(lambda: run.scores(*NETWORK), "LSE1-cat-round2-seed0-val.npz", "'scale_to': 48", "'scale_to': 64")


def test_scores_under_another_name_are_refused(own_run):
    shutil.copy(own_run.scores_path("max1", "cat", 2), own_run.scores_path(*NETWORK))
    refused(lambda: own_run.scores(*NETWORK), "LSE1-cat-round2-seed0-val.npz", "model = 'max1'")


def other_weights(run: RunFolder, *network) -> None:
    """Put weights with another value, and a right card, in the place of a network's."""
    path = run.weights_path(*network)
    weights = load_weights(path)
    with torch.no_grad():
        weights.net.full5.bias += 0.01
    save_weights(path, weights.net, {k: v for k, v in weights.card.items() if k not in ("architecture", "sha256")})


@pytest.mark.fault("weights", tried="evidence of other weights than those in the run", survived="refused")
def test_scores_of_other_weights_are_refused(own_run):
    other_weights(own_run, *NETWORK)
    for split in SPLITS:
        refused(lambda split=split: own_run.scores(*NETWORK, split), f"LSE1-cat-round2-seed0-{split}.npz",
                "other weights")
    assert own_run.scores("max1", "cat", 2).cls == "cat"


def test_scores_without_weights_are_taken_at_their_word(own_run):
    """The evidence of a run is enough to read its results: weights may be elsewhere."""
    shutil.rmtree(own_run.folder / "weights")
    run = dataclasses.replace(own_run)
    assert run.scores(*NETWORK).cls == "cat" and run.card(*NETWORK) == {}


@pytest.mark.parametrize("suffix", [".safetensors", ".json"])
def test_weights_of_another_architecture_are_refused(own_run, suffix):
    from lsegrepro import paper
    from lsegrepro.network.model import PatchNet

    path = own_run.weights_path("LSE1", "cat")
    other = path.with_name("other.safetensors")
    arguments = dataclasses.asdict(own_run.profile.arguments("LSE2", "cat"))
    save_weights(other, PatchNet(paper.ARCHITECTURES["LSE2"]), {"arguments": arguments})
    shutil.copy(other, path)
    if suffix == ".json":  # with its own card, or with the card of what was there before
        shutil.copy(other.with_suffix(".json"), path.with_suffix(".json"))
    said = ("model = 'LSE2'", "says 'LSE1'") if suffix == ".json" else ("disagree on the digest",)
    refused(lambda: own_run.weights("LSE1", "cat"), path, *said)


def test_weights_without_their_card_are_refused(own_run):
    own_run.weights_path("LSE1", "cat").with_suffix(".json").unlink()
    refused(lambda: own_run.weights("LSE1", "cat"), "has no card LSE1-cat-round1-seed0.json beside it")


@pytest.mark.fault("weights", tried="a bit flipped in evidence, a card cut short", survived="refused by name")
def test_damaged_results_are_refused_by_name(own_run):
    regions, scores = own_run.regions_path("val"), own_run.scores_path(*NETWORK)
    for path, call in ((scores, own_run.scores), (regions, lambda *network: own_run.regions("val"))):
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(bytes(data))
        refused(lambda call=call: call(*NETWORK), path)
    card = own_run.weights_path(*NETWORK).with_suffix(".json")
    card.write_text(card.read_text()[:-5])
    refused(lambda: own_run.weights(*NETWORK), card, "not valid JSON")


@pytest.mark.parametrize("network, said", [
    (("LSE3", "cat"), "unknown model 'LSE3': choose one of max1, LSE1, max2, LSE2"),
    (("LSE1", "bird"), "unknown class 'bird': choose one of cat, dog"),
    (("LSE1", "cat", 3), "round must be 1 or 2, got 3"),
])
def test_networks_that_do_not_exist_are_refused(tiny_run, network, said):
    for call in (tiny_run.trained, tiny_run.scores, tiny_run.card, tiny_run.has_scores):
        refused(lambda call=call: call(*network), said)
    refused(lambda: tiny_run.regions("test"), "unknown split 'test': choose train or val")


# Photographs


@pytest.fixture
def photographs(tmp_path, voc_masks) -> Path:
    """A data root in the right layout: a few weak images of each label, and a tiny VOC."""
    root = tmp_path / "photographs"
    write_voc(root, voc_masks, "val")
    write_voc(root, voc_masks, "train")
    for label in ("cat", "dog", "background"):
        (root / "weak" / label).mkdir(parents=True)
        for i in range(12):
            Image.fromarray(np.full((30, 40, 3), 20 * i, np.uint8)).save(root / "weak" / label / f"{i}.jpg")
    return root


def test_photographs_are_found_by_argument_or_variable(photographs, monkeypatch):
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    given = open_run("local", data=photographs)
    monkeypatch.setenv(DATA_VARIABLE, str(photographs))
    for run in (given, open_run("local")):
        assert run.root == photographs and run.has_data
        assert set(run.weak("train").names).isdisjoint(run.weak("heldout").names)
        assert run.segmentation("val").absent == ["2008_000002", "2009_000004"]
        assert not run.segmentation("val").redistributable


def test_photographs_that_nobody_named_are_asked_for(monkeypatch, tmp_path):
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    run = open_run("local", tmp_path)
    refused(lambda: run.regions("val"), "profile local needs photographs: set LSEGREPRO_DATA (or --data)")
    refused(lambda: run.trained("LSE1", "cat"), "profile local needs photographs")
    assert not run.has_data
    monkeypatch.setenv(DATA_VARIABLE, "")
    refused(lambda: run.root, "profile local needs photographs")


def test_a_data_root_that_is_not_there_or_of_another_layout_is_named(tmp_path, photographs):
    missing = open_run("local", tmp_path / "run", data=tmp_path / "nowhere")
    refused(lambda: missing.regions("val"), f"the data folder {tmp_path / 'nowhere'} does not exist")
    (photographs / "weak" / "dog").rename(photographs / "weak" / "dogs")
    run = open_run("local", tmp_path / "run", data=photographs)
    refused(lambda: run.trained("LSE1", "cat"), f"no folder {photographs / 'weak' / 'dog'}")
    assert not run.has_data
    shutil.rmtree(photographs / "VOCdevkit" / "VOC2012" / "ImageSets")
    refused(lambda: run.regions("val"), f"no VOC 2012 below {photographs}", "VOCdevkit/VOC2012")
    assert not (tmp_path / "run").exists()


def test_evidence_of_photographs_is_read_without_them(own_run, monkeypatch):
    """A profile of photographs reads evidence whatever the photographs at hand."""
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    data = dataclasses.replace(own_run.profile.data, kind="photographs")
    run = dataclasses.replace(reopened(own_run, data=data))
    assert not run.has_data and len(run.regions("val")) == 6 and run.scores(*NETWORK).cls == "cat"


# Devices


@pytest.mark.parametrize("device", ["gpu", "cuda:-1", "", "mps", "meta", "cuda:x"])
def test_a_device_that_is_unknown_is_refused(device):
    refused(lambda: open_run(device=device).torch_device, f"unknown device {device!r}: choose auto, cpu, cuda")


def test_a_gpu_that_is_not_there_is_refused_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    for device in ("cuda:1", "cuda:7"):
        refused(lambda device=device: open_run(device=device).torch_device, f"no GPU {device!r} here (1 found)")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    refused(lambda: open_run(device="cuda").torch_device, "no GPU 'cuda' here (0 found): use --device cpu")
    refused(lambda: open_run("quick", tmp_path / "r", device="cuda").trained("LSE1", "cat"), "no GPU 'cuda'")
    assert not (tmp_path / "r").exists()


def test_auto_is_a_gpu_where_there_is_one(monkeypatch):
    for there, kind in ((False, "cpu"), (True, "cuda")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        monkeypatch.setattr(torch.cuda, "device_count", lambda there=there: int(there))
        assert open_run().torch_device.type == kind


# Reading without torch


def test_results_are_read_without_torch(tiny_folder, tiny_run):
    code = """
import sys
sys.modules["torch"] = None
from lsegrepro.runs.results import choose_theta, results
from lsegrepro.runs.folder import open_run
run = open_run("tiny.toml", "run")
for split in ("train", "val"):
    run.regions(split), run.scores("LSE1", "cat", 2, 0, split)
print(choose_theta(run, "LSE1", "cat", 2), *(r.chosen.ap.value for r in results(run)))
from lsegrepro.cli import main
sys.exit(main(["evaluate", "--profile", "tiny.toml", "--run", "run", "--json"]))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tiny_folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    first, rest = done.stdout.split("\n", 1)
    from lsegrepro.runs.results import choose_theta, results

    expected = results(tiny_run)
    numbers = [choose_theta(tiny_run, "LSE1", "cat", 2), *(r.chosen.ap.value for r in expected)]
    assert [float(word) for word in first.split()] == numbers
    assert [r["chosen"]["ap"]["value"] for r in json.loads(rest)["results"]] == numbers[1:]


# Opening


def test_where_results_go(tmp_path):
    assert open_run("local").folder == Path("runs/local")
    profile = tmp_path / "mine.toml"
    profile.write_text(TINY)
    assert open_run(profile).folder == Path("runs/mine") and open_run(profile, tmp_path).folder == tmp_path
    assert open_run(str(profile)).profile == load_profile(profile)
    assert not Path("runs/mine").exists()


def test_a_card_that_names_no_arguments_is_no_card(own_run):
    path = own_run.weights_path("LSE1", "cat")
    card = read_json(path.with_suffix(".json"))
    write_json(path.with_suffix(".json"), {key: value for key, value in card.items() if key != "arguments"})
    refused(lambda: own_run.weights("LSE1", "cat"), path.with_suffix(".json"))
    for key, value in (("samples", "many"), ("hours", None), ("sha256", 3), ("final", [])):
        write_json(path.with_suffix(".json"), card | {key: value})
        refused(lambda: own_run.card("LSE1", "cat"), path.with_suffix(".json"), key)
    path.with_suffix(".json").unlink()
    refused(lambda: own_run.trained("LSE1", "cat"), path, "no card")


def test_a_second_round_belongs_to_the_first_that_lies_beside_it(own_run):
    path = own_run.weights_path("LSE1", "cat")
    card = read_json(path.with_suffix(".json"))
    write_json(path.with_suffix(".json"), card | {"sha256": "0" * 64})
    refused(lambda: own_run.trained("LSE1", "cat", 2), own_run.weights_path("LSE1", "cat", 2), "start_sha256")
