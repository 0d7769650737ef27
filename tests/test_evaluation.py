"""Curves, intervals and baselines against the same things written down slowly."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lsegrepro import LsegreproError, paper
from lsegrepro.evaluation import (
    Counts,
    Interval,
    accuracy,
    ap,
    background_accuracy,
    balanced_accuracy,
    bootstrap,
    bootstrap_difference,
    centred_box_counts,
    classification_accuracy,
    classification_counts,
    curve,
    everything_foreground,
    foreground_accuracy,
    per_image_counts,
    present,
    raw_curve,
    smoothed_curve,
    three_way,
    threshold,
)
from lsegrepro.evidence import RegionsBuilder, ScoresBuilder, write_regions, write_scores
from lsegrepro.superpixels import Superpixels, oversegment, smooth


def pictures(seed=0, count=4):
    """Label maps, masks with void, codes of a cat and of a dog model."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        shape = tuple(rng.integers(4, 12, 2))
        labels = np.unique(rng.integers(0, 7, shape), return_inverse=True)[1].reshape(shape).astype(np.int32)
        mask = rng.choice(np.array([0, 3, 8, 12, 255], np.uint8), shape)
        codes = [rng.choice(np.array([0, 9, 13107, 39321, 39322, 60000, 65535, i], np.uint16), shape)
                 for i in rng.integers(0, 65536, 2)]
        yield labels, mask, codes


def gathered(items, split="val"):
    """Regions, cat scores and dog scores of pictures."""
    items = list(items)
    regions = RegionsBuilder(split, "d", Superpixels(), absent=[], listed=len(items))
    for i, (labels, mask, _) in enumerate(items):
        regions.add(f"i{i}", labels, mask)
    regions = regions.build()
    both = []
    for which, cls in enumerate(paper.CLASSES):
        scores = ScoresBuilder(regions, {
            "model": "LSE1", "class": cls, "round": 1, "seed": 0, "split": split, "weights_sha256": "",
            "arguments": {}, "device": "cpu",
        })
        for labels, mask, codes in items:
            scores.add(codes[which], labels, mask, (0.5, -0.5))
        both.append(scores.build())
    return regions, *both


def voted(codes, labels, theta):
    """Majority vote, superpixel by superpixel, pixel by pixel; a tie is background."""
    mask = np.zeros(codes.shape, bool)
    for label in range(labels.max() + 1):
        votes = [code > theta * 65535 for code in codes[labels == label].tolist()]
        mask[labels == label] = sum(votes) > len(votes) - sum(votes)
    return mask


def counted(answers, truths, index):
    """TP, FP, FN, TN of boolean answers, void left out."""
    total = np.zeros(4, int)
    for answer, truth in zip(answers, truths, strict=True):
        yes, known = truth == index, truth != 255
        total += [(answer & yes & known).sum(), (answer & ~yes & known).sum(),
                  (~answer & yes & known).sum(), (~answer & ~yes & known).sum()]
    return total.tolist()


codes_and_weights = st.integers(1, 30).flatmap(lambda n: st.tuples(
    hnp.arrays(np.uint16, n, elements=st.sampled_from([0, 1, 39321, 65534, 65535]) | st.integers(0, 65535)),
    hnp.arrays(np.int64, n, elements=st.integers(0, 9)),
    hnp.arrays(np.int64, n, elements=st.integers(0, 9)),
))


def test_every_code_is_its_own_breakpoint():
    codes = np.arange(65535)
    assert (threshold(codes / 65535) == codes).all()
    assert (threshold(np.nextafter(codes[1:] / 65535, 0)) == codes[1:] - 1).all()


@settings(max_examples=100, deadline=None)
@given(codes_and_weights, st.floats(0, 1, exclude_max=True))
def test_curve_is_thresholding_at_each_theta(case, anywhere):
    codes, fg, bg = case
    steps = curve(codes, fg, bg)
    breaks = codes[codes < 65535] / 65535
    beside = [*np.nextafter(breaks, 1), *np.nextafter(breaks[breaks > 0], 0)]
    thetas = np.array([0.0, anywhere, *breaks, *beside])
    many = steps.at_many(thetas)
    for theta, row in zip(thetas.tolist(), many.tolist(), strict=True):
        above = codes > theta * 65535
        expected = [fg[above].sum(), bg[above].sum(), fg[~above].sum(), bg[~above].sum()]
        assert row == expected
        assert steps.at(theta) == Counts(*expected)
    assert (steps.at_many(steps.thetas) == steps.counts).all()
    np.testing.assert_equal(steps.ap, ap(steps.counts))


@settings(max_examples=50, deadline=None)
@given(codes_and_weights)
def test_best_is_the_largest_ap_at_the_smallest_theta(case):
    codes, fg, bg = case
    if not fg.sum():
        with pytest.raises(LsegreproError, match="0/0"):
            curve(codes, fg, np.zeros_like(bg)).best()
        return
    steps = curve(codes, fg, bg)
    theta, value = steps.best()
    assert value == np.nanmax(ap(steps.at_many(np.arange(65535) / 65535))) == steps.at(theta).ap
    assert theta == 0 or np.nanmax(ap(steps.at_many(steps.thetas[steps.thetas < theta]))) < value
    coarse, value = steps.best(step=0.05)
    grid = [steps.at(k / 20).ap for k in range(20)]
    assert (coarse, value) == (grid.index(np.nanmax(grid)) / 20, np.nanmax(grid))


@pytest.mark.parametrize("theta", [-1e-9, 1.0, 1.5, float("nan"), np.array([0.5, 1.0])])
def test_theta_outside(theta):
    with pytest.raises(LsegreproError, match=r"theta must lie in \[0, 1\)"):
        curve(np.array([1]), np.array([1]), np.array([1])).at_many(theta)


def test_curve_refuses_what_does_not_fit():
    with pytest.raises(LsegreproError, match="shape"):
        curve(np.array([1, 2]), np.array([1]), np.array([1]))
    with pytest.raises(LsegreproError, match="65535"):
        curve(np.array([65536]), np.array([1]), np.array([1]))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_evidence_gives_what_the_pixels_give(seed):
    items = list(pictures(seed))
    truths = [mask for _, mask, _ in items]
    regions, *both = gathered(items)
    for which, (cls, index) in enumerate(paper.VOC_INDEX.items()):
        codes = [codes[which] for _, _, codes in items]
        smoothed, raw = smoothed_curve(regions, both[which]), raw_curve(both[which])
        for theta in (0.0, 0.2, 0.6, 0.605, 0.995, 9 / 65535, 60000 / 65535):
            answers = [voted(c, labels, theta) for c, (labels, _, _) in zip(codes, items, strict=True)]
            expected = counted(answers, truths, index)
            assert np.array(smoothed.at(theta)).tolist() == expected
            rows = per_image_counts(regions, both[which], cls, theta)
            assert rows.sum(axis=0).tolist() == expected
            for i, row in enumerate(rows.tolist()):
                assert row == counted(answers[i : i + 1], truths[i : i + 1], index)
        for theta in (0.0, 0.2, 0.6, 0.605, 0.995):
            expected = counted([c > theta * 65535 for c in codes], truths, index)
            assert np.array(raw.at(theta)).tolist() == expected
            rows = per_image_counts(regions, both[which], cls, theta, smoothed=False)
            assert rows.sum(axis=0).tolist() == expected
        other = paper.CLASSES[1 - which]
        answers = [voted(c, labels, 0.6) for c, (labels, _, _) in zip(codes, items, strict=True)]
        assert np.array(smoothed_curve(regions, both[which], other).at(0.6)).tolist() == counted(
            answers, truths, paper.VOC_INDEX[other])
        np.testing.assert_array_equal(present(regions, cls), [(mask == index).any() for mask in truths])
        every = [np.ones(mask.shape, bool) for mask in truths]
        assert everything_foreground(regions, cls).sum(axis=0).tolist() == counted(every, truths, index)


def test_raw_curve_is_known_on_its_grid_only():
    regions, cat, _ = gathered(pictures())
    raw = raw_curve(cat)
    assert raw.thetas.tolist() == [b / 200 for b in range(200)]
    assert raw.at(0.1 + 0.2) == raw.at(0.3)  # rounding is forgiven
    assert raw.best()[0] == raw.best(step=0.005)[0]
    for refused in (0.6013, 0.9999):
        with pytest.raises(LsegreproError, match="multiples of 0.005"):
            raw.at(refused)
        with pytest.raises(LsegreproError, match="multiples of 0.005"):
            per_image_counts(regions, cat, "cat", refused, smoothed=False)
    with pytest.raises(LsegreproError, match="not for dog"):
        per_image_counts(regions, cat, "dog", 0.6, smoothed=False)
    with pytest.raises(LsegreproError, match="step"):
        raw.best(step=0)


def test_scores_of_other_regions_are_refused():
    regions, cat, dog = gathered(pictures())
    other = replace(regions, split="train")
    for call in (lambda: smoothed_curve(other, cat), lambda: per_image_counts(other, cat, "cat", 0.6),
                 lambda: three_way(other, cat, dog, 0.6, 0.8)):
        with pytest.raises(LsegreproError, match="other regions.*'val' against 'train'"):
            call()
    with pytest.raises(LsegreproError, match="cow"):
        smoothed_curve(regions, cat, "cow")


@settings(max_examples=30, deadline=None)
@given(hnp.arrays(bool, (2, 6, 7)), st.integers(0, 2**32 - 1))
def test_ap_is_the_jaccard_index(masks, seed):
    torch = pytest.importorskip("torch")
    metric = pytest.importorskip("torchmetrics.classification").BinaryJaccardIndex(ignore_index=255)
    answer, truth = masks
    known = np.random.default_rng(seed).random(truth.shape) < 0.9
    target = np.where(known, truth, 255).astype(np.int64)
    mine = Counts(*counted([answer], [np.where(known, truth, 255)], 1)).ap
    theirs = float(metric(torch.from_numpy(answer.astype(np.int64)), torch.from_numpy(target)))
    if np.isnan(mine):
        assert theirs == 0 and not (answer | truth)[known].any()
    else:
        assert mine == pytest.approx(theirs, abs=1e-6)


def test_counts_and_their_ratios():
    counts = Counts(tp=30, fp=20, fn=10, tn=140)
    assert (counts.ap, counts.foreground, counts.background) == (0.5, 0.75, 0.875)
    assert (float(accuracy(counts)), float(balanced_accuracy(counts))) == (0.85, 0.8125)
    nothing = Counts(0, 0, 0, 5)
    assert np.isnan(nothing.ap) and np.isnan(nothing.foreground) and nothing.background == 1


def some_counts(seed, n=60, quality=0.5):
    rng = np.random.default_rng(seed)
    fg = rng.integers(0, 200, n) * (rng.random(n) < 0.4)
    tp = (fg * rng.beta(4 * quality, 4 * (1 - quality), n)).astype(int)
    fp = rng.integers(0, 60, n)
    return np.stack([tp, fp, fg - tp, 400 - fg - fp], axis=1)


def slow_bootstrap(rows, other=None, resamples=3000, seed=99):
    """An interval with another generator and a plain loop over images."""
    rng = np.random.default_rng(np.random.MT19937(seed))
    values = []
    for _ in range(resamples):
        tp = fp = fn = tp2 = fp2 = fn2 = 0
        for i in rng.choice(len(rows), len(rows)).tolist():
            tp, fp, fn = tp + rows[i][0], fp + rows[i][1], fn + rows[i][2]
            if other is not None:
                tp2, fp2, fn2 = tp2 + other[i][0], fp2 + other[i][1], fn2 + other[i][2]
        values.append(tp / (tp + fp + fn) - (tp2 / (tp2 + fp2 + fn2) if other is not None else 0))
    return np.quantile(values, [0.025, 0.975])


def test_bootstrap_against_a_plain_loop():
    rows = some_counts(1)
    mine = bootstrap(rows)
    low, high = slow_bootstrap(rows.tolist())
    assert mine.value == pytest.approx(Counts(*rows.sum(axis=0).tolist()).ap)
    assert abs(mine.low - low) < 0.1 * (high - low) and abs(mine.high - high) < 0.1 * (high - low)


def test_paired_difference_against_a_plain_loop():
    a, b = some_counts(1, quality=0.6), some_counts(1, quality=0.5)
    mine = bootstrap_difference(a, b)
    low, high = slow_bootstrap(a.tolist(), b.tolist())
    assert mine.value == pytest.approx(float(ap(a.sum(axis=0)) - ap(b.sum(axis=0))))
    assert abs(mine.low - low) < 0.1 * (high - low) and abs(mine.high - high) < 0.1 * (high - low)
    alone = [bootstrap(rows) for rows in (a, b)]
    assert mine.high - mine.low < sum(i.high - i.low for i in alone)  # pairing is what narrows it


def test_bootstrap_is_a_function_of_its_seed():
    rows = some_counts(2)
    assert bootstrap(rows, seed=3, resamples=500) == bootstrap(rows, seed=3, resamples=500)
    assert bootstrap(rows, seed=3, resamples=500) != bootstrap(rows, seed=4, resamples=500)
    narrow, wide = (bootstrap(rows, resamples=2000, level=level) for level in (0.5, 0.99))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_several_seeds():
    run = some_counts(3)
    one, copies = bootstrap(run), bootstrap(np.stack([run] * 3))
    assert one.value == pytest.approx(copies.value)
    assert abs(one.low - copies.low) < 0.02 and abs(one.high - copies.high) < 0.02
    runs = np.stack([some_counts(3, quality=q) for q in (0.3, 0.5, 0.7)])
    mixed = bootstrap(runs)
    assert mixed.value == pytest.approx(np.mean([ap(r.sum(axis=0)) for r in runs]))
    assert mixed.high - mixed.low > one.high - one.low
    difference = bootstrap_difference(runs, run)
    assert difference.value == pytest.approx(mixed.value - one.value)


def test_bootstrap_without_the_class():
    empty = np.array([[0, 0, 0, 9]] * 5)
    interval = bootstrap(empty, resamples=50)
    assert all(np.isnan(v) for v in (interval.value, interval.low, interval.high))
    rare = np.concatenate([empty, [[3, 0, 1, 0]]])  # some resamples miss the only image with the class
    assert bootstrap(rare, resamples=200) == Interval(0.75, 0.75, 0.75)


@pytest.mark.parametrize("call", [
    lambda: bootstrap(np.zeros((3, 3))), lambda: bootstrap(np.zeros((0, 4))),
    lambda: bootstrap_difference(np.ones((3, 4)), np.ones((4, 4))),
    lambda: bootstrap(np.ones((3, 4)), resamples=0), lambda: bootstrap(np.ones((3, 4)), level=95),
])
def test_bootstrap_refuses(call):
    with pytest.raises(LsegreproError):
        call()


def test_classification():
    scores = np.array([[0.9, 0.1], [0.2, 0.3], [0.5, 0.5], [0.6, 0.1], [0.1, 0.2]], np.float32)
    truth = np.array([True, True, False, False, False])
    result = classification_accuracy(scores, truth)
    assert (result.accuracy, result.trivial) == (0.6, 0.6)
    assert result.balanced == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert classification_accuracy(scores, ~truth).trivial == 0.6
    counts = classification_counts(scores, truth)
    assert counts.sum(axis=1).tolist() == [1] * 5
    assert bootstrap(counts, accuracy, resamples=100).value == result.accuracy
    with pytest.raises(LsegreproError, match="bool"):
        classification_accuracy(scores, truth.astype(int))
    with pytest.raises(LsegreproError, match=r"\(n, 2\)"):
        classification_accuracy(scores[:4], truth)


def test_centred_box():
    masks = [mask for _, mask, _ in pictures(8)]
    fractions = [0.0, 0.37, 0.6, 1.0]
    many = centred_box_counts(iter(masks), 8, fractions)
    assert many.shape == (4, len(masks), 4)
    for fraction, rows in zip(fractions, many, strict=True):
        boxes = []
        for height, width in (mask.shape for mask in masks):
            box = np.zeros((height, width), bool)
            h, w = round(height * fraction), round(width * fraction)
            top, left = (height - h) // 2, (width - w) // 2
            box[top : top + h, left : left + w] = True
            boxes.append(box)
        assert rows.sum(axis=0).tolist() == counted(boxes, masks, 8)
        assert (centred_box_counts(masks, 8, fraction) == rows).all()
    regions, *_ = gathered(pictures(8))
    assert (many[-1] == everything_foreground(regions, "cat")).all()
    with pytest.raises(LsegreproError, match="fraction"):
        centred_box_counts(masks, 8, 1.2)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_three_way(seed):
    items = list(pictures(seed))
    regions, cat, dog = gathered(items)
    result = three_way(regions, cat, dog, 0.6, 0.2)
    for i, (labels, mask, codes) in enumerate(items):
        painted = [smooth(c, labels) for c in codes]
        table = np.zeros((3, 3), int)
        for y, x in np.ndindex(mask.shape):
            margins = [0.0, painted[0][y, x] - 0.6 * 65535, painted[1][y, x] - 0.2 * 65535]
            if mask[y, x] != 255:
                table[{8: 1, 12: 2}.get(int(mask[y, x]), 0), margins.index(max(margins))] += 1
        assert (result.confusion[i] == table).all()
    total = result.confusion.sum(axis=0)
    for k, name in enumerate(result.NAMES):
        union = total[k].sum() + total[:, k].sum() - total[k, k]
        assert result.iou[name] == pytest.approx(total[k, k] / union, nan_ok=True)
        assert (result.counts(name).sum(axis=1) == result.confusion.sum(axis=(1, 2))).all()
    with pytest.raises(LsegreproError, match="cat scores, then dog"):
        three_way(regions, dog, cat, 0.6, 0.2)
    with pytest.raises(LsegreproError, match="theta"):
        three_way(regions, cat, dog, 0.6, 1.0)


HIDDEN = """
import sys
for name in ("torch", "skimage", "scipy", "PIL", "matplotlib"):
    sys.modules[name] = None
from lsegrepro import superpixels, evidence, evaluation
regions = evidence.read_regions(sys.argv[1])
scores = evidence.read_scores(sys.argv[2], regions)
print(evaluation.smoothed_curve(regions, scores).at(0.6))
print(evaluation.bootstrap(evaluation.per_image_counts(regions, scores, theta=0.6), resamples=100))
"""


def test_evidence_is_enough(tmp_path):
    """A process with numpy alone recomputes the same numbers; the superpixels import without torch."""
    regions, cat, _ = gathered(pictures())
    write_regions(tmp_path / "r.npz", regions)
    write_scores(tmp_path / "s.npz", cat)
    done = subprocess.run([sys.executable, "-c", HIDDEN, tmp_path / "r.npz", tmp_path / "s.npz"],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    interval = bootstrap(per_image_counts(regions, cat, theta=0.6), resamples=100)
    assert done.stdout.splitlines() == [str(smoothed_curve(regions, cat).at(0.6)), str(interval)]


def test_real_masks_to_the_pixel(real_data):
    """Photographs with cats, drawn codes: the curve against voting and counting pixel by pixel."""
    from lsegrepro.data.voc import VocSegmentation

    photographs = VocSegmentation(real_data, "val")
    rng = np.random.default_rng(0)
    items = []
    for index in range(len(photographs)):
        mask = photographs.mask(index)
        if (mask == 8).any() and mask.size < 200_000:
            labels = oversegment(photographs.image(index), Superpixels(min_size=400))
            noise = rng.normal(0, 9000, mask.shape) + 12000 * (mask == 8) + 30000
            items.append((labels, mask, [noise.clip(0, 65535).astype(np.uint16)] * 2))
        if len(items) == 3:
            break
    regions, cat, _ = gathered(items)
    truths = [mask for _, mask, _ in items]
    for theta in (0.45, 0.6, 0.65):
        answers = [voted(codes[0], labels, theta) for labels, _, codes in items]
        assert np.array(smoothed_curve(regions, cat).at(theta)).tolist() == counted(answers, truths, 8)
        raw = [codes[0] > theta * 65535 for _, _, codes in items]
        assert np.array(raw_curve(cat).at(theta)).tolist() == counted(raw, truths, 8)
    assert present(regions, "cat").all()


def test_statistics_take_arrays():
    rows = some_counts(5).reshape(6, 10, 4)
    for statistic in (ap, foreground_accuracy, background_accuracy, accuracy, balanced_accuracy):
        assert statistic(rows).shape == (6, 10)
