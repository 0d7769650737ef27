"""Dense scores against patches cut out one by one, and their parts against plain torch."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from literal import patch_scores

from lsegrepro import paper
from lsegrepro.book.site import ROOT
from lsegrepro.network import dense, model
from lsegrepro.network.model import PatchNet
from lsegrepro.network.weights import load_weights


@pytest.fixture(scope="module")
def nets():
    """The three architectures; weights a little larger than initial ones, so that scores spread."""
    result = {}
    for name, architecture in paper.ARCHITECTURES.items():
        net = PatchNet(architecture, generator=torch.Generator().manual_seed(1)).eval()
        with torch.no_grad():
            for p in net.parameters():
                p.mul_(1.7)
        result[name] = net
    return result


def picture(height, width, seed=0):
    """Noise of several grains: (H, W, 3) uint8."""
    rng = np.random.default_rng(seed)
    total = np.zeros((height, width, 3))
    for grain in (1, 4, 16):
        coarse = rng.normal(size=(height // grain + 1, width // grain + 1, 3))
        total += coarse.repeat(grain, 0).repeat(grain, 1)[:height, :width]
    return np.clip(128 + 45 * total, 0, 255).astype(np.uint8)


def somewhere(rng, height, width, number):
    """Corners, and random pixels."""
    rows = np.concatenate([[0, 0, height - 1, height - 1], rng.integers(0, height, number)])
    columns = np.concatenate([[0, width - 1, 0, width - 1], rng.integers(0, width, number)])
    return rows, columns


# Scores


@pytest.mark.parametrize("name", paper.ARCHITECTURES)
@pytest.mark.parametrize("shape", [(37, 51), (1, 50)])
def test_scores_are_those_of_the_patches(nets, rng, name, shape):
    image = picture(*shape)
    image.flags.writeable = False  # as a decoder hands it over
    scores = dense.score_map(nets[name], image)
    assert scores.shape == (2, *shape) and scores.dtype == torch.float32 and not scores.requires_grad
    rows, columns = somewhere(rng, *shape, 12)
    expected = patch_scores(nets[name], image, rows, columns)
    assert (scores[:, rows, columns] - expected).abs().max() < 1e-5
    if min(shape) > 1:
        assert expected.std() > 1e-3  # not a comparison of constants


@pytest.mark.parametrize("name", ["LSE1-cat-round2-seed0", "max1-cat-round2-seed0"])
def test_scores_of_the_published_networks(rng, name):
    """Trained weights are larger than initial ones, and so are the rounding errors."""
    net = load_weights(ROOT / f"published/weights/{name}.safetensors").net
    image = picture(61, 83)
    rows, columns = somewhere(rng, 61, 83, 40)
    result = dense.score_map(net, image)[:, rows, columns]
    assert (result - patch_scores(net, image, rows, columns)).abs().max() < 1e-5


@settings(max_examples=12)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 2**32))
def test_scores_at_every_pixel_of_any_size(height, width, seed):
    """With few units: an index that is off by one anywhere would show. From 48 pixels on a border is reflected."""
    architecture = paper.Architecture("few", (3, 4, 5, 6), (8, 3, 5), (4, 4), 95, 9, 0)
    net = PatchNet(architecture, generator=torch.Generator().manual_seed(seed))
    image = picture(height, width, seed)
    rows, columns = np.divmod(np.random.default_rng(seed).permutation(height * width)[:80], width)
    result = dense.score_map(net, image)
    assert (result[:, rows, columns] - patch_scores(net, image, rows, columns)).abs().max() < 1e-5


def test_tiles_groups_and_images_together_give_the_same(tiny_net, monkeypatch):
    images = np.stack([picture(61, 113, seed) for seed in range(2)])
    expected = torch.stack([dense.score_map(tiny_net, image) for image in images])
    for tile, group in ((100, dense.GROUP), (4000, 1), (dense.TILE, 1), (dense.TILE, 10**9)):
        monkeypatch.setattr(dense, "GROUP", group)
        result = dense.score_maps(tiny_net, images, tile=tile)
        assert result.shape == (2, 2, 61, 113) and (result - expected).abs().max() < 1e-5


def test_a_linear_output_is_not_bounded(rng, tiny_net):
    """The same weights without the last tanh: patch by patch and densely, and the inverse of the bounded scores."""
    linear = PatchNet(tiny_net.architecture, output="linear").eval()
    linear.load_state_dict(tiny_net.state_dict())
    with torch.no_grad():
        linear.full5.weight.mul_(9)
    image = picture(60, 70)
    rows, columns = somewhere(rng, 60, 70, 20)
    expected = patch_scores(linear, image, rows, columns)
    assert expected.abs().max() > 1
    result = dense.score_map(linear, image)[:, rows, columns]
    assert torch.allclose(result, expected, atol=1e-5)
    p = dense.probability_map(linear, image, scale_to=None)
    assert np.allclose(np.asarray(p)[rows, columns], model.foreground_probability(expected.T), atol=1e-5)


@pytest.mark.usefixtures("bfloat16")
def test_bfloat16_is_off_by_less_than_a_twentieth(nets):
    image = picture(33, 40)
    exact = dense.score_map(nets["LSE1"], image)
    fast = dense.score_map(nets["LSE1"], image, precision="bfloat16")
    assert fast.dtype == torch.float32 and not torch.equal(exact, fast)
    assert (exact - fast).abs().max() < 0.05


# Probabilities


def test_probability_map_is_the_softmax_of_the_scores_in_the_size_of_its_photograph(tiny_net):
    for shape in ((40, 61), (1, 7)):
        p = dense.probability_map(tiny_net, picture(*shape), scale_to=32)
        assert p.shape == shape and p.dtype == np.float32
    image = picture(30, 45)
    e = np.exp(dense.score_map(tiny_net, image).numpy().astype(np.float64))
    for scale_to in (None, 30):  # its own size, said in two ways
        result = dense.probability_map(tiny_net, image, scale_to=scale_to)
        np.testing.assert_allclose(result, e[0] / e.sum(0), atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_probabilities_in_16_bits_are_the_floor(rng, dtype):
    p = np.array([0, 1, 0.5, *rng.uniform(0, 1, 2000)], dtype)
    prob_u16 = dense.to_prob_u16(p)
    assert prob_u16.dtype == np.uint16
    assert prob_u16.tolist() == [math.floor(float(value) * 65535) for value in p]
