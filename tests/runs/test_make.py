"""Making the results of a run: each function makes one file, of what is there, and leaves a finished one alone."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import changed, make_run, refused, write_voc

from lsegrepro.files import sha256
from lsegrepro.network.weights import load_weights, save_weights
from lsegrepro.runs import make
from lsegrepro.runs.folder import RunFolder, open_run

NETWORK = ("LSE1", "cat", 2, 0)


def snapshot(folder: Path) -> dict[Path, tuple[int, int]]:
    return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in folder.rglob("*")}


def other_weights(run: RunFolder, *network) -> None:
    """Put weights with another value, and a right card, in the place of a network's."""
    path = run.weights_path(*network)
    weights = load_weights(path)
    with torch.no_grad():
        weights.net.full5.bias += 0.01
    save_weights(path, weights.net, {k: v for k, v in weights.card.items() if k not in ("architecture", "sha256")})


def test_a_finished_run_is_left_alone(own_run):
    before = snapshot(own_run.folder)
    make_run(own_run)
    assert snapshot(own_run.folder) == before


def test_what_is_missing_is_made_again_to_the_byte(own_run):
    for path, call in ((own_run.scores_path(*NETWORK), lambda: make.score_network(own_run, *NETWORK)),
                       (own_run.regions_path("val"), lambda: make.make_regions(own_run, "val")),
                       (own_run.negatives_path("LSE1", "cat"), lambda: make.mine_negatives(own_run, "LSE1", "cat")),
                       (own_run.weights_path(*NETWORK), lambda: make.train_network(own_run, *NETWORK))):
        before = sha256(path)
        path.unlink()
        assert call() == path and sha256(path) == before


@pytest.mark.parametrize("call, missing, command", [
    (lambda run: make.load_network(run, "LSE1", "cat"), "weights/LSE1-cat-round1-seed0.safetensors", "train"),
    (lambda run: make.train_network(run, "max1", "cat", 2), "weights/max1-cat-round1-seed0.safetensors", "train"),
    (lambda run: make.mine_negatives(run, "LSE1", "cat"), "weights/LSE1-cat-round1-seed0.safetensors", "train"),
    (lambda run: make.score_network(run, "LSE1", "cat"), "evidence/regions-val.npz", "score --split val"),
])
def test_what_a_step_needs_is_named_and_not_made(tmp_path, call, missing, command):
    run = open_run("quick", tmp_path / "empty")
    refused(lambda: call(run), tmp_path / "empty" / missing, f"this makes it: lsegrepro {command}")
    assert not (tmp_path / "empty").exists()


def test_hard_negatives_of_other_arguments_or_weights_are_refused(own_run):
    path, name = own_run.negatives_path("LSE1", "cat"), "negatives/LSE1-cat-seed0.npz"
    own_run.weights_path(*NETWORK).unlink()
    for changes in ({"theta": 0.3}, {"per_image": 5}):
        run = changed(own_run, mining=dataclasses.replace(own_run.profile.mining, **changes))
        refused(lambda run=run: make.mine_negatives(run, "LSE1", "cat"), name, "mining = ")
        refused(lambda run=run: make.train_network(run, *NETWORK), name, "mining = ")
    other_weights(own_run, "LSE1", "cat", 1, 0)
    refused(lambda: make.train_network(own_run, *NETWORK), name, "weights_sha256")
    path.unlink()
    refused(lambda: make.train_network(own_run, *NETWORK), name, "this makes it: lsegrepro mine")


def test_scores_of_other_weights_and_weights_of_other_images_are_refused(own_run):
    run = changed(own_run, data=dataclasses.replace(own_run.profile.data, weak_train=13))
    refused(lambda: make.train_network(run, "LSE1", "cat"), "LSE1-cat-round1-seed0", "data_digest")
    other_weights(own_run, *NETWORK)
    refused(lambda: make.score_network(own_run, *NETWORK), "LSE1-cat-round2-seed0-val.npz", "weights_sha256")


def test_masks_without_a_class_are_refused(tmp_path, capsys):
    """Foreground masks of 0 and 1 or trimaps with VOC's palette are masks of aeroplanes, as far as one can see."""
    masks = {name: np.indices((20, 30)).sum(0).astype(np.uint8) % 3 for name in ("a", "b")} | {"absent": None}
    write_voc(tmp_path, masks, "train")
    (tmp_path / "own.toml").write_text('[data]\nkind = "photographs"\n')
    run = open_run(tmp_path / "own.toml", tmp_path / "run", data=tmp_path, device="cpu")
    refused(lambda: make.make_regions(run, "train"), "2 of 3 images of VOC 2012 train", "pixel of cat, index 8")
    assert capsys.readouterr().err.startswith("2 of 3 images of VOC 2012 train\n")
    assert not run.regions_path("train").exists()
