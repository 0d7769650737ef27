import numpy as np
import pytest

from lsegrepro.book import notebook
from lsegrepro.evaluation import Interval
from lsegrepro.files import LsegreproError
from lsegrepro.runs.folder import open_run


@pytest.fixture
def run(tmp_path):
    profile = tmp_path / "tiny.toml"
    sizes = {"segmentation_train": 4, "segmentation_val": 4, "weak_train": 6, "weak_heldout": 6}
    profile.write_text("[data]\n" + "".join(f"{key} = {value}\n" for key, value in sizes.items()))
    return open_run(profile, tmp_path / "run")


def test_a_table_escapes_and_keeps_its_shape():
    shown = notebook.table(["a", "b"], [["<x>", 12345]], "A & B.")
    assert "&lt;x&gt;" in shown.html and "12,345" in shown.html and "A &amp; B." in shown.html
    with pytest.raises(LsegreproError, match="2 cells"):
        notebook.table(["a", "b"], [["x"]], "")


@pytest.mark.parametrize("column, right", [
    (("12.5", "3 of 4", "–", ""), True),
    (("25.0 [20.0, 30.0]", "-3.1 %", "1,204"), True),
    (("3cde0ffdf497", "189c87314b591254"), False),
    (("0.5 chance of a mirror image", "up to ±10 degrees"), False),
    (("2 of 4 for, 1 against", "0"), False),
    ((100_000, "not stated"), False),
    (("", ""), False),
])  # fmt: skip
def test_columns_of_numbers_stand_to_the_right_and_all_others_do_not(column, right):
    cells = notebook.table(["", "b"], [["1", value] for value in column], "").html
    assert cells.count('class="number"') == (len(column) + 1 if right else 0)  # its heading too


def test_numbers_that_are_not_there_are_dashes():
    nan = float("nan")
    assert notebook.percent(nan) == notebook.between(Interval(nan, nan, nan)) == "–"
    assert notebook.between(Interval(0.5, nan, nan)) == "50.0"


def test_provenance_of_a_run_with_nothing_in_it(run):
    text = notebook.provenance(run).text
    assert "profile tiny" in text and "0 of" in text and str(run.folder) not in text


def test_a_drawn_picture_may_always_be_shown(run):
    for stand_in in (False, True):
        example = notebook.example(run, "dog", stand_in)
        assert example.image.shape[:2] == example.mask.shape and "this run" in example.source


def test_without_its_photographs_the_free_cat_stands_in(tmp_path):
    run = open_run("local", tmp_path, data=tmp_path / "nowhere")
    example = notebook.example(run, "cat")
    assert example.image.shape == (300, 451, 3) and "free cat" in example.source


def test_figures_say_what_they_show():
    picture = np.zeros((4, 6, 3), np.uint8)
    assert notebook.sheet([picture] * 3, ["a", "b", "c"], "Three.", 2).alt == "Three."
    assert notebook.lines([0, 1], {"LSE1, found": [0, 1]}, title="t", xlabel="x", alt="One.").alt == "One."
    with pytest.raises(LsegreproError, match="titles"):
        notebook.sheet([], [], "None.")
