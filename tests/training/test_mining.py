"""Hard negatives: false positives on held-out background images, and nothing else."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
from conftest import SyntheticWeak, refused

from lsegrepro import paper
from lsegrepro.config import Mining
from lsegrepro.network import dense
from lsegrepro.network.model import PatchNet
from lsegrepro.network.weights import Weights
from lsegrepro.runs.folder import open_run
from lsegrepro.runs.published import PUBLISHED
from lsegrepro.training import batches, mining
from lsegrepro.training.batches import WeakDataset

SIDE = 300


@pytest.fixture(scope="module")
def weights() -> Weights:
    architecture = paper.Architecture("few", (2, 3, 4, 5), (8, 3, 5), (4, 4), 95, 9, 0)
    net = PatchNet(architecture, generator=torch.Generator().manual_seed(0)).eval()
    return Weights(net, {"arguments": {"seed": 0, "model": "LSE1", "cls": "cat"}}, "f00d")


@pytest.fixture(scope="module")
def heldout() -> WeakDataset:
    """Six images, two of them background: the third and the sixth in the order of their names."""
    weak = SyntheticWeak(2, seed=5)
    order = [0, 2, 4, 1, 3, 5]  # cat, dog, background, cat, dog, background
    weak.labels, weak.names = [weak.labels[i] for i in order], [weak.names[i] for i in order]
    return WeakDataset(weak, progress=False)


def mined(weights, heldout, path, **arguments) -> dict:
    mining.mine(weights, heldout, path, Mining(**arguments), progress=False)
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


# With the scores of a network


def test_every_false_positive_is_there_and_nothing_else(weights, heldout, tmp_path):
    """Of the two background images, at a theta that one pixel in a hundred exceeds."""
    maps = [dense.to_prob_u16(dense.probability_map(weights.net, heldout.weak.image(i))) for i in (2, 5)]
    theta = float(np.quantile(np.stack(maps), 0.99)) / 65535
    arrays = mined(weights, heldout, tmp_path / "n.npz", theta=theta, per_image=90_000)
    assert set(arrays) == {"meta", "names", "counts", "index", "centres", "codes"}  # no pixel of a photograph
    assert arrays["names"].tolist() == ["background/4.png", "background/5.png"]
    assert len(arrays["index"]) == arrays["counts"].sum() > 100
    for i, expected in enumerate(maps):
        rows = arrays["index"] == i
        centres = tuple(arrays["centres"][rows].astype(int).T)
        positive = np.zeros((SIDE, SIDE), bool)
        positive[centres] = True
        assert positive.sum() == rows.sum() == arrays["counts"][i]  # no pixel twice
        certain = np.abs(expected - theta * 65535) > 2  # images together round otherwise than alone
        assert np.array_equal(positive[certain], (expected > theta * 65535)[certain]) and certain.mean() > 0.9
        prob_u16 = arrays["codes"][rows].astype(int)
        assert np.abs(prob_u16 - expected[centres].astype(int)).max() <= 1 and (prob_u16 > theta * 65535).all()
    assert mining.read_meta(tmp_path / "n.npz") == {
        "mining": {"theta": theta, "per_image": 90_000, "images": 100_000, "keep": 0}, "weights_sha256": "f00d",
        "data_digest": heldout.digest, "selection": "evenly spaced over the list", "rule": mining.RULE, "images": 2,
        "pixels": 2 * SIDE * SIDE, "false_positives": int(arrays["counts"].sum()),
        "images_with": int((arrays["counts"] > 0).sum()),
    }


def test_the_published_hard_negatives_are_those_of_the_profile():
    run = open_run("local", PUBLISHED)
    for network in run.last_networks():
        meta = mining.read_meta(run.negatives_path(network[0], network[1], network[3]))
        assert meta["mining"] == {"theta": 0.5, "per_image": 256, "images": 60, "keep": 0}
        assert (meta["selection"], meta["rule"]) == (mining.SELECTION, mining.RULE)


# With scores made from the pixels


@dataclasses.dataclass
class Scores:
    """Stands for `dense.score_maps`: scores made from the red of each pixel; stops before image `stop`."""

    stop: int = -1
    images: int = 0  # scored so far

    def __call__(self, net, images):
        if 0 <= self.stop < self.images + len(images):
            raise KeyboardInterrupt
        self.images += len(images)
        first = torch.from_numpy(images[..., 0].astype(np.float32)) / 255 - 0.5  # (B, H, W)
        return torch.stack([first, -first], dim=1)


@pytest.fixture
def many(monkeypatch) -> WeakDataset:
    """Seven background images, mined in blocks of three with scores that cost nothing."""
    monkeypatch.setattr(mining, "BLOCK", 3)
    monkeypatch.setattr(mining.dense, "score_maps", Scores())
    return WeakDataset(SyntheticWeak(7), progress=False)


FEW = {"theta": 0.55, "per_image": 20, "keep": 50}


def test_what_is_chosen_is_the_rule_taken_literally(weights, many, tmp_path):
    arrays = mined(weights, many, tmp_path / "n.npz", **FEW)
    every = []
    for place, number in enumerate(range(14, 21)):
        p = 1 / (1 + np.exp(-2 * (many.weak.image(number)[..., 0].astype(np.float32) / 255 - 0.5).astype(float)))
        rng = batches.step_rng(0, 3, number)
        in_image, in_all = rng.random((300, 300)), rng.random((300, 300))
        false = sorted((in_image[y, x], y, x) for y, x in np.argwhere(np.floor(p * 65535) > 36044.25))
        assert arrays["counts"][place] == len(false) > 20
        every += [(in_all[y, x], place, y, x) for _, y, x in false[:20]]
    chosen = sorted(row[1:] for row in sorted(every)[:50])
    assert [(i, *c) for i, c in zip(arrays["index"], arrays["centres"].tolist(), strict=True)] == chosen
    other = dataclasses.replace(weights, card={"arguments": {"seed": 1}})
    assert not np.array_equal(arrays["centres"], mined(other, many, tmp_path / "other.npz", **FEW)["centres"])


def test_images_are_taken_from_the_whole_list(weights, many, tmp_path):
    assert mined(weights, many, tmp_path / "n.npz", images=2)["names"].tolist() == [many.names[i] for i in (14, 17)]


def test_a_network_without_false_positives_has_no_hard_negatives(weights, many, tmp_path):
    arrays = mined(weights, many, tmp_path / "n.npz", theta=0.89)  # no probability exceeds 0.8808
    assert len(arrays["index"]) == 0 and not arrays["counts"].any()
    assert len(mining.read_negatives(tmp_path / "n.npz", many).index) == 0


@pytest.mark.parametrize("stop", [0, 5, 7])
def test_an_interrupted_mining_resumes_at_the_next_block(weights, many, tmp_path, monkeypatch, stop):
    def interrupt(*args, **arrays):
        raise KeyboardInterrupt

    path, whole = tmp_path / "n.npz", tmp_path / "whole.npz"
    mined(weights, many, whole, **FEW)
    with monkeypatch.context() as patch:
        patch.setattr(mining.dense, "score_maps", Scores(5))  # the parts of another mining lie in the same folder
        with pytest.raises(KeyboardInterrupt):
            mined(dataclasses.replace(weights, sha256="beef"), many, path, **FEW)
        patch.setattr(mining.dense, "score_maps", Scores(stop))
        patch.setattr(mining.np, "savez_compressed", interrupt)  # with 7 the file is being written
        with pytest.raises(KeyboardInterrupt):
            mined(weights, many, path, **FEW)
    assert not path.exists()
    monkeypatch.setattr(mining.dense, "score_maps", again := Scores())
    mined(weights, many, path, **FEW)
    assert again.images == (7 - stop // 3 * 3 if stop < 7 else 0)
    assert path.read_bytes() == whole.read_bytes() and not path.with_name("n.npz.parts").exists()


# Refusals


def test_a_set_without_background_is_refused(weights, tmp_path):
    weak = SyntheticWeak(2)
    weak.labels = ["cat"] * 3 + ["dog"] * 3
    refused(lambda: mined(weights, WeakDataset(weak, progress=False), tmp_path / "n.npz"),
            "held-out background images, and there is none")
    assert not list(tmp_path.iterdir())


def test_a_damaged_or_foreign_file_is_refused(weights, many, tmp_path):
    path, absent = tmp_path / "n.npz", tmp_path / "none.npz"
    mined(weights, many, path, **FEW)
    content = path.read_bytes()
    for damaged in (b"no zip", content[: len(content) // 2]):
        path.write_bytes(damaged)
        for read in (mining.read_meta, lambda path: mining.read_negatives(path, many)):
            refused(lambda read=read: read(path), path, "damaged or no file of hard negatives: mine again")
    refused(lambda: mining.read_meta(absent), absent, "mine again")


def test_images_are_identified_by_name(weights, many, tmp_path):
    path = tmp_path / "n.npz"
    mined(weights, many, path, **FEW)
    hard = mining.read_negatives(path, many)
    turned = copy.copy(many)
    turned.names = many.names[::-1]  # the same images in another order
    other = mining.read_negatives(path, turned)
    assert [many.names[i] for i in hard.index] == [turned.names[i] for i in other.index]
    assert np.array_equal(hard.centres, other.centres) and hard.digest == other.digest
    turned.names = [name.replace("background/15", "background/99") for name in many.names]
    refused(lambda: mining.read_negatives(path, turned), path,
            "names background/15.png, which is not among the held-out images (1 absent)")
    mined(weights, many, tmp_path / "more.npz", **FEW | {"keep": 51})
    assert mining.read_negatives(tmp_path / "more.npz", many).digest != hard.digest
