"""Baselines, classification of images and three classes at once, against the masks and by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from literal import Picture, box_rows, pictures, regions_of, scores_of

from lsegrepro import evaluation, paper
from lsegrepro.evidence import BOX_FRACTIONS
from lsegrepro.evidence.superpixels import smooth


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_a_centred_box_is_the_box_painted_on_the_mask(seed):
    rng = np.random.default_rng(seed)
    items = []
    for shape in ((1, 1), (2, 37), tuple(rng.integers(1, 90, 2)), (30, 50)):
        mask = rng.choice(np.array([0, 8, 8, 12, 15, 255], np.uint8), shape)
        items.append(Picture(np.zeros(shape, np.int32), mask, {}, np.zeros(2)))
    regions = regions_of(items)
    for cls, index in paper.VOC_INDEX.items():
        boxes = evaluation.centred_box_counts(regions, cls)
        assert boxes.tolist() == box_rows([p.mask for p in items], index)
        assert (boxes[-1] == evaluation.everything_foreground(regions, cls)).all() and BOX_FRACTIONS[-1] == 1
        totals = evaluation.everything_foreground(regions, cls)[:, :2]
        assert evaluation.nothing_foreground(regions, cls).tolist() == [[0, 0, *pair] for pair in totals.tolist()]


def gated_items(scores):
    """An image of 20 by 20 with a cat in the middle, one with a dog there, one with neither; image scores given."""
    items = []
    for index, image_scores in zip((8, 12, 0), scores, strict=True):
        mask = np.zeros((20, 20), np.uint8)
        mask[5:15, 5:15] = index
        items.append(Picture(np.zeros((20, 20), np.int32), mask, {"cat": np.zeros((20, 20), np.uint16)},
                             np.array(image_scores)))
    return items


def test_a_gated_box_by_hand():
    items = gated_items([(0.9, 0.1), (0.5, 0.2), (-0.5, 0.5)])  # margins 0.8, 0.3, -1
    regions = regions_of(items)
    scores = scores_of(regions, items)
    assert evaluation.image_margin(scores) == pytest.approx([0.8, 0.3, -1])
    counts = evaluation.gated_box(regions, scores, [-2, 0, 0.5, 1])
    assert counts.shape == (4 * 20, 3, 4)
    counts = counts.reshape(4, 20, 3, 4)
    half = BOX_FRACTIONS.index(0.5)  # 100 pixels, the animal's
    assert counts[:, half].tolist() == [
        [[100, 0, 0, 300], [0, 100, 0, 300], [0, 100, 0, 300]],  # every image passes
        [[100, 0, 0, 300], [0, 100, 0, 300], [0, 0, 0, 400]],
        [[100, 0, 0, 300], [0, 0, 0, 400], [0, 0, 0, 400]],
        [[0, 0, 100, 300], [0, 0, 0, 400], [0, 0, 0, 400]],  # none does
    ]
    assert (counts[0] == evaluation.centred_box_counts(regions, "cat")).all()
    assert evaluation.ap(counts[2, half].sum(axis=0)) == 1
    answers = counts.reshape(-1, 3, 4) * np.array([1, 1, 2.5])[:, None]  # a background image that stands for more
    (best, *_) = evaluation.best_answers(evaluation.resampled_counts(answers, resamples=20))
    assert best == 2 * len(BOX_FRACTIONS) + half  # the highest gate that the cat passes, and the cat's box


def test_auc_by_hand_and_against_all_pairs(rng):
    assert evaluation.auc([3, 2], [1]) == 1 and evaluation.auc([1], [3, 2]) == 0 and evaluation.auc([1, 1], [1]) == 0.5
    assert np.isnan(evaluation.auc([], [1.0])) and np.isnan(evaluation.auc([1.0], []))
    p, q = rng.integers(0, 9, 40), rng.integers(0, 9, 30) - 1
    assert evaluation.auc(p, q) == pytest.approx(np.mean([(a > b) + (a == b) / 2 for a in p for b in q]))


def test_auc_of_images_against_the_other_class_and_against_neither():
    items = gated_items([(0.5, 0.2), (0.9, 0.1), (-0.5, 0.5)])  # the dog looks more like a cat than the cat does
    regions = regions_of(items)
    aucs = evaluation.image_auc(regions, scores_of(regions, items), resamples=50)
    assert {name: interval.value for name, interval in aucs.items()} == {"all": 0.5, "dog": 0.0, "neither": 1.0}


def test_the_interval_of_an_auc_is_that_of_a_plain_loop(rng):
    items = [item for _ in range(9) for item in gated_items([(0.5, 0.2), (0.9, 0.1), (0.3, 0.3)])]
    for item in items:
        item.image_scores[:] = rng.integers(0, 5, 2)  # with ties
    regions = regions_of(items)
    scores = scores_of(regions, items)
    margin, values = evaluation.image_margin(scores), []
    for images in np.random.default_rng(0).integers(0, 27, (300, 27)):
        drawn = margin[images]
        values.append(evaluation.auc(drawn[images % 3 == 0], drawn[images % 3 == 1]))
    found = evaluation.image_auc(regions, scores, resamples=300)["dog"]
    assert (found.low, found.high) == (pytest.approx(np.nanquantile(values, 0.025), abs=1e-6),
                                       pytest.approx(np.nanquantile(values, 0.975), abs=1e-6))


def test_classification():
    scores = np.array([[0.9, 0.1], [0.2, 0.3], [0.5, 0.5], [0.6, 0.1], [0.1, 0.2]], np.float32)
    truth = np.array([True, True, False, False, False])
    counts = evaluation.classification_counts(scores, truth)
    assert counts.sum(axis=1).tolist() == [1] * 5 and counts.sum(axis=0).tolist() == [1, 1, 1, 2]
    assert evaluation.bootstrap(counts, evaluation.accuracy, resamples=100).value == 0.6


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_three_way(seed):
    items = pictures(seed)
    regions = regions_of(items)
    cat, dog = (scores_of(regions, items, cls) for cls in paper.CLASSES)
    result = evaluation.three_way(regions, cat, dog, 0.6, 0.2)
    for i, picture in enumerate(items):
        painted = [smooth(picture.prob_u16[cls], picture.labels) for cls in paper.CLASSES]
        table = np.zeros((3, 3), int)
        for y, x in np.ndindex(picture.mask.shape):
            margins = [0.0, painted[0][y, x] - 0.6 * 65535, painted[1][y, x] - 0.2 * 65535]
            if picture.mask[y, x] != 255:
                table[{8: 1, 12: 2}.get(int(picture.mask[y, x]), 0), margins.index(max(margins))] += 1
        for k, name in enumerate(("background", "cat", "dog")):
            tp, predicted, true = table[k, k], table[:, k].sum(), table[k].sum()
            assert result[name][i].tolist() == [tp, predicted - tp, true - tp, table.sum() - predicted - true + tp]
