"""The paper's numbers, written down here a second time from its text."""

import math

import pytest

from lsegrepro import paper
from lsegrepro.config import Training
from lsegrepro.network.model import PatchNet

TABLE_2 = """
max1 32.29 99.02 22.91 56.66 96.28 19.24
LSE1 49.25 98.96 34.36 49.33 97.97 21.15
max2 40.46 97.93 21.70 40.96 96.89 16.52
LSE2 56.50 97.74 29.07 43.12 96.89 17.65
"""


@pytest.mark.parametrize("name, count", [("LSE1", 408_922), ("LSE2", 886_872), ("LSE2-40-80", 712_762)])
def test_parameters_are_those_that_table_1_prints_but_for_the_widths_of_lse2(name, count):
    architecture = paper.ARCHITECTURES[name]
    assert architecture.name == name and sum(p.numel() for p in PatchNet(architecture).parameters()) == count
    assert (architecture.printed_parameters == count) == (name != "LSE2-40-80")


@pytest.mark.parametrize("name, filters, pools, patch, patches", [
    ("LSE1", (8, 3, 5), (4, 4), 95, 9), ("LSE2", (6, 3, 7), (8, 2), 133, 4), ("LSE2-40-80", (6, 3, 7), (8, 2), 133, 4),
])
def test_table_1(name, filters, pools, patch, patches):
    a = paper.ARCHITECTURES[name]
    assert (a.filters, a.pools, a.patch, a.patches) == (filters, pools, patch, patches)
    for filter, pool in zip(filters, pools, strict=False):  # no pixel is lost: every pooling divides its input exactly
        patch, rest = divmod(patch - filter + 1, pool)
        assert rest == 0
    assert patch == filters[2]


def test_table_2():
    rows = [line.split() for line in TABLE_2.split("\n") if line]
    assert list(paper.TABLE_2) == [row[0] for row in rows] == list(paper.MODELS)
    for name, *numbers in rows:
        cat, dog = paper.TABLE_2[name]["cat"], paper.TABLE_2[name]["dog"]
        found = (cat.foreground, cat.background, cat.ap, dog.foreground, dog.background, dog.ap)
        assert found == tuple(map(float, numbers))


def test_models():
    assert Training(model="max2").net is paper.ARCHITECTURES["LSE2"]
    assert Training(architecture="LSE2-40-80").net.hidden == (40, 80, 160, 320)


def test_counts_and_scores():
    assert (paper.THETA, paper.CLASSIFICATION) == ({"cat": 0.6, "dog": 0.8}, {"cat": 92.48, "dog": 85.70})
    assert paper.TRAINING_IMAGES == {"cat": 37_345, "dog": 187_775, "background": 1_200_000}
    assert paper.VAL_IMAGES == 1449
    assert (paper.IMAGE_SIDE, paper.LEARNING_RATE) == (300, 0.001)


def test_bounds_are_those_of_the_tanh():
    assert pytest.approx(math.e / (math.e + 1 / math.e)) == paper.CEILING and round(paper.CEILING, 4) == 0.8808
    assert round(paper.LOSS_FLOOR, 4) == 0.1269 and pytest.approx(math.log(2)) == paper.LOSS_START


def test_the_plateau_is_the_best_loss_of_who_tells_no_cat_from_a_dog():
    """One probability p for all animals: the mean loss over 50 cats, 20 dogs and 30 backgrounds is lowest at 5 / 7."""
    def loss(p):
        return -(50 * math.log(p) + 20 * math.log(1 - p)) / 100 + 0.3 * paper.LOSS_FLOOR

    assert paper.plateau_loss(0.4) == pytest.approx(loss(5 / 7))
    assert all(loss(p) > paper.plateau_loss(0.4) for p in (0.5, 0.6, 0.7, 0.8))
