"""The drawn data set: the same pictures each time, exact masks, labels that the masks bear out."""

from __future__ import annotations

import numpy as np
import pytest

from lsegrepro.data import drawn
from lsegrepro.data._painter import Pen, Texture, box, ellipse
from lsegrepro.data.drawn import DrawnSegmentation, DrawnWeak, draw
from lsegrepro.files import LsegreproError
from lsegrepro.paper import VOC_INDEX


@pytest.fixture(scope="module")
def pages() -> list[tuple[tuple[str, ...], np.ndarray, np.ndarray]]:
    """A few dozen pictures of every content, small to be quick."""
    contents = ((), ("cat",), ("dog",), ("cat", "dog"), ("dog", "dog"))
    return [(kinds, *draw(i, kinds, (120, 150))) for kinds in contents for i in range(6)]


def test_same_arguments_same_bytes():
    first, second = draw(3, ("dog",)), draw(3, ("dog",))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert not np.array_equal(first[0], draw(4, ("dog",))[0])
    weak = DrawnWeak("train", count=9, seed=2)
    assert np.array_equal(weak.image(4), DrawnWeak("train", count=3000, seed=2).image(4))
    others = DrawnWeak("train", count=9, seed=3), DrawnWeak("heldout", count=9, seed=2)
    assert not any(np.array_equal(weak.image(4), other.image(4)) for other in others)
    assert len({weak.digest, *(other.digest for other in others)}) == 3 and weak.image(8).shape == (300, 300, 3)
    assert weak.labels == ["cat", "dog", "background"] * 3 and len(set(weak.names)) == len(weak) == 9
    for i in (9, -1):
        with pytest.raises(IndexError):
            weak.image(i)


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


def pen(picture, owner, figure):
    return Pen(picture, owner, np.array([[80.0, 0, 60], [0, 80.0, 110]]), figure)


def test_the_mask_follows_the_animal():
    """Two pictures that differ in the animal alone differ where the mask says, and nearly nowhere else."""
    for seed in range(6):
        owner, pictures = np.zeros((120, 120), np.uint8), []
        for base in ((0.2, 0.2, 0.2), (0.9, 0.9, 0.9)):
            pictures.append(np.full((120, 120, 3), 0.5, np.float32))
            shape = ellipse(0, -0.5, 0.4, 0.3, 0.1 * seed)
            pen(pictures[-1], owner, 1).fill(shape, Texture(base, fuzz=1, offset=(seed, 40 * seed)))
        changed = abs(pictures[0] - pictures[1]).max(axis=2) > 0.35
        assert changed[owner == 1].mean() > 0.95 and changed[owner == 0].mean() < 0.001
        area = np.pi * 0.4 * 0.3 * 80**2
        assert owner.sum() == pytest.approx(area, rel=0.06)


def test_what_stands_in_front_hides_the_animal():
    picture, owner = np.zeros((40, 40, 3), np.float32), np.zeros((40, 40), np.uint8)
    page = np.eye(3)[:2]
    Pen(picture, owner, page, 1).fill(ellipse(20, 20, 15, 15), (1, 1, 1))
    Pen(picture, owner, page, 0).fill(box(20, 30, 20, 10), (0, 0, 0))
    assert owner[15, 20] == 1 and not owner[21:].any()
    Pen(picture, owner, page, None).fill(box(20, 10, 20, 10), (0, 0, 0))
    assert owner[15, 20] == 1  # shadows and whiskers hide nothing


def test_sizes_vary():
    shares = [(draw(seed, ("cat",), (120, 150))[1] > 0).mean() for seed in range(40)]
    assert min(shares) < 0.2 and max(shares) > 0.45


def test_no_single_pixel_statistic_tells_the_labels_apart():
    """Mean colours, and their spread, are shared: a linear rule on them is right in hardly more than half the cases."""
    weak = DrawnWeak("train", 120)
    features = np.array([[*image.mean((0, 1)), *image.std((0, 1)), 1] for image in map(weak.image, range(120))])
    for label, others in (("cat", ("dog",)), ("dog", ("background",))):
        rows = [i for i, name in enumerate(weak.labels) if name == label or name in others]
        target = np.array([1.0 if weak.labels[i] == label else -1.0 for i in rows])
        half = len(rows) // 2
        rule = np.linalg.lstsq(features[rows[:half]], target[:half], rcond=None)[0]
        assert (np.sign(features[rows[half:]] @ rule) == target[half:]).mean() < 0.8


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
        (lambda: draw(0, (), (20, 300)), "64 to 512 pixels"),
        (lambda: DrawnWeak("val"), "choose train or heldout"),
        (lambda: DrawnSegmentation("heldout"), "choose train or val"),
        (lambda: DrawnWeak("train", count=0), "count >= 1"),
        (lambda: DrawnWeak("train", seed=-1), "seed >= 0"),
    ],
)
def test_errors(call, words):
    with pytest.raises(LsegreproError, match=words):
        call()
