"""Figures carry the data they were given, say what they show, and become small, self-contained pages."""

import base64
import io
import re
import subprocess
import sys
import warnings

import matplotlib
import numpy as np
import pytest
from conftest import refused
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from lsegrepro import evaluation, paper
from lsegrepro.evaluation import Difference, Interval, TableRow
from lsegrepro.evidence.superpixels import smooth
from lsegrepro.figures import charts, overlays, pictures, style
from lsegrepro.figures.forest import forest, table_2_dots


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.fixture
def picture(rng):
    return rng.integers(0, 256, (40, 60, 3)).astype(np.uint8)


@pytest.fixture
def prob_u16(rng):
    return rng.integers(7812, 57724, (40, 60)).astype(np.uint16)


def drawn(figure):
    """Media type and bytes of a figure on a page, checked: alternative text, a size, few bytes."""
    assert isinstance(figure, Figure) and figure.alt.strip() and "nan" not in figure.alt
    page = style.show(figure).html
    assert len(page) < 500_000 and 'alt="' in page and "http" not in page
    kind, text = re.search(r'src="data:([^;]+);base64,([^"]+)"', page).groups()
    return kind, base64.b64decode(text)


def dots(axes):
    """Places of the markers of one point in a panel."""
    return [tuple(line.get_xydata()[0].round(6)) for line in axes.lines if len(line.get_xdata()) == 1]


def band(axes, along):
    """Ends of the one band in a panel, along x or y."""
    (patch,) = axes.patches
    extents = patch.get_extents().transformed(axes.transData.inverted())
    return extents.intervalx if along == "x" else extents.intervaly


# Views


def test_heat_spans_the_possible_range_and_grows_lighter():
    ends = np.array([[0, paper.FLOOR, paper.CEILING, 1]]) * 65535
    assert (overlays.heat(ends.astype(np.uint16))[0] == overlays.heat_table()[[0, 0, 255, 255]]).all()
    lightness = overlays.heat_table() @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(lightness) > -1).all() and lightness[-1] > 230


def test_overlay_leaves_the_background_alone(picture):
    mask = np.zeros((40, 60), bool)
    mask[10:30, 15:50] = True
    shown = overlays.overlay(picture, mask)
    assert (shown[~mask] == picture[~mask]).all()
    edge = overlays.outline(mask)
    assert edge.sum() == 2 * (20 + 35) - 4 and (shown[edge] == overlays.GREEN).all()
    inner = np.s_[11:29, 16:49]
    assert np.abs(shown[inner] - (picture[inner] / 2 + np.array(overlays.GREEN) / 2)).max() <= 1


# Pages


def test_a_figure_needs_alternative_text_and_escapes_it():
    figure = Figure()
    refused(lambda: style.show(figure), "alternative text")
    figure.alt = 'p > "θ"'
    shown = style.show(figure, "a < b")
    assert 'alt="p &gt; &quot;θ&quot;"' in shown.html and "<figcaption>a &lt; b</figcaption>" in shown.html
    assert repr(shown) == 'figure: p > "θ"' and shown._repr_html_().endswith(shown.html)


def test_drawings_are_svg_with_text_and_the_same_bytes_whatever_the_users_style():
    rows = [Difference("a − b", "cat", Interval(0.1, 0, 0.2))]
    kind, first = drawn(forest(rows))
    assert kind == "image/svg+xml" and b"<text" in first and b"DejaVu Sans" in first
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "black", "svg.fonttype": "path"}):
        assert drawn(forest(rows)) == (kind, first) and matplotlib.rcParams["font.size"] == 30


def test_no_matplotlib_behind_a_segmentation():
    """Which is all that a bare machine is asked for."""
    program = "import sys; sys.modules['matplotlib'] = None; import lsegrepro.runs.segment"
    subprocess.run([sys.executable, "-c", program], check=True)


# Figures of the paper


@pytest.mark.parametrize("n", [2, 3])
def test_figure_2_shows_the_patches_that_were_cut(n, rng):
    image = rng.integers(0, 256, (30, 30, 3)).astype(np.uint8)
    side, size = 30 // n, 30 // n - 3
    cells = [(i * side, j * side, side, side) for i in range(n) for j in range(n)]
    corners = np.array(cells)[:, :2] + rng.integers(0, 4, (n * n, 2))
    figure = pictures.figure_2(image, cells, corners, size, np.pad(image, ((0, 0), (5, 5), (0, 0))))
    assert drawn(figure)[0] == "image/webp"
    sheet = figure.axes[2].images[0].get_array()
    for k, (top, left) in enumerate(corners):
        y, x = (step * (size + 2) for step in divmod(k, n))
        assert (sheet[y : y + size, x : x + size] == image[top : top + size, left : left + size]).all()
    orange = [p for p in figure.axes[1].patches if to_hex(p.get_edgecolor()) == style.VERMILLION.lower()]
    assert sorted((p.get_y() + 0.5, p.get_x() + 0.5) for p in orange) == sorted(map(tuple, corners.tolist()))


def test_figure_4_takes_the_majority(picture, prob_u16):
    labels = np.arange(40 * 60).reshape(40, 60) // 7
    figure = pictures.figure_4(picture, prob_u16, labels, 0.5, "cat")
    kind, content = drawn(figure)
    panels = [axes.images[0].get_array() for axes in figure.axes[:6]]
    raw = prob_u16 > 0.5 * 65535
    assert (panels[2][..., 0] == 255 * raw).all()
    voted = np.array([raw[labels == k].mean() > 0.5 for k in range(labels.max() + 1)])[labels]
    assert (panels[5] == overlays.overlay(picture, voted)).all() and 0 < voted.mean() < 1
    assert (voted == (smooth(prob_u16, labels.astype(np.int32)) > evaluation.threshold(0.5))).all()
    assert figure.axes[6].get_ylim() == (paper.FLOOR, paper.CEILING)
    assert kind == "image/webp" and Image.open(io.BytesIO(content)).width == round(192 * style.WIDTH)


def test_figure_6_has_a_column_an_image(picture, prob_u16):
    mask = prob_u16 > 40000
    results = {"one": (picture, prob_u16, mask), "two": (picture[:, :30], prob_u16[:, :30], mask[:, :30])}
    figure = pictures.figure_6(results, "dog")
    drawn(figure)
    first = picture, overlays.heat(prob_u16), overlays.overlay(picture, mask)
    shown = [axes.images[0].get_array() for axes in figure.axes[:6:2]]
    assert all((given == seen).all() for given, seen in zip(first, shown, strict=True))
    assert "dog" in figure.alt and figure.axes[0].get_title(loc="center") == "one"


def test_figure_5_draws_exactly_the_curve(rng):
    prob_u16, keys = rng.integers(7812, 57724, 3000), [("LSE1", "cat", 2, 0), ("max2", "dog", 2, 0)]
    curve = evaluation.curve(prob_u16, rng.integers(0, 50, 3000) * (prob_u16 > 30000), rng.integers(0, 90, 3000))
    theta, ap = curve.best()
    figure = charts.figure_5(*(dict.fromkeys(keys, value) for value in (curve, 0.5, theta)))
    _, content = drawn(figure)
    assert b"ceiling 0.8808" in content
    cat, dog = figure.axes
    line = cat.lines[0]
    assert np.array_equal(line.get_xdata(), curve.thetas) and np.array_equal(line.get_ydata(), 100 * curve.ap)
    assert line.get_drawstyle() == "steps-post"
    for at in (0.0, 0.123, 0.5, 0.77, 0.88):  # the step drawn at any theta is the AP counted there
        step = np.searchsorted(line.get_xdata(), at, side="right") - 1
        assert line.get_ydata()[step] == 100 * evaluation.ap(curve.at(at))
    expected = np.array([(0.5, 100 * evaluation.ap(curve.at(0.5))), (theta, 100 * ap)])
    assert np.array(dots(cat)) == pytest.approx(expected, abs=1e-6)
    assert cat.lines[2].get_markerfacecolor() == "white" != cat.lines[1].get_markerfacecolor()
    for axes, cls in ((cat, "cat"), (dog, "dog")):
        bands = [(patch.get_x(), patch.get_x() + patch.get_width()) for patch in axes.patches]
        assert bands == [(0, paper.FLOOR), (paper.CEILING, 1)] and axes.get_xlim()[1] > paper.CEILING
        assert any(list(line.get_xdata()) == [paper.THETA[cls]] * 2 for line in axes.lines)
    assert cat.get_ylim()[0] == 0 and cat.get_ylim()[1] > 100 * ap
    assert f"cat, LSE1: at most {100 * ap:.1f} %" in figure.alt
    assert {"LSE1", "max2", "θ chosen on train"} <= {text.get_text() for text in figure.legends[0].get_texts()}


# Charts


def test_gradient_weights_show_the_numbers_given(rng):
    scores = rng.uniform(-1, 1, 9)
    weights = {"mean": np.full(9, 1 / 9), "max": (scores == scores.max()).astype(float)}
    figure = charts.gradient_weights(scores, weights, rng.integers(0, 256, (9, 5, 5, 3)).astype(np.uint8))
    drawn(figure)
    heights = [[bar.get_height() for bar in axes.patches] for axes in figure.axes[1:]]
    assert heights == [scores.tolist(), weights["mean"].tolist(), weights["max"].tolist()]
    assert "max gives the best patch 100 %" in figure.alt


def test_tempered_family_goes_from_the_mean_to_the_maximum():
    x = np.array([-0.5, 0.1, 0.8, 0.8])
    figure = charts.tempered_family(x)
    drawn(figure)
    left, right = figure.axes
    for t, value in left.lines[0].get_xydata()[::40]:
        assert value == pytest.approx(np.log(np.mean(np.exp(t * x))) / t)
    best = [line for line in right.lines if to_hex(line.get_color()) == style.VERMILLION.lower()]
    assert len(best) == 2 and left.get_xscale() == "log"
    for t, weight in best[0].get_xydata()[::40]:
        assert weight == pytest.approx(np.exp(t * 0.8) / np.exp(t * x).sum())


def test_training_curves():
    rows = [{"samples": 2000 * k, "loss": 0.69 - 0.01 * k} for k in range(1, 9)]
    rows[3] |= {"heldout_loss": 0.66, "heldout_accuracy": 0.6}
    rows[7] |= {"heldout_loss": 0.65, "heldout_accuracy": 0.7}
    figure = charts.training_curves({"LSE1 cat": rows, "max1 cat": rows[:1]}, {"plateau": 0.5})
    drawn(figure)
    left, right = figure.axes
    assert left.lines[0].get_xydata().tolist() == [[row["samples"], row["loss"]] for row in rows]
    levels = {line.get_ydata()[0] for line in left.lines if list(line.get_xdata()) == [0, 1]}
    assert levels == {paper.LOSS_FLOOR, paper.LOSS_START, 0.5} and left.get_ylim()[0] < 0.5
    assert right.lines[0].get_ydata() == pytest.approx([60, 70])
    assert [line.get_color() for line in left.lines[:4:2]] == [style.BLUE, style.VERMILLION]
    assert "70.0 %" in figure.alt and "plateau 0.500" in figure.alt


def test_a_curve_over_r_goes_from_the_mean_to_the_maximum():
    points = {np.inf: Interval(0.08, 0.07, 0.1), 0.0: Interval(0.12, 0.11, 0.13), 1.0: Interval(0.13, 0.12, 0.15)}
    aps = {"cat": points, "dog": {0.25: Interval(0.1, 0.1, 0.1)}}
    figure = charts.temperature_curve(aps, {"cat": -0.01, "dog": 0.01})
    drawn(figure)
    cat, dog = figure.axes
    assert [label.get_text() for label in cat.get_xticklabels()] == ["0\nmean", "1\nLSE", "∞\nmax"]
    assert [label.get_text() for label in dog.get_xticklabels()] == ["1/4"]
    assert cat.lines[0].get_ydata() == pytest.approx([12, 13, 8])
    assert not dog.patches and band(cat, "y") == pytest.approx([12, 14])  # of dogs there is nothing to lay it about
    assert "13.0 [12.0, 15.0] at 1, the LSE, 8.0 [7.0, 10.0] at ∞, the max. dog:" in figure.alt


# Forest plots


def test_differences_stand_in_a_panel_of_their_class_beside_the_paper_and_what_chance_does():
    rows = [Difference("no jitter", "cat", Interval(-0.02, -0.03, -0.01), 0.1),
            Difference("no tanh", "cat", Interval(0.01, 0, 0.02)),
            Difference("no tanh", "dog", Interval(0.03, 0.01, 0.05))]
    figure = forest(rows, chance={"cat": -0.005})
    drawn(figure)
    cat, dog = figure.axes
    assert dots(cat) == [(-2, 0), (10, 0), (1, 1)] and dots(dog) == [(3, 1)]
    assert not dog.patches and band(cat, "x") == pytest.approx([-0.5, 0.5])
    assert "paper 10.0; no tanh 1.0 [0.0, 2.0]; another seed makes 0.5. Dog," in figure.alt
    assert figure.legends and not forest(rows[1:]).legends


def test_table_2_stands_at_its_numbers():
    rows = [TableRow("LSE1", "cat", Interval(0.45, 0.4, 0.5), Interval(0.97, 0.96, 0.98), Interval(0.2, 0.17, 0.24)),
            TableRow("LSE1", "dog", None, None, Interval(0.1, 0.07, 0.14)),
            TableRow("max2", "dog", Interval(0.69, 0.01, 0.87), None, None)]
    figure = table_2_dots(rows, {"cat": 0.038})
    drawn(figure)
    cat, _, _, dog, *_ = figure.axes
    assert {(row["cat"].ap, y) for y, row in enumerate(paper.TABLE_2.values())} | {(20.0, 1)} == set(dots(cat))
    bars = [list(line.get_xdata()) for line in cat.lines if len(line.get_xdata()) == 2]
    assert any(bar == pytest.approx([17, 24]) for bar in bars) and [3.8, 3.8] in bars
    assert "LSE1 20.0 [17.0, 24.0], paper 34.4" in figure.alt
    assert dog.get_xlim()[0] == 0 and dog.get_xlim()[1] > 87  # of its row, the only panel with so much
    drawn(table_2_dots([], {}))
