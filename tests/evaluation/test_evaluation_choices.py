"""The choice made again in each resample: what a slow literal loop gives, and what a choice costs."""

import numpy as np
import pytest
from literal import evidence_of, pictures

from lsegrepro.evaluation import (
    ap,
    background_accuracy,
    bootstrap_draws,
    chosen_counts,
    per_image_counts,
    resampled_counts,
    smoothed_grid_counts,
)


def counts(rng: np.random.Generator, answers: int, images: int) -> np.ndarray:
    return rng.integers(1, 500, (answers, images, 4))


@pytest.mark.parametrize("statistic", [ap, background_accuracy])
def test_the_resamples_are_those_of_a_literal_loop(rng, statistic):
    """Draw train, choose, draw val, measure, one resample after the other."""
    train, val = counts(rng, 5, 12), counts(rng, 5, 9)
    on_train = np.random.default_rng((0, 2)).integers(0, 12, (300, 12))
    on_val = np.random.default_rng(0).integers(0, 9, (300, 9))
    expected = [statistic(val[np.argmax(ap(train[:, t].sum(axis=1)))][v].sum(axis=0))
                for t, v in zip(on_train, on_val, strict=True)]
    draws = statistic(chosen_counts(train, val, resamples=300))
    assert draws[1:] == pytest.approx(expected, abs=1e-6)
    assert draws[0] == pytest.approx(statistic(val[np.argmax(ap(train.sum(axis=1)))].sum(axis=0)))


def test_of_one_answer_it_is_the_usual_bootstrap(rng):
    only = counts(rng, 1, 30)
    values, draws = bootstrap_draws([only[0]], resamples=200)
    pooled = ap(resampled_counts(only, resamples=200, dtype=np.float64))[0]
    assert pooled.tolist() == [*values, *draws[0]]


def test_a_doubtful_choice_widens_the_interval(rng):
    """Two answers, as good as each other on train and far apart on val."""
    train = np.repeat(counts(rng, 1, 10), 2, axis=0)
    train[1] = rng.permutation(train[1])
    val = np.stack([np.tile([90, 5, 5, 900], (20, 1)), np.tile([10, 45, 45, 900], (20, 1))])
    free, fixed = (np.ptp(ap(chosen_counts(t, v, resamples=400))) for t, v in ((train, val), (train[:1], val[:1])))
    assert fixed < 0.01 < 0.5 < free


def test_the_grid_after_the_vote_is_each_theta_alone():
    regions, scores = evidence_of(pictures(1, 5))
    grid = smoothed_grid_counts(regions, scores)
    for place in range(200):
        assert (grid[place] == per_image_counts(regions, scores, theta=place / 200)).all()
