"""Hard negatives: false positives on held-out background images, and nothing else."""

import copy
import dataclasses
import json
import os
import random
import signal
import time

import numpy as np
import pytest
import torch
from conftest import SyntheticWeak, one_line
from torch.nn import functional

from lsegrepro.config import NO_JITTER, Mining, Training
from lsegrepro.files import LsegreproError
from lsegrepro.network.weights import Weights
from lsegrepro.runs import publish
from lsegrepro.runs.folder import open_run
from lsegrepro.training import batches, mining
from lsegrepro.training.batches import WeakDataset, make_batch

SIDE = 300


@pytest.fixture
def weights(tiny_net) -> Weights:
    return Weights(tiny_net, {"arguments": {"seed": 0, "model": "LSE1", "cls": "cat"}}, "f00d")


@pytest.fixture(scope="module")
def heldout() -> WeakDataset:
    """Six images, two of them background: the third and the sixth in the order of their names."""
    weak = SyntheticWeak(2, seed=5)
    order = [0, 2, 4, 1, 3, 5]  # cat, dog, background, cat, dog, background
    weak.labels, weak.names = [weak.labels[i] for i in order], [weak.names[i] for i in order]
    return WeakDataset(weak, progress=False)


def codes_by_dilation(net, image: np.ndarray) -> np.ndarray:
    """Codes of every pixel by dilated convolutions, which `dense` does not use: (H, W) uint16."""
    p1, p2 = net.architecture.pools
    margin = (net.architecture.patch - 1) // 2
    padded = np.pad(image, ((margin, margin), (margin, margin), (0, 0)), mode="reflect")
    x = torch.from_numpy(padded).permute(2, 0, 1)[None].double() / 127.5 - 1
    with torch.no_grad():
        x = functional.conv2d(x, net.conv1.weight.double(), net.conv1.bias.double())
        x = torch.tanh(functional.max_pool2d(x, p1, stride=1))
        x = functional.conv2d(x, net.conv2.weight.double(), net.conv2.bias.double(), dilation=p1)
        x = torch.tanh(functional.max_pool2d(x, p2, stride=1, dilation=p1))
        x = torch.tanh(functional.conv2d(x, net.conv3.weight.double(), net.conv3.bias.double(), dilation=p1 * p2))
        for full in (net.full4, net.full5):
            x = torch.tanh(functional.conv2d(x, full.weight.double()[..., None, None], full.bias.double()))
    p = torch.softmax(x[0], 0)[0].numpy()
    return np.floor(p * 65535).astype(np.uint16)


@pytest.fixture
def codes(weights, heldout) -> list[np.ndarray]:
    """Codes of the background images, independently computed."""
    return [codes_by_dilation(weights.net, heldout.images(np.array([i]))[0].numpy()) for i in (2, 5)]


def theta_for(codes, part: float) -> float:
    """A theta that about this part of the pixels exceeds."""
    return float(np.quantile(np.concatenate([c.ravel() for c in codes]), 1 - part)) / 65535


def mined(weights, heldout, path, **arguments) -> dict:
    mining.mine(weights, heldout, path, Mining(**arguments), progress=False)
    with np.load(path, allow_pickle=False) as file:
        return {key: file[key] for key in file}


# What is found


def test_every_false_positive_is_found_and_nothing_else(weights, heldout, codes, tmp_path):
    theta = theta_for(codes, 0.01)
    arrays = mined(weights, heldout, tmp_path / "n.npz", theta=theta, per_image=90_000)
    assert arrays["names"].tolist() == ["background/4.png", "background/5.png"]
    assert len(arrays["index"]) == arrays["counts"].sum() > 100
    for i, expected in enumerate(codes):
        mine = arrays["index"] == i
        kept = np.zeros((SIDE, SIDE), bool)
        kept[tuple(arrays["centres"][mine].astype(int).T)] = True
        assert kept.sum() == mine.sum() == arrays["counts"][i]  # no pixel twice
        certain = np.abs(expected - theta * 65535) > 2  # float32 against float64
        assert np.array_equal(kept[certain], (expected > theta * 65535)[certain]) and certain.mean() > 0.99
        kept_codes = arrays["codes"][mine].astype(int)
        assert np.abs(kept_codes - expected[tuple(arrays["centres"][mine].astype(int).T)]).max() <= 1
        assert (kept_codes > theta * 65535).all()


def test_meta_counts_what_was_found(weights, heldout, codes, tmp_path):
    theta = theta_for(codes, 1e-5)  # a pixel or two
    path = tmp_path / "n.npz"
    arrays = mined(weights, heldout, path, theta=theta)
    meta = mining.read_meta(path)
    assert meta == {
        "mining": {"theta": theta, "per_image": 256, "images": 100_000, "keep": 0}, "weights_sha256": "f00d",
        "data_digest": heldout.digest, "selection": "evenly spaced over the list", "rule": mining.RULE, "images": 2,
        "pixels": 2 * SIDE * SIDE,
        "false_positives": int(arrays["counts"].sum()), "images_with": int((arrays["counts"] > 0).sum()),
    }


@pytest.mark.parametrize("number, count", [(402, 200), (7, 3), (5, 5), (3, 100_000), (1, 1), (9, 0)])
def test_a_part_of_the_images_is_spread_over_all_of_them(number, count):
    items = np.arange(number) * 10
    chosen = mining.evenly_spaced(items, count)
    assert len(chosen) == min(number, count) and set(chosen) <= set(items)
    gaps = np.diff([*chosen, items[-1] + 10]) / 10  # the last gap runs to the end of the list
    assert len(chosen) == 0 or (chosen[0] == 0 and gaps.max() - gaps.min() <= 1 and gaps.min() >= 1)


def test_images_are_taken_from_the_whole_list(weights, tmp_path, monkeypatch):
    heldout = WeakDataset(SyntheticWeak(4), progress=False)
    asked = []
    images = WeakDataset.images
    monkeypatch.setattr(WeakDataset, "images", lambda self, index: (asked.extend(index), images(self, index))[1])
    arrays = mined(weights, heldout, tmp_path / "n.npz", theta=0.89, images=2)
    assert asked == [8, 10] and arrays["names"].tolist() == [heldout.names[i] for i in asked]


def test_an_image_gives_at_most_so_many_patches_drawn_by_the_seed(weights, heldout, tmp_path):
    first = mined(weights, heldout, tmp_path / "a.npz", theta=0.0, per_image=50)
    again = mined(weights, heldout, tmp_path / "b.npz", theta=0.0, per_image=50)
    assert np.bincount(first["index"]).tolist() == [50, 50]
    assert first["counts"].tolist() == [SIDE * SIDE] * 2  # what was found, not what is kept
    assert all(np.array_equal(first[key], again[key]) for key in first)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    other = dataclasses.replace(weights, card={"arguments": {"seed": 1}})
    assert not np.array_equal(first["centres"], mined(other, heldout, tmp_path / "c.npz", theta=0.0, per_image=50)[
        "centres"])
    for i in (0, 1):
        drawn = first["centres"][first["index"] == i].astype(int)
        assert len(np.unique(drawn, axis=0)) == 50
        assert np.ptp(drawn, axis=0).min() > SIDE / 2  # spread over the whole image


def test_a_network_without_false_positives_has_no_hard_negatives(weights, heldout, tmp_path):
    path = tmp_path / "n.npz"
    arrays = mined(weights, heldout, path, theta=0.89)  # no probability exceeds 0.8808
    assert len(arrays["index"]) == 0 and arrays["counts"].tolist() == [0, 0]
    assert mining.read_meta(path)["images_with"] == 0
    hard = mining.read_negatives(path, heldout)
    assert len(hard.index) == len(hard.centres) == 0
    args = Training(batch=4, jitter=NO_JITTER)
    with_none, without = (make_batch(heldout, args, 0, h)[0] for h in (hard, None))
    assert torch.equal(with_none, without)


def test_a_set_without_background_is_refused(weights, tmp_path):
    weak = SyntheticWeak(2)
    weak.labels = ["cat"] * 3 + ["dog"] * 3
    with pytest.raises(LsegreproError) as error:
        mined(weights, WeakDataset(weak, progress=False), tmp_path / "n.npz")
    one_line(error, "held-out background images, and there is none")
    assert not list(tmp_path.iterdir())


# The file


def test_a_file_that_is_there_is_kept(weights, heldout, tmp_path, monkeypatch):
    path = tmp_path / "n.npz"
    mined(weights, heldout, path, theta=0.0, per_image=5)
    before = path.read_bytes(), path.stat().st_mtime_ns
    monkeypatch.setattr(mining.dense, "score_maps", None)
    mined(weights, heldout, path, theta=0.0, per_image=5)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    for others, arguments in ((weights, {"theta": 0.1}), (weights, {"per_image": 6}), (weights, {"images": 1}),
                              (weights, {"keep": 1}),
                              (dataclasses.replace(weights, sha256="beef"), {})):
        with pytest.raises(LsegreproError) as error:
            mined(others, heldout, path, **{"theta": 0.0, "per_image": 5} | arguments)
        one_line(error, path, "delete it")
    assert path.read_bytes() == before[0]


# At scale


@dataclasses.dataclass
class Scores:
    """Stands for `dense.score_maps`: codes of every pixel, made from the image; stops before image `stop`."""

    stop: int = -1
    asked: list = dataclasses.field(default_factory=list)

    def __call__(self, net, images):
        if 0 <= self.stop < len(self.asked) + len(images):
            raise KeyboardInterrupt
        self.asked += [len(images)] * len(images)
        first = torch.from_numpy(images[..., 0].astype(np.float32)) / 255 - 0.5  # (B, H, W)
        return torch.stack([first, -first], dim=1)


@pytest.fixture
def many(monkeypatch) -> WeakDataset:
    """Seven background images, mined in blocks of three with scores that cost nothing."""
    monkeypatch.setattr(mining, "BLOCK", 3)
    monkeypatch.setattr(mining.dense, "score_maps", Scores())
    return WeakDataset(SyntheticWeak(7), progress=False)


FEW = {"theta": 0.55, "per_image": 20, "keep": 50}


@pytest.mark.parametrize("stop", [0, 3, 5, 7])
def test_a_mining_that_was_stopped_goes_on_at_the_next_block(weights, many, tmp_path, monkeypatch, stop):
    def interrupt(*args, **arrays):
        raise KeyboardInterrupt

    path, whole = tmp_path / "n.npz", tmp_path / "whole.npz"
    mined(weights, many, whole, **FEW)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(mining.dense, "score_maps", Scores(stop))
        patch.setattr(mining.np, "savez_compressed", interrupt)  # with 7 all are found, and the file is being written
        mined(weights, many, path, **FEW)
    assert not path.exists()
    monkeypatch.setattr(mining.dense, "score_maps", again := Scores())
    mined(weights, many, path, **FEW)
    assert len(again.asked) == (7 - stop // 3 * 3 if stop < 7 else 0)
    assert path.read_bytes() == whole.read_bytes() and not path.with_name("n.npz.parts").exists()


def test_a_mining_killed_at_random_moments_ends_as_if_it_had_not_been(weights, heldout, tmp_path, monkeypatch):
    monkeypatch.setattr(mining, "BLOCK", 1)
    arguments = {"theta": 0.4, "per_image": 40}
    start = time.monotonic()
    mined(weights, heldout, tmp_path / "whole.npz", **arguments)
    seconds, path, rng = time.monotonic() - start, tmp_path / "n.npz", random.Random(time.time_ns())
    for _ in range(3):
        child = os.fork()
        if not child:
            mined(weights, heldout, path, **arguments)
            os._exit(0)
        time.sleep(rng.uniform(0, seconds))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    mined(weights, heldout, path, **arguments)
    assert path.read_bytes() == (tmp_path / "whole.npz").read_bytes()


def test_parts_of_another_mining_are_passed_over(weights, many, tmp_path, monkeypatch):
    path, whole = tmp_path / "n.npz", tmp_path / "whole.npz"
    mined(weights, many, whole, **FEW)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(mining.dense, "score_maps", Scores(5))
        mined(dataclasses.replace(weights, sha256="beef"), many, path, **FEW)
    mined(weights, many, path, **FEW)
    assert path.read_bytes() == whole.read_bytes()


def test_the_batch_changes_nothing_but_by_rounding(weights, heldout, codes):
    """With the real scores a pixel at theta may come or go; the draw of the others stays."""
    args = Mining(theta=theta_for(codes, 0.01), per_image=40)
    one, two = (mining.find_false_positives(weights, heldout, np.array([2, 5]), args, 0, batch=b) for b in (1, 2))
    pixels = [{(i, *c) for i, c in zip(f["index"], f["centres"].tolist(), strict=True)} for f in (one, two)]
    assert len(pixels[0]) > 40 and len(pixels[0] ^ pixels[1]) <= 4


def test_what_is_kept_is_the_rule_taken_literally(weights, many, tmp_path):
    arrays = mined(weights, many, tmp_path / "n.npz", **FEW)
    every = []
    for place, number in enumerate(range(14, 21)):
        p = 1 / (1 + np.exp(-2 * (many.weak.image(number)[..., 0].astype(np.float32) / 255 - 0.5).astype(float)))
        rng = batches.step_rng(0, 3, number)
        in_image, in_all = rng.random((300, 300)), rng.random((300, 300))
        false = sorted((in_image[y, x], y, x) for y, x in np.ndindex(300, 300) if np.floor(p[y, x] * 65535) > 36044.25)
        assert arrays["counts"][place] == len(false) > 20
        every += [(in_all[y, x], place, y, x) for _, y, x in false[:20]]
    kept = sorted(row[1:] for row in sorted(every)[:50])
    assert [(i, *c) for i, c in zip(arrays["index"], arrays["centres"].tolist(), strict=True)] == kept
    whole = mined(weights, many, tmp_path / "all.npz", **FEW | {"keep": 0})
    assert sorted(row[1:] for row in every) == [
        (i, *c) for i, c in zip(whole["index"], whole["centres"].tolist(), strict=True)]


def test_every_false_positive_has_the_chance_of_the_rule(weights, monkeypatch):
    """Images of 10, 60 and 144 false positives give 10, 20 and 20 finds, and half of those are kept."""
    monkeypatch.setattr(mining.dense, "score_maps", Scores())
    pixels = torch.zeros(3, 12, 12, 3, dtype=torch.uint8)
    for image, count in zip(pixels, (10, 60, 144), strict=True):
        image.view(144, 3)[torch.arange(count) * 144 // count] = 255
    class Images:
        device = torch.device("cpu")

        def images(self, numbers):
            return pixels[numbers]

    seeds, kept = 3000, np.zeros((3, 12, 12))
    for seed in range(seeds):
        part = mining.find_false_positives(weights, Images(), np.arange(3), Mining(per_image=20), seed, batch=3)
        assert part["counts"].tolist() == [10, 60, 144] and len(part["index"]) == 50
        drawn = mining.lowest(part["priority"], 25)
        kept[part["index"][drawn], *part["centres"][drawn].T] += 1
    false = (pixels[..., 0] == 255).numpy()
    chance = 0.5 * np.array([1, 20 / 60, 20 / 144])[:, None, None] * false
    assert not kept[~false].any()
    z = ((kept - seeds * chance)[false] / np.sqrt(seeds * chance * (1 - chance))[false])
    assert np.abs(z).max() < 4 and 0.7 < np.mean(z**2) < 1.3


def test_the_published_hard_negatives_are_those_of_the_profile():
    run = open_run("local", publish.PUBLISHED)
    for network in run.last_networks():
        meta = mining.read_meta(run.negatives_path(network[0], network[1], network[3]))
        assert meta["mining"] == {"theta": 0.5, "per_image": 256, "images": 200, "keep": 0}
        assert (meta["selection"], meta["rule"]) == (mining.SELECTION, mining.RULE)


# Damage


@pytest.mark.parametrize("part", [0, 1, 100, 0.5, 0.99])
def test_a_file_that_was_cut_is_refused(weights, heldout, tmp_path, part):
    path = tmp_path / "n.npz"
    mined(weights, heldout, path, theta=0.0, per_image=50)
    content = path.read_bytes()
    path.write_bytes(content[: part if isinstance(part, int) else int(part * len(content))])
    with pytest.raises(LsegreproError) as error:
        mining.read_negatives(path, heldout)
    one_line(error, path, "damaged; delete it and mine again")


@pytest.mark.parametrize("key, value", [("index", [2]), ("centres", [[300, 0]]), ("centres", [[0]])])
def test_patches_outside_their_images_are_refused(heldout, tmp_path, key, value):
    arrays = {"meta": "{}", "names": ["a", "b"], "counts": [1, 1], "index": [1], "centres": [[0, 299]], "codes": [0]}
    np.savez(tmp_path / "n.npz", **arrays | {key: value})
    with pytest.raises(LsegreproError) as error:
        mining.read_negatives(tmp_path / "n.npz", heldout)
    one_line(error, tmp_path / "n.npz", "damaged")


@pytest.mark.parametrize("content", [b"", b"not a zip", "missing"])
def test_a_file_of_another_kind_is_refused(heldout, tmp_path, content):
    path = tmp_path / "n.npz"
    if content != "missing":
        path.write_bytes(content)
    for read in (mining.read_meta, lambda path: mining.read_negatives(path, heldout)):
        with pytest.raises(LsegreproError) as error:
            read(path)
        one_line(error, path, "mine")


def test_the_file_holds_no_pixel(weights, heldout, tmp_path):
    arrays = mined(weights, heldout, tmp_path / "n.npz", theta=0.0, per_image=50)
    assert set(arrays) == {"meta", "names", "counts", "index", "centres", "codes"}
    assert all(value.ndim < 3 for value in arrays.values())
    assert (tmp_path / "n.npz").stat().st_size < 4000
    json.loads(str(arrays["meta"]))


# From the file to patches


def test_images_are_found_by_name_in_another_order(weights, heldout, tmp_path):
    path = tmp_path / "n.npz"
    mined(weights, heldout, path, theta=0.0, per_image=20)
    straight = mining.read_negatives(path, heldout)
    weak = SyntheticWeak(2, seed=5)  # the same images in their own order
    reordered = mining.read_negatives(path, WeakDataset(weak, progress=False))
    assert [heldout.names[i] for i in straight.index] == [weak.names[i] for i in reordered.index]
    assert np.array_equal(straight.centres, reordered.centres) and straight.digest == reordered.digest


def test_hard_negatives_of_absent_images_are_refused(weights, heldout, tmp_path):
    path = tmp_path / "n.npz"
    mined(weights, heldout, path, theta=0.0, per_image=20)
    other = copy.copy(heldout)
    other.names = [name.replace("background/5", "background/7") for name in heldout.names]
    with pytest.raises(LsegreproError) as error:
        mining.read_negatives(path, other)
    one_line(error, path, "names background/5.png, which is not among the held-out images (1 absent)")


def test_the_digest_tells_hard_negatives_apart(weights, heldout, tmp_path):
    digests = set()
    for k, arguments in enumerate(({"per_image": 20}, {"per_image": 21}, {"images": 1})):
        path = tmp_path / f"{k}.npz"
        mined(weights, heldout, path, theta=0.0, **arguments)
        digests.add(mining.read_negatives(path, heldout).digest)
    assert len(digests) == 3
