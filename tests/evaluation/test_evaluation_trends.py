"""Growth with the amount of data: a law that holds is found again, and an extrapolation is wider than its points."""

import numpy as np
import pytest
from conftest import refused

from lsegrepro.evaluation import LAWS, ap, growth

PIXELS = 100_000


def counts(rng, value: float, images: int = 60, noise: float = 0.0) -> np.ndarray:
    """Images whose pooled AP is about `value`."""
    found = np.clip(rng.normal(value, noise, images), 0, 1) if noise else np.full(images, value)
    tp = np.rint(found * PIXELS).astype(int)
    return np.stack([tp, PIXELS - tp, np.zeros_like(tp), np.full_like(tp, 9 * PIXELS)], axis=1)


@pytest.mark.parametrize("law, value", [
    ("log-linear", lambda n: 0.02 * np.log2(n)),
    ("power", lambda n: 0.01 * n**0.25),
])
def test_a_law_that_holds_is_found_again(rng, law, value):
    amounts = [250, 500, 1000, 2000]
    found = growth(amounts, [counts(rng, value(n)) for n in amounts], law, [2000, 8000], resamples=50)
    for n, interval in found.at.items():
        assert interval.value == pytest.approx(value(n), abs=1e-4)
        assert interval.low == pytest.approx(interval.high, abs=1e-4)  # every image is alike
    assert found.slope.value == pytest.approx(0.02 if law == "log-linear" else 0.25 * np.log(2), abs=1e-3)


def test_far_away_is_less_sure_and_nothing_leaves_the_unit_interval(rng):
    amounts = [250, 500, 1000, 2000]
    groups = [counts(rng, 0.02 * np.log2(n), noise=0.1) for n in amounts]
    for law in LAWS:
        found = growth(amounts, groups, law, [1000, 37_345, 10**9], resamples=300)
        widths = [interval.high - interval.low for interval in found.at.values()]
        assert widths[0] < widths[1] and all(0 <= i.low <= i.value <= i.high <= 1 for i in found.at.values())


def test_seeds_take_part(rng):
    groups = [np.stack([counts(rng, v), counts(rng, v + 0.1)]) for v in (0.2, 0.3, 0.4)]
    found = growth([1, 2, 4], groups, "log-linear", [4], resamples=300)
    assert found.at[4].value == pytest.approx(np.mean(ap(groups[2].sum(axis=1))), abs=1e-6)
    assert found.at[4].high - found.at[4].low > 0.02


@pytest.mark.parametrize("amounts", [[1, 2], [1, 1, 1]])
def test_what_cannot_be_fitted_is_refused(rng, amounts):
    refused(lambda: growth(amounts, [counts(rng, 0.2)] * len(amounts), "log-linear"), "three amounts")


def test_an_ap_of_zero_foretells_nothing_by_the_power_law(rng):
    groups = [counts(rng, v) for v in (0.0, 0.1, 0.2)]
    line, power = (growth([1, 2, 4], groups, law, [8], resamples=20) for law in LAWS)
    assert np.isnan([power.slope.value, power.at[8].value, power.at[8].high]).all()
    assert line.slope.value > 0 and not np.isnan(line.at[8].high)
