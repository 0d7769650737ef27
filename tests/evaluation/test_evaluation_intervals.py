"""Bootstrap intervals against the same thing written down slowly, draw by draw and image by image."""

import numpy as np
import pytest

from lsegrepro import evaluation
from lsegrepro.evaluation import ap


def some_counts(seed, n=60, quality=0.5):
    rng = np.random.default_rng(seed)
    fg = rng.integers(0, 200, n) * (rng.random(n) < 0.4)
    tp = (fg * rng.beta(4 * quality, 4 * (1 - quality), n)).astype(int)
    fp = rng.integers(0, 60, n)
    return np.stack([tp, fp, fg - tp, 400 - fg - fp], axis=1)


def slow_ap(rows, images):
    tp = fp = fn = 0
    for i in images:
        tp, fp, fn = tp + rows[i][0], fp + rows[i][1], fn + rows[i][2]
    return tp / (tp + fp + fn)


def slow_quantile(values, part):
    """Between the two nearest of the sorted values, in proportion."""
    values = sorted(values)
    place = part * (len(values) - 1)
    low = int(place)
    high = min(low + 1, len(values) - 1)
    return values[low] + (values[high] - values[low]) * (place - low)


@pytest.mark.parametrize("n, resamples", [(1, 3), (7, 40), (60, 500)])
def test_the_same_draws_give_the_same_interval(n, resamples):
    """The draws of a seed are n integers a resample; everything after them is done by plain loops."""
    a, b = some_counts(1, n, 0.6) + [1, 0, 0, 0], some_counts(2, n, 0.4) + [1, 0, 0, 0]
    draws = np.random.default_rng(7).integers(0, n, (resamples, n)).tolist()
    first, second = ([slow_ap(rows.tolist(), images) for images in draws] for rows in (a, b))
    mine = evaluation.bootstrap(a, resamples=resamples, seed=7)
    assert mine.value == pytest.approx(slow_ap(a.tolist(), range(n)), rel=1e-12)
    assert mine.low == pytest.approx(slow_quantile(first, 0.025), rel=1e-12)
    assert mine.high == pytest.approx(slow_quantile(first, 0.975), rel=1e-12)
    mine = evaluation.bootstrap_difference(a, b, resamples=resamples, seed=7)
    gaps = [x - y for x, y in zip(first, second, strict=True)]  # paired: the same images for both
    assert mine.low == pytest.approx(slow_quantile(gaps, 0.025), abs=1e-12)
    assert mine.high == pytest.approx(slow_quantile(gaps, 0.975), abs=1e-12)


def test_many_images_are_drawn_in_pieces():
    """The draws do not depend on how many resamples are held in memory at a time."""
    rows = some_counts(4, n=3000)
    draws = np.random.default_rng(0).integers(0, 3000, (700, 3000))  # more than one piece
    pooled = np.array([rows[images].sum(axis=0) for images in draws])
    low, high = np.quantile(evaluation.background_accuracy(pooled), [0.025, 0.975])
    mine = evaluation.bootstrap(rows, evaluation.background_accuracy, resamples=700)
    assert (mine.low, mine.high) == (pytest.approx(low, rel=1e-12), pytest.approx(high, rel=1e-12))


def test_seeds_and_images_against_a_plain_loop():
    """Images are drawn once for all runs, runs with replacement, and the statistics of the drawn runs averaged."""
    runs = np.stack([some_counts(3, quality=q) for q in (0.3, 0.5, 0.7)])
    rng = np.random.default_rng(np.random.MT19937(5))
    values = []
    for _ in range(3000):
        images = rng.choice(60, 60).tolist()
        values.append(np.mean([slow_ap(runs[k].tolist(), images) for k in rng.choice(3, 3)]))
    mine, low, high = evaluation.bootstrap(runs), slow_quantile(values, 0.025), slow_quantile(values, 0.975)
    assert mine.value == pytest.approx(np.mean([ap(r.sum(axis=0)) for r in runs]))
    gap = evaluation.bootstrap_difference(runs, runs[0]).value
    assert gap == pytest.approx(mine.value - ap(runs[0].sum(axis=0)))
    assert abs(mine.low - low) < 0.1 * (high - low) and abs(mine.high - high) < 0.1 * (high - low)


def test_bootstrap_without_the_class():
    empty = np.array([[0, 0, 0, 9]] * 5)
    interval = evaluation.bootstrap(empty, resamples=50)
    assert all(np.isnan(v) for v in (interval.value, interval.low, interval.high))
    rare = np.concatenate([empty, [[3, 0, 1, 0]]])  # some resamples miss the only image with the class
    assert evaluation.bootstrap(rare, resamples=200) == evaluation.Interval(0.75, 0.75, 0.75)


def test_p_values_of_draws_by_hand():
    draws = np.array([-2.0, -1, 1, 2, 3, 4, 5, 6, 7, np.nan, 8])  # 2 of 10 are not above 0
    assert evaluation.bootstrap_p_value(draws) == evaluation.bootstrap_p_value(-draws) == pytest.approx(2 * 3 / 11)
    assert evaluation.bootstrap_p_value(np.ones(99)) == 0.02 and evaluation.bootstrap_p_value(np.zeros(5)) == 1
    assert np.isnan(evaluation.bootstrap_p_value(np.array([np.nan])))


def test_holm_is_the_step_down_procedure(rng):
    """Reject the smallest while it is below alpha / (tests left): the same as an adjusted p-value below alpha."""
    for p in (rng.random(8) ** 4, np.array([0.01, 0.01, 0.04, 1, 0]), np.array([0.03])):
        adjusted = evaluation.holm(p)
        for alpha in (0.001, 0.01, 0.05, 0.1, 0.3):
            rejected = set()
            for left, i in zip(range(len(p), 0, -1), np.argsort(p), strict=True):
                if p[i] * left > alpha:
                    break
                rejected.add(int(i))
            assert set(np.flatnonzero(adjusted <= alpha)) == rejected
    assert evaluation.holm([]).tolist() == []


# The choice made again in each resample


def answers(rng: np.random.Generator, answers: int, images: int) -> np.ndarray:
    return rng.integers(1, 500, (answers, images, 4))


@pytest.mark.parametrize("statistic", [ap, evaluation.background_accuracy])
def test_the_resamples_are_those_of_a_literal_loop(rng, statistic):
    """Draw train, choose, draw val, measure, one resample after the other."""
    train, val = answers(rng, 5, 12), answers(rng, 5, 9)
    on_train = np.random.default_rng((0, 2)).integers(0, 12, (300, 12))
    on_val = np.random.default_rng(0).integers(0, 9, (300, 9))
    expected = [statistic(val[np.argmax(ap(train[:, t].sum(axis=1)))][v].sum(axis=0))
                for t, v in zip(on_train, on_val, strict=True)]
    draws = statistic(evaluation.chosen_counts(train, val, resamples=300))
    assert draws[1:] == pytest.approx(expected, abs=1e-6)
    assert draws[0] == pytest.approx(statistic(val[np.argmax(ap(train.sum(axis=1)))].sum(axis=0)))


def test_of_one_answer_it_is_the_usual_bootstrap(rng):
    only = answers(rng, 1, 30)
    (draws,) = evaluation.bootstrap_draws([only[0]], resamples=200)
    pooled = ap(evaluation.resampled_counts(only, resamples=200, dtype=np.float64))[0]
    assert pooled.tolist() == draws.tolist()
