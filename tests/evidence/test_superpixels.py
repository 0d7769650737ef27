"""The majority vote as an order statistic, against voting pixel by pixel; the cache; the order."""

import numpy as np
import pytest
from conftest import refused
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from literal import voted

from lsegrepro.config import Superpixels
from lsegrepro.evidence import superpixels


@st.composite
def voting(draw):
    """A map of probabilities, most of them equal so that votes tie, and a label map over it."""
    shape = draw(hnp.array_shapes(min_dims=2, max_dims=2, max_side=7))
    values = st.sampled_from([0, 1, 2, 32767, 32768, 65534, 65535]) | st.integers(0, 65535)
    prob_u16 = draw(hnp.arrays(np.uint16, shape, elements=values))
    labels = draw(hnp.arrays(np.int32, shape, elements=st.integers(0, 5)))
    return prob_u16, np.unique(labels, return_inverse=True)[1].reshape(shape).astype(np.int32)


def photograph(height, width, seed=0):
    """Blocks of colour with noise: superpixels to find at any size."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 256, (-(-height // 16), -(-width // 16), 3)).repeat(16, 0).repeat(16, 1)
    return (blocks[:height, :width] + rng.normal(0, 4, (height, width, 3))).clip(0, 255).astype(np.uint8)


@settings(max_examples=30, deadline=None)
@given(voting())
def test_order_statistic_is_the_vote_at_every_theta(case):
    prob_u16, labels = case
    painted = superpixels.smooth(prob_u16, labels)
    breaks = [value / 65535 for value in set(prob_u16.ravel().tolist()) if value < 65535]
    for theta in {0.0, 0.6, *breaks, *(min(b + 0.4 / 65535, 0.99999999) for b in breaks)}:
        assert ((painted > theta * 65535) == voted(prob_u16, labels, theta)).all()


def test_more_superpixels_than_16_bits():
    prob_u16 = np.random.default_rng(0).integers(0, 65536, (300, 301)).astype(np.uint16)
    labels = np.random.default_rng(1).permutation(prob_u16.size).reshape(prob_u16.shape)
    assert (superpixels.smooth(prob_u16, labels) == prob_u16).all()


def test_maps_that_do_not_fit_are_refused():
    zeros = np.zeros((2, 2), np.uint16)
    for labels in ([[0, 2], [2, 0]], [[0, -1], [0, 0]]):
        refused(lambda labels=labels: superpixels.order_statistic(zeros, np.array(labels)), "renumber")
    refused(lambda: superpixels.order_statistic(np.zeros((2, 3), np.uint16), np.zeros((2, 2), int)), "(2, 2) uint16")
    refused(lambda: superpixels.oversegment(np.zeros((4, 4), np.uint8)), "uint8")


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (2, 2), (61, 47)])
def test_any_size(shape):
    labels = superpixels.oversegment(photograph(*shape), Superpixels(min_size=20))
    assert labels.shape == shape and labels.dtype == np.int32
    assert superpixels.superpixel_sizes(labels).sum() == labels.size


def test_cache_computes_once(tmp_path, monkeypatch):
    image, params = photograph(40, 50), Superpixels(min_size=20)
    first = superpixels.oversegment_cached(image, params, tmp_path)
    superpixels.oversegment_cached(image, Superpixels(min_size=30), tmp_path)
    superpixels.oversegment_cached(image[::-1], params, tmp_path)
    assert len(list(tmp_path.iterdir())) == 3
    monkeypatch.setattr(superpixels, "oversegment", None)
    again = superpixels.oversegment_cached(image, params, tmp_path)
    assert (again == first).all() and again.dtype == np.int32


def test_a_damaged_cache_is_computed_again(tmp_path):
    image, params = photograph(20, 30), Superpixels(min_size=20)
    labels = superpixels.oversegment_cached(image, params, tmp_path)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    for place in range(0, len(whole), 25):  # cut there, or another byte
        path.write_bytes(whole[:place] + (bytes([whole[place] ^ 0xFF]) + whole[place + 1 :]) * (place % 2))
        assert (superpixels.oversegment_cached(image, params, tmp_path) == labels).all()
    assert path.read_bytes() == whole


def test_parallel_keeps_the_order(tmp_path):
    images = [photograph(30 + i, 60 - 3 * i, seed=i) for i in range(7)]
    params = Superpixels(min_size=20)
    alone = [superpixels.oversegment(image, params) for image in images]
    together = list(superpixels.oversegment_all(iter(images), params, tmp_path, workers=2))
    assert len(together) == 7 and all((a == b).all() for a, b in zip(alone, together, strict=True))
    assert len(list(tmp_path.iterdir())) == 7


def test_images_are_taken_as_needed():
    taken = []
    images = (taken.append(i) or photograph(8, 8) for i in range(1000))
    next(superpixels.oversegment_all(images, Superpixels(), workers=1))
    assert len(taken) == 1
