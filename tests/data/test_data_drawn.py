"""The drawn data set: the same pictures each time, exact masks, labels that the masks bear out."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.morphology import erosion

from lsegrepro.data import drawn
from lsegrepro.data._figures import Pen, Texture, ellipse
from lsegrepro.data.drawn import DrawnSegmentation, DrawnWeak, draw
from lsegrepro.paper import VOC_INDEX


@pytest.fixture(scope="module")
def pages() -> list[tuple[tuple[str, ...], np.ndarray, np.ndarray]]:
    """A few dozen pictures of every content, small to be quick."""
    return [(kinds, *draw(i, kinds, (120, 150))) for kinds in ((), ("cat",), ("dog",), ("cat", "dog"))
            for i in range(8)]


def test_same_arguments_same_bytes():
    first, second = draw(3, ("dog",)), draw(3, ("dog",))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    weak = DrawnWeak("train", count=9, seed=2)
    assert np.array_equal(weak.image(4), DrawnWeak("train", count=3000, seed=2).image(4))
    others = DrawnWeak("train", count=9, seed=3), DrawnWeak("heldout", count=9, seed=2)
    assert not any(np.array_equal(weak.image(4), picture) for picture in
                   (first[0], weak.image(1), *(other.image(4) for other in others)))
    assert len({weak.digest, *(other.digest for other in others)}) == 3 and weak.image(8).shape == (300, 300, 3)
    assert weak.labels == ["cat", "dog", "background"] * 3 and len(set(weak.names)) == len(weak) == 9
    with pytest.raises(IndexError):
        weak.image(9)


def test_content(pages):
    for kinds, image, mask in pages:
        assert image.shape == (120, 150, 3) and image.dtype == mask.dtype == np.uint8 and mask.shape == (120, 150)
        wanted = {0, *(VOC_INDEX[kind] for kind in kinds)} | ({drawn.VOID} if kinds else set())
        assert set(np.unique(mask).tolist()) == wanted
        assert image.std() > 10 and 40 < image.mean() < 220
    shares = [(mask > 0).mean() for kinds, _, mask in pages if kinds == ("cat",)]
    assert min(shares) < 0.25 and max(shares) > 0.4  # sizes vary


def test_void_is_a_thin_border(pages):
    """Two pixels on either side of an outline, so classes never touch and no void lies far from one."""
    for _, _, mask in pages[8:]:
        for lines in (mask, mask.T):
            a, b = lines[1:], lines[:-1]
            assert ((a == b) | (a == drawn.VOID) | (b == drawn.VOID)).all()
        deep = erosion(mask == drawn.VOID, np.ones((7, 7)))
        assert deep.sum() < 0.1 * (mask == drawn.VOID).sum()  # tails and gaps are void throughout


def pen(picture, owner, figure):
    return Pen(picture, owner, np.array([[80.0, 0, 60], [0, 80.0, 110]]), figure)


def test_the_mask_follows_the_animal():
    """Two pictures that differ in the animal alone differ where the mask says, and nowhere else."""
    for seed in range(4):
        owner, pictures = np.zeros((120, 120), np.uint8), []
        for base in ((0.1, 0.1, 0.1), (0.9, 0.9, 0.9)):
            pictures.append(np.full((120, 120, 3), 0.5, np.float32))
            texture = Texture(base, fuzz=0.5, offset=(seed, 40 * seed))
            pen(pictures[-1], owner, 1).fill(texture, ellipse(0, -0.5, 0.4, 0.3))
        assert np.array_equal(abs(pictures[0] - pictures[1]).max(axis=2) > 0, owner == 1)
        assert owner.sum() == pytest.approx(np.pi * 0.4 * 0.3 * 80**2, rel=0.06)


def test_what_stands_in_front_hides_the_animal():
    picture, owner = np.zeros((120, 120, 3), np.float32), np.zeros((120, 120), np.uint8)
    pen(picture, owner, 8).fill((1, 1, 1), ellipse(0, -0.5, 0.4, 0.4))
    pen(picture, owner, 0).fill((0, 0, 0), [(-1, -0.4), (1, -0.4), (1, 0), (-1, 0)])
    assert owner[60, 60] == 8 and not owner[79:].any()
    pen(picture, owner, None).fill((0, 0, 0), [(-1, -1), (1, -1), (1, 0), (-1, 0)])
    assert owner[60, 60] == 8  # shadows and whiskers hide nothing


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
    val, train = DrawnSegmentation("val", count=20), DrawnSegmentation("train", count=20)
    assert len(val) == val.listed == len(set(val.ids)) == 20 and val.absent == [] and val.redistributable
    assert train.digest != val.digest and not np.array_equal(train.image(0), val.image(0))
    masks = [val.mask(i) for i in range(20)]
    held = [set(np.unique(mask).tolist()) - {0, drawn.VOID} for mask in masks]
    assert sum(8 in indices for indices in held) == sum(12 in indices for indices in held) == 5 and {8, 12} in held
    assert val.image(3).shape[:2] == masks[3].shape and len({mask.shape for mask in masks}) > 2
