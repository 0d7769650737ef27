"""Segmenting photographs nobody has seen: odd files, odd names, odd sizes, and nothing half-written."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import file_size_limit, refused
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lsegrepro import cli, paper
from lsegrepro.config import Superpixels, load_profile
from lsegrepro.data.images import load_image
from lsegrepro.evidence.superpixels import oversegment, smooth, superpixel_sizes
from lsegrepro.network import dense
from lsegrepro.network.weights import load_weights, save_weights
from lsegrepro.runs import segment
from lsegrepro.runs.folder import DATA_VARIABLE
from lsegrepro.runs.results import choose_theta, coverage

KINDS = ("probability", "mask", "overlay")


@pytest.fixture
def weights_file(tmp_path, tiny_net) -> Path:
    """A network of the tiny architecture that says it is LSE1 for cats."""
    with torch.no_grad():
        tiny_net.full5.weight *= 3
        tiny_net.full5.bias += torch.tensor([0.4, -0.4])
    path = tmp_path / "weights" / "cat.safetensors"
    save_weights(path, tiny_net, {"arguments": {"model": "LSE1", "cls": "cat"}})
    return path


@pytest.fixture
def photo(tmp_path) -> Path:
    """A small photograph that is nothing but blobs."""
    return save(tmp_path / "photos" / "photo.png", blobs(40, 60))


def blobs(height: int, width: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (-(-height // 10), -(-width // 10), 3))
    image = coarse.repeat(10, axis=0).repeat(10, axis=1)[:height, :width] + rng.integers(-9, 9, (height, width, 3))
    return image.clip(0, 255).astype(np.uint8)


def save(path: Path, pixels: np.ndarray, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def run(paths, out, weights_file, cls="cat", **options) -> int:
    return segment.segment_files(paths, cls, out=out, weights=weights_file, device="cpu", **options)


def test_what_is_written_is_what_the_library_says(photo, tmp_path, weights_file, capsys):
    theta = 0.55
    assert run([photo], tmp_path / "out", weights_file, theta=theta) == 0
    image, net = load_image(photo), load_weights(weights_file).net
    codes = dense.to_prob_u16(dense.probability_map(net, image))
    superpixels = load_profile("local").superpixels  # those that the published theta was chosen with
    voted = smooth(codes, oversegment(image, superpixels)) > theta * 65535
    files = {kind: np.asarray(Image.open(tmp_path / "out" / f"photo-cat-{kind}.png")) for kind in KINDS}
    assert {p.name for p in (tmp_path / "out").iterdir()} == {f"photo-cat-{kind}.png" for kind in KINDS}
    assert files["probability"].dtype == np.uint16 and np.array_equal(files["probability"], codes)
    assert files["mask"].dtype == np.uint8 and np.array_equal(files["mask"], voted * np.uint8(255))
    assert 0.1 < voted.mean() < 0.9
    assert np.array_equal(files["overlay"][~voted], image[~voted])
    assert (files["overlay"][voted].astype(int) != image[voted]).any(axis=-1).mean() > 0.9
    done = segment.segment(load_weights(weights_file), image, theta)
    assert np.array_equal(done.codes, codes) and np.array_equal(done.mask, voted) and done.theta == theta
    assert f"{voted.mean():.1%} cat at theta 0.55" in capsys.readouterr().out


def test_a_very_small_photograph_and_the_papers_theta(tmp_path, weights_file, capsys):
    photo = save(tmp_path / "photos" / "small.png", blobs(1, 3))
    assert run([photo], tmp_path / "out", weights_file) == 0
    assert f"at theta {paper.THETA['cat']:g} " in capsys.readouterr().out
    assert {Image.open(path).size for path in (tmp_path / "out").iterdir()} == {(3, 1)}


# Superpixels of large photographs


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 70), st.integers(1, 70), st.integers(1, 900))
def test_a_cut_uses_every_label_whatever_the_size(height, width, pixels):
    labels = segment.superpixel_labels(blobs(height, width), Superpixels(min_size=5), pixels)
    assert labels.shape == (height, width) and labels.dtype == np.int32
    assert superpixel_sizes(labels).sum() == height * width  # refuses gaps


@pytest.mark.parametrize("height, width", [(240, 320), (1, 76_800)])
def test_a_large_photograph_is_cut_on_a_reduced_copy(height, width, monkeypatch):
    image, params, seen = blobs(height, width), Superpixels(min_size=20), []
    monkeypatch.setattr(segment, "oversegment", lambda image, params: seen.append(image) or oversegment(image, params))
    labels = segment.superpixel_labels(image, params, pixels=20_000)
    (copy,) = seen
    assert copy.shape[0] * copy.shape[1] <= 20_000 * 1.01
    small = oversegment(copy, params)
    assert np.array_equal(segment.superpixel_labels(copy, params, pixels=20_200), small)  # as it is
    for y, x in np.random.default_rng(0).integers(0, (height, width), (200, 2)).tolist():
        away = [abs((np.arange(few) + 0.5) / few - (place + 0.5) / side)
                for few, place, side in zip(small.shape, (y, x), image.shape, strict=False)]
        near = np.ix_(*(np.flatnonzero(d <= d.min() + 1e-12) for d in away))  # a pixel between two may take either
        assert labels[y, x] in small[near]


def test_a_folder_with_names_of_any_kind_and_bad_files_is_gone_through(tmp_path, weights_file, capsys):
    folder, out = tmp_path / "photos", tmp_path / "out"
    names = ["it's \"quoted\".jpg", "猫.jpg", "a.b.c.JPEG", "100%{x}$HOME*.jpg", "gr\udcfcn.jpg", "d.webp"]
    for name in names:
        save(folder / f"plain{Path(name).suffix}", blobs(12, 18)).rename(folder / name)
    (folder / "b.jpg").write_bytes(b"\xff\xd8\xff\xe0 no photograph")
    (folder / "e.png").write_bytes((folder / "d.webp").read_bytes()[:60])
    for name in ("notes.txt", "phone.HEIC", "._a.png"):
        (folder / name).write_bytes(b"no photograph")
    (folder / "more").mkdir()
    options = ["--class", "cat", "--weights", str(weights_file), "--out", str(out), "--device", "cpu"]
    assert cli.main(["segment", str(folder), *options]) == 2
    printed, said = capsys.readouterr()
    assert {p.name for p in out.iterdir()} == {f"{Path(name).stem}-cat-{kind}.png" for name in names for kind in KINDS}
    assert printed.count("\n") == len(names)
    counted, first, second, last = said.splitlines()
    assert counted == f"lsegrepro: {folder}: 8 photographs; left out: .heic (1), .txt (1), subfolders (1)"
    assert str(folder / "b.jpg") in first and str(folder / "e.png") in second
    assert last.startswith("lsegrepro: 2 of the photographs could not be segmented")


def test_two_photographs_of_one_name_do_not_overwrite_each_other(tmp_path, weights_file):
    for name in ("a/cat.jpg", "b/cat.png", "b/dog.png"):
        save(tmp_path / name, blobs(12, 18))
    refused(lambda: run([tmp_path / "a", tmp_path / "b"], tmp_path / "out", weights_file),
            "2 photographs are called cat", "--out")
    assert not (tmp_path / "out").exists()


# What people get wrong


@pytest.mark.parametrize("options, parts", [
    ({"theta": 1.0}, ["theta must lie in [0, 1), got 1.0"]),
    ({"cls": "dog"}, ["cat.safetensors was trained for cat, not dog"]),
    ({"model": "LSE2"}, ["cat.safetensors holds LSE1", "not LSE2"]),
    ({"weights_file": "nowhere.safetensors"}, ["no weights file nowhere.safetensors"]),
])
def test_wrong_arguments_are_refused_before_anything_is_written(photo, tmp_path, weights_file, options, parts):
    options = {"weights_file": weights_file, **options}
    refused(lambda: run([photo], tmp_path / "out", **options), *parts)
    assert not (tmp_path / "out").exists()


def test_a_photograph_that_cannot_be_read_or_a_folder_not_written_to_is_named(photo, tmp_path, weights_file):
    (tmp_path / "bad.jpg").write_text("<html>404</html>")
    (tmp_path / "empty").mkdir()
    for path, said in (("bad.jpg", "is not a photograph"), ("absent.jpg", "no such photograph"),
                       ("empty", "no photograph in the folder")):
        refused(lambda path=path: run([tmp_path / path], tmp_path / "out", weights_file), tmp_path / path, said)
    assert not (tmp_path / "out").exists()
    refused(lambda: run([photo], tmp_path / "bad.jpg" / "out", weights_file), "cannot write", tmp_path / "bad.jpg")
    refused(lambda: run([photo.parent], photo.parent, weights_file), "is a folder of photographs", "another --out")


def test_a_full_disk_leaves_the_old_files(photo, tmp_path, weights_file):
    run([photo], tmp_path / "out", weights_file, theta=0.1)
    before = {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()}
    with file_size_limit(1000):
        for out in ("out", "new"):
            refused(lambda out=out: run([photo], tmp_path / out, weights_file, theta=0.6), "cannot write", "too large")
    assert {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()} == before
    assert not list((tmp_path / "new").iterdir())


# The published network


@pytest.fixture
def published(tmp_path, monkeypatch, tiny_net):
    """A published folder with a network of the last round for cats."""
    folder = tmp_path / "published"
    monkeypatch.setattr(segment, "PUBLISHED", folder)
    local = load_profile("local")
    arguments = dataclasses.asdict(local.arguments("LSE1", "cat", 2))
    save_weights(folder / "weights" / "LSE1-cat-round2-seed0.safetensors", tiny_net, {"arguments": arguments})
    return folder


def test_the_published_network_is_the_default_with_the_theta_chosen_on_train(published, photo, own_run, tmp_path,
                                                                           monkeypatch):
    network, theta = segment.published_network("LSE1", "cat", "cpu")
    assert (network.model, network.cls, theta) == ("LSE1", "cat", paper.THETA["cat"])  # there is no evidence of train
    assert segment.segment_files([photo], "cat", out=tmp_path / "out", device="cpu") == 0
    codes = np.asarray(Image.open(tmp_path / "out" / "photo-cat-probability.png"))
    assert np.array_equal(codes, dense.to_prob_u16(dense.probability_map(network.net, load_image(photo))))
    monkeypatch.setattr(segment, "published_run", lambda device: own_run)
    network, theta = segment.published_network("LSE1", "cat")
    assert theta == choose_theta(own_run, "LSE1", "cat", 2) != paper.THETA["cat"]
    assert network.sha256 == own_run.card("LSE1", "cat", 2)["sha256"]
    own_run.weights_path("LSE1", "cat", 2).unlink()
    assert segment.published_network("LSE1", "cat")[0].sha256 == own_run.card("LSE1", "cat", 1)["sha256"]


def test_what_was_not_published_is_said(published, photo, tmp_path):
    for model, cls, said in (("LSE1", "dog", "no network of LSE1 for dog is published with this version: train one"),
                             ("LSE9", "cat", "training.model: Input should be 'max1'")):
        refused(lambda model=model, cls=cls: segment.segment_files([photo], cls, out=tmp_path / "o", model=model), said)
    assert not (tmp_path / "o").exists()


def test_what_this_version_publishes_belongs_together(monkeypatch):
    """The committed weights, evidence and profile fit each other, and no photograph is needed to tell."""
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    run = segment.published_run("cpu")
    assert run.profile.name == "local" and run.folder == segment.PUBLISHED
    if not (run.folder / "weights").is_dir():
        pytest.skip("the published run is not beside the package")
    for network in run.networks():
        for split in ("train", "val"):
            run.scores(*network, split)  # checked against the regions, the weights and the profile
    for model, cls, round, _ in run.last_networks():
        weights, theta = segment.published_network(model, cls, "cpu")
        assert weights.sha256 == run.card(model, cls, round)["sha256"]
        assert theta == choose_theta(run, model, cls, round)
    assert coverage(run.regions("val")) == "886 of 1,449 val images"
    suffixes = {path.suffix for kind in ("weights", "negatives", "evidence") for path in (run.folder / kind).iterdir()}
    assert suffixes == {".safetensors", ".json", ".jsonl", ".npz"}  # no photograph, no pickle
