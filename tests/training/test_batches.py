"""What a training step sees: the balanced draw, the patches, the hard negatives."""

import threading
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import SyntheticWeak, one_line
from hypothesis import given
from hypothesis import strategies as st

from lsegrepro import LsegreproError, paper
from lsegrepro.config import NO_JITTER, Jitter, Training
from lsegrepro.network import patches
from lsegrepro.training import batches
from lsegrepro.training.batches import HardNegatives, WeakDataset, make_batch, positives_and_negatives, step_rng

LABELS_OF = ("cat", "dog", "background")  # of the codes 0, 1, 2
CODES = np.repeat(np.array([0, 1, 2], np.uint8), [3, 5, 40])


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
def args(tiny):
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


# The images


def test_a_dataset_holds_the_prepared_images(weak_set, decoded):
    index = np.array([7, 0, 7, 11])
    images = decoded.images(index)
    assert images.shape == (4, 300, 300, 3) and images.dtype == torch.uint8
    assert all(np.array_equal(images[k], weak_set.image(i)) for k, i in enumerate(index))
    assert [LABELS_OF[code] for code in decoded.codes] == weak_set.labels and decoded.digest == weak_set.digest


def test_a_dataset_too_large_for_memory_gives_the_same_images(large, decoded):
    assert not large.in_memory and decoded.in_memory
    index = np.array([3, 9, 3])
    assert torch.equal(large.images(index), decoded.images(index)) and large.weak.read == [3, 9, 3]


# The draw


def chi_square(counts: np.ndarray) -> float:
    """Distance of counts from all being equal, in standard deviations of what chance gives."""
    expected, freedom = counts.mean(), len(counts) - 1
    return (((counts - expected) ** 2 / expected).sum() - freedom) / np.sqrt(2 * freedom)


@pytest.mark.parametrize("negatives, allowed", [("others", range(3, 48)), ("background", range(8, 48))])
def test_draw_is_balanced_and_uniform(negatives, allowed):
    """Over the steps of two seeds: half of each kind, and every image of a kind as often as any other."""
    candidates = positives_and_negatives(CODES, "cat", negatives)
    for seed in (1, 2**40):
        drawn = [draw(seed, 1, step, 100, *candidates) for step in range(200)]
        index, target = (np.concatenate(parts) for parts in zip(*drawn, strict=True))
        assert abs((target == 0).sum() - 10_000) < 5 * np.sqrt(5000)  # five standard deviations
        for y, kind in enumerate((range(3), allowed)):
            counts = np.bincount(index[target == y], minlength=48)
            assert counts.sum() == counts[list(kind)].sum()  # none of the other kind
            assert abs(chi_square(counts[list(kind)])) < 6
        first = np.array([pair[0][0] for pair in drawn])
        assert abs(np.corrcoef(first[1:], first[:-1])[0, 1]) < 0.3  # a step does not follow the one before


def test_the_draws_are_those_of_the_published_networks():
    """Fixed for ever: a checkpoint or a card of an older version names the same images."""
    draws = [("cat", "others", (3, 1, 7)), ("cat", "background", (3, 1, 7)), ("dog", "others", (0, 2, 100_000)),
             ("cat", "paper", (3, 1, 7))]
    drawn = [draw(*key, 12, *positives_and_negatives(CODES, cls, negatives)) for cls, negatives, key in draws]
    assert [index.tolist() for index, _ in drawn] == [
        [2, 17, 1, 2, 2, 1, 39, 39, 8, 32, 2, 1], [2, 20, 1, 2, 2, 1, 40, 40, 12, 34, 2, 1],
        [33, 25, 33, 5, 47, 23, 28, 5, 33, 7, 3, 6],
        [2, 16, 1, 2, 2, 1, 39, 39, 7, 31, 2, 1],
    ]
    assert [target.tolist() for _, target in drawn] == [
        [0, 1, 0, 0, 0, 0, 1, 1, 1, 1, 0, 0], [0, 1, 0, 0, 0, 0, 1, 1, 1, 1, 0, 0],
        [1, 1, 1, 0, 1, 1, 1, 0, 1, 0, 0, 0], [0, 1, 0, 0, 0, 0, 1, 1, 1, 1, 0, 0],
    ]
    balanced = positives_and_negatives(CODES, "dog", "paper", np.resize(["a", "b", "b"], 48))
    assert draw(0, 1, 5, 12, *balanced)[0].tolist() == [25, 25, 3, 38, 3, 24, 3, 4, 6, 6, 42, 21]


@given(st.permutations([0] * 3 + [1] * 2 + [2] * 6), st.sampled_from(["cat", "dog"]),
       st.sampled_from(["others", "background"]), st.integers(0, 2**62), st.integers(1, 50))
def test_draw_is_its_definition(codes, cls, negatives, seed, batch):
    """Against the draw written down over all labels at once."""
    labels = np.array(LABELS_OF)[codes]
    index, drawn = draw(seed, 1, 0, batch, *positives_and_negatives(np.array(codes, np.uint8), cls, negatives))
    rng = step_rng(seed, 1, 0)
    positive = np.flatnonzero(labels == cls)
    negative = np.flatnonzero(labels == "background" if negatives == "background" else labels != cls)
    target, uniform = rng.integers(0, 2, batch), rng.random(batch)
    kinds = [(positive, negative)[y] for y in target]
    assert index.tolist() == [kind[int(p * len(kind))] for kind, p in zip(kinds, uniform, strict=True)]
    assert drawn.tolist() == target.tolist() and drawn.dtype == np.int64


@pytest.mark.parametrize("cls, other", [("cat", 1), ("dog", 0)])
def test_the_other_class_is_drawn_as_often_as_in_the_papers_pool(cls, other):
    index, target = draw(0, 1, 0, 40_000, *positives_and_negatives(CODES, cls, "paper"))
    share = paper.other_class_share(cls)
    assert abs((CODES[index[target == 1]] == other).mean() - share) < 5 * np.sqrt(share * (1 - share) / 20_000)
    for kind in (index[target == 0], index[CODES[index] == other], index[CODES[index] == 2]):
        assert abs(chi_square(np.unique(kind, return_counts=True)[1])) < 6  # uniform inside each


def test_balanced_sources_are_drawn_equally_often_up_to_a_limit():
    """Of 100 cats, sources of 60, 35 and 5: a third each, but no photograph more than twice as often as uniformly."""
    codes = np.repeat(np.array([0, 1, 2], np.uint8), [100, 10, 10])
    sources = np.repeat(["a", "b", "c", "a"], [60, 35, 5, 20])
    index, target = draw(0, 1, 0, 40_000, *positives_and_negatives(codes, "cat", "others", sources))
    share = [(sources[index[target == 0]] == name).mean() for name in "abc"]
    assert share == pytest.approx([0.45, 0.45, 0.1], abs=0.02)
    assert abs(chi_square(np.bincount(index[target == 1])[100:])) < 6  # one source: uniform


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=60))
def test_chances_of_balanced_sources(sources):
    positives, _ = positives_and_negatives(np.array([0] * len(sources) + [1], np.uint8), "cat", "others",
                                           np.array([*sources, "a"]))
    chances = np.diff(positives.cumulative, prepend=0)
    assert chances.sum() == pytest.approx(1) and chances.max() * len(sources) <= batches.MAX_SOURCE_WEIGHT + 1e-9
    totals = {name: chances[np.array(sources) == name].sum() for name in set(sources)}
    below = [t for name, t in totals.items()
             if t / sources.count(name) * len(sources) < batches.MAX_SOURCE_WEIGHT - 1e-9]
    assert not below or max(below) - min(below) < 1e-9  # those that are not at the limit come equally often


@pytest.mark.parametrize("codes, negatives", [([1, 2], "others"), ([0], "others"), ([0, 1], "background"),
                                              ([], "others")])
def test_training_needs_both_kinds(codes, negatives):
    with pytest.raises(LsegreproError) as error:
        positives_and_negatives(np.array(codes, np.uint8), "cat", negatives)
    one_line(error, "training cat needs images with and without it")


@pytest.mark.parametrize("codes", [[0, 2, 2], [0, 1, 1]])
def test_a_set_without_one_kind_of_negatives_draws_the_other_alone(codes):
    assert positives_and_negatives(np.array(codes, np.uint8), "cat", "paper")[1].cumulative is None


def test_memory_and_time_are_flat_at_the_papers_scale():
    """1.4 million photographs: five bytes for each, and a step takes as little as of a small set."""
    count = list(paper.TRAINING_IMAGES.values())

    class Million:
        labels = np.repeat(np.arange(3, dtype=np.uint8), count)
        names = digest = description = ""

    tracemalloc.start()
    try:
        dataset = WeakDataset(Million())
        config = Training(batch=256, negatives="others")
        batches.draw_images(dataset, config, 0)
        in_use, _ = tracemalloc.get_traced_memory()
        assert in_use < 4.1 * sum(count)  # beside one byte of the labels, which are the set's own
        tracemalloc.reset_peak()
        for step in range(50):
            _, index, target = batches.draw_images(dataset, config, step)
            assert ((index < count[0]) == (target == 0)).all()
        assert tracemalloc.get_traced_memory()[1] - in_use < 100_000
    finally:
        tracemalloc.stop()
    assert not dataset.in_memory


# A step


def test_steps_have_generators_of_their_own():
    seeds = (0, 1, 7, 2**32 - 1, 2**32, 2**32 + 1, 2 * 2**32, 2**62)
    keys = [(seed, round, step) for seed in seeds for round in (1, 2) for step in (0, 1, 2, 100_000, 2**32 - 1)]
    states = [tuple(step_rng(*key).integers(0, 2**63, 4).tolist()) for key in keys]
    assert len(set(states)) == len(keys)


def test_the_same_step_sees_the_same_patches(args, decoded):
    a, b = (make_batch(decoded, args, 3) for _ in range(2))
    assert torch.equal(a[0], b[0]) and torch.equal(a[1], b[1])
    others = [make_batch(decoded, args, 4)]
    others += [make_batch(decoded, replace(args, **change), 3) for change in ({"seed": 1}, {"round": 2})]
    assert not any(torch.equal(a[0], x) for x, _ in others)


def test_a_step_sees_one_patch_of_each_cell(args, decoded, weak_set):
    """Without jitter every patch is found in the image of its label, inside its cell."""
    x, target = make_batch(decoded, args, 0)
    assert x.shape == (6 * 9, 3, 95, 95) and x.dtype == torch.float32 and x.abs().max() <= 1
    assert x.is_contiguous(memory_format=torch.channels_last)
    images = patches.to_float(decoded.images(np.arange(len(weak_set))))
    for sample in range(6):
        sources = [i for i in range(12) if is_in_cell(x[sample * 9], images[i], 0, 0)]
        labels = {weak_set.labels[i] for i in sources}
        assert len(labels) == 1 and (labels == {"cat"}) == (target[sample].item() == 0)
        for n in range(9):
            assert is_in_cell(x[sample * 9 + n], images[sources[0]], 100 * (n // 3), 100 * (n % 3))


def is_in_cell(patch, image, top, left):
    """Whether a patch lies at one of the 6 x 6 positions of a cell."""
    return any(torch.equal(patch, image[:, top + i : top + i + 95, left + j : left + j + 95])
               for i in range(6) for j in range(6) if patch[0, 0, 0] == image[0, top + i, left + j])


# Hard negatives


def test_hard_patches_are_crops_of_the_reflected_image(hard, rng):
    crops = batches.hard_patches(rng, hard, 200, 95, NO_JITTER)
    expected = []
    for image, (row, column) in zip(hard.index, hard.centres, strict=True):
        padded = np.pad(hard.dataset.weak.image(image), ((47, 47), (47, 47), (0, 0)), mode="reflect")
        expected.append(padded[row : row + 95, column : column + 95])
    expected = patches.to_float(torch.from_numpy(np.array(expected)))
    which = [next(k for k in range(40) if torch.equal(patch, expected[k])) for patch in crops]
    assert len(set(which)) > 30  # drawn with replacement from all of them


def test_hard_patches_are_jittered(hard):
    plain, jittered = (batches.hard_patches(np.random.default_rng(0), hard, 5, 95, j) for j in (NO_JITTER, Jitter()))
    assert plain.shape == jittered.shape and not torch.equal(plain, jittered) and jittered.abs().max() <= 1 + 1e-6


@pytest.fixture
def grey(hard):
    """Hard negatives that are recognised by their one value."""
    pixels = np.full((3, 300, 300, 3), 51, np.uint8)  # -0.6
    return HardNegatives(WeakDataset(Images(pixels), progress=False), hard.index, hard.centres, "grey")


def count_hard(config, decoded, grey, steps):
    """Positives, negatives, hard samples among the positives, and among the negatives."""
    total = np.zeros(4, int)
    for step in range(steps):
        x, target = make_batch(decoded, config, step, grey)
        flat = (x.reshape(config.batch, -1) + 0.6).abs()
        is_hard, touched = (flat.amax(1) < 1e-6).numpy(), (flat < 1e-6).float().mean(1).numpy()
        assert ((touched > 0.5) == is_hard).all()  # all N patches, or none
        y = target.numpy()
        total += [(y == 0).sum(), (y == 1).sum(), (is_hard & (y == 0)).sum(), (is_hard & (y == 1)).sum()]
    return total


def test_hard_negatives_replace_half_of_the_negatives(tiny, decoded, grey):
    config = Training(architecture="tiny", batch=20, round=2, jitter=NO_JITTER)
    positive, negative, wrong, replaced = count_hard(config, decoded, grey, 10)
    assert wrong == 0
    assert abs(positive - 100) < 5 * np.sqrt(50)
    assert abs(replaced - negative / 2) < 5 * np.sqrt(negative) / 2


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_share_of_hard_negatives_is_an_argument(tiny, decoded, grey, share):
    config = Training(architecture="tiny", batch=20, round=2, hard=share, jitter=NO_JITTER)
    _, negative, wrong, replaced = count_hard(config, decoded, grey, 2)
    assert wrong == 0 and replaced == negative * share


def test_no_hard_negative_leaves_the_original_ones(tiny, decoded, hard):
    """A network without a false positive has no hard negatives."""
    none = replace(hard, index=hard.index[:0], centres=hard.centres[:0])
    config = Training(architecture="tiny", batch=4, round=2)
    x, y = (make_batch(decoded, config, 0, h)[0] for h in (none, None))
    assert torch.equal(x, y)


def test_the_rest_of_a_batch_is_what_it_would_have_been(tiny, decoded, hard):
    """Hard negatives change the samples they replace and nothing else."""
    config = Training(architecture="tiny", batch=12, round=2, jitter=NO_JITTER)
    plain, target = make_batch(decoded, config, 0)
    mixed, same = make_batch(decoded, config, 0, hard)
    assert torch.equal(target, same)
    changed = (plain != mixed).reshape(12, -1).any(1)
    assert changed.any() and (target[changed] == 1).all()


# Ahead of the device


@pytest.mark.parametrize("first, ahead", [(0, 3), (2, 1), (4, 9)])
@pytest.mark.parametrize("round", [1, 2])
def test_batches_decoded_ahead_are_the_same(tiny, large, decoded, hard, monkeypatch, first, ahead, round):
    """From any first step on, in either round."""
    monkeypatch.setattr(batches, "AHEAD", ahead)
    config = Training(architecture="tiny", batch=3, samples=18, round=round)
    hard = hard if round == 2 else None
    streams = [list(batches.batches(dataset, config, hard, first)) for dataset in (large, decoded)]
    assert len(streams[0]) == len(streams[1]) == 6 - first
    for step, pairs in enumerate(zip(*streams, strict=True), first):
        for x, target in pairs:
            expected = make_batch(decoded, config, step, hard)
            assert torch.equal(x, expected[0]) and torch.equal(target, expected[1])


def test_a_photograph_that_fails_ends_the_stream(args, large):
    large.weak.fail_at = 20
    before = threading.active_count()
    with pytest.raises(LsegreproError, match="no photograph"):
        for _ in batches.batches(large, replace(args, samples=600)):
            pass
    assert len(large.weak.read) < 100 and threading.active_count() == before
