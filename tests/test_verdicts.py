"""The rules of the verdicts: every way an interval can lie, and every mixture of outcomes."""

import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsegrepro.evaluation import Interval
from lsegrepro.runs import verdicts
from lsegrepro.runs.verdicts import (
    PARTLY,
    REFUTED,
    REPRODUCED,
    RULES,
    UNTESTABLE,
    Comparison,
    Outcome,
    Rule,
    judge,
    says,
)

MORE = Rule("more", "", "", "", margin=0.01)
NEAR = Rule("near", "", "", "", kind="near", margin=0.01)
SETTLED = dict(seeds=3, way=0.8, sees=True)


def between(low: float, high: float) -> Interval:
    return Interval((low + high) / 2, low, high)


def test_rules_are_whole_and_named_once():
    keys = [rule.key for rule in RULES]
    assert len(set(keys)) == len(keys) and all(rule.kind in ("more", "near") and rule.margin > 0 for rule in RULES)
    assert all(rule.claim.endswith(".") and rule.effect and rule.source for rule in RULES)
    assert set(verdicts.VERDICTS) == {REPRODUCED, PARTLY, REFUTED, UNTESTABLE}


def test_the_rules_know_no_result_and_need_no_torch():
    code = "import sys; sys.modules['torch'] = None\nimport lsegrepro.runs.verdicts\nprint('lsegrepro.runs.folder' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "False"), done.stderr


@pytest.mark.parametrize("low, high, more, near", [
    (0.002, 0.005, "for", "for"),
    (-0.005, 0.005, "against", "for"),  # no effect of a point is left
    (-0.005, 0.02, "open", "open"),
    (0.02, 0.03, "for", "against"),
    (-0.03, -0.02, "against", "against"),
    (-0.03, 0.005, "against", "open"),
    (0.0, 0.005, "against", "for"),  # an interval that touches zero does not lie above it
    (math.nan, math.nan, "open", "open"),
])
def test_what_an_interval_says(low, high, more, near):
    assert says(MORE, between(low, high)) == more
    assert says(NEAR, between(low, high)) == near


@given(st.floats(-1, 1), st.floats(0, 1), st.floats(0, 1))
def test_a_wider_interval_never_says_the_opposite(centre, half, wider):
    for rule in (MORE, NEAR):
        narrow = says(rule, between(centre - half, centre + half))
        wide = says(rule, between(centre - half - wider, centre + half + wider))
        assert {narrow, wide} != {"for", "against"} or rule is MORE and centre - half - wider <= 0
        assert narrow != "against" or wide != "for"


@pytest.mark.parametrize("changed, effect, verdict, why", [
    ({}, (0.02, 0.03), REPRODUCED, ""),
    ({}, (-0.03, -0.02), REFUTED, ""),
    ({}, (-0.01, 0.02), UNTESTABLE, "too wide"),
    ({"way": 0.49}, (0.02, 0.03), PARTLY, "short training, 49 %"),
    ({"way": 0.49}, (-0.03, -0.02), UNTESTABLE, "short training"),
    ({"way": math.nan}, (0.02, 0.03), PARTLY, "curve is not at hand"),
    ({"way": -0.2}, (0.02, 0.03), PARTLY, "0 % of the way"),
    ({"seeds": 2}, (0.02, 0.03), PARTLY, "fewer than 3 seeds"),
    ({"seeds": 2}, (-0.03, -0.02), UNTESTABLE, "fewer than 3 seeds"),
    ({"sees": False}, (0.02, 0.03), UNTESTABLE, "centred box"),
])
def test_one_comparison_is_judged(changed, effect, verdict, why):
    outcome = judge(MORE, Comparison("a", "cat", between(*effect), **{**SETTLED, **changed}))
    assert outcome.verdict == verdict and why in outcome.why and bool(why) == bool(outcome.why)


def test_what_was_not_trained_is_not_testable():
    assert judge(MORE, Comparison("a", "cat")) == Outcome("not measured", UNTESTABLE, "not trained in this run")


def test_the_claim_that_a_network_sees_is_not_gated_by_itself():
    (rule,) = (rule for rule in RULES if not rule.must_see)
    assert rule.key == "labels"
    blind = Comparison("LSE1 − centred box", "cat", between(-0.03, -0.02), **{**SETTLED, "sees": False})
    assert judge(rule, blind).verdict == REFUTED


@pytest.mark.parametrize("found, word", [
    ([REPRODUCED] * 4, REPRODUCED),
    ([REPRODUCED] * 3 + [UNTESTABLE], PARTLY),
    ([REPRODUCED, REFUTED], PARTLY),
    ([PARTLY, REFUTED], PARTLY),
    ([REFUTED, UNTESTABLE], REFUTED),
    ([UNTESTABLE], UNTESTABLE),
    ([], UNTESTABLE),
])
def test_the_word_for_a_claim(found, word):
    assert verdicts.overall([Outcome("for", verdict) for verdict in found]) == word
