"""What a training step sees: the balanced draw, the patches, the hard negatives."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import SyntheticWeak, one_line
from hypothesis import given
from hypothesis import strategies as st

from lsegrepro import LsegreproError, patches, sampling
from lsegrepro.arguments import NO_JITTER, Jitter, Training

LABELS = np.array(["cat"] * 3 + ["dog"] * 5 + ["background"] * 40)


@pytest.fixture
def args(tiny):
    return Training(architecture="tiny", batch=6, jitter=NO_JITTER)


@pytest.fixture
def hard(rng):
    """Forty hard negatives in three images, corners and borders among them."""
    centres = rng.integers(0, 300, (40, 2))
    centres[:4] = [(0, 0), (0, 299), (299, 0), (299, 299)]
    images = rng.integers(0, 256, (3, 300, 300, 3)).astype(np.uint8)
    return sampling.HardNegatives(images, rng.integers(0, 3, 40), centres, "hard")


# The images


def test_decoded_holds_the_prepared_images(weak_set, decoded):
    index = np.array([7, 0, 7, 11])
    batch = decoded.batch(index)
    assert batch.shape == (4, 300, 300, 3) and batch.dtype == torch.uint8
    assert all(np.array_equal(batch[k], weak_set.image(i)) for k, i in enumerate(index))
    assert decoded.labels.tolist() == weak_set.labels and decoded.digest == weak_set.digest


def test_a_set_too_large_to_be_held_gives_the_same_images(weak_set, decoded, monkeypatch):
    monkeypatch.setattr(sampling, "RESIDENT_BYTES", 1000)
    each = sampling.Decoded(weak_set, progress=False)
    assert not each.resident and decoded.resident
    index = np.array([3, 9, 3])
    assert torch.equal(each.batch(index), decoded.batch(index))


# The draw


@pytest.mark.parametrize("negatives, allowed", [
    ("others", {"dog", "background"}), ("background", {"background"}),
])
def test_draw_is_balanced_and_uniform(negatives, allowed):
    index, target = sampling.draw(np.random.default_rng(1), LABELS, "cat", negatives, 20_000)
    assert abs((target == 0).sum() - 10_000) < 5 * np.sqrt(5000)  # five standard deviations
    assert set(LABELS[index[target == 0]]) == {"cat"}
    assert set(LABELS[index[target == 1]]) == allowed
    for y in (0, 1):
        counts = np.bincount(index[target == y], minlength=len(LABELS))
        counts = counts[counts > 0]
        assert len(counts) == (3 if y == 0 else np.isin(LABELS, list(allowed)).sum())
        expected, freedom = counts.sum() / len(counts), len(counts) - 1
        assert ((counts - expected) ** 2 / expected).sum() < freedom + 6 * np.sqrt(2 * freedom)


@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 2**32), st.integers(1, 50))
def test_draw_labels_what_it_draws(cats, others, seed, batch):
    labels = np.array(["cat"] * cats + ["background"] * others)
    index, target = sampling.draw(np.random.default_rng(seed), labels, "cat", "others", batch)
    assert ((labels[index] == "cat") == (target == 0)).all()
    assert len(index) == len(target) == batch and target.dtype == np.int64


@pytest.mark.parametrize("labels, negatives", [(["dog", "background"], "others"), (["cat"], "others"),
                                               (["cat", "dog"], "background"), ([], "others")])
def test_draw_needs_both_kinds(rng, labels, negatives):
    with pytest.raises(LsegreproError) as error:
        sampling.draw(rng, np.array(labels), "cat", negatives, 4)
    one_line(error, "training cat needs images with and without it")


# A step


def step_rng_state(*key):
    return sampling.step_rng(*key).integers(0, 2**63, 4).tolist()


def test_steps_have_generators_of_their_own():
    keys = [(seed, round, step) for seed in (0, 1, 7) for round in (1, 2) for step in (0, 1, 2, 100_000)]
    states = [step_rng_state(*key) for key in keys]
    assert len({tuple(state) for state in states}) == len(keys)
    assert states == [step_rng_state(*key) for key in keys]


def test_the_same_step_sees_the_same_patches(args, decoded):
    a, b = (sampling.batch_patches(args, 3, decoded) for _ in range(2))
    assert torch.equal(a[0], b[0]) and torch.equal(a[1], b[1])
    others = [sampling.batch_patches(args, 4, decoded)]
    for change in ({"seed": 1}, {"round": 2}):
        others.append(sampling.batch_patches(replace(args, **change), 3, decoded))
    assert not any(torch.equal(a[0], x) for x, _ in others)


def test_a_step_sees_one_patch_of_each_cell(args, decoded, weak_set):
    """Without jitter every patch is found in the image of its label, inside its cell."""
    x, target = sampling.batch_patches(args, 0, decoded)
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
    found = sampling.hard_patches(rng, hard, 200, 95, torch.device("cpu"), NO_JITTER)
    expected = []
    for image, (row, column) in zip(hard.index, hard.centres, strict=True):
        padded = np.pad(hard.images[image], ((47, 47), (47, 47), (0, 0)), mode="reflect")
        expected.append(padded[row : row + 95, column : column + 95])
    expected = patches.to_float(torch.from_numpy(np.array(expected)))
    which = [next(k for k in range(40) if torch.equal(patch, expected[k])) for patch in found]
    assert len(set(which)) > 30  # drawn with replacement from all of them


def test_hard_patches_are_jittered(hard):
    plain, moved = (sampling.hard_patches(np.random.default_rng(0), hard, 5, 95, torch.device("cpu"), j)
                    for j in (NO_JITTER, Jitter()))
    assert plain.shape == moved.shape and not torch.equal(plain, moved) and moved.abs().max() <= 1 + 1e-6


@pytest.fixture
def grey(hard):
    """Hard negatives that are recognised by their one value."""
    return sampling.HardNegatives(np.full_like(hard.images, 51), hard.index, hard.centres, "grey")  # -0.6


def count_hard(args, decoded, grey, steps):
    """Positives, negatives, hard samples among the positives, and among the negatives."""
    total = np.zeros(4, int)
    for step in range(steps):
        x, target = sampling.batch_patches(args, step, decoded, grey)
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
    none = sampling.HardNegatives(hard.images[:0], hard.index[:0], hard.centres[:0], "none")
    args = Training(architecture="tiny", batch=4, round=2)
    x, y = (sampling.batch_patches(args, 0, decoded, h)[0] for h in (none, None))
    assert torch.equal(x, y)


def test_the_rest_of_a_batch_is_what_it_would_have_been(tiny, decoded, hard):
    """Hard negatives change the samples they replace and nothing else."""
    args = Training(architecture="tiny", batch=12, round=2, jitter=NO_JITTER)
    plain, target = sampling.batch_patches(args, 0, decoded)
    mixed, same = sampling.batch_patches(args, 0, decoded, hard)
    assert torch.equal(target, same)
    changed = (plain != mixed).reshape(12, -1).any(1)
    assert changed.any() and (target[changed] == 1).all()


def test_weak_sets_of_another_seed_differ():
    assert not np.array_equal(SyntheticWeak(1, 0).image(0), SyntheticWeak(1, 1).image(0))
