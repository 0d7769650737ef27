"""Counts of each image at any theta, and AP and accuracies, against the pixels."""


import numpy as np
import pytest
from conftest import refused
from hypothesis import given, settings
from hypothesis import strategies as st
from literal import counted, evidence_of, pictures, voted

from lsegrepro import evaluation, paper


def test_every_16_bit_probability_is_its_own_breakpoint():
    prob_u16 = np.arange(65535)
    assert (evaluation.threshold(prob_u16 / 65535) == prob_u16).all()
    assert (evaluation.threshold(np.nextafter(prob_u16[1:] / 65535, 0)) == prob_u16[1:] - 1).all()


@pytest.mark.parametrize("theta", [-1e-9, 1.0, float("nan"), np.array([0.5, 1.0])])
def test_theta_outside(theta):
    refused(lambda: evaluation.threshold(theta), "theta must lie in [0, 1)")


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.floats(0, 1, exclude_max=True))
def test_each_image_has_the_counts_of_its_pixels(seed, anywhere):
    items = pictures(seed)
    for cls, index in paper.VOC_INDEX.items():
        regions, scores = evidence_of(items, cls)
        for theta in (0.0, 0.6, 9 / 65535, 60000 / 65535, anywhere):
            rows = evaluation.per_image_counts(regions, scores, theta=theta)
            assert rows.tolist() == [counted([voted(p.prob_u16[cls], p.labels, theta)], [p.mask], index) for p in items]
        assert evaluation.present(regions, cls).tolist() == [(p.mask == index).any() for p in items]


@settings(max_examples=10)
@given(st.integers(0, 2**32 - 1))
def test_raw_counts_of_each_image_on_the_whole_grid(seed):
    items = pictures(seed)
    for cls, index in paper.VOC_INDEX.items():
        regions, scores = evidence_of(items, cls)
        grid = evaluation.raw_grid_counts(regions, scores)
        assert grid.shape == (200, len(items), 4)
        for b, rows in enumerate(grid):
            expected = [counted([p.prob_u16[cls] > b / 200 * 65535], [p.mask], index) for p in items]
            assert rows.tolist() == expected
        assert (evaluation.per_image_counts(regions, scores, theta=0.605, smoothed=False) == grid[121]).all()
        rounded = evaluation.per_image_counts(regions, scores, theta=0.1 + 0.2, smoothed=False)
        assert (rounded == grid[60]).all()


@pytest.mark.parametrize("theta, says", [(0.6013, "multiples of 0.005 in theta"), (1.0, "theta must lie")])
def test_raw_counts_of_an_image_are_known_on_their_grid_only(theta, says):
    refused(lambda: evaluation.per_image_counts(*evidence_of(pictures()), theta, smoothed=False), says)


def test_the_grid_after_the_vote_is_each_theta_alone():
    regions, scores = evidence_of(pictures(1, 5))
    for place, rows in enumerate(evaluation.smoothed_grid_counts(regions, scores)):
        assert (rows == evaluation.per_image_counts(regions, scores, theta=place / 200)).all()


def test_counts_and_their_ratios():
    names = ("ap", "foreground_accuracy", "background_accuracy", "accuracy", "balanced_accuracy")
    counts, empty = np.array([30, 20, 10, 140]), np.array([0, 0, 0, 5])
    assert [getattr(evaluation, name)(counts) for name in names] == [0.5, 0.75, 0.875, 0.85, 0.8125]
    assert evaluation.background_accuracy(empty) == 1
    assert np.isnan(evaluation.ap(empty)) and np.isnan(evaluation.foreground_accuracy(empty))
