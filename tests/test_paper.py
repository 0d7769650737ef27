"""The paper's numbers, written down here a second time from its text."""

import math

import pytest

from lsegrepro import paper
from lsegrepro.network.model import PatchNet

TABLE_2 = """
max1 32.29 99.02 22.91 56.66 96.28 19.24
LSE1 49.25 98.96 34.36 49.33 97.97 21.15
max2 40.46 97.93 21.70 40.96 96.89 16.52
LSE2 56.50 97.74 29.07 43.12 96.89 17.65
"""


@pytest.mark.parametrize("name, count", [("LSE1", 408_922), ("LSE2", 886_872), ("LSE2-40-80", 712_762)])
def test_parameters_are_those_of_a_network(name, count):
    architecture = paper.ARCHITECTURES[name]
    assert sum(p.numel() for p in PatchNet(architecture).parameters()) == count
    assert architecture.parameters == count
    assert architecture.name == name


def test_the_printed_count_is_that_of_the_default_and_not_of_the_printed_widths():
    for name in ("LSE1", "LSE2"):
        assert paper.ARCHITECTURES[name].parameters == paper.ARCHITECTURES[name].printed_parameters
        assert paper.TABLE_1_AS_PRINTED[name]["# Parameters"] == paper.ARCHITECTURES[name].printed_parameters
    printed = paper.ARCHITECTURES["LSE2-40-80"]
    assert printed.printed_parameters == 886_872 != printed.parameters
    assert (*printed.hidden, 2) == paper.TABLE_1_AS_PRINTED["LSE2"]["# Hidden Units"]


@pytest.mark.parametrize("name, sizes, printed", [
    ("LSE1", (95, 22, 5, 1, 1), "95x95 22x22 5x5 1x1 1x1"),
    ("LSE2", (133, 16, 7, 1, 1), "133x133 16x16 7x7 1x1 1x1"),
    ("LSE2-40-80", (133, 16, 7, 1, 1), "133x133 16x16 7x7 1x1 1x1"),
])
def test_input_sizes(name, sizes, printed):
    architecture = paper.ARCHITECTURES[name]
    assert architecture.input_sizes == sizes
    table = paper.TABLE_1_AS_PRINTED["LSE1" if name == "LSE1" else "LSE2"]
    assert " ".join(table["Input Size, sz"]) == printed
    # No pixel is lost: every pooling divides its input exactly.
    first, second = (s - f + 1 for s, f in zip(sizes, architecture.filters[:2], strict=False))
    assert first == sizes[1] * architecture.pools[0] and second == sizes[2] * architecture.pools[1]


def test_table_1_agrees_with_the_architectures_where_it_is_consistent():
    for name in ("LSE1", "LSE2"):
        table, architecture = paper.TABLE_1_AS_PRINTED[name], paper.ARCHITECTURES[name]
        assert table["Filter size"] == (*(f"{side}x{side}" for side in architecture.filters), "-", "-")
        assert table["Pool. size"] == (*(f"{side}x{side}" for side in architecture.pools), "-", "-", "-")
        assert table["# Patches, N"] == architecture.patches
        assert all(len(value) == 5 for value in table.values() if isinstance(value, tuple))
    assert (paper.ARCHITECTURES["LSE1"].patches, paper.ARCHITECTURES["LSE2"].patches) == (9, 4)


def test_table_2():
    rows = [line.split() for line in TABLE_2.split("\n") if line]
    assert list(paper.TABLE_2) == [row[0] for row in rows] == list(paper.MODELS)
    for name, *numbers in rows:
        cat, dog = paper.TABLE_2[name]["cat"], paper.TABLE_2[name]["dog"]
        found = (cat.foreground, cat.background, cat.ap, dog.foreground, dog.background, dog.ap)
        assert found == tuple(map(float, numbers))


def test_models():
    assert paper.MODELS == {
        "max1": ("LSE1", "max"), "LSE1": ("LSE1", "lse"), "max2": ("LSE2", "max"), "LSE2": ("LSE2", "lse"),
    }
    assert paper.architecture("max2") is paper.ARCHITECTURES["LSE2"]
    assert paper.architecture("LSE2-40-80").hidden == (40, 80, 160, 320)
    with pytest.raises(KeyError):
        paper.architecture("LSE3")


def test_counts_and_scores():
    assert paper.THETA == {"cat": 0.6, "dog": 0.8}
    assert paper.CLASSIFICATION == {"cat": 92.48, "dog": 85.70}
    assert paper.SUPERVISED == {"cat": (53.5, 49.0), "dog": (42.2, 47.4)}
    assert paper.TRAINING_IMAGES == {"cat": 37_345, "dog": 187_775, "background": 1_200_000}
    assert paper.SUBCLASSES == {"cat": 30, "dog": 164}
    assert paper.SYNSETS == {"cat": "n02121620", "dog": "n02084071"}
    assert paper.VOC_INDEX == {"cat": 8, "dog": 12}
    assert paper.VAL_IMAGES == 1449
    assert paper.VAL_CLAIMED == {"cat": 132, "dog": 150}
    assert paper.VAL_IMAGES_WITH_CLASS == {"cat": 119, "dog": 128}
    assert (paper.IMAGE_SIDE, paper.LEARNING_RATE, paper.CLASSES) == (300, 0.001, ("cat", "dog"))


def test_bounds_are_those_of_the_tanh():
    assert pytest.approx(math.e / (math.e + 1 / math.e)) == paper.CEILING and round(paper.CEILING, 4) == 0.8808
    assert round(paper.LOSS_FLOOR, 4) == 0.1269 and pytest.approx(math.log(2)) == paper.LOSS_START


def test_the_plateau_is_the_best_loss_of_who_tells_no_cat_from_a_dog():
    """One probability p for all animals: the mean loss over 50 cats, 20 dogs and 30 backgrounds is lowest at 5 / 7."""
    def loss(p):
        return -(50 * math.log(p) + 20 * math.log(1 - p)) / 100 + 0.3 * paper.LOSS_FLOOR

    assert paper.plateau_loss(0.4) == pytest.approx(loss(5 / 7))
    assert all(loss(p) > paper.plateau_loss(0.4) for p in (0.5, 0.6, 0.7, 0.8))
