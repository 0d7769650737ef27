"""The grid, the draw of patches and the jitter, against their definitions."""

import math

import numpy as np
import pytest
import torch
from conftest import refused
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lsegrepro.config import Jitter
from lsegrepro.network import patches

SQUARES = st.integers(1, 6).map(lambda n: n * n)


class Scripted:
    """A generator whose draws are given: `random` is one number, `uniform` the next of a list."""

    def __init__(self, random=0.9, uniform=(0, 0, 0, 0)):
        self.value, self.values = random, iter(uniform)

    def random(self, size):
        return np.full(size, self.value)

    def uniform(self, low, high, size):
        return np.full(size, float(next(self.values)))


def test_to_float_is_linear_from_minus_one_to_one():
    x = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16, 1).repeat(1, 1, 1, 3)
    y = patches.to_float(x)
    assert y.shape == (1, 3, 16, 16) and y.dtype == torch.float32
    np.testing.assert_allclose(y[0, 1].flatten(), np.arange(256) / 127.5 - 1, atol=1e-7)
    assert (y.min(), y.max()) == (-1, 1)


# The grid and the corners


@settings(max_examples=30)
@given(st.integers(1, 400), SQUARES)
def test_grid_covers_every_pixel_once(side, number):
    count = np.zeros((side, side), int)
    cells = patches.grid(side, number)
    for top, left, height, width in cells:
        assert height >= 0 and width >= 0
        count[top : top + height, left : left + width] += 1
    assert len(cells) == number and (count == 1).all()
    sides = {length for cell in cells for length in cell[2:]}
    assert max(sides) - min(sides) <= 1
    assert cells == sorted(cells) or min(sides) == 0  # row by row


@settings(max_examples=30)
@given(st.integers(20, 400), SQUARES, st.integers(1, 140), st.integers(1, 5), st.integers(0, 2**32))
def test_patches_stay_in_their_cells(side, number, size, batch, seed):
    cells = np.array(patches.grid(side, number))
    assume(cells[:, 2:].min() >= size)
    corners = patches.random_corners(np.random.default_rng(seed), batch, side, number, size)
    assert corners.shape == (batch, number, 2) and corners.dtype == np.int64
    assert (corners >= cells[:, :2]).all()
    assert (corners + size <= cells[:, :2] + cells[:, 2:]).all()


def test_positions_are_uniform(rng):
    """Chi-square of every position of a cell, loosely."""
    corners = patches.random_corners(rng, 20_000, 20, 4, 6)  # 5 x 5 positions in each of 4 cells
    for n, (top, left) in enumerate([(0, 0), (0, 10), (10, 0), (10, 10)]):
        place = (corners[:, n, 0] - top) * 5 + corners[:, n, 1] - left
        counts = np.bincount(place, minlength=25)
        assert len(counts) == 25
        assert ((counts - 800) ** 2 / 800).sum() < 60  # 24 degrees of freedom: p < 1e-4
    first, second = corners[:, 0, 0], corners[:, 1, 0] - 0
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.04  # cells are drawn independently


def test_cells_that_are_no_square_number_or_too_small_are_refused(rng):
    refused(lambda: patches.grid(300, 8), "square", 8)
    refused(lambda: patches.random_corners(rng, 1, 300, 9, 133), "133", "100", "300", "9 cells")


@settings(max_examples=30)
@given(st.integers(1, 3), st.integers(1, 4), st.integers(4, 12), st.integers(4, 14), st.integers(1, 4), st.data())
def test_cut_is_slicing(batch, number, height, width, size, data):
    x = torch.arange(batch * 2 * height * width, dtype=torch.float32).reshape(batch, 2, height, width)
    place = st.tuples(st.integers(0, height - size), st.integers(0, width - size))
    corners = np.array(data.draw(st.lists(place, min_size=batch * number, max_size=batch * number)))
    corners = corners.reshape(batch, number, 2)
    result = patches.cut(x, corners, size)
    expected = [x[k // number, :, i : i + size, j : j + size] for k, (i, j) in enumerate(corners.reshape(-1, 2))]
    assert torch.equal(result, torch.stack(expected))
    assert result.movedim(1, -1).is_contiguous()  # channels last, as the network wants it
    assert torch.equal(result, patches.cut(x.to(memory_format=torch.channels_last), corners, size))


# Jitter


def reference(image, angle, zoom, flip):
    """Flip, rotation and zoom about the centre of (H, W), pixel by pixel; bilinear, reflected outside."""
    height, width = image.shape
    out = np.empty((height, width))

    def fold(v, side):
        v = abs(v + 0.5) % (2 * side)
        return min(max(min(v, 2 * side - v) - 0.5, 0), side - 1)

    for i in range(height):
        for j in range(width):
            y, x = i - (height - 1) / 2, j - (width - 1) / 2
            u = (math.cos(angle) * x - math.sin(angle) * y) / zoom * (-1 if flip else 1)
            v = (math.sin(angle) * x + math.cos(angle) * y) / zoom
            r, c = fold(v + (height - 1) / 2, height), fold(u + (width - 1) / 2, width)
            a, b = min(int(r), height - 2), min(int(c), width - 2)
            s, t = r - a, c - b
            above, below = ((1 - t) * image[k, b] + t * image[k, b + 1] for k in (a, a + 1))
            out[i, j] = (1 - s) * above + s * below
    return out


@settings(max_examples=25)
@given(st.floats(-1, 1), st.floats(-1, 1), st.booleans(), st.sampled_from([(9, 9), (6, 11), (12, 5)]))
def test_rotation_and_scaling_keep_shapes(turn, zoom, flip, shape):
    """Against the definition, on images that are not square too: a rotation must not shear."""
    x = np.random.default_rng(1).uniform(-1, 1, shape)
    rng = Scripted(random=0.1 if flip else 0.9, uniform=(turn, zoom, 0, 0))
    y = patches.jitter(torch.tensor(x).expand(1, 3, *shape), rng, Jitter(0.5, 60, 2, 0, 1))
    expected = reference(x, math.radians(60 * turn), 2**zoom, flip)
    np.testing.assert_allclose(y[0, 0], expected, atol=1e-9)


@pytest.mark.parametrize("shift, gain", [(0.5, 0), (-1, 0), (0, 1), (0, -1), (0.3, 0.4)])
def test_brightness_and_contrast(shift, gain):
    x = torch.rand(2, 3, 6, 6, dtype=torch.float64) * 1.2 - 0.7
    y = patches.jitter(x, Scripted(uniform=(0, 0, shift, gain)), Jitter(0, 0, 1, 0.2, 1.5))
    centre = x.mean((1, 2, 3), keepdim=True)
    expected = ((x - centre) * 1.5**gain + centre + 0.2 * shift).clamp(-1, 1)
    assert torch.allclose(y, expected, atol=1e-12)
    assert not torch.equal(y, x)


def test_images_of_a_batch_are_jittered_apart_and_in_a_copy(rng):
    x = (torch.rand(1, 3, 16, 16) * 2 - 1).expand(8, -1, -1, -1).clone()
    before = x.clone()
    y = patches.jitter(x, rng, Jitter())
    assert len({tuple(image.flatten().tolist()) for image in y}) == 8
    assert torch.equal(patches.jitter(x, rng, Jitter(1, 0, 1, 0, 1)), x.flip(-1))
    assert patches.jitter(x, rng, Jitter(0.5, 10, 1.25, 2, 10)).abs().max() <= 1
    assert torch.equal(x, before)
