"""A run's folder: where results lie, readers that refuse what is missing or of another configuration, and opening."""

import dataclasses
import itertools
import os
import shutil
from pathlib import Path

import pytest
from conftest import ROOT, TINY, changed, refused, write_voc
from PIL import Image

from lsegrepro.config import load_profile
from lsegrepro.files import read_json, write_json
from lsegrepro.runs.folder import DATA_VARIABLE, SPLITS, has_images, in_repository, open_run

NETWORK = ("LSE1", "cat", 2, 0)


# What is where


def test_a_run_holds_what_it_says(tiny_run):
    names = ["max1-cat-round1-seed0", "max1-cat-round2-seed0", "LSE1-cat-round1-seed0", "LSE1-cat-round2-seed0"]
    assert [tiny_run.name(*network) for network in tiny_run.networks()] == names
    assert [tiny_run.name(*network) for network in tiny_run.last_networks()] == names[1::2]
    files = {str(p.relative_to(tiny_run.folder)) for kind in ("weights", "negatives", "evidence")
             for p in (tiny_run.folder / kind).iterdir() if not p.name.startswith(".")}
    assert files == {
        *(f"weights/{name}{suffix}" for name in names for suffix in (".safetensors", ".json", ".jsonl")),
        *(f"negatives/{model}-cat-seed0.npz" for model in ("max1", "LSE1")),
        *(f"evidence/regions-{split}.npz" for split in SPLITS),
        *(f"evidence/{name}-{split}.npz" for name in names for split in SPLITS),
    }


def test_the_published_run_is_of_its_profile():
    run = open_run("local", ROOT / "published", depth="evidence")
    assert all(run.card(*network) and run.curve(*network) for network in run.networks())
    refused(lambda: run.weak("train"), "at depth evidence no photograph is looked at")


# What is missing, or of something else


@pytest.mark.parametrize("call, missing, command", [
    (lambda run: run.card("LSE1", "cat"), "weights/LSE1-cat-round1-seed0.json", "lsegrepro train"),
    (lambda run: run.curve("max1", "cat", 2), "weights/max1-cat-round2-seed0.jsonl", "--class cat --round 2"),
    (lambda run: run.regions("train"), "evidence/regions-train.npz", "lsegrepro score --split train"),
    (lambda run: run.scores("LSE1", "cat"), "evidence/regions-val.npz", "lsegrepro score --split val"),
])
def test_what_is_missing_is_named_with_the_command_that_makes_it(tmp_path, call, missing, command):
    run = open_run("quick", tmp_path / "it's empty")
    refused(lambda: call(run), run.folder / missing, "is not there; this makes it: ", command, "--profile quick")
    assert not run.has_scores("LSE1", "cat") and not run.has_network("LSE1", "cat") and run.seeds("LSE1", "cat") == (0,)
    assert run.images_seen("LSE1", "cat", 2) == 0 and not run.folder.exists()


def test_weights_of_other_arguments_or_another_first_round_are_refused(own_run):
    run = changed(own_run, training={**own_run.profile.training, "rate": 0.02})
    refused(lambda: run.card("LSE1", "cat"), "LSE1-cat-round1-seed0", "rate = 0.006", "says 0.02")
    run = changed(own_run, round2={"samples": 9})
    assert run.card("LSE1", "cat", 1)
    refused(lambda: run.card("LSE1", "cat", 2), "round2-seed0.json", "samples = 8", "says 9")
    path = own_run.card_path("LSE1", "cat")
    card = read_json(path)
    # A field that the first cards lack means what those trainings did.
    assert "cooldown" not in card["arguments"] and own_run.card("LSE1", "cat") == card
    write_json(path, card | {"arguments": card["arguments"] | {"cooldown": 8}})
    refused(lambda: own_run.card("LSE1", "cat"), "cooldown = 8", "says 0")
    write_json(path, card | {"sha256": "0" * 64})
    refused(lambda: own_run.card("LSE1", "cat", 2), own_run.card_path("LSE1", "cat", 2), "start_sha256")


def test_regions_of_other_superpixels_or_pictures_are_refused(own_run):
    run = changed(own_run, superpixels=dataclasses.replace(own_run.profile.superpixels, scale=50))
    refused(lambda: run.regions("val"), "evidence/regions-val.npz", "superpixels = ", "scale=50")
    for changes in ({"segmentation_val": 7}, {"seed": 1}):
        run = changed(own_run, data=dataclasses.replace(own_run.profile.data, **changes))
        refused(lambda run=run: run.scores(*NETWORK, "val"), "evidence/regions-val.npz", "data_digest")
    shutil.copy(own_run.regions_path("train"), own_run.regions_path("val"))
    refused(lambda: own_run.regions("val"), "regions-val.npz", "split = 'train'")


def test_scores_made_otherwise_or_under_another_name_are_refused(own_run):
    run = changed(own_run, scoring=dataclasses.replace(own_run.profile.scoring, scale_to=64))
    refused(lambda: run.scores(*NETWORK), "LSE1-cat-round2-seed0-val.npz", "'scale_to': 48", "'scale_to': 64")
    path = own_run.card_path(*NETWORK)
    card = read_json(path)
    write_json(path, card | {"sha256": "0" * 64})
    refused(lambda: own_run.scores(*NETWORK), "LSE1-cat-round2-seed0-val.npz", "weights_sha256")
    path.unlink()
    assert own_run.scores(*NETWORK).cls == "cat"  # evidence is enough: weights may be elsewhere
    shutil.copy(own_run.scores_path("max1", "cat", 2), own_run.scores_path(*NETWORK))
    refused(lambda: own_run.scores(*NETWORK), "LSE1-cat-round2-seed0-val.npz", "model = 'max1'")


def test_damaged_results_are_refused_by_name(own_run):
    for path, call in ((own_run.scores_path(*NETWORK), lambda: own_run.scores(*NETWORK)),
                       (own_run.regions_path("val"), lambda: own_run.regions("val"))):
        path.write_bytes(path.read_bytes()[:-100])
        refused(call, path)
    path = own_run.card_path("LSE1", "cat")
    write_json(path, {"arguments": {}})
    refused(lambda: own_run.card("LSE1", "cat"), path, "of which model and class")
    path.write_text("{")
    refused(lambda: own_run.card("LSE1", "cat"), path, "not valid JSON")


def test_networks_that_do_not_exist_are_refused(tiny_run):
    refused(lambda: tiny_run.scores("LSE3", "cat"), "model: Input should be 'max1', 'LSE1', 'max2' or 'LSE2', got")
    refused(lambda: tiny_run.card("LSE1", "cat", 3), "training.round: Input should be 1 or 2, got 3")
    refused(lambda: tiny_run.regions("test"), "unknown split 'test': choose one of train, val")


# Photographs


@pytest.fixture
def photographs(tmp_path, voc_masks) -> Path:
    """A data root in the right layout: a few weak images of each label, and a tiny VOC."""
    root = tmp_path / "photographs"
    for split in SPLITS:
        write_voc(root, voc_masks, split)
    for label, i in itertools.product(("cat", "dog", "background"), range(12)):
        path = root / "weak" / label / f"{i}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 30), (20 * i,) * 3).save(path)
    return root


def test_photographs_are_found_by_argument_or_variable(photographs, monkeypatch):
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    given = open_run("local", data=photographs)
    monkeypatch.setenv(DATA_VARIABLE, str(photographs))
    for run in (given, open_run("local")):
        assert run.data_root == photographs and has_images(run)
        assert set(run.weak("train").names).isdisjoint(run.weak("heldout").names)
        assert run.segmentation("val").absent == ["2008_000002", "2009_000004"]


def test_photographs_that_are_not_there_are_asked_for(monkeypatch, tmp_path, photographs):
    monkeypatch.setenv(DATA_VARIABLE, "")
    run = open_run("local", tmp_path)
    refused(lambda: run.weak("train"), "profile local needs photographs: set LSEGREPRO_DATA (or --data)")
    missing = open_run("local", tmp_path / "run", data=tmp_path / "nowhere")
    refused(lambda: missing.segmentation("val"), f"the data folder {tmp_path / 'nowhere'} does not exist")
    (photographs / "weak" / "dog").rename(photographs / "weak" / "dogs")
    other = open_run("local", tmp_path / "run", data=photographs)
    refused(lambda: other.weak("train"), f"no folder {photographs / 'weak' / 'dog'}")
    assert not has_images(run) and not has_images(other)
    assert has_images(open_run("local", tmp_path / "run", data=photographs, depth="weights"))


def test_evidence_of_photographs_is_read_without_them(own_run, monkeypatch):
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    run = changed(own_run, data=dataclasses.replace(own_run.profile.data, kind="photographs"))
    assert not has_images(run) and len(run.regions("val")) == 6 and run.scores(*NETWORK).cls == "cat"


# Opening


def test_a_profile_and_a_folder_of_ones_own(tmp_path):
    profile = tmp_path / "mine.toml"
    profile.write_text(TINY)
    assert open_run(profile).folder == in_repository("runs/mine") and open_run(profile, tmp_path).folder == tmp_path
    assert open_run(str(profile)).profile == load_profile(profile)
    assert open_run("local", depth="weights").folder.name == "local-weights"
    assert open_run("local", depth="weights").profile.rounds == (2,)
    refused(lambda: open_run("quick", depth="half"), "unknown depth 'half': choose one of evidence, weights, scratch")


@pytest.mark.parametrize("place, runs, published", [
    (".", "runs/local", "published"), ("notebooks", "../runs/local", "../published"), ("/", ROOT / "runs/local", None),
])
def test_default_folders_are_found_from_wherever_a_notebook_is_opened(monkeypatch, tmp_path, place, runs, published):
    monkeypatch.chdir(ROOT / place)
    assert open_run("local").folder == Path(runs)
    if published:
        assert open_run("local", "published").folder == Path(published)
    monkeypatch.chdir(tmp_path)  # a folder that is there, or nowhere, is taken as it is named
    os.mkdir("published")
    assert [open_run("quick", name).folder for name in ("published", "new")] == [Path("published"), Path("new")]
