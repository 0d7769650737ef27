"""Helpers of the notebooks: tables, numbers as text, and which picture may be shown."""

import numpy as np
import pytest

from lsegrepro.book import notebook
from lsegrepro.evaluation import Interval
from lsegrepro.figures.style import between
from lsegrepro.runs.folder import open_run


def test_a_table_escapes_and_keeps_its_shape():
    shown = notebook.table(["a", "b"], [["<x>", 12345]], "A & B.")
    assert "&lt;x&gt;" in shown.html and "12,345" in shown.html and "A &amp; B." in shown.html
    with pytest.raises(ValueError):
        notebook.table(["a", "b"], [["x"]], "")


@pytest.mark.parametrize("column, right", [
    (("12.5", "3 of 4", "–", ""), True),
    (("25.0 [20.0, 30.0]", "-3.1 %", "1,204"), True),
    (("3cde0ffdf497", "189c87314b591254"), False),
    (("2 of 4 for, 1 against", "0"), False),
    ((100_000, "not stated"), False),
    (("", ""), False),
])  # fmt: skip
def test_columns_of_numbers_stand_to_the_right_and_all_others_do_not(column, right):
    cells = notebook.table(["", "b"], [["1", value] for value in column], "").html
    assert cells.count('class="number"') == (len(column) + 1 if right else 0)  # its heading too


def test_numbers_that_are_not_there_are_dashes():
    nan = float("nan")
    assert notebook.percent(nan) == between(Interval(nan, nan, nan)) == between(None) == "–"


def test_a_run_with_nothing_in_it_has_a_provenance_and_drawn_pictures(tmp_path):
    run = open_run("quick", tmp_path)
    text = notebook.provenance(run).text
    assert "profile quick" in text and "0 of" in text and str(run.folder) not in text
    for stand_in in (False, True):
        example = notebook.example(run, "dog", stand_in)
        assert example.image.shape[:2] == example.mask.shape and "this run" in example.source


def test_without_its_photographs_the_free_cat_stands_in(tmp_path):
    example = notebook.example(open_run("local", tmp_path, data=tmp_path / "nowhere"), "cat")
    assert example.image.shape == (300, 451, 3) and "free cat" in example.source


def test_filters_and_pictures_are_laid_out_in_rows():
    filters = np.linspace(-1, 1, 3 * 3 * 4).reshape(3, 3, 2, 2)
    page = notebook.mosaic(filters)
    assert page.shape == (16, 114, 3) and page[2, 2].tolist() == [0, 29, 58]
    assert (page[:2] == 255).all() and (page[:, 44:] == 255).all()
    figure = notebook.sheet([page] * 3, ["a", "b", "c"], "Three.", 2)
    assert figure.alt == "Three." and [axes.get_title("left") for axes in figure.axes] == ["a", "b", "c"]
