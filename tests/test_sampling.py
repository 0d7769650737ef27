"""What a training step sees: the balanced draw, the patches, the hard negatives."""

import threading
import time
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

LABELS_OF = ("cat", "dog", "background")  # of the codes 0, 1, 2
CODES = np.repeat(np.array([0, 1, 2], np.uint8), [3, 5, 40])


@pytest.fixture
def args(tiny):
    return Training(architecture="tiny", batch=6, jitter=NO_JITTER)


@pytest.fixture
def hard(rng):
    """Forty hard negatives in three images, corners and borders among them."""
    centres = rng.integers(0, 300, (40, 2))
    centres[:4] = [(0, 0), (0, 299), (299, 0), (299, 299)]
    images = rng.integers(0, 256, (3, 300, 300, 3)).astype(np.uint8)
    return batches.HardNegatives(images, rng.integers(0, 3, 40), centres, "hard")


# The images


def test_decoded_holds_the_prepared_images(weak_set, decoded):
    index = np.array([7, 0, 7, 11])
    batch = decoded.batch(index)
    assert batch.shape == (4, 300, 300, 3) and batch.dtype == torch.uint8
    assert all(np.array_equal(batch[k], weak_set.image(i)) for k, i in enumerate(index))
    assert decoded.labels.tolist() == weak_set.labels and decoded.digest == weak_set.digest


def test_a_set_too_large_to_be_held_gives_the_same_images(weak_set, decoded, monkeypatch):
    monkeypatch.setattr(batches, "RESIDENT_BYTES", 1000)
    each = batches.Decoded(weak_set, progress=False)
    assert not each.resident and decoded.resident
    index = np.array([3, 9, 3])
    assert torch.equal(each.batch(index), decoded.batch(index))


@pytest.mark.parametrize("labels", [["dog", "cat", "background", "dog"], np.array([1, 0, 2, 1], np.uint8)])
def test_labels_are_words_or_codes(labels):
    class Set(SyntheticWeak):
        pass

    weak = Set()
    weak.labels = labels
    found = batches.Decoded(weak, progress=False)
    assert found.codes.tolist() == [1, 0, 2, 1] and found.codes.dtype == np.uint8
    assert found.labels.tolist() == ["dog", "cat", "background", "dog"]
    assert found.sides("dog", "others").present.tolist() == [0, 3]


def test_an_unknown_label_is_refused():
    weak = SyntheticWeak()
    weak.labels[5] = "wolf"
    with pytest.raises(LsegreproError) as error:
        batches.Decoded(weak)
    one_line(error, "'wolf'", "cat, dog, background")


# The draw


def chi_square(counts: np.ndarray) -> float:
    """Distance of counts from all being equal, in standard deviations of what chance gives."""
    expected, freedom = counts.mean(), len(counts) - 1
    return (((counts - expected) ** 2 / expected).sum() - freedom) / np.sqrt(2 * freedom)


@pytest.mark.parametrize("negatives, allowed", [("others", range(3, 48)), ("background", range(8, 48))])
def test_draw_is_balanced_and_uniform(negatives, allowed):
    """Over the steps of two seeds: half of each kind, and every image of a kind as often as any other."""
    sides = batches.sides(CODES, "cat", negatives)
    for seed in (1, 2**40):
        drawn = [batches.draw(batches.step_rng(seed, 1, step), sides, 100) for step in range(200)]
        index, target = (np.concatenate(each) for each in zip(*drawn, strict=True))
        assert abs((target == 0).sum() - 10_000) < 5 * np.sqrt(5000)  # five standard deviations
        for y, kind in enumerate((range(3), allowed)):
            counts = np.bincount(index[target == y], minlength=48)
            assert counts.sum() == counts[list(kind)].sum()  # none of the other kind
            assert abs(chi_square(counts[list(kind)])) < 6
        first = np.array([pair[0][0] for pair in drawn])
        assert abs(np.corrcoef(first[1:], first[:-1])[0, 1]) < 0.3  # a step does not follow the one before


def test_the_draws_are_those_of_the_published_networks():
    """Fixed for ever: a checkpoint or a card of an older version names the same images."""
    draws = [("cat", "others", (3, 1, 7)), ("cat", "background", (3, 1, 7)), ("dog", "others", (0, 2, 100_000))]
    found = [batches.draw(batches.step_rng(*key), batches.sides(CODES, cls, negatives), 12)
             for cls, negatives, key in draws]
    assert [index.tolist() for index, _ in found] == [
        [2, 17, 1, 2, 2, 1, 39, 39, 8, 32, 2, 1], [2, 20, 1, 2, 2, 1, 40, 40, 12, 34, 2, 1],
        [33, 25, 33, 5, 47, 23, 28, 5, 33, 7, 3, 6],
    ]
    assert [target.tolist() for _, target in found] == [
        [0, 1, 0, 0, 0, 0, 1, 1, 1, 1, 0, 0], [0, 1, 0, 0, 0, 0, 1, 1, 1, 1, 0, 0],
        [1, 1, 1, 0, 1, 1, 1, 0, 1, 0, 0, 0],
    ]


@given(st.permutations([0] * 3 + [1] * 2 + [2] * 6), st.sampled_from(["cat", "dog"]),
       st.sampled_from(["others", "background"]), st.integers(0, 2**62), st.integers(1, 50))
def test_draw_is_its_definition(codes, cls, negatives, seed, batch):
    """Against the draw written down over all labels at once, as it was done for small sets."""
    labels = np.array(LABELS_OF)[codes]
    found = batches.draw(np.random.default_rng(seed), batches.sides(np.array(codes, np.uint8), cls, negatives), batch)
    rng = np.random.default_rng(seed)
    positive = np.flatnonzero(labels == cls)
    negative = np.flatnonzero(labels == "background" if negatives == "background" else labels != cls)
    target, pick = rng.integers(0, 2, batch), rng.random(batch)
    kinds = [(positive, negative)[y] for y in target]
    expected = [kind[int(p * len(kind))] for kind, p in zip(kinds, pick, strict=True)]
    assert found[0].tolist() == expected and found[1].tolist() == target.tolist()
    assert found[1].dtype == np.int64


@pytest.mark.parametrize("cls, other", [("cat", 1), ("dog", 0)])
def test_the_other_class_is_drawn_as_often_as_in_the_papers_pool(cls, other):
    sides = batches.sides(CODES, cls, "paper")
    index, target = batches.draw(np.random.default_rng(0), sides, 40_000)
    share = paper.other_class_share(cls)
    assert abs((CODES[index[target == 1]] == other).mean() - share) < 5 * np.sqrt(share * (1 - share) / 20_000)
    for kind in (index[target == 0], index[CODES[index] == other], index[CODES[index] == 2]):
        assert abs(chi_square(np.unique(kind, return_counts=True)[1])) < 6  # uniform inside each


def test_balanced_sources_are_drawn_equally_often_up_to_a_limit():
    """Of 100 cats, sources of 60, 35 and 5: a third each, but no photograph more than twice as often as uniformly."""
    codes = np.repeat(np.array([0, 1, 2], np.uint8), [100, 10, 10])
    sources = np.repeat(["a", "b", "c", "a"], [60, 35, 5, 20])
    index, target = batches.draw(np.random.default_rng(0), batches.sides(codes, "cat", "others", sources), 40_000)
    share = [(sources[index[target == 0]] == name).mean() for name in "abc"]
    assert share == pytest.approx([0.45, 0.45, 0.1], abs=0.02)
    assert abs(chi_square(np.bincount(index[target == 1])[100:])) < 6  # one source: uniform


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=60))
def test_chances_of_balanced_sources(sources):
    chances = batches._chances(len(sources), np.array(sources))
    assert chances.sum() == pytest.approx(1) and chances.max() * len(sources) <= batches.MOST_OFTEN + 1e-9
    totals = {name: chances[np.array(sources) == name].sum() for name in set(sources)}
    open_ = [t for name, t in totals.items() if t / sources.count(name) * len(sources) < batches.MOST_OFTEN - 1e-9]
    assert not open_ or max(open_) - min(open_) < 1e-9  # those that are not at the limit come equally often


@pytest.mark.fault("numbers", "training images all with the class, all without it, or none", "refused with one line")
@pytest.mark.parametrize("codes, negatives", [([1, 2], "others"), ([0], "others"), ([0, 1], "background"),
                                              ([], "others")])
def test_training_needs_both_kinds(codes, negatives):
    with pytest.raises(LsegreproError) as error:
        batches.sides(np.array(codes, np.uint8), "cat", negatives)
    one_line(error, "training cat needs images with and without it")


def test_memory_and_time_are_flat_at_the_papers_scale():
    """1.4 million photographs: five bytes each are held, and a step takes as little as of a small set."""
    count = list(paper.TRAINING_IMAGES.values())
    assert sum(count) > 1_400_000

    class Million:
        labels = np.repeat(np.arange(3, dtype=np.uint8), count)
        digest = description = ""

    tracemalloc.start()
    try:
        data = batches.Decoded(Million())
        sides = data.sides("cat", "others")
        held, peak = tracemalloc.get_traced_memory()
        assert held < 4.1 * sum(count)  # beside one byte of the labels, which are the set's own
        assert peak < 14 * sum(count)
        tracemalloc.reset_peak()
        for step in range(50):
            index, target = batches.draw(batches.step_rng(0, 1, step), data.sides("cat", "others"), 256)
            assert ((index < count[0]) == (target == 0)).all()
        assert tracemalloc.get_traced_memory()[1] - held < 100_000
    finally:
        tracemalloc.stop()
    assert not data.resident and len(sides.present) == count[0] and len(sides.absent) == sum(count[1:])


# A step


def step_rng_state(*key):
    return batches.step_rng(*key).integers(0, 2**63, 4).tolist()


def test_steps_have_generators_of_their_own():
    seeds = (0, 1, 7, 2**32 - 1, 2**32, 2**32 + 1, 2 * 2**32, 2**62)
    keys = [(seed, round, step) for seed in seeds for round in (1, 2) for step in (0, 1, 2, 100_000, 2**32 - 1)]
    states = [step_rng_state(*key) for key in keys]
    assert len({tuple(state) for state in states}) == len(keys)
    assert states == [step_rng_state(*key) for key in keys]


def test_the_same_step_sees_the_same_patches(args, decoded):
    a, b = (batches.batch_patches(args, 3, decoded) for _ in range(2))
    assert torch.equal(a[0], b[0]) and torch.equal(a[1], b[1])
    others = [batches.batch_patches(args, 4, decoded)]
    for change in ({"seed": 1}, {"round": 2}):
        others.append(batches.batch_patches(replace(args, **change), 3, decoded))
    assert not any(torch.equal(a[0], x) for x, _ in others)


def test_a_step_sees_one_patch_of_each_cell(args, decoded, weak_set):
    """Without jitter every patch is found in the image of its label, inside its cell."""
    x, target = batches.batch_patches(args, 0, decoded)
    assert x.shape == (6 * 9, 3, 95, 95) and x.dtype == torch.float32 and x.abs().max() <= 1
    assert x.is_contiguous(memory_format=torch.channels_last)
    whole = patches.to_float(decoded.batch(np.arange(len(weak_set))))
    for sample in range(6):
        labels = {weak_set.labels[i] for i in range(12) if found_in(x[sample * 9], whole[i], 0, 0)}
        assert len(labels) == 1
        assert (labels == {"cat"}) == (target[sample].item() == 0)
        source = next(i for i in range(12) if found_in(x[sample * 9], whole[i], 0, 0))
        for n in range(9):
            assert found_in(x[sample * 9 + n], whole[source], 100 * (n // 3), 100 * (n % 3))


def found_in(patch, image, top, left):
    """Whether a patch lies at one of the 6 x 6 positions of a cell."""
    return any(torch.equal(patch, image[:, top + i : top + i + 95, left + j : left + j + 95])
               for i in range(6) for j in range(6) if patch[0, 0, 0] == image[0, top + i, left + j])


# Hard negatives


def test_hard_patches_are_crops_of_the_reflected_image(hard, rng):
    found = batches.hard_patches(rng, hard, 200, 95, torch.device("cpu"), NO_JITTER)
    expected = []
    for image, (row, column) in zip(hard.index, hard.centres, strict=True):
        padded = np.pad(hard.images[image], ((47, 47), (47, 47), (0, 0)), mode="reflect")
        expected.append(padded[row : row + 95, column : column + 95])
    expected = patches.to_float(torch.from_numpy(np.array(expected)))
    which = [next(k for k in range(40) if torch.equal(patch, expected[k])) for patch in found]
    assert len(set(which)) > 30  # drawn with replacement from all of them


def test_hard_patches_are_jittered(hard):
    plain, moved = (batches.hard_patches(np.random.default_rng(0), hard, 5, 95, torch.device("cpu"), j)
                    for j in (NO_JITTER, Jitter()))
    assert plain.shape == moved.shape and not torch.equal(plain, moved) and moved.abs().max() <= 1 + 1e-6


@pytest.fixture
def grey(hard):
    """Hard negatives that are recognised by their one value."""
    return batches.HardNegatives(np.full_like(hard.images, 51), hard.index, hard.centres, "grey")  # -0.6


def count_hard(args, decoded, grey, steps):
    """Positives, negatives, hard samples among the positives, and among the negatives."""
    total = np.zeros(4, int)
    for step in range(steps):
        x, target = batches.batch_patches(args, step, decoded, grey)
        flat = (x.reshape(args.batch, -1) + 0.6).abs()
        is_hard, touched = (flat.amax(1) < 1e-6).numpy(), (flat < 1e-6).float().mean(1).numpy()
        assert ((touched > 0.5) == is_hard).all()  # all N patches, or none
        y = target.numpy()
        total += [(y == 0).sum(), (y == 1).sum(), (is_hard & (y == 0)).sum(), (is_hard & (y == 1)).sum()]
    return total


def test_hard_negatives_replace_half_of_the_negatives(tiny, decoded, grey):
    args = Training(architecture="tiny", batch=20, round=2, jitter=NO_JITTER)
    positive, negative, wrong, found = count_hard(args, decoded, grey, 10)
    assert wrong == 0
    assert abs(positive - 100) < 5 * np.sqrt(50)
    assert abs(found - negative / 2) < 5 * np.sqrt(negative) / 2


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_share_of_hard_negatives_is_an_argument(tiny, decoded, grey, share):
    args = Training(architecture="tiny", batch=20, round=2, hard=share, jitter=NO_JITTER)
    _, negative, wrong, found = count_hard(args, decoded, grey, 2)
    assert wrong == 0 and found == negative * share


def test_no_hard_negative_leaves_the_original_ones(tiny, decoded, hard):
    """A network without a false positive has no hard negatives."""
    none = batches.HardNegatives(hard.images[:0], hard.index[:0], hard.centres[:0], "none")
    args = Training(architecture="tiny", batch=4, round=2)
    x, y = (batches.batch_patches(args, 0, decoded, h)[0] for h in (none, None))
    assert torch.equal(x, y)


def test_the_rest_of_a_batch_is_what_it_would_have_been(tiny, decoded, hard):
    """Hard negatives change the samples they replace and nothing else."""
    args = Training(architecture="tiny", batch=12, round=2, jitter=NO_JITTER)
    plain, target = batches.batch_patches(args, 0, decoded)
    mixed, same = batches.batch_patches(args, 0, decoded, hard)
    assert torch.equal(target, same)
    changed = (plain != mixed).reshape(12, -1).any(1)
    assert changed.any() and (target[changed] == 1).all()


# Ahead of the device


@pytest.fixture
def large(monkeypatch):
    """A set that is not held, and that notes when and where its images are decoded."""
    monkeypatch.setattr(batches, "RESIDENT_BYTES", 1000)

    class Slow(SyntheticWeak):
        def __init__(self):
            super().__init__()
            self.asked, self.fail_at = [], None

        def image(self, index):
            self.asked.append(threading.current_thread().name)
            if len(self.asked) == self.fail_at:
                raise LsegreproError("a photograph that is no photograph")
            return super().image(index)

    return batches.Decoded(Slow(), progress=False)


def settled(weak):
    """How many images were asked for, once no thread asks for more."""
    while True:
        before = len(weak.asked)
        time.sleep(0.1)
        if len(weak.asked) == before:
            return before


@pytest.mark.parametrize("first, ahead", [(0, 3), (2, 1), (4, 9), (6, 2)])
@pytest.mark.parametrize("round", [1, 2])
def test_batches_decoded_ahead_are_the_same(tiny, large, decoded, hard, first, ahead, round):
    """From any first step on, whatever the threads do, in either round."""
    args = Training(architecture="tiny", batch=3, samples=18, round=round)
    hard = hard if round == 2 else None
    found = list(batches.batches(args, large, hard, first, ahead))
    held = list(batches.batches(args, decoded, hard, first))
    assert len(found) == len(held) == 6 - first
    for step, pairs in enumerate(zip(found, held, strict=True), first):
        for x, target in pairs:
            wanted = batches.batch_patches(args, step, decoded, hard)
            assert torch.equal(x, wanted[0]) and torch.equal(target, wanted[1])


def test_so_many_batches_are_decoded_ahead_and_no_more(args, large):
    stream = batches.batches(replace(args, samples=600), large, ahead=3)
    for step in range(3):
        next(stream)
        assert settled(large.weak) == 6 * (step + 1 + 3)  # batches of six: those used, and three
    stream.close()
    assert settled(large.weak) == 6 * 6
    assert all(name.startswith("decode") for name in large.weak.asked)
    assert not any(t.name.startswith("decode") for t in threading.enumerate())


@pytest.mark.fault("photographs", tried="a photograph that fails while batches are decoded ahead",
                   survived="the error arrives where the batch is asked for; no thread stays")
def test_a_photograph_that_fails_ends_the_stream(args, large):
    large.weak.fail_at = 20
    with pytest.raises(LsegreproError, match="no photograph"):
        for _ in batches.batches(replace(args, samples=600), large):
            pass
    assert not any(t.name.startswith("decode") for t in threading.enumerate())
    with pytest.raises(LsegreproError, match="no photograph"):
        large.weak.fail_at = len(large.weak.asked) + 1
        large.batch(np.arange(4))


def test_weak_sets_of_another_seed_differ():
    assert not np.array_equal(SyntheticWeak(1, 0).image(0), SyntheticWeak(1, 1).image(0))
