"""Segmenting photographs nobody has seen: odd files, odd names, odd sizes, and nothing half-written."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import one_line
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lsegrepro import cli, paper
from lsegrepro.config import Superpixels, load_profile
from lsegrepro.data.images import load_image
from lsegrepro.evidence.superpixels import oversegment, smooth, superpixel_sizes
from lsegrepro.files import LsegreproError
from lsegrepro.network import dense
from lsegrepro.network.model import PatchNet
from lsegrepro.network.weights import load_weights, save_weights
from lsegrepro.runs import segment
from lsegrepro.runs.folder import DATA_VARIABLE
from lsegrepro.runs.make import load_network
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


# One photograph


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


def test_a_second_time_gives_the_same_bytes(photo, tmp_path, weights_file):
    for out in ("a", "b", "b"):
        run([photo], tmp_path / out, weights_file)
    for kind in KINDS:
        first, second = ((tmp_path / out / f"photo-cat-{kind}.png").read_bytes() for out in "ab")
        assert first == second


def test_without_theta_the_papers_is_taken_for_ones_own_weights(photo, tmp_path, weights_file, capsys):
    run([photo], tmp_path, weights_file)
    assert f"at theta {paper.THETA['cat']:g} " in capsys.readouterr().out


@pytest.mark.parametrize("height, width", [(1, 1), (1, 7), (3, 2), (10, 300), (46, 47)])
def test_very_small_photographs(height, width, tmp_path, weights_file):
    photo = save(tmp_path / "photos" / "small.png", blobs(height, width))
    assert run([photo], tmp_path / "out", weights_file, theta=0.5) == 0
    for kind in KINDS:
        with Image.open(tmp_path / "out" / f"small-cat-{kind}.png") as image:
            assert image.size == (width, height)


# Superpixels of large photographs


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 70), st.integers(1, 70), st.integers(1, 900))
def test_a_cut_uses_every_label_whatever_the_size(height, width, pixels):
    labels = segment.cut(blobs(height, width), Superpixels(min_size=5), pixels)
    assert labels.shape == (height, width) and labels.dtype == np.int32
    assert superpixel_sizes(labels).sum() == height * width  # refuses gaps


@pytest.mark.parametrize("height, width", [(240, 320), (1, 76_800), (76_800, 1)])
def test_a_large_photograph_is_cut_on_a_reduced_copy(height, width, monkeypatch):
    image, params, seen = blobs(height, width), Superpixels(min_size=20), []
    monkeypatch.setattr(segment, "oversegment", lambda image, params: seen.append(image) or oversegment(image, params))
    labels = segment.cut(image, params, pixels=20_000)
    (copy,) = seen
    assert copy.shape[0] * copy.shape[1] <= 20_000 * 1.01
    small = oversegment(copy, params)
    for y, x in np.random.default_rng(0).integers(0, (height, width), (200, 2)).tolist():
        away = [abs((np.arange(few) + 0.5) / few - (place + 0.5) / side)
                for few, place, side in zip(small.shape, (y, x), image.shape, strict=False)]
        near = np.ix_(*(np.flatnonzero(d <= d.min() + 1e-12) for d in away))  # a pixel between two may take either
        assert labels[y, x] in small[near]


def test_up_to_the_limit_a_photograph_is_cut_as_it_is():
    image, params = blobs(40, 60), Superpixels(min_size=20)
    assert np.array_equal(segment.cut(image, params, pixels=2400), oversegment(image, params))


# Any photograph


@pytest.mark.parametrize("orientation, size", [(1, (60, 40)), (3, (60, 40)), (6, (40, 60)), (8, (40, 60))])
def test_a_photograph_is_segmented_upright(orientation, size, tmp_path, weights_file):
    exif = Image.Exif()
    exif[0x0112] = orientation
    photo = save(tmp_path / "photos" / "turned.jpg", blobs(40, 60), exif=exif)
    run([photo], tmp_path / "out", weights_file)
    assert Image.open(photo).size == (60, 40)
    for kind in KINDS:
        assert Image.open(tmp_path / "out" / f"turned-cat-{kind}.png").size == size
    overlay = np.asarray(Image.open(tmp_path / "out" / "turned-cat-overlay.png"))
    mask = np.asarray(Image.open(tmp_path / "out" / "turned-cat-mask.png")) > 0
    assert np.array_equal(overlay[~mask], load_image(photo)[~mask])


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "1", "LA"])
def test_photographs_of_any_mode(mode, tmp_path, weights_file):
    path = tmp_path / "photos" / ("p.tif" if mode == "CMYK" else "p.png")
    path.parent.mkdir()
    Image.fromarray(blobs(12, 18)).convert(mode).save(path)
    assert run([path], tmp_path / "out", weights_file) == 0
    assert Image.open(tmp_path / "out" / "p-cat-overlay.png").mode == "RGB"


@pytest.mark.parametrize("name", [
    "two words.jpg", "it's \"quoted\".jpg", "Kätzchen.jpg", "猫.jpg", "-cat.jpg", "a.b.c.jpg", "IMG.JPEG",
    ".hidden.jpg",
    "100%{x}$HOME*.jpg", "new\nline.jpg", "gr\udcfcn.jpg",
])
def test_names_of_any_kind(name, tmp_path, weights_file, capsys):
    folder = tmp_path / "photos"
    photo = save(folder / "plain.jpg", blobs(12, 18)).rename(folder / name)
    options = ["--class", "cat", "--weights", str(weights_file), "--out", str(tmp_path / "out"), "--device", "cpu"]
    assert cli.main(["segment", str(photo), *options]) == 0, capsys.readouterr().err
    stem = Path(name).stem
    assert {p.name for p in (tmp_path / "out").iterdir()} == {f"{stem}-cat-{kind}.png" for kind in KINDS}


# Several


def test_a_folder_with_a_bad_file_is_gone_through(tmp_path, weights_file, capsys):
    folder = tmp_path / "photos"
    for name in ("a.png", "c.JPG", "d.webp"):
        save(folder / name, blobs(12, 18))
    (folder / "b.jpg").write_bytes(b"\xff\xd8\xff\xe0 no photograph")
    (folder / "e.png").write_bytes((folder / "a.png").read_bytes()[:60])
    for name in ("notes.txt", "phone.HEIC", "._a.png"):
        (folder / name).write_bytes(b"no photograph")
    (folder / "more").mkdir()
    assert run([folder], tmp_path / "out", weights_file) == 2
    printed, said = capsys.readouterr()
    assert {p.name[0] for p in (tmp_path / "out").iterdir()} == {"a", "c", "d"}
    assert len(list((tmp_path / "out").iterdir())) == 9 and printed.count("\n") == 3
    counted, *lines = said.splitlines()
    assert counted == f"lsegrepro: {folder}: 5 photographs; left out: .heic (1), .txt (1), subfolders (1)"
    assert len(lines) == 2 and all(line.startswith("lsegrepro: ") for line in lines)
    assert str(folder / "b.jpg") in lines[0] and str(folder / "e.png") in lines[1]


def test_files_and_folders_together(tmp_path, weights_file):
    one, two = (save(tmp_path / "folder" / f"{n}.png", blobs(12, 18)) for n in "ab")
    three = save(tmp_path / "c.png", blobs(12, 18))
    assert segment.list_photographs([three, tmp_path / "folder"]) == [three, one, two]
    assert run([three, tmp_path / "folder", tmp_path / "absent.png"], tmp_path / "out", weights_file) == 1
    assert len(list((tmp_path / "out").iterdir())) == 9


def test_a_photograph_too_narrow_to_be_scaled_is_passed_over(tmp_path, weights_file, capsys):
    narrow = save(tmp_path / "photos" / "narrow.png", np.zeros((1, 2000, 3), np.uint8))
    save(tmp_path / "photos" / "photo.png", blobs(12, 18))
    assert run([tmp_path / "photos"], tmp_path / "out", weights_file) == 1
    assert f"lsegrepro: {narrow}: " in capsys.readouterr().err
    assert len(list((tmp_path / "out").iterdir())) == 3
    with pytest.raises(LsegreproError) as error:
        run([narrow], tmp_path / "out", weights_file)
    one_line(error, narrow, "too narrow", "crop it")


def test_two_photographs_of_one_name_do_not_overwrite_each_other(tmp_path, weights_file):
    for name in ("a/cat.jpg", "a/cat.png", "b/cat.png", "b/dog.png"):
        save(tmp_path / name, blobs(12, 18))
    for paths in ([tmp_path / "a", tmp_path / "b"], [tmp_path / "a" / "cat.png", tmp_path / "b" / "cat.png"]):
        with pytest.raises(LsegreproError) as error:
            run(paths, tmp_path / "out", weights_file)
        one_line(error, "2 photographs are called cat", "--out")
    assert not (tmp_path / "out").exists()
    assert run([tmp_path / "a"], tmp_path / "out", weights_file) == 0  # told apart by what they are
    assert {p.name.rpartition("-cat-")[0] for p in (tmp_path / "out").iterdir()} == {"cat.jpg", "cat.png"}


# What people get wrong


def refused(call, *parts) -> None:
    with pytest.raises(LsegreproError) as error:
        call()
    one_line(error, *parts)


@pytest.mark.parametrize("options, parts", [
    ({"cls": "bird"}, ["unknown class 'bird': choose one of cat, dog"]),
    ({"theta": 1.0}, ["theta must lie in [0, 1), got 1.0"]),
    ({"theta": -0.01}, ["theta must lie in [0, 1)"]),
    ({"theta": float("nan")}, ["theta must lie in [0, 1), got nan"]),
    ({"cls": "dog"}, ["cat.safetensors was trained for cat, not dog"]),
    ({"model": "LSE2"}, ["cat.safetensors holds LSE1", "not LSE2"]),
    ({"model": "max1"}, ["cat.safetensors holds LSE1", "not max1"]),
    ({"weights_file": "nowhere.safetensors"}, ["no weights file nowhere.safetensors"]),
])
def test_wrong_arguments_are_refused_before_anything_is_written(photo, tmp_path, weights_file, options, parts):
    options = {"weights_file": weights_file, **options}
    refused(lambda: run([photo], tmp_path / "out", **options), *parts)
    assert not (tmp_path / "out").exists()


def test_a_photograph_that_cannot_be_read_is_named_in_one_line(tmp_path, weights_file):
    (tmp_path / "bad.jpg").write_text("<html>404</html>")
    (tmp_path / "empty").mkdir()
    for path, said in (("bad.jpg", "is not a photograph"), ("absent.jpg", "no such photograph"),
                       ("empty", "no photograph in the folder")):
        refused(lambda path=path: run([tmp_path / path], tmp_path / "out", weights_file), tmp_path / path, said)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("theta", [0.0, 0.119, 0.8808, 0.9999, float(np.nextafter(1, 0))])
def test_theta_at_its_ends(photo, tmp_path, weights_file, theta):
    run([photo], tmp_path, weights_file, theta=theta)
    mask = np.asarray(Image.open(tmp_path / "photo-cat-mask.png"))
    assert (mask == (255 if theta < 0.2 else 0)).all()  # a probability lies in [0.1192, 0.8808]


def test_weights_that_are_none_or_of_another_architecture_are_refused(photo, tmp_path, weights_file):
    whole = weights_file.read_bytes()
    for data, said in ((b"", "not a safetensors file"), (whole[:200], "not a safetensors file"),
                       (whole[:-1] + bytes([whole[-1] ^ 1]), "disagree on the digest")):
        weights_file.write_bytes(data)
        refused(lambda: run([photo], tmp_path / "out", weights_file), weights_file, said)
    weights_file.with_suffix(".json").unlink()
    weights_file.write_bytes(whole)
    refused(lambda: run([photo], tmp_path / "out", weights_file), "has no card cat.json beside it")
    other = tmp_path / "lse2.safetensors"
    save_weights(other, PatchNet(paper.ARCHITECTURES["LSE2"]), {"arguments": {"model": "LSE2", "cls": "cat"}})
    refused(lambda: run([photo], tmp_path / "out", other, model="LSE1"), other, "holds LSE2 (architecture LSE2)")
    assert not (tmp_path / "out").exists()


def test_a_gpu_that_is_not_there_is_refused(photo, tmp_path, weights_file, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    refused(lambda: segment.segment_files([photo], "cat", out=tmp_path / "out", weights=weights_file, device="cuda"),
            "no GPU 'cuda' here (0 found): use --device cpu")
    assert not (tmp_path / "out").exists()


# Writing


def test_a_folder_that_cannot_be_made_is_named(photo, tmp_path, weights_file):
    (tmp_path / "file").write_text("in the way")
    refused(lambda: run([photo], tmp_path / "file" / "out", weights_file), "cannot write", tmp_path / "file")


@pytest.mark.parametrize("stop", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_nothing_is_left_when_writing_stops_half_way(photo, tmp_path, weights_file, monkeypatch, stop):
    run([photo], tmp_path / "out", weights_file, theta=0.1)
    before = {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()}
    whole = Image.Image.save

    def half(self, path, *args, **options):
        whole(self, path, *args, **options)
        Path(path).write_bytes(Path(path).read_bytes()[:50])
        raise stop

    monkeypatch.setattr(Image.Image, "save", half)
    for out in ("out", "new"):
        with pytest.raises((LsegreproError, KeyboardInterrupt)) as error:
            run([photo], tmp_path / out, weights_file, theta=0.6)
        if isinstance(stop, OSError):
            one_line(error, "cannot write", "No space left on device")
    assert {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()} == before
    assert not list((tmp_path / "new").iterdir())


# The published network


@pytest.fixture
def published(tmp_path, monkeypatch, tiny_net, own_run):
    """A published folder: a network of the last round for cats, and the evidence to choose theta by."""
    folder = tmp_path / "published"
    monkeypatch.setattr(segment, "PUBLISHED", folder)
    local = load_profile("local")
    arguments = dataclasses.asdict(local.arguments("LSE1", "cat", 2))
    save_weights(folder / "weights" / "LSE1-cat-round2-seed0.safetensors", tiny_net, {"arguments": arguments})
    return folder


def test_the_published_network_is_the_default(published, photo, tmp_path, capsys):
    network, theta = segment.published_network("LSE1", "cat", "cpu")
    assert (network.model, network.cls, theta) == ("LSE1", "cat", paper.THETA["cat"])
    for model in (None, "LSE1"):
        assert segment.segment_files([photo], "cat", out=tmp_path / "out", model=model, device="cpu") == 0
    codes = np.asarray(Image.open(tmp_path / "out" / "photo-cat-probability.png"))
    assert np.array_equal(codes, dense.to_prob_u16(dense.probability_map(network.net, load_image(photo))))


def test_its_theta_is_the_one_chosen_on_train(published, own_run, monkeypatch):
    """With the evidence of train beside the weights, theta is the choice it gives."""
    shutil.copytree(own_run.folder, published, dirs_exist_ok=True)
    monkeypatch.setattr(segment, "published_run", lambda device: dataclasses.replace(own_run))
    network, theta = segment.published_network("LSE1", "cat")
    assert theta == choose_theta(own_run, "LSE1", "cat", 2) != paper.THETA["cat"]
    assert network.sha256 == own_run.card("LSE1", "cat", 2)["sha256"]
    own_run.weights_path("LSE1", "cat", 2).unlink()
    assert segment.published_network("LSE1", "cat")[0].sha256 == own_run.card("LSE1", "cat", 1)["sha256"]


@pytest.mark.parametrize("model, cls, parts", [
    ("LSE1", "dog", ["no network of LSE1 for dog is published", "lsegrepro train", "--weights"]),
    ("max2", "cat", ["no network of max2 for cat is published"]),
    ("LSE9", "cat", ["unknown model 'LSE9': choose one of max1, LSE1, max2, LSE2"]),
])
def test_what_was_not_published_is_said(published, photo, tmp_path, model, cls, parts):
    refused(lambda: segment.segment_files([photo], cls, out=tmp_path / "out", model=model, device="cpu"), *parts)
    assert not (tmp_path / "out").exists()


def test_what_this_version_publishes_belongs_together(monkeypatch):
    """The committed weights, evidence and profile fit each other, and no photograph is needed to tell."""
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    run = segment.published_run("cpu")
    assert run.profile.name == "local" and run.folder == segment.PUBLISHED
    if not (run.folder / "weights").is_dir():
        pytest.skip("the published run is not beside the package")
    for network in run.networks():
        if network in run.last_networks():
            assert load_network(run, *network).sha256 == run.card(*network)["sha256"]
        for split in ("train", "val"):
            run.scores(*network, split)  # checked against the regions, the weights and the profile
    for model, cls, round, _ in run.last_networks():
        weights, theta = segment.published_network(model, cls, "cpu")
        assert weights.sha256 == run.card(model, cls, round)["sha256"]
        assert theta == choose_theta(run, model, cls, round)
    assert coverage(run.regions("val")) == "886 of 1,449 val images"
    suffixes = {path.suffix for kind in ("weights", "negatives", "evidence") for path in (run.folder / kind).iterdir()}
    assert suffixes == {".safetensors", ".json", ".jsonl", ".npz"}  # no photograph, no pickle
