"""What a training step sees: the balanced draw, the patches, the hard negatives."""

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import SyntheticWeak, refused
from hypothesis import given, settings
from hypothesis import strategies as st

from lsegrepro import LsegreproError, paper
from lsegrepro.config import NO_JITTER, Jitter, Training
from lsegrepro.data import LABELS as NAMES
from lsegrepro.network import patches
from lsegrepro.training import batches
from lsegrepro.training.batches import HardNegatives, WeakDataset, make_batch, positives_and_negatives, step_rng

LABELS = np.repeat(np.array([0, 1, 2], np.uint8), [3, 5, 40])  # cats, dogs, backgrounds


class Images(SyntheticWeak):
    """Given images as a weak set of backgrounds."""

    def __init__(self, pixels):
        super().__init__()
        self.pixels, self.labels = pixels, ["background"] * len(pixels)

    def image(self, index):
        return self.pixels[index]


class OnDisk(SyntheticWeak):
    """A weak set that notes which images are read, and fails at one of them."""

    def __init__(self):
        super().__init__()
        self.read, self.fail_at = [], None

    def image(self, index):
        self.read.append(index)
        if len(self.read) == self.fail_at:
            raise LsegreproError("a photograph that is no photograph")
        return super().image(index)


@pytest.fixture
def config(tiny):
    return Training(architecture="tiny", batch=6, jitter=NO_JITTER)


@pytest.fixture
def hard(rng):
    """Forty hard negatives in three images, corners and borders among them."""
    centres = rng.integers(0, 300, (40, 2))
    centres[:4] = [(0, 0), (0, 299), (299, 0), (299, 299)]
    pixels = rng.integers(0, 256, (3, 300, 300, 3)).astype(np.uint8)
    return HardNegatives(WeakDataset(Images(pixels), progress=False), rng.integers(0, 3, 40), centres, "hard")


@pytest.fixture
def large(monkeypatch):
    """A dataset that is too large for memory."""
    monkeypatch.setattr(batches, "RESIDENT_BYTES", 1000)
    return WeakDataset(OnDisk(), progress=False)


def draw(seed, round, step, batch, positives, negatives):
    """What `draw_images` draws, from candidates that are given."""
    class Dataset:
        def candidates(self, *_):
            return positives, negatives

    return batches.draw_images(Dataset(), Training(seed=seed, round=round, batch=batch), step)[1:]


def test_a_dataset_holds_the_prepared_images(weak_set, decoded, large):
    index = np.array([7, 0, 7, 11])
    assert decoded.in_memory and not large.in_memory
    for dataset in (decoded, large):
        images = dataset.images(index)
        assert images.shape == (4, 300, 300, 3) and images.dtype == torch.uint8
        assert all(np.array_equal(images[k], weak_set.image(i)) for k, i in enumerate(index))
    assert large.weak.read == index.tolist()
    assert [NAMES[label] for label in decoded.labels] == weak_set.labels and decoded.digest == weak_set.digest


# The draw


def chi_square(counts: np.ndarray) -> float:
    """Distance of counts from all being equal, in standard deviations of what chance gives."""
    expected, freedom = counts.mean(), len(counts) - 1
    return (((counts - expected) ** 2 / expected).sum() - freedom) / np.sqrt(2 * freedom)


def test_the_draws_are_those_of_the_published_networks():
    """Fixed for ever: a checkpoint or a card of an older version names the same images."""
    draws = [("cat", "others", (3, 1, 7)), ("cat", "background", (3, 1, 7)), ("dog", "others", (0, 2, 100_000)),
             ("cat", "paper", (3, 1, 7))]
    drawn = [draw(*key, 12, *positives_and_negatives(LABELS, cls, negatives)) for cls, negatives, key in draws]
    assert [index.tolist() for index, _ in drawn] == [
        [2, 17, 1, 2, 2, 1, 39, 39, 8, 32, 2, 1], [2, 20, 1, 2, 2, 1, 40, 40, 12, 34, 2, 1],
        [33, 25, 33, 5, 47, 23, 28, 5, 33, 7, 3, 6],
        [2, 16, 1, 2, 2, 1, 39, 39, 7, 31, 2, 1],
    ]
    assert [target.tolist() for _, target in drawn] == [
        [0, 1, 0, 0, 0, 0, 1, 1, 1, 1, 0, 0], [0, 1, 0, 0, 0, 0, 1, 1, 1, 1, 0, 0],
        [1, 1, 1, 0, 1, 1, 1, 0, 1, 0, 0, 0], [0, 1, 0, 0, 0, 0, 1, 1, 1, 1, 0, 0],
    ]


@settings(max_examples=25)
@given(st.permutations([0] * 3 + [1] * 2 + [2] * 6), st.sampled_from(["cat", "dog"]),
       st.sampled_from(["others", "background"]), st.integers(0, 2**62), st.integers(1, 50))
def test_draw_is_its_definition(labels, cls, negatives, seed, batch):
    """Against the draw written down over all labels at once."""
    names = np.array(NAMES)[labels]
    index, drawn = draw(seed, 1, 0, batch, *positives_and_negatives(np.array(labels, np.uint8), cls, negatives))
    rng = step_rng(seed, 1, 0)
    positive = np.flatnonzero(names == cls)
    negative = np.flatnonzero(names == "background" if negatives == "background" else names != cls)
    target, uniform = rng.integers(0, 2, batch), rng.random(batch)
    kinds = [(positive, negative)[y] for y in target]
    assert index.tolist() == [kind[int(p * len(kind))] for kind, p in zip(kinds, uniform, strict=True)]
    assert drawn.tolist() == target.tolist() and drawn.dtype == np.int64


@pytest.mark.parametrize("cls, other", [("cat", 1), ("dog", 0)])
def test_the_other_class_is_drawn_as_often_as_in_the_papers_pool(cls, other):
    index, target = draw(0, 1, 0, 40_000, *positives_and_negatives(LABELS, cls, "paper"))
    share = paper.other_class_share(cls)
    assert abs((LABELS[index[target == 1]] == other).mean() - share) < 5 * np.sqrt(share * (1 - share) / 20_000)
    for kind in (index[target == 0], index[LABELS[index] == other], index[LABELS[index] == 2]):
        assert abs(chi_square(np.unique(kind, return_counts=True)[1])) < 6  # uniform inside each


@pytest.mark.parametrize("labels, negatives", [([1, 2], "others"), ([0, 1], "background")])
def test_training_needs_both_kinds(labels, negatives):
    refused(lambda: positives_and_negatives(np.array(labels, np.uint8), "cat", negatives),
            "training cat needs images with and without it")


def test_a_set_without_one_kind_of_negatives_draws_the_other_alone():
    for labels in ([0, 2, 2], [0, 1, 1]):
        assert positives_and_negatives(np.array(labels, np.uint8), "cat", "paper")[1].cumulative is None


# A step


def test_steps_have_generators_of_their_own():
    seeds = (0, 1, 2**32 - 1, 2**32, 2**32 + 1, 2 * 2**32, 2**62)
    keys = [(seed, round, step) for seed in seeds for round in (1, 2) for step in (0, 1, 100_000, 2**32 - 1)]
    states = [tuple(step_rng(*key).integers(0, 2**63, 4).tolist()) for key in keys]
    assert len(set(states)) == len(keys)


def test_a_step_sees_one_patch_of_each_cell(config, decoded, weak_set):
    """Without jitter every patch lies in an image of its label, inside its cell."""
    x, target = make_batch(decoded, config, 0)
    assert x.shape == (6 * 9, 3, 95, 95) and x.dtype == torch.float32 and x.abs().max() <= 1
    assert x.is_contiguous(memory_format=torch.channels_last)
    images = patches.to_float(decoded.images(np.arange(len(weak_set))))

    def is_in_cell(patch, image, top, left):  # at one of the 6 x 6 positions
        return any(torch.equal(patch, image[:, top + i : top + i + 95, left + j : left + j + 95])
                   for i in range(6) for j in range(6) if patch[0, 0, 0] == image[0, top + i, left + j])

    for sample in range(6):
        sources = [i for i in range(12) if is_in_cell(x[sample * 9], images[i], 0, 0)]
        labels = {weak_set.labels[i] for i in sources}
        assert len(labels) == 1 and (labels == {"cat"}) == (target[sample].item() == 0)
        for n in range(9):
            assert is_in_cell(x[sample * 9 + n], images[sources[0]], 100 * (n // 3), 100 * (n % 3))


# Hard negatives


def test_hard_patches_are_crops_of_the_reflected_image(hard, rng):
    crops = batches.hard_patches(rng, hard, 100, 95, NO_JITTER)
    expected = []
    for image, (row, column) in zip(hard.index, hard.centres, strict=True):
        padded = np.pad(hard.dataset.weak.image(image), ((47, 47), (47, 47), (0, 0)), mode="reflect")
        expected.append(padded[row : row + 95, column : column + 95])
    expected = patches.to_float(torch.from_numpy(np.array(expected)))
    which = [next(k for k in range(40) if torch.equal(patch, expected[k])) for patch in crops]
    assert len(set(which)) > 30  # drawn with replacement from all of them
    plain, jittered = (batches.hard_patches(np.random.default_rng(0), hard, 5, 95, j) for j in (NO_JITTER, Jitter()))
    assert plain.shape == jittered.shape and not torch.equal(plain, jittered) and jittered.abs().max() <= 1 + 1e-6


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_hard_negatives_replace_a_share_of_the_negatives(tiny, decoded, hard, share):
    """All N patches of a sample are hard negatives, here of one grey, or none; positives are left alone."""
    pixels = np.full((3, 300, 300, 3), 51, np.uint8)  # -0.6
    grey = HardNegatives(WeakDataset(Images(pixels), progress=False), hard.index, hard.centres, "grey")
    config = Training(architecture="tiny", batch=20, round=2, hard=share, jitter=NO_JITTER)
    assert Training().hard == 0.5  # Section 3.2
    targets, replaced = [], []
    for step in range(6 if share == 0.5 else 1):
        x, target = make_batch(decoded, config, step, grey)
        is_grey = ((x.reshape(20, -1) + 0.6).abs() < 1e-6).float().mean(1)
        assert ((is_grey == 1) | (is_grey < 0.5)).all()
        targets.append(target.numpy())
        replaced.append((is_grey == 1).numpy())
    negative, replaced = np.concatenate(targets) == 1, np.concatenate(replaced)
    assert not replaced[~negative].any()
    assert abs(replaced[negative].mean() - share) <= 5 * np.sqrt(share * (1 - share) / negative.sum())


def test_the_rest_of_a_batch_is_what_it_would_have_been(tiny, decoded, hard):
    """Hard negatives change the samples they replace and nothing else; no hard negative leaves the original ones."""
    config = Training(architecture="tiny", batch=12, round=2, jitter=NO_JITTER)
    none = replace(hard, index=hard.index[:0], centres=hard.centres[:0])
    (plain, target), (mixed, same), (unmixed, _) = (make_batch(decoded, config, 0, h) for h in (None, hard, none))
    assert torch.equal(target, same) and torch.equal(plain, unmixed)
    changed = (plain != mixed).reshape(12, -1).any(1)
    assert changed.any() and (target[changed] == 1).all()


# Ahead of the device


@pytest.mark.parametrize("first, ahead, round", [(0, 3, 1), (2, 1, 2), (4, 9, 1)])
def test_batches_made_ahead_are_the_same(tiny, large, decoded, hard, monkeypatch, first, ahead, round):
    monkeypatch.setattr(batches, "PREFETCH", ahead)
    config = Training(architecture="tiny", batch=3, round=round)
    hard = hard if round == 2 else None
    streams = [list(batches.batches(dataset, config, range(first, 6), hard)) for dataset in (large, decoded)]
    assert len(streams[0]) == len(streams[1]) == 6 - first
    for step, pairs in enumerate(zip(*streams, strict=True), first):
        expected = make_batch(decoded, config, step, hard)
        assert all(torch.equal(x, expected[0]) and torch.equal(target, expected[1]) for x, target in pairs)


def test_a_photograph_that_fails_ends_the_stream(config, large):
    large.weak.fail_at = 20
    before = threading.active_count()
    with pytest.raises(LsegreproError, match="no photograph"):
        for _ in batches.batches(large, config, range(100)):
            pass
    assert len(large.weak.read) < 100 and threading.active_count() == before
