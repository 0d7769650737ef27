"""The choice made again in each resample: what a slow literal loop gives, and what a choice costs."""

import numpy as np
import pytest
from conftest import one_line

from lsegrepro import LsegreproError
from lsegrepro.evaluation import (
    Choice,
    ap,
    background_accuracy,
    bootstrap,
    bootstrap_choices,
    bootstrap_difference,
    per_image_counts,
    smoothed_grid_counts,
)


def counts(rng: np.random.Generator, answers: int, images: int) -> np.ndarray:
    return rng.integers(1, 500, (answers, images, 4))


def literal(runs, statistic, resamples, seed):
    """Every resample in a loop: draw train, choose, draw val, measure."""
    n, m = runs.train.shape[1], runs.val.shape[1]
    on_train = np.random.default_rng((seed, 2)).integers(0, n, (resamples, n))
    on_val = np.random.default_rng(seed).integers(0, m, (resamples, m))
    return [statistic(runs.val[np.argmax(ap(runs.train[:, t].sum(axis=1)))][v].sum(axis=0))
            for t, v in zip(on_train, on_val, strict=True)]


@pytest.mark.parametrize("statistic", [ap, background_accuracy])
def test_the_interval_is_that_of_the_literal_loop(rng, statistic):
    a = Choice(counts(rng, 5, 12), counts(rng, 5, 9))
    found = bootstrap_choices([a], statistic=statistic, resamples=300)
    draws = literal(a, statistic, 300, 0)
    assert np.allclose([found.low, found.high], np.quantile(draws, [0.025, 0.975]), atol=1e-5)
    chosen = np.argmax(ap(a.train.sum(axis=1)))
    assert found.value == statistic(a.val[chosen].sum(axis=0))


def test_with_nothing_to_choose_it_is_the_usual_bootstrap(rng):
    a, b = counts(rng, 2, 30)
    only = [[Choice(None, each[None])] for each in (a, b)]
    for mine, usual in ((bootstrap_choices(only[0]), bootstrap(a, resamples=2000)),
                        (bootstrap_choices(*only), bootstrap_difference(a, b, resamples=2000))):
        assert np.allclose([mine.value, mine.low, mine.high], [usual.value, usual.low, usual.high], atol=1e-5)


def test_an_oracle_is_never_worse_than_any_of_its_answers(rng):
    val = counts(rng, 4, 20)
    for answer in val:
        gain = bootstrap_choices([Choice(None, val)], [Choice(None, answer[None])], resamples=200)
        assert gain.low >= 0 and gain.value >= 0


def test_a_doubtful_choice_widens_the_interval(rng):
    """Two answers, as good as each other on train and far apart on val."""
    train = np.repeat(counts(rng, 1, 10), 2, axis=0)
    train[1] = rng.permutation(train[1])
    val = np.stack([np.tile([90, 5, 5, 900], (20, 1)), np.tile([10, 45, 45, 900], (20, 1))])
    free, held = (bootstrap_choices([Choice(t, v)], resamples=400) for t, v in ((train, val), (train[:1], val[:1])))
    assert held.high - held.low < 0.01 < 0.5 < free.high - free.low


def test_several_seeds_choose_each_for_itself(rng):
    runs = [Choice(counts(rng, 3, 8), counts(rng, 3, 8)) for _ in range(3)]
    values = [bootstrap_choices([run], resamples=50).value for run in runs]
    assert bootstrap_choices(runs, resamples=50).value == pytest.approx(np.mean(values))


def test_other_answers_on_train_than_on_val_are_refused(rng):
    with pytest.raises(LsegreproError) as error:
        bootstrap_choices([Choice(counts(rng, 3, 8), counts(rng, 4, 8))])
    one_line(error, "3 answers on train, and 4 on val")


def test_the_grid_after_the_vote_is_each_theta_alone(own_run):
    for split in ("train", "val"):
        regions, scores = own_run.regions(split), own_run.scores("LSE1", "cat", split=split)
        grid = smoothed_grid_counts(regions, scores)
        for place in (0, 1, 99, 120, 160, 199):
            assert (grid[place] == per_image_counts(regions, scores, theta=place / 200)).all()
