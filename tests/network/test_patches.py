"""The grid, the draw of patches and the jitter, against their definitions."""

import math

import numpy as np
import pytest
import torch
from conftest import one_line
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch.nn import functional

from lsegrepro import LsegreproError
from lsegrepro.config import NO_JITTER, Jitter
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


# Range


def test_to_float_is_linear_from_minus_one_to_one():
    x = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16, 1).repeat(1, 1, 1, 3)
    y = patches.to_float(x)
    assert y.shape == (1, 3, 16, 16) and y.dtype == torch.float32
    np.testing.assert_allclose(y[0, 1].flatten(), np.arange(256) / 127.5 - 1, atol=1e-7)
    assert (y.min(), y.max()) == (-1, 1)


# The grid and the corners


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


@pytest.mark.parametrize("number", [0, -1, -4, 2, 3, 8, 10])
def test_a_number_that_is_no_square_is_refused(number):
    with pytest.raises(LsegreproError) as error:
        patches.grid(300, number)
    one_line(error, "square", number)


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


def test_a_patch_that_does_not_fit_is_refused(rng):
    with pytest.raises(LsegreproError) as error:
        patches.random_corners(rng, 1, 300, 9, 133)
    one_line(error, "133", "100", "300", "9 cells")


@given(
    st.integers(1, 3), st.integers(1, 4), st.integers(4, 12), st.integers(4, 14), st.integers(1, 4), st.data()
)
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


@given(st.integers(0, 2**32), st.sampled_from([(8, 8), (5, 9), (12, 7)]))
def test_no_jitter_is_the_identity(seed, shape):
    x = torch.rand(2, 3, *shape) * 2 - 1
    assert torch.equal(patches.jitter(x, np.random.default_rng(seed), NO_JITTER), x)


def test_flip_alone_is_a_flip(rng):
    x = torch.rand(200, 3, 4, 5) * 2 - 1
    y = patches.jitter(x, rng, Jitter(0.5, 0, 1, 0, 1))
    same = (y == x).flatten(1).all(1)
    turned = (y == x.flip(-1)).flatten(1).all(1)
    assert (same ^ turned).all()
    assert 60 < turned.sum() < 140  # 100 +- 5.7 standard deviations
    assert torch.equal(patches.jitter(x, rng, Jitter(1, 0, 1, 0, 1)), x.flip(-1))


@pytest.mark.parametrize("quarter", [-2, -1, 1, 2])
@pytest.mark.parametrize("flip", [False, True])
def test_a_quarter_turn_is_rot90(quarter, flip):
    x = torch.rand(2, 3, 9, 9) * 2 - 1
    ranges = Jitter(1.0 if flip else 0.0, 180, 1, 0, 1)
    y = patches.jitter(x, Scripted(uniform=(quarter / 2, 0, 0, 0)), ranges)
    z = (x.flip(-1) if flip else x).rot90(quarter, (2, 3))
    assert torch.allclose(y, z, atol=1e-5)


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
            out[i, j] = (1 - s) * ((1 - t) * image[a, b] + t * image[a, b + 1]) + s * (
                (1 - t) * image[a + 1, b] + t * image[a + 1, b + 1]
            )
    return out


@settings(max_examples=40)
@given(st.floats(-1, 1), st.floats(-1, 1), st.booleans(), st.sampled_from([(9, 9), (6, 11), (12, 5)]))
def test_rotation_and_scaling_keep_shapes(turn, zoom, flip, shape):
    """Against the definition, on images that are not square too: a rotation must not shear."""
    x = np.random.default_rng(1).uniform(-1, 1, shape)
    rng = Scripted(random=0.1 if flip else 0.9, uniform=(turn, zoom, 0, 0))
    y = patches.jitter(torch.tensor(x).expand(1, 3, *shape), rng, Jitter(0.5, 60, 2, 0, 1))
    expected = reference(x, math.radians(60 * turn), 2**zoom, flip)
    np.testing.assert_allclose(y[0, 0], expected, atol=1e-9)


@pytest.mark.parametrize("shape", [(300, 300), (95, 95), (9, 16), (1, 4)])
def test_the_resampling_is_torchs_affine_one(rng, shape):
    """`functional.affine_grid`, which does the same slowly, is the same to the last bits."""
    height, width = shape
    x = torch.rand(3, 3, *shape)
    turn, zoom = rng.uniform(-1, 1, 3), rng.uniform(-1, 1, 3)

    class Given(Scripted):
        def uniform(self, low, high, size):
            return next(self.values)

    y = patches.jitter(x, Given(uniform=(turn, zoom, np.zeros(3), np.zeros(3))), Jitter(0, 10, 1.25, 0, 1))
    cos, sin = np.cos(np.radians(10 * turn)) / 1.25**zoom, np.sin(np.radians(10 * turn)) / 1.25**zoom
    zero = np.zeros(3)
    matrix = np.array([[cos, -sin * height / width, zero], [sin * width / height, cos, zero]]).transpose(2, 0, 1)
    theta = torch.tensor(matrix, dtype=torch.float32)
    grid = functional.affine_grid(theta, list(x.shape), align_corners=False)
    z = functional.grid_sample(x, grid, padding_mode="reflection", align_corners=False)
    assert torch.allclose(y, z, atol=1e-4, rtol=0)  # where it is steepest, an ulp of the position shows


@pytest.mark.parametrize("shift, gain", [(0.5, 0), (-1, 0), (0, 1), (0, -1), (0.3, 0.4)])
def test_brightness_and_contrast(shift, gain):
    x = torch.rand(2, 3, 6, 6, dtype=torch.float64) * 1.2 - 0.7
    y = patches.jitter(x, Scripted(uniform=(0, 0, shift, gain)), Jitter(0, 0, 1, 0.2, 1.5))
    centre = x.mean((1, 2, 3), keepdim=True)
    expected = ((x - centre) * 1.5**gain + centre + 0.2 * shift).clamp(-1, 1)
    assert torch.allclose(y, expected, atol=1e-12)
    assert not torch.equal(y, x)


@given(
    st.integers(0, 2**32),
    st.builds(
        Jitter, st.floats(0, 1), st.floats(0, 180), st.floats(1, 10), st.floats(0, 2), st.floats(1, 10)
    ),
)
def test_values_stay_in_range(seed, ranges):
    rng = np.random.default_rng(seed)
    x = torch.from_numpy(rng.choice(np.array([-1, 0, 1], np.float32), (2, 3, 7, 9)))
    y = patches.jitter(x, rng, ranges)
    assert y.shape == x.shape and y.dtype == x.dtype
    assert y.abs().max() <= 1 + 1e-6 and torch.isfinite(y).all()


def test_images_of_a_batch_are_jittered_apart(rng):
    x = (torch.rand(1, 3, 16, 16) * 2 - 1).expand(8, -1, -1, -1)
    y = patches.jitter(x, rng, Jitter())
    assert len({tuple(image.flatten().tolist()) for image in y}) == 8


def test_jitter_does_not_write_into_its_input(rng):
    x = torch.rand(2, 3, 8, 8)
    before = x.clone()
    patches.jitter(x, rng, Jitter())
    patches.jitter(x, rng, Jitter(1, 0, 1, 0.2, 1.5))
    assert torch.equal(x, before)
