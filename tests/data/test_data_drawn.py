"""The drawn data set: the same bytes everywhere, exact masks, labels that the masks bear out."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsegrepro.data import drawn
from lsegrepro.data._painter import Dice, Pen, Skin, box, ellipse, limb, noise, polygon
from lsegrepro.data.drawn import DrawnSegmentation, DrawnWeak, draw
from lsegrepro.files import LsegreproError
from lsegrepro.paper import VOC_INDEX

DIGEST = "a7d297463257e339c91c9b85b6d2c7408b29ecd67dcb17dd11ffb390cc570ed8"
"""SHA-256 of the pictures of `test_stored_digest`. A new one needs a new GENERATOR_VERSION."""


@pytest.fixture(scope="module")
def pages() -> list[tuple[tuple[str, ...], np.ndarray, np.ndarray]]:
    """A few dozen pictures of every content, small to be quick."""
    contents = ((), ("cat",), ("dog",), ("cat", "dog"), ("dog", "dog"))
    return [(kinds, *draw(i, kinds, (120, 150))) for kinds in contents for i in range(6)]


def test_same_arguments_same_bytes():
    first, second = draw(3, ("dog",)), draw(3, ("dog",))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert not np.array_equal(first[0], draw(4, ("dog",))[0])
    weak = DrawnWeak("train", count=5, seed=2)
    assert np.array_equal(weak.image(4), DrawnWeak("train", count=3000, seed=2).image(4))
    assert not np.array_equal(weak.image(4), DrawnWeak("train", count=5, seed=3).image(4))


def test_stored_digest():
    state = hashlib.sha256()
    for seed, kinds in enumerate(((), ("cat",), ("dog",), ("cat", "dog"))):
        for array in draw(seed, kinds, (160, 200)):
            state.update(array.tobytes())
    assert state.hexdigest() == DIGEST


def test_content(pages):
    for kinds, image, mask in pages:
        assert image.shape == (120, 150, 3) and image.dtype == np.uint8
        assert mask.shape == (120, 150) and mask.dtype == np.uint8
        wanted = {0, *(VOC_INDEX[kind] for kind in kinds)} | ({drawn.VOID} if kinds else set())
        assert set(np.unique(mask).tolist()) == wanted
        assert image.std() > 10 and 40 < image.mean() < 220


def test_void_is_a_thin_border(pages):
    """Two pixels on either side of an outline, so classes never touch and no void lies far from one."""
    for kinds, _, mask in pages:
        if not kinds:
            continue
        for axis in (0, 1):
            lines = np.moveaxis(mask, axis, 0)
            a, b = lines[1:], lines[:-1]
            assert ((a == b) | (a == drawn.VOID) | (b == drawn.VOID)).all()
        near = np.zeros(mask.shape, bool)
        solid = np.pad(mask != drawn.VOID, 3)
        for i in range(7):
            for j in range(7):
                near |= solid[i : i + mask.shape[0], j : j + mask.shape[1]]
        assert near[mask == drawn.VOID].mean() > 0.9  # thin tails and whisker-wide gaps are void throughout


def test_mask_follows_the_animal():
    """Two pictures that differ in the animal alone differ where the mask says, and nearly nowhere else."""
    differing, outside = 0, 0
    for seed in range(6):
        owner = np.zeros((120, 120), np.uint8)
        pages = []
        for base in ((0.2, 0.2, 0.2), (0.9, 0.9, 0.9)):
            canvas = np.full((3, 120, 120), 0.5, np.float32)
            pen = Pen(canvas, owner, 1, (80.0, 0, 60, 0, 80.0, 110), 2.0, (seed, 40 * seed))
            pen.fill(ellipse(0, -0.5, 0.4, 0.3, 0.1 * seed), Skin(base, fuzz=1.5))
            pages.append(canvas)
        changed = abs(pages[0] - pages[1]).max(0) > 0.35
        differing += (changed & (owner == 1)).sum() / (owner == 1).sum()
        outside += (changed & (owner == 0)).sum()
    assert differing / 6 > 0.97 and outside == 0


def test_sizes_vary():
    shares = []
    for i in range(20):
        dice = Dice(i)
        page = drawn._scene(dice, ("cat",), 150, 150, bare=False)
        if page is None:
            continue
        shares.append(float((page.owner > 0).mean()))
    assert min(shares) < 0.2 and max(shares) > 0.4
    assert len(shares) > 12  # few pages are thrown away


def test_what_stands_in_front_hides_the_animal():
    canvas, owner = np.zeros((3, 40, 40), np.float32), np.zeros((40, 40), np.uint8)
    Pen(canvas, owner, 1, (1, 0, 0, 0, 1, 0)).fill(ellipse(20, 20, 15, 15), (1, 1, 1))
    Pen(canvas, owner, 0, (1, 0, 0, 0, 1, 0)).fill(box(20, 30, 20, 10), (0, 0, 0))
    assert owner[15, 20] == 1 and not owner[21:].any()
    Pen(canvas, owner, None, (1, 0, 0, 0, 1, 0)).fill(box(20, 10, 20, 10), (0, 0, 0))
    assert owner[15, 20] == 1  # shadows and whiskers hide nothing


def test_weak_set():
    train, heldout = DrawnWeak("train", count=9), DrawnWeak("heldout", count=9)
    assert len(train) == 9 and len(set(train.names)) == 9
    assert sorted(train.labels) == ["background"] * 3 + ["cat"] * 3 + ["dog"] * 3
    assert train.digest != heldout.digest and not set(train.names) & set(heldout.names)
    seen = {hashlib.sha256(s.image(i).tobytes()).digest() for s in (train, heldout) for i in range(3)}
    assert len(seen) == 6
    assert train.image(8).shape == (300, 300, 3)


def test_segmentation_set():
    val = DrawnSegmentation("val", count=40)
    assert len(val) == val.listed == len(set(val.ids)) == 40 and val.absent == [] and val.redistributable
    holds = [val.kinds(i) for i in range(40)]
    assert sum("cat" in kinds for kinds in holds) == 10 and sum("dog" in kinds for kinds in holds) == 10
    assert ("cat", "dog") in holds
    shapes = set()
    for i in range(5):
        image, mask = val.image(i), val.mask(i)
        assert image.shape[:2] == mask.shape and 200 <= min(mask.shape) and max(mask.shape) <= 330
        assert {int(v) for v in np.unique(mask)} - {0, 255} == {VOC_INDEX[kind] for kind in val.kinds(i)}
        shapes.add(mask.shape)
    assert len(shapes) > 2
    train = DrawnSegmentation("train", count=40)
    assert not np.array_equal(train.image(0)[:200, :200], val.image(0)[:200, :200])
    assert train.digest != val.digest


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: draw(0, ("horse",)), "cat, dog"),
        (lambda: draw(0, ("cat", "cat", "cat")), "at most two"),
        (lambda: draw(0, (), (20, 300)), "64 pixels"),
        (lambda: DrawnWeak("val"), "choose train, heldout"),
        (lambda: DrawnSegmentation("heldout"), "choose train, val"),
        (lambda: DrawnWeak("train", count=0), "count >= 1"),
        (lambda: DrawnWeak("train", seed=-1), "seed >= 0"),
    ],
)
def test_errors(call, words):
    with pytest.raises(LsegreproError, match=words):
        call()


def test_index_outside():
    for item in (DrawnWeak("train", count=3).image, DrawnSegmentation("val", count=3).mask):
        with pytest.raises(IndexError):
            item(3)
        with pytest.raises(IndexError):
            item(-1)


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**63),
    kinds=st.sampled_from([(), ("cat",), ("dog",), ("dog", "cat"), ("cat", "cat")]),
    height=st.integers(64, 160),
    width=st.integers(64, 160),
)
def test_any_page_shows_its_animals(seed, kinds, height, width):
    image, mask = draw(seed, kinds, (height, width))
    assert image.shape == (height, width, 3)
    for kind, index in VOC_INDEX.items():
        assert (kind in kinds) == bool((mask == index).any())


@pytest.mark.parametrize("name", ["cloud", "blob", "grain", "streak"])
def test_noise_is_even(name):
    field = noise(name)
    assert field.shape == (512, 512) and field.dtype == np.float32
    assert (field > 0.75).mean() == pytest.approx(0.25, abs=1e-4)
    step = abs(field[0] - field[-1]).mean(), abs(field[256] - field[255]).mean()
    assert step[0] < 2 * step[1] + 0.05  # periodic: no seam


def test_distances():
    x, y = np.float32([[0.0, 2.0]]), np.float32([[0.0, 0.0]])
    assert box(0, 0, 1, 1).sd(x, y).tolist() == [[-1.0, 1.0]]
    np.testing.assert_allclose(limb(-1, 0, 1, 0, 0.5, 0.5).sd(x, y), [[-0.5, 0.5]], atol=1e-5)
    np.testing.assert_allclose(ellipse(0, 0, 1, 1).sd(x, y)[0, 1], 1.0, rtol=1e-5)
    square = [(-1, -1), (1, -1), (1, 1), (-1, 1)]
    for corners in (square, square[::-1]):
        assert polygon(corners).sd(x, y).tolist() == [[-1.0, 1.0]]
