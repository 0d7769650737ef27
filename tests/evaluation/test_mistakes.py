"""Where the AP is lost: the parts add up, the bounds bound, the pictures are picked by rank."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lsegrepro import evaluation
from lsegrepro.evaluation import mistakes
from lsegrepro.figures import charts

pixels = arrays(np.int64, st.tuples(st.integers(1, 12), st.just(4)), elements=st.integers(0, 1000))


@given(pixels)
def test_the_parts_add_up_and_the_first_is_the_ap(counts):
    holds = (counts[:, 0] + counts[:, 2]) > 0
    if not counts[:, :3].any():
        return
    shares = mistakes.union_shares(counts, holds)
    assert set(shares) == set(mistakes.PARTS) and sum(shares.values()) == pytest.approx(1)
    assert shares["hit"] == pytest.approx(float(evaluation.ap(counts.sum(axis=0))))


@given(pixels)
def test_taking_false_alarms_away_keeps_the_pixels_and_never_lowers_the_ap(counts):
    holds = (counts[:, 0] + counts[:, 2]) > 0
    told = mistakes.without_false_alarms(counts, holds)
    assert (told.sum(axis=1) == counts.sum(axis=1)).all()
    assert (told[holds] == counts[holds]).all() and not told[~holds, 1].any()
    if holds.any():
        assert evaluation.ap(told.sum(axis=0)) >= evaluation.ap(counts.sum(axis=0))


@given(pixels)
def test_exemplars_are_distinct_and_ordered(counts):
    holds = (counts[:, 0] + counts[:, 2]) > 0
    found = mistakes.exemplars(counts, holds)
    assert len({e.index for e in found}) == len(found)
    inside = [e for e in found if holds[e.index]]
    assert [e.iou for e in inside] == sorted((e.iou for e in inside), reverse=True)
    if len(inside) > 1:
        ious = evaluation.ap(counts[holds])
        assert (inside[0].iou, inside[-1].iou) == (ious.max(), ious.min())
    outside = [e for e in found if not holds[e.index]]
    alarms = counts[~holds, 1]
    assert [e.false_pixels for e in outside] == ([alarms.max()] if alarms.any() else [])


def test_charts_say_what_they_show():
    counts, holds = np.array([[3, 1, 0, 9], [1, 3, 0, 9], [0, 4, 0, 9]]), np.array([True, True, False])
    marks = [e for e in mistakes.exemplars(counts, holds) if holds[e.index]]
    assert "best 75 %" in charts.iou_ranks(evaluation.ap(counts[holds]), marks, "LSE1", "cat").alt
    assert "hit 33 %" in charts.union_share_bars({"LSE1, cat": mistakes.union_shares(counts, holds)}).alt
