"""Figures carry the data they were given, say what they show, and become small, self-contained pages."""

import base64
import io
import json
import re
import subprocess
import sys
import warnings

import matplotlib
import numpy as np
import pytest
from conftest import ROOT
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from lsegrepro import LsegreproError, evaluation, figures, paper
from lsegrepro.evaluation import Interval, TableRow
from lsegrepro.evidence.superpixels import smooth
from lsegrepro.figures import charts, effects, overlays, speed, sweep, tables, temperature_curve
from lsegrepro.figures import style as display


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


@pytest.fixture
def curve(rng):
    prob_u16 = rng.integers(7812, 57724, 3000)
    return evaluation.curve(prob_u16, rng.integers(0, 50, 3000) * (prob_u16 > 30000), rng.integers(0, 90, 3000))


@pytest.fixture
def rows():
    return [
        TableRow("LSE1", "cat", Interval(0.45, 0.4, 0.5), Interval(0.97, 0.96, 0.98), Interval(0.2, 0.17, 0.24)),
        TableRow("LSE1", "dog", None, None, Interval(0.1, 0.07, 0.14)),
        TableRow("all foreground", "cat", Interval(1, np.nan, np.nan), None, Interval(0.03, np.nan, np.nan)),
    ]


def drawn(figure):
    """Media type and bytes of a figure on a page, checked: alternative text, a size, few bytes."""
    assert isinstance(figure, Figure) and figure.alt.strip() and "nan" not in figure.alt
    page = display.show(figure).html
    assert len(page) < 4 / 3 * display.LARGEST + 3000 and 'alt="' in page and "http" not in page
    kind, text = re.search(r'src="data:([^;]+);base64,([^"]+)"', page).groups()
    return kind, base64.b64decode(text)


# Views


def test_heat_spans_the_possible_range_and_grows_lighter():
    ends = np.array([[paper.FLOOR, paper.CEILING]]) * 65535
    assert overlays.heat(ends.astype(np.uint16)).tolist() == [overlays.heat_table()[[0, 255]].tolist()]
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
    with pytest.raises(LsegreproError, match="agree in size"):
        overlays.overlay(picture, mask[1:])


def test_models_are_told_apart_without_colour():
    shapes = [display.model_style(model)[1] for model in paper.TABLE_2]
    assert len(set(shapes)) == 4 and display.model_style("other") == (display.INK, "o")


# Pages


def test_a_figure_needs_alternative_text_and_escapes_it():
    with pytest.raises(LsegreproError, match="alternative text"):
        display.show(Figure())
    shown = display.show(Figure(), alt='p > "θ"', caption="a < b")
    assert 'alt="p &gt; &quot;θ&quot;"' in shown.html and "<figcaption>a &lt; b</figcaption>" in shown.html
    assert repr(shown) == 'figure: p > "θ"' and shown._repr_html_().endswith(shown.html)


def test_drawings_are_svg_with_text_and_the_same_bytes_whatever_the_users_style(curve):
    line = sweep.ThetaLine.of("LSE1", "cat", curve)
    kind, first = drawn(sweep.figure_5([line]))
    assert kind == "image/svg+xml" and b"ceiling 0.8808" in first and b"<text" in first and b"DejaVu Sans" in first
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "black", "svg.fonttype": "path"}):
        assert drawn(sweep.figure_5([line])) == (kind, first) and matplotlib.rcParams["font.size"] == 30


def test_a_drawing_that_is_too_large_becomes_pixels(monkeypatch, curve):
    monkeypatch.setattr(display, "LARGEST", 30_000)
    kind, content = display.encode(sweep.figure_5([sweep.ThetaLine.of("LSE1", "cat", curve)]))
    assert kind == "image/webp" and len(content) <= 30_000


# Figures 2, 4, 6


@pytest.mark.parametrize("n", [2, 3])
def test_figure_2_shows_the_patches_that_were_cut(n, rng):
    image = rng.integers(0, 256, (30, 30, 3)).astype(np.uint8)
    side, size = 30 // n, 30 // n - 3
    cells = [(i * side, j * side, side, side) for i in range(n) for j in range(n)]
    corners = np.array(cells)[:, :2] + rng.integers(0, 4, (n * n, 2))
    figure = figures.figure_2(image, cells, corners, size, original=np.pad(image, ((0, 0), (5, 5), (0, 0))))
    kind, _ = drawn(figure)
    assert kind == "image/webp" and len(figure.axes) == 3
    sheet = figure.axes[2].images[0].get_array()
    gap = max(2, size // 16)
    for k, (top, left) in enumerate(corners):
        y, x = (step * (size + gap) for step in divmod(k, n))
        assert (sheet[y : y + size, x : x + size] == image[top : top + size, left : left + size]).all()
    orange = [p for p in figure.axes[1].patches if to_hex(p.get_edgecolor()) == display.VERMILLION.lower()]
    assert sorted((p.get_y() + 0.5, p.get_x() + 0.5) for p in orange) == sorted(map(tuple, corners.tolist()))
    with pytest.raises(LsegreproError, match="corners"):
        figures.figure_2(image, cells, corners[1:], size)


def test_figure_4_takes_the_majority(picture, prob_u16):
    labels = np.arange(40 * 60).reshape(40, 60) // 7
    figure = figures.figure_4(picture, prob_u16, labels, 0.5)
    kind, content = drawn(figure)
    panels = [axes.images[0].get_array() for axes in figure.axes[:6]]
    raw = prob_u16 > 0.5 * 65535
    assert (panels[2][..., 0] == 255 * raw).all()
    voted = np.array([raw[labels == k].mean() > 0.5 for k in range(labels.max() + 1)])[labels]
    assert (panels[5] == overlays.overlay(picture, voted)).all() and 0 < voted.mean() < 1
    assert (voted == (smooth(prob_u16, labels.astype(np.int32)) > evaluation.threshold(0.5))).all()
    assert "θ = 0.5" in [label.get_text() for label in figure.axes[6].get_yticklabels()]
    assert figure.axes[6].get_ylim() == (paper.FLOOR, paper.CEILING)
    assert kind == "image/webp" and Image.open(io.BytesIO(content)).width == round(192 * display.WIDTH)


def test_figure_6_has_a_column_an_image(picture, prob_u16):
    mask = prob_u16 > 40000
    results = [figures.Figure6Column(picture, prob_u16, mask, "one\nIoU 0.1"),
               figures.Figure6Column(picture[:, :30], prob_u16[:, :30], mask[:, :30])]
    figure = figures.figure_6(results, "dog")
    drawn(figure)
    shown = [axes.images[0].get_array() for axes in figure.axes[:6]]
    first = (picture, overlays.heat(prob_u16), overlays.overlay(picture, mask))
    for given, seen in zip(first, shown[::2], strict=True):
        assert (given == seen).all()
    assert "dog" in figure.alt and figure.axes[0].get_title(loc="center") == "one\nIoU 0.1"
    with pytest.raises(LsegreproError, match="at least one"):
        figures.figure_6([])


# Figure 5


def test_figure_5_draws_exactly_the_curve(curve):
    thetas = np.arange(200) / 200
    raw = sweep.ThetaLine("LSE1", "cat", thetas, evaluation.ap(curve.at_many(thetas)), False)
    smoothed = sweep.ThetaLine.of("LSE1", "cat", curve)
    best = curve.best()
    marks = [sweep.ThetaMark("LSE1", "cat", 0.5, curve.at(0.5).ap),
             sweep.ThetaMark("LSE1", "cat", *best, oracle=True)]
    figure = sweep.figure_5([smoothed, raw, sweep.ThetaLine.of("max2", "dog", curve)], marks)
    drawn(figure)
    cat, dog = figure.axes
    line, dashed = cat.lines[:2]
    assert np.array_equal(line.get_xdata(), curve.thetas)
    assert np.array_equal(line.get_ydata(), 100 * curve.ap)
    assert line.get_drawstyle() == "steps-post" and line.get_linestyle() == "-"
    assert np.array_equal(dashed.get_ydata(), 100 * raw.ap) and dashed.get_drawstyle() == "steps-post"
    assert dashed.get_linestyle() != "-"
    # The step drawn at any theta is the AP counted there.
    for theta in (0.0, 0.123, 0.5, 0.77, 0.88):
        step = np.searchsorted(line.get_xdata(), theta, side="right") - 1
        assert line.get_ydata()[step] == 100 * curve.at(theta).ap
    places = [tuple(mark.get_xydata()[0]) for mark in cat.lines[2:4]]
    assert places == [(0.5, 100 * marks[0].ap), (best[0], 100 * best[1])]
    assert cat.lines[3].get_markerfacecolor() == "white" != cat.lines[2].get_markerfacecolor()
    for axes, cls in ((cat, "cat"), (dog, "dog")):
        assert axes.get_xlim()[0] == 0 and axes.get_xlim()[1] > paper.CEILING
        bands = [(band.get_x(), band.get_x() + band.get_width()) for band in axes.patches]
        assert bands == [(0, paper.FLOOR), (paper.CEILING, 1)]
        assert any(list(line.get_xdata()) == [paper.THETA[cls]] * 2 for line in axes.lines)
    assert cat.get_ylim()[0] == 0 and cat.get_ylim()[1] > 100 * best[1]
    assert f"at most {100 * best[1]:.1f} %" in figure.alt
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert {"LSE1", "max2", "smoothed", "raw", "θ chosen on train", "best on val (oracle)"} <= set(labels)


def test_figure_5_of_an_undefined_ap():
    nothing = evaluation.Curve(np.array([0]), np.array([[0, 0, 0, 9]]))
    figure = sweep.figure_5([sweep.ThetaLine.of("LSE1", "dog", nothing)])
    display.show(figure)
    assert "undefined" in figure.alt and len(figure.axes) == 1
    with pytest.raises(LsegreproError, match="needs a line"):
        sweep.figure_5([])


# Charts


def test_speed_chart_has_a_bar_for_each_method_of_a_record():
    path = sorted((ROOT / "published" / "bench").glob("*.json"))[0]
    record = json.loads(path.read_text())
    figure = speed.speed_chart(record)
    for axes, (model, measured) in zip(figure.axes, record["models"].items(), strict=True):
        ratios = [way["times_floor"] for way in measured["ways"].values()]
        assert [bar.get_width() for bar in axes.patches] == pytest.approx(ratios)
        assert f"{model}, dilated convolutions: {measured['ways']['dilation']['times_floor']:.3g}" in figure.alt


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
    best = [line for line in right.lines if to_hex(line.get_color()) == display.VERMILLION.lower()]
    assert len(best) == 2 and left.get_xscale() == "log"
    for t, weight in best[0].get_xydata()[::40]:
        assert weight == pytest.approx(np.exp(t * 0.8) / np.exp(t * x).sum())


def test_training_curves():
    rows = [{"step": k, "samples": 2000 * k, "loss": 0.69 - 0.01 * k} for k in range(1, 9)]
    rows[3] |= {"heldout_loss": 0.66, "heldout_accuracy": 0.6}
    rows[7] |= {"heldout_loss": 0.65, "heldout_accuracy": 0.7}
    figure = charts.training_curves({"LSE1 cat": rows, "max1 cat": rows[:1]}, {"plateau": 0.5})
    drawn(figure)
    left, right = figure.axes
    assert left.lines[0].get_xdata().tolist() == [row["samples"] for row in rows]
    assert left.lines[0].get_ydata().tolist() == [row["loss"] for row in rows]
    levels = {line.get_ydata()[0] for line in left.lines if list(line.get_xdata()) == [0, 1]}
    assert levels == {paper.LOSS_FLOOR, paper.LOSS_START, 0.5} and left.get_ylim()[0] < 0.5
    assert right.lines[0].get_ydata() == pytest.approx([60, 70])
    assert [line.get_color() for line in left.lines[:4:2]] == [display.BLUE, display.VERMILLION]
    assert "70.0 %" in figure.alt and "plateau 0.500" in figure.alt


# Table 2


def test_table_2_has_the_papers_numbers_and_ours(rows):
    shown = tables.table_2_html(rows, "On 886 of 1,449 <val> images.").html
    assert "<caption>On 886 of 1,449 &lt;val&gt; images." in shown and "http" not in shown
    lines = {}
    for row in re.findall("<tr.*?</tr>", shown)[1:]:
        name, *cells = (re.sub("<.*?>", "", cell) for cell in re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row))
        lines[name] = cells, re.findall('aria-label="(.*?)"', row)
    assert re.findall('scope="col">(.*?)<', shown) == [
        f"{cls} {name}" for cls in paper.CLASSES for name in ("foreground", "background", "AP")]
    assert list(lines) == [f"{model}, {who}" for model in paper.TABLE_2 for who in ("paper", "here")] + [
        "all foreground"]
    for model, printed in paper.TABLE_2.items():
        assert lines[f"{model}, paper"][0] == [f"{getattr(printed[cls], field):.2f}" for cls in paper.CLASSES
                                               for field in tables.METRICS]
    assert lines["LSE1, here"] == (["45.00[40.0, 50.0]", "97.00[96.0, 98.0]", "20.00[17.0, 24.0]", "—", "—",
                                    "10.00[7.0, 14.0]"], ["undefined"] * 2)
    assert lines["all foreground"][0][:3] == ["100.00", "—", "3.00"]
    assert lines["max2, here"][1] == ["not run in this profile"] * 6


def test_table_2_refuses_what_it_cannot_place(rows):
    with pytest.raises(LsegreproError, match="same model and class"):
        tables.table_2_html([rows[0], rows[0]], "c")
    with pytest.raises(LsegreproError, match="unknown class 'cow'"):
        tables.table_2_dots([TableRow("LSE1", "cow", None, None, None)])
    with pytest.raises(LsegreproError, match="metrics"):
        tables.table_2_dots(rows, ["iou"])


def test_dots_stand_at_the_numbers(rows):
    figure = tables.table_2_dots(rows, ("ap", "foreground"), {"cat": 0.038})
    drawn(figure)
    cat = figure.axes[0]
    dots = [line.get_xydata()[0] for line in cat.lines if len(line.get_xdata()) == 1]
    places = {(round(x, 6), y) for x, y in dots}
    models = [*paper.TABLE_2, "all foreground"]
    for model in paper.TABLE_2:
        assert (paper.TABLE_2[model]["cat"].ap, models.index(model)) in places
    assert (20.0, 1) in places and (3.0, 4) in places
    assert [label.get_text() for label in cat.get_yticklabels()] == models
    bars = [list(line.get_xdata()) for line in cat.lines if len(line.get_xdata()) == 2]
    assert any(bar == pytest.approx([17, 24]) for bar in bars)
    assert "20.0 % [17.0, 24.0]" in figure.alt
    drawn(tables.table_2_dots([]))


def test_the_axis_of_dots_holds_the_second_class_too():
    dog = TableRow("max2", "dog", Interval(0.69, 0.01, 0.87), None, None)
    figure = tables.table_2_dots([dog], ("foreground",))
    drawn(figure)
    low, high = figure.axes[1].get_xlim()
    assert low == 0 and high > 87


def test_no_torch_behind_a_figure():
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "from lsegrepro import figures, explorer\n"
        "assert 'matplotlib.pyplot' not in sys.modules and 'ipywidgets' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_curve_over_r_goes_from_the_mean_to_the_maximum():
    points = {np.inf: Interval(0.08, 0.07, 0.1), 0.0: Interval(0.12, 0.11, 0.13), 1.0: Interval(0.13, 0.12, 0.15)}
    figure = temperature_curve({"cat": points, "dog": {0.25: Interval(0.1, 0.1, 0.1)}}, {"cat": -0.01, "dog": 0.01})
    cat, dog = figure.axes
    assert [label.get_text() for label in cat.get_xticklabels()] == ["0\nmean", "1\nLSE", "∞\nmax"]
    assert [label.get_text() for label in dog.get_xticklabels()] == ["1/4"]
    assert cat.lines[0].get_ydata() == pytest.approx([12, 13, 8])
    (band,), none = cat.patches, dog.patches  # of dogs there is nothing to lay it about
    assert not none and band.get_extents().transformed(cat.transData.inverted()).intervaly == pytest.approx([12, 14])
    assert "13.0 [12.0, 15.0] at 1, the LSE, 8.0 [7.0, 10.0] at ∞, the max. dog:" in figure.alt


def test_effects_stand_in_a_panel_of_their_class_beside_what_chance_does():
    rows = [("no jitter", "cat", Interval(-0.02, -0.03, -0.01)), ("no tanh", "cat", Interval(0.01, 0, 0.02)),
            ("no tanh", "dog", Interval(0.03, 0.01, 0.05))]
    figure = effects(rows, {"cat": -0.005})
    cat, dog = figure.axes
    dots = [[(line.get_xdata()[0], line.get_ydata()[0]) for line in axis.lines if line.get_marker() == "o"]
            for axis in (cat, dog)]
    assert dots == [[(-2, 0), (1, 1)], [(3, 1)]]
    (band,), none = cat.patches, dog.patches
    assert not none and band.get_extents().transformed(cat.transData.inverted()).intervalx == pytest.approx([-0.5, 0.5])
    assert [label.get_text() for label in cat.get_yticklabels()] == ["no jitter", "no tanh"]
    assert "no tanh 1.0 [0.0, 2.0]; another seed makes 0.5. dog:" in figure.alt
    with pytest.raises(LsegreproError, match="at least one"):
        effects([], {})


def test_images_seen_are_drawn_in_the_colours_of_the_models():
    points = [(50_000, Interval(0.1, 0.08, 0.12)), (100_000, Interval(0.12, 0.1, 0.14))]
    series = {"LSE1 cat, this run": points, "LSE1 cat, longer": points, "max1 cat, longer": points}
    figure = figures.images_seen_curve(series, dashed=["LSE1 cat, longer", "max1 cat, longer"])
    drawn(figure)
    lines = [container.lines[0] for container in figure.axes[0].containers]
    assert [line.get_linestyle() for line in lines] == ["-", "--", "--"]
    assert [line.get_color() for line in lines] == [display.model_style(name)[0] for name in ("LSE1", "LSE1", "max1")]
    assert list(lines[0].get_ydata()) == [10, 12]
