"""Scoring: evidence is what a literal computation gives, and no work is done twice."""

import shutil

import numpy as np
import pytest
import torch
from conftest import refused

from lsegrepro.config import Scoring, Superpixels
from lsegrepro.data.images import prepare
from lsegrepro.evidence import scoring
from lsegrepro.evidence.superpixels import oversegment
from lsegrepro.network import dense
from lsegrepro.network.weights import Weights

PARAMS = Superpixels(scale=40, sigma=0.8, min_size=20)
ARGS = Scoring(scale_to=0)


class Pictures:
    """A seeded segmentation set of small images with blobs of cat, dog, another class and void."""

    redistributable = True

    def __init__(self, count: int = 4, seed: int = 0) -> None:
        self.ids = [f"picture {i}" for i in range(count)]
        self.absent, self.listed, self.seed = ["absent"], count + 1, seed
        self.digest, self.description = f"pictures-{count}-{seed}", f"{count} pictures"

    def __len__(self) -> int:
        return len(self.ids)

    def image(self, i: int) -> np.ndarray:
        rng = np.random.default_rng([self.seed, i])
        image = rng.integers(90, 120, (40 + 5 * i, 60 - 4 * i, 3))
        image[10:30, 15:35] += rng.integers(-80, 80, 3)
        return image.clip(0, 255).astype(np.uint8)

    def mask(self, i: int) -> np.ndarray:
        mask = np.zeros(self.image(i).shape[:2], np.uint8)
        mask[10:30, 15:35] = (8, 12, 8, 0)[i % 4]
        mask[2:6, 2:9] = 15
        mask[9, 15:35] = 255
        return mask


@pytest.fixture
def weights(tiny_net) -> Weights:
    with torch.no_grad():  # wider apart than fresh weights make them
        tiny_net.full5.weight *= 3
    return Weights(tiny_net, {"arguments": {"model": "LSE1", "cls": "cat", "round": 1, "seed": 0}}, "f00d")


@pytest.fixture
def regions():
    return scoring.count_regions(Pictures(), "val", PARAMS, None, progress=False, workers=1)


def scored(weights, regions, **options):
    return scoring.score_set(weights, Pictures(), regions, ARGS, progress=False, **options)


# Evidence


def test_evidence_is_the_literal_computation(weights, regions):
    scores, pictures, place = scored(weights, regions), Pictures(), 0
    for i in range(4):
        image, mask = pictures.image(i), pictures.mask(i)
        p = torch.sigmoid(torch.tensor([1.0, -1.0]) @ dense.score_map(weights.net, image).flatten(1)).numpy()
        prob_u16 = np.floor(p.astype(np.float64) * 65535).astype(int).reshape(mask.shape)
        labels = oversegment(image, PARAMS)
        for s in range(labels.max() + 1):
            ordered = sorted(prob_u16[labels == s].tolist(), reverse=True)
            assert scores.statistics[place] == ordered[len(ordered) // 2]  # the k-th, k = floor(n/2) + 1
            place += 1
        for histogram, pixels in ((scores.foreground[i], prob_u16[mask == 8]),
                                  (scores.background[i], prob_u16[(mask != 8) & (mask != 255)])):
            assert histogram.sum() == pixels.size
            for b in range(200):
                assert histogram[b + 1 :].sum() == (pixels > b * 65535 / 200).sum()
    assert place == len(scores.statistics)
    assert np.ptp(scores.statistics.astype(int)) > 300  # the pictures are not all one


def test_image_scores_and_what_made_them(weights, regions):
    scores = scored(weights, regions)
    for i in range(4):
        x = torch.from_numpy(prepare(Pictures().image(i)).astype(np.float32) / 127.5 - 1).permute(2, 0, 1)
        cuts = torch.stack([x[:, r : r + 95, c : c + 95] for r in (2, 102, 202) for c in (2, 102, 202)])
        with torch.no_grad():
            assert np.allclose(scores.image_scores[i], weights.net(cuts).amax(0), atol=1e-6)
    expected = {"model": "LSE1", "class": "cat", "round": 1, "seed": 0, "split": "val", "weights_sha256": "f00d",
                "arguments": {"scale_to": 0, "precision": "float32"}, "code_digest": scoring.code_digest()}
    assert expected.items() <= scores.meta.items() and scores.meta["regions"]["digest"] == regions.digest


def test_a_short_side_is_scaled_and_brought_back(weights):
    image = Pictures().image(1)
    prob_u16, image_scores = scoring.score_image(weights, image, Scoring(scale_to=16))
    assert prob_u16.shape == image.shape[:2] and prob_u16.dtype == np.uint16 and image_scores.shape == (2,)
    own, same = (scoring.score_image(weights, image, Scoring(scale_to=s)) for s in (0, 45))
    assert np.array_equal(own[0], same[0]) and not np.array_equal(own[0], prob_u16)  # the short side has 45 pixels
    assert np.array_equal(own[1], image_scores)  # the prepared image does not depend on it


def test_regions_of_other_data_are_refused(weights, regions):
    refused(lambda: scoring.score_set(weights, Pictures(seed=1), regions, ARGS, progress=False),
            "the regions of val were counted on other data")


# The caches


@pytest.fixture
def counted(monkeypatch) -> list:
    """The images that are given to the network, in order."""
    images, probability_map = [], dense.probability_map
    monkeypatch.setattr(dense, "probability_map", lambda net, image, **options: (
        images.append(image), probability_map(net, image, **options))[1])
    return images


def test_a_second_scoring_takes_everything_from_the_cache(weights, regions, counted, tmp_path, monkeypatch):
    folders = {"maps": tmp_path / "maps", "superpixels": tmp_path / "superpixels"}
    first = scored(weights, regions, **folders)
    assert len(counted) == 4
    assert sorted(p.name for p in (tmp_path / "maps").iterdir()) == [f"picture {i}.npz" for i in range(4)]
    monkeypatch.setattr("lsegrepro.evidence.superpixels.oversegment", None)
    again = scored(weights, regions, **folders)
    assert len(counted) == 4 and again.digest == first.digest


def test_a_damaged_map_is_computed_again(weights, counted, tmp_path):
    image, path = Pictures().image(2), tmp_path / "a.npz"
    first = scoring.score_image(weights, image, ARGS, path)
    whole = path.read_bytes()
    for n, damaged in enumerate([whole[: len(whole) // 2], whole[:300] + bytes([whole[300] ^ 255]) + whole[301:]]):
        path.write_bytes(damaged)
        assert all(map(np.array_equal, scoring.score_image(weights, image, ARGS, path), first))
        assert len(counted) == 2 + n and path.read_bytes() == whole


def test_a_map_of_other_arguments_or_another_image_is_not_taken(weights, counted, tmp_path):
    image, cache = Pictures().image(0), tmp_path / "a.npz"
    for picture, args in ((image, ARGS), (image, Scoring(scale_to=16)), (image[:, ::-1], ARGS), (image[:-1], ARGS)):
        counted.clear()
        found = [scoring.score_image(weights, picture, args, *given)[0] for given in ([cache], [cache], [])]
        assert len(counted) == 2 and all(np.array_equal(found[0], one) for one in found)  # the second was taken


def test_the_digest_of_the_code_changes_with_the_code_that_decides_scores_alone(tmp_path):
    copy = shutil.copytree(scoring.PACKAGE, tmp_path / "lsegrepro", ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "figures" / "style.py").write_text("")
    for path in copy.rglob("*.py"):  # a checkout with other line ends is the same code
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert scoring.code_digest.__wrapped__(copy) == scoring.code_digest()
    for name in ("network/dense", "evidence/superpixels", "evidence/scoring", "data/images"):
        before = scoring.code_digest.__wrapped__(copy)
        (copy / f"{name}.py").write_text("")
        assert scoring.code_digest.__wrapped__(copy) != before
