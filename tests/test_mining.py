"""Hard negatives: false positives on held-out background images, and nothing else."""

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import SyntheticWeak, one_line
from torch.nn import functional

from lsegrepro.config import NO_JITTER, Mining, Training
from lsegrepro.files import LsegreproError
from lsegrepro.network import patches
from lsegrepro.network.weights import Weights
from lsegrepro.runs import publish
from lsegrepro.runs.folder import open_run
from lsegrepro.training import batches, mining
from lsegrepro.training.batches import Decoded

SIDE = 300


@pytest.fixture
def weights(tiny_net) -> Weights:
    return Weights(tiny_net, {"arguments": {"seed": 0, "model": "LSE1", "cls": "cat"}}, "f00d")


@pytest.fixture(scope="module")
def heldout() -> Decoded:
    """Six images, two of them background: the third and the sixth in the order of their names."""
    weak = SyntheticWeak(2, seed=5)
    order = [0, 2, 4, 1, 3, 5]  # cat, dog, background, cat, dog, background
    weak.labels, weak.names = [weak.labels[i] for i in order], [weak.names[i] for i in order]
    return Decoded(weak, progress=False)


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
    return [codes_by_dilation(weights.net, heldout.batch(np.array([i]))[0].numpy()) for i in (2, 5)]


def theta_for(codes, part: float) -> float:
    """A theta that about this part of the pixels exceeds."""
    return float(np.quantile(np.concatenate([c.ravel() for c in codes]), 1 - part)) / 65535


def mined(weights, heldout, path, **arguments) -> dict:
    mining.mine(weights, heldout, heldout.weak.names, path, Mining(**arguments), progress=False)
    with np.load(path, allow_pickle=False) as file:
        return {key: file[key] for key in file}


# What is found


def test_every_false_positive_is_found_and_nothing_else(weights, heldout, codes, tmp_path):
    theta = theta_for(codes, 0.01)
    found = mined(weights, heldout, tmp_path / "n.npz", theta=theta, per_image=90_000)
    assert found["names"].tolist() == ["background/4.png", "background/5.png"]
    assert len(found["index"]) == found["counts"].sum() > 100
    for i, expected in enumerate(codes):
        mine = found["index"] == i
        kept = np.zeros((SIDE, SIDE), bool)
        kept[tuple(found["centres"][mine].astype(int).T)] = True
        assert kept.sum() == mine.sum() == found["counts"][i]  # no pixel twice
        certain = np.abs(expected - theta * 65535) > 2  # float32 against float64
        assert np.array_equal(kept[certain], (expected > theta * 65535)[certain]) and certain.mean() > 0.99
        kept_codes = found["codes"][mine].astype(int)
        assert np.abs(kept_codes - expected[tuple(found["centres"][mine].astype(int).T)]).max() <= 1
        assert (kept_codes > theta * 65535).all()


def test_only_background_images_are_looked_at(weights, heldout, tmp_path, monkeypatch):
    asked = []
    batch = Decoded.batch
    monkeypatch.setattr(Decoded, "batch", lambda self, index: (asked.extend(index), batch(self, index))[1])
    mined(weights, heldout, tmp_path / "n.npz", theta=0.0, per_image=3)
    assert asked == [2, 5]


def test_meta_counts_what_was_found(weights, heldout, codes, tmp_path):
    theta = theta_for(codes, 1e-5)  # a pixel or two
    path = tmp_path / "n.npz"
    found = mined(weights, heldout, path, theta=theta)
    meta = mining.read_meta(path)
    assert meta == {
        "mining": {"theta": theta, "per_image": 256, "images": 100_000, "keep": 0}, "weights_sha256": "f00d",
        "data_digest": heldout.digest, "selection": "evenly spaced over the list", "rule": mining.RULE, "images": 2,
        "pixels": 2 * SIDE * SIDE,
        "false_positives": int(found["counts"].sum()), "images_with": int((found["counts"] > 0).sum()),
    }


def test_images_limits_how_many_are_looked_at(weights, heldout, tmp_path):
    found = mined(weights, heldout, tmp_path / "n.npz", theta=0.0, images=1, per_image=5)
    assert found["names"].tolist() == ["background/4.png"] and found["counts"].tolist() == [SIDE * SIDE]
    assert mining.read_meta(tmp_path / "n.npz")["pixels"] == SIDE * SIDE


@pytest.mark.parametrize("number, count", [(402, 200), (7, 3), (5, 5), (3, 100_000), (1, 1), (9, 0)])
def test_a_part_of_the_images_is_spread_over_all_of_them(number, count):
    items = np.arange(number) * 10
    found = mining.spread(items, count)
    assert len(found) == min(number, count) and set(found) <= set(items)
    gaps = np.diff([*found, items[-1] + 10]) / 10  # the last gap runs to the end of the list
    assert len(found) == 0 or (found[0] == 0 and gaps.max() - gaps.min() <= 1 and gaps.min() >= 1)


def test_images_are_taken_from_the_whole_list(weights, tmp_path, monkeypatch):
    heldout = Decoded(SyntheticWeak(4), progress=False)
    asked = []
    batch = Decoded.batch
    monkeypatch.setattr(Decoded, "batch", lambda self, index: (asked.extend(index), batch(self, index))[1])
    found = mined(weights, heldout, tmp_path / "n.npz", theta=0.89, images=2)
    assert asked == [8, 10] and found["names"].tolist() == [heldout.weak.names[i] for i in asked]


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


@pytest.mark.fault("numbers", tried="a network without a single false positive",
                   survived="an empty file of hard negatives, not an error")
def test_a_network_without_false_positives_has_no_hard_negatives(weights, heldout, tmp_path):
    path = tmp_path / "n.npz"
    found = mined(weights, heldout, path, theta=0.89)  # no probability exceeds 0.8808
    assert len(found["index"]) == 0 and found["counts"].tolist() == [0, 0]
    assert mining.read_meta(path)["images_with"] == 0
    hard = mining.read_negatives(path, heldout, heldout.weak.names)
    assert hard.images.shape[0] == len(hard.index) == len(hard.centres) == 0
    args = Training(batch=4, jitter=NO_JITTER)
    with_none, without = (batches.batch_patches(args, 0, heldout, h)[0] for h in (hard, None))
    assert torch.equal(with_none, without)


def test_a_set_without_background_is_refused(weights, tmp_path):
    weak = SyntheticWeak(2)
    weak.labels = ["cat"] * 3 + ["dog"] * 3
    with pytest.raises(LsegreproError) as error:
        mined(weights, Decoded(weak, progress=False), tmp_path / "n.npz")
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
def many(monkeypatch) -> Decoded:
    """Seven background images, mined in blocks of three with scores that cost nothing."""
    monkeypatch.setattr(mining, "BLOCK", 3)
    monkeypatch.setattr(mining.dense, "score_maps", Scores())
    return Decoded(SyntheticWeak(7), progress=False)


FEW = {"theta": 0.55, "per_image": 20, "keep": 50}


@pytest.mark.fault("kills", tried="a mining stopped in each of its blocks, and in its last write",
                   survived="it goes on at the next block; the same bytes")
@pytest.mark.parametrize("batch, stop", [(1, 0), (1, 3), (1, 5), (2, 6), (3, 6), (1, 7)])
def test_a_mining_that_was_stopped_goes_on_at_the_next_block(weights, many, tmp_path, monkeypatch, batch, stop):
    def mine(path):
        mining.mine(weights, many, many.weak.names, path, Mining(**FEW), batch=batch, progress=False)

    def interrupt(*args, **arrays):
        raise KeyboardInterrupt

    path, whole = tmp_path / "n.npz", tmp_path / "whole.npz"
    mine(whole)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(mining.dense, "score_maps", Scores(stop))
        patch.setattr(mining.np, "savez_compressed", interrupt)  # with 7 all is found, and the file is being written
        mine(path)
    assert {p.name for p in tmp_path.iterdir()} == {"whole.npz", "n.npz.parts"}
    monkeypatch.setattr(mining.dense, "score_maps", again := Scores())
    mine(path)
    assert len(again.asked) == (7 - stop // 3 * 3 if stop < 7 else 0) and max(again.asked, default=1) <= batch
    assert path.read_bytes() == whole.read_bytes()
    assert {p.name for p in tmp_path.iterdir()} == {"whole.npz", "n.npz"}


@pytest.mark.fault("processes", tried="parts that a mining of other weights left", survived="refused by name")
def test_parts_of_another_mining_are_refused(weights, many, tmp_path, monkeypatch):
    path = tmp_path / "n.npz"
    monkeypatch.setattr(mining.dense, "score_maps", Scores(5))
    with pytest.raises(KeyboardInterrupt):
        mined(weights, many, path, **FEW)
    for others, arguments in ((weights, {"keep": 51}), (dataclasses.replace(weights, sha256="beef"), {})):
        with pytest.raises(LsegreproError) as error:
            mined(others, many, path, **FEW | arguments)
        one_line(error, path.with_name("n.npz.parts"), "begun with other arguments, weights or images: delete it")
    part = path.with_name("n.npz.parts") / "00000000.npz"
    part.write_bytes(part.read_bytes()[:-100])
    monkeypatch.setattr(mining.dense, "score_maps", Scores())
    with pytest.raises(LsegreproError) as error:
        mined(weights, many, path, **FEW)
    one_line(error, part, "damaged; delete it")


def test_the_batch_changes_nothing(weights, many, tmp_path):
    files = [tmp_path / f"{batch}.npz" for batch in (1, 2, 16)]
    for path, batch in zip(files, (1, 2, 16), strict=True):
        mining.mine(weights, many, many.weak.names, path, Mining(**FEW), batch=batch, progress=False)
    assert len({path.read_bytes() for path in files}) == 1


def test_the_batch_changes_nothing_but_by_rounding(weights, heldout, codes):
    """With the real scores a pixel at theta may come or go; the draw of the others stays."""
    args = Mining(theta=theta_for(codes, 0.01), per_image=40)
    one, two = (mining.find(weights, heldout, np.array([2, 5]), args, 0, batch) for batch in (1, 2))
    pixels = [{(i, *c) for i, c in zip(f["index"], f["centres"].tolist(), strict=True)} for f in (one, two)]
    assert len(pixels[0]) > 40 and len(pixels[0] ^ pixels[1]) <= 4


def test_what_is_kept_is_the_rule_taken_literally(weights, many, tmp_path):
    found = mined(weights, many, tmp_path / "n.npz", **FEW)
    every = []
    for place, number in enumerate(range(14, 21)):
        p = 1 / (1 + np.exp(-2 * (many.weak.image(number)[..., 0].astype(np.float32) / 255 - 0.5).astype(float)))
        rng = batches.step_rng(0, 3, number)
        in_image, in_all = rng.random((300, 300)), rng.random((300, 300))
        false = sorted((in_image[y, x], y, x) for y, x in np.ndindex(300, 300) if np.floor(p[y, x] * 65535) > 36044.25)
        assert found["counts"][place] == len(false) > 20
        every += [(in_all[y, x], place, y, x) for _, y, x in false[:20]]
    kept = sorted(each[1:] for each in sorted(every)[:50])
    assert [(i, *c) for i, c in zip(found["index"], found["centres"].tolist(), strict=True)] == kept
    whole = mined(weights, many, tmp_path / "all.npz", **FEW | {"keep": 0})
    assert sorted(each[1:] for each in every) == [
        (i, *c) for i, c in zip(whole["index"], whole["centres"].tolist(), strict=True)]


def test_every_false_positive_has_the_chance_of_the_rule(weights, monkeypatch):
    """Images of 10, 60 and 144 false positives give 10, 20 and 20 finds, and half of those are kept."""
    monkeypatch.setattr(mining.dense, "score_maps", Scores())
    pixels = torch.zeros(3, 12, 12, 3, dtype=torch.uint8)
    for image, count in zip(pixels, (10, 60, 144), strict=True):
        image.view(144, 3)[torch.arange(count) * 144 // count] = 255
    heldout = SimpleNamespace(batch=lambda numbers: pixels[numbers])
    seeds, kept = 3000, np.zeros((3, 12, 12))
    for seed in range(seeds):
        part = mining.find(weights, heldout, np.arange(3), Mining(per_image=20), seed, 3)
        assert part.pop("counts").tolist() == [10, 60, 144] and len(part["index"]) == 50
        finds = mining.smallest([part], 25)
        kept[finds["index"], *finds["centres"].T] += 1
    false = (pixels[..., 0] == 255).numpy()
    chance = 0.5 * np.array([1, 20 / 60, 20 / 144])[:, None, None] * false
    assert not kept[~false].any()
    z = ((kept - seeds * chance)[false] / np.sqrt(seeds * chance * (1 - chance))[false])
    assert np.abs(z).max() < 4 and 0.7 < np.mean(z**2) < 1.3


@pytest.mark.parametrize("keep", [0, 1, 7, 40, 1000])
@pytest.mark.parametrize("sizes", [[40], [0, 13, 0, 27], [1] * 40, [0]])
def test_the_smallest_of_a_stream_are_the_smallest_of_all(rng, keep, sizes):
    priority = rng.integers(0, 30, sum(sizes)) / 30  # with equal ones
    whole = {"index": np.arange(sum(sizes)), "priority": priority}
    ends = np.cumsum(sizes)
    parts = [{key: value[end - size : end] for key, value in whole.items()}
             for size, end in zip(sizes, ends, strict=True)]
    found = mining.smallest(iter(parts), keep)
    expected = sorted(range(sum(sizes)), key=lambda i: (priority[i], i))[: keep or None]
    assert found["index"].tolist() == sorted(expected)
    assert np.array_equal(found["priority"], priority[found["index"]])


def test_the_stream_holds_no_more_than_twice_what_is_kept(rng, monkeypatch):
    held, join = [], mining._join
    monkeypatch.setattr(mining, "_join", lambda finds: (held.append(sum(map(lambda f: len(f["priority"]), finds))),
                                                        join(finds))[1])
    mining.smallest(({"priority": rng.random(30)} for _ in range(200)), 100)
    assert len(held) > 20 and max(held) <= 2 * 100 + 30


def test_the_published_hard_negatives_are_those_of_the_profile():
    run = open_run("local", publish.PUBLISHED)
    for network in run.last_networks():
        found = mining.read_meta(run.mined(network[0], network[1], network[3]))
        assert found["mining"] == {"theta": 0.5, "per_image": 256, "images": 200, "keep": 0}
        assert (found["selection"], found["rule"]) == (mining.SPREAD, mining.RULE)


def test_images_beyond_the_memory_are_decoded_as_they_are_drawn(weights, many, tmp_path, monkeypatch):
    path = tmp_path / "n.npz"
    mined(weights, many, path, **FEW)
    held = mining.read_negatives(path, many, many.weak.names)
    monkeypatch.setattr(batches, "RESIDENT_BYTES", 6 * 3 * SIDE**2)
    drawn = mining.read_negatives(path, many, many.weak.names)
    assert isinstance(held.images, np.ndarray) and not isinstance(drawn.images, np.ndarray)
    assert len(drawn.images) == len(held.images) == 7 and drawn.digest == held.digest
    assert all(np.array_equal(drawn.images[k], held.images[k]) for k in range(7))
    one, other = (batches.hard_patches(np.random.default_rng(3), hard, 12, 95, torch.device("cpu"), Training().jitter)
                  for hard in (held, drawn))
    assert torch.equal(one, other)


def test_few_decoded_images_are_held():
    asked, weak = [], SyntheticWeak(2)
    image = weak.image
    weak.image = lambda i: (asked.append(i), image(i))[1]
    images = batches.Undecoded(weak, np.array([5, 1, 4]), held=2)
    for k in (0, 1, 0, 1, 2, 1, 0):
        assert np.array_equal(images[k], image((5, 1, 4)[k]))
    assert asked == [5, 1, 4, 5]


# Damage


@pytest.mark.fault("weights", tried="hard negatives that were damaged", survived="one line that names the file")
def test_a_damaged_file_is_refused(weights, heldout, tmp_path):
    path = tmp_path / "n.npz"
    found = mined(weights, heldout, path, theta=0.0, per_image=50)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    places = rng.integers(0, len(whole), 60)
    broken = [whole[:cut] for cut in (0, 1, 100, len(whole) // 2, len(whole) - 1)]
    broken += [whole[:p] + bytes([whole[p] ^ 0x10]) + whole[p + 1 :] for p in places]
    refused = 0
    for data in broken:
        path.write_bytes(data)
        try:
            hard = mining.read_negatives(path, heldout, heldout.weak.names)
        except LsegreproError as error:
            assert str(path) in str(error) and "\n" not in str(error)
            refused += 1
        else:  # a byte that zip does not use, such as a date
            assert np.array_equal(hard.centres, found["centres"])
    assert refused > 25


@pytest.mark.parametrize("content", [b"", b"not a zip", "missing"])
def test_a_file_of_another_kind_is_refused(heldout, tmp_path, content):
    path = tmp_path / "n.npz"
    if content != "missing":
        path.write_bytes(content)
    for read in (mining.read_meta, lambda path: mining.read_negatives(path, heldout, heldout.weak.names)):
        with pytest.raises(LsegreproError) as error:
            read(path)
        one_line(error, path, "mine")


def test_the_file_holds_no_pixel(weights, heldout, tmp_path):
    found = mined(weights, heldout, tmp_path / "n.npz", theta=0.0, per_image=50)
    assert set(found) == {"meta", "names", "counts", "index", "centres", "codes"}
    assert all(value.ndim < 3 for value in found.values())
    assert (tmp_path / "n.npz").stat().st_size < 4000
    json.loads(str(found["meta"]))


# From the file to patches


def test_patches_are_cut_as_from_an_image_padded_by_reflection(weights, heldout, tmp_path):
    path = tmp_path / "n.npz"
    mined(weights, heldout, path, theta=0.0, per_image=200)
    hard = mining.read_negatives(path, heldout, heldout.weak.names)
    assert len(hard.index) == 400 and hard.images.shape == (2, SIDE, SIDE, 3)
    assert all(np.array_equal(hard.images[k], heldout.weak.image(i)) for k, i in enumerate((2, 5)))
    size, margin = 95, 47
    for seed, number in ((0, 30), (1, 30)):
        picked = np.random.default_rng(seed).integers(0, 400, number)
        cut = batches.hard_patches(np.random.default_rng(seed), hard, number, size, torch.device("cpu"), NO_JITTER)
        assert cut.shape == (number, 3, size, size)
        borders = 0
        for k, p in enumerate(picked):
            padded = np.pad(hard.images[hard.index[p]], ((margin, margin), (margin, margin), (0, 0)), mode="reflect")
            y, x = hard.centres[p]
            crop = padded[y : y + size, x : x + size]  # its central pixel is (y, x) of the image
            assert np.array_equal(crop[margin, margin], hard.images[hard.index[p]][y, x])
            assert torch.equal(cut[k], patches.to_float(torch.from_numpy(crop.copy())))
            borders += min(y, x, SIDE - 1 - y, SIDE - 1 - x) < margin
        assert 0 < borders < number


def test_images_without_a_false_positive_are_not_kept(weights, heldout, codes, tmp_path):
    higher = int(np.argmax([c.max() for c in codes]))
    theta = (float(max(codes[1 - higher].max(), 0)) + 3) / 65535
    assert codes[higher].max() > theta * 65535 + 3
    path = tmp_path / "n.npz"
    mined(weights, heldout, path, theta=theta)
    hard = mining.read_negatives(path, heldout, heldout.weak.names)
    assert hard.images.shape[0] == 1 and set(hard.index) == {0}
    assert np.array_equal(hard.images[0], heldout.weak.image((2, 5)[higher]))


def test_images_are_found_by_name_in_another_order(weights, heldout, tmp_path):
    path = tmp_path / "n.npz"
    mined(weights, heldout, path, theta=0.0, per_image=20)
    straight = mining.read_negatives(path, heldout, heldout.weak.names)
    weak = SyntheticWeak(2, seed=5)  # the same images in their own order
    shuffled = mining.read_negatives(path, Decoded(weak, progress=False), [
        {"background/4.png": "background/5.png", "background/5.png": "background/4.png"}.get(n, n)
        for n in weak.names
    ])
    assert np.array_equal(straight.index, shuffled.index) and np.array_equal(straight.centres, shuffled.centres)
    assert np.array_equal(shuffled.images, np.stack([weak.image(5), weak.image(4)]))


def test_hard_negatives_of_absent_images_are_refused(weights, heldout, tmp_path):
    path = tmp_path / "n.npz"
    mined(weights, heldout, path, theta=0.0, per_image=20)
    names = [name.replace("background/5", "background/7") for name in heldout.weak.names]
    with pytest.raises(LsegreproError) as error:
        mining.read_negatives(path, heldout, names)
    one_line(error, path, "names background/5.png, which is not among the held-out images (1 absent)")


def test_the_digest_tells_hard_negatives_apart(weights, heldout, tmp_path):
    digests = set()
    for k, arguments in enumerate(({"per_image": 20}, {"per_image": 21}, {"images": 1})):
        path = tmp_path / f"{k}.npz"
        mined(weights, heldout, path, theta=0.0, **arguments)
        digests.add(mining.read_negatives(path, heldout, heldout.weak.names).digest)
    assert len(digests) == 3
