"""Curves over theta, raw and smoothed, against voting and counting literally, ties and void included."""

import numpy as np
from conftest import refused
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from literal import counted, evidence_of, pictures, voted

from lsegrepro import paper
from lsegrepro.evaluation import ap, curve, raw_curve, smoothed_curve

codes_and_weights = st.integers(1, 30).flatmap(lambda n: st.tuples(
    hnp.arrays(np.uint16, n, elements=st.sampled_from([0, 1, 39321, 65534, 65535]) | st.integers(0, 65535)),
    hnp.arrays(np.int64, n, elements=st.integers(0, 9)),
    hnp.arrays(np.int64, n, elements=st.integers(0, 9)),
))


def every_step(prob_u16: np.ndarray) -> list[float]:
    """A theta on each step that these probabilities can make, at its beginning and just before its end."""
    breaks = np.unique(prob_u16[prob_u16 < 65535]) / 65535
    return [0.0, *breaks, *np.nextafter(breaks, 1), *np.nextafter(breaks[breaks > 0], 0), np.nextafter(1, 0)]


@settings(max_examples=100)
@given(codes_and_weights, st.floats(0, 1, exclude_max=True))
def test_curve_is_thresholding_at_each_theta(case, anywhere):
    prob_u16, fg, bg = case
    steps = curve(prob_u16, fg, bg)
    thetas = np.array([anywhere, *every_step(prob_u16)])
    for theta, row in zip(thetas.tolist(), steps.at(thetas).tolist(), strict=True):
        above = prob_u16 > theta * 65535
        assert row == [fg[above].sum(), bg[above].sum(), fg[~above].sum(), bg[~above].sum()]
    assert (steps.at(steps.thetas) == steps.counts).all()
    np.testing.assert_equal(steps.ap, ap(steps.counts))


@settings(max_examples=50)
@given(codes_and_weights)
def test_best_is_the_largest_ap_at_the_smallest_theta(case):
    prob_u16, fg, bg = case
    if not fg.sum():
        refused(curve(prob_u16, fg, np.zeros_like(bg)).best, "0/0")
        return
    steps = curve(prob_u16, fg, bg)
    theta, value = steps.best()
    assert value == np.nanmax(ap(steps.at(np.arange(65535) / 65535))) == ap(steps.at(theta))
    assert theta == 0 or np.nanmax(ap(steps.at(steps.thetas[steps.thetas < theta]))) < value
    coarse, value = steps.best(step=0.05)
    grid = [ap(steps.at(k / 20)) for k in range(20)]
    assert (coarse, value) == (grid.index(np.nanmax(grid)) / 20, np.nanmax(grid))


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_both_curves_are_the_pixels_at_every_theta(seed):
    """Every step of both curves, of either network, with ties in the votes and void in the masks."""
    items = pictures(seed, count=2)
    truths = [p.mask for p in items]
    for cls, index in paper.VOC_INDEX.items():
        regions, scores = evidence_of(items, cls)
        smoothed, raw = smoothed_curve(regions, scores), raw_curve(scores)
        for theta in every_step(np.concatenate([p.prob_u16[cls].ravel() for p in items])):
            above = [p.prob_u16[cls] > theta * 65535 for p in items]
            assert raw.at(theta).tolist() == counted(above, truths, index)
        for theta in every_step(scores.statistics):
            answers = [voted(p.prob_u16[cls], p.labels, theta) for p in items]
            assert smoothed.at(theta).tolist() == counted(answers, truths, index)


@settings(max_examples=50)
@given(codes_and_weights, st.floats(0, 1))
def test_recall_and_false_positive_rate_against_every_threshold(case, rate):
    prob_u16, fg, bg = case
    if not fg.sum() or not bg.sum():
        return
    steps = curve(prob_u16, fg, bg)
    above = [prob_u16 > limit for limit in {0, *prob_u16.tolist()} - {65535}]  # theta is below 1
    points = [(fg[a].sum() / fg.sum(), bg[a].sum() / bg.sum()) for a in above]
    assert steps.recall_at(rate) == max((r for r, f in points if f <= rate), default=0)
    best = min((f for r, f in points if r >= rate), default=None)
    found = steps.false_positive_rate_at(rate)
    assert np.isnan(found) if best is None else found == best


def test_weights_count_an_image_several_times():
    items = pictures(3)
    regions, scores = evidence_of(items)
    weighted = smoothed_curve(regions, scores, weights=np.array([2, 1, 0]))
    answers = [voted(p.prob_u16["cat"], p.labels, 0.6) for p in items]
    one = [counted([a], [p.mask], 8) for a, p in zip(answers, items, strict=True)]
    assert weighted.at(0.6).tolist() == (2 * np.array(one[0]) + one[1]).tolist()
