"""Figures carry the data they were given, say what they show, and become small, self-contained pages."""

import base64
import io
import json
import re
import subprocess
import sys
import warnings
from html.parser import HTMLParser

import numpy as np
import pytest
from conftest import ROOT
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from lsegrepro import LsegreproError, evaluation, figures, paper
from lsegrepro.evaluation import Interval, TableRow
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


def content(shown):
    """Media type and bytes of the image in a shown figure."""
    kind, text = re.search(r'src="data:([^;]+);base64,([^"]+)"', shown.html).groups()
    return kind, base64.b64decode(text)


def drawn(figure):
    """What a page gets, checked: alternative text, a size, few bytes."""
    assert isinstance(figure, Figure) and figure.alt.strip() and "nan" not in figure.alt
    shown = display.show(figure)
    assert len(shown.html) < 4 / 3 * display.LARGEST + 3000
    assert 'alt="' in shown.html and "http" not in shown.html
    return content(shown)


# Views


def test_bounds_are_those_of_the_tanh():
    assert paper.CEILING == pytest.approx(np.e / (np.e + 1 / np.e))
    assert round(paper.CEILING, 4) == 0.8808 and round(paper.LOSS_FLOOR, 4) == 0.1269
    assert pytest.approx(np.log(2)) == paper.LOSS_START


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
    assert (shown[10, 15:50] == overlays.GREEN).all()
    inner = np.s_[11:29, 16:49]
    assert np.abs(shown[inner] - (picture[inner] / 2 + np.array(overlays.GREEN) / 2)).max() <= 1
    with pytest.raises(LsegreproError, match="agree in size"):
        overlays.overlay(picture, mask[1:])


def test_outline_is_where_the_mask_meets_its_outside():
    mask = np.zeros((6, 6), bool)
    mask[1:5, 1:5] = True
    assert overlays.outline(mask).sum() == 12 and not overlays.outline(mask)[2:4, 2:4].any()
    assert not overlays.outline(~mask)[0, 0] and overlays.outline(~mask)[0, 1]


def test_models_are_told_apart_without_colour():
    shapes = [display.model_style(model)[1] for model in paper.TABLE_2]
    assert len(set(shapes)) == 4 and display.model_style("other") == (display.INK, "o")


# Pages


def test_a_figure_needs_alternative_text():
    with pytest.raises(LsegreproError, match="alternative text"):
        display.show(Figure())


def test_alternative_text_and_caption_are_escaped():
    shown = display.show(Figure(), alt='p > "θ"', caption="a < b")
    assert 'alt="p &gt; &quot;θ&quot;"' in shown.html and "<figcaption>a &lt; b</figcaption>" in shown.html
    assert repr(shown) == 'figure: p > "θ"' and shown._repr_html_().endswith(shown.html)


def test_drawings_are_svg_with_text_and_the_same_bytes_again(curve):
    figures_ = [sweep.figure_5([sweep.ThetaLine.of("LSE1", "cat", curve)]) for _ in range(2)]
    (kind, first), (_, second) = map(drawn, figures_)
    assert kind == "image/svg+xml" and first == second
    assert b"ceiling 0.8808" in first and b"<text" in first and b"DejaVu Sans" in first


def test_a_drawing_that_is_too_large_becomes_pixels(monkeypatch, curve):
    monkeypatch.setattr(display, "LARGEST", 30_000)
    kind, content = display.encode(sweep.figure_5([sweep.ThetaLine.of("LSE1", "cat", curve)]))
    assert kind == "image/webp" and len(content) <= 30_000


def test_the_users_own_style_changes_nothing(curve):
    import matplotlib

    line = sweep.ThetaLine.of("LSE1", "cat", curve)
    plain = drawn(sweep.figure_5([line]))
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "black", "svg.fonttype": "path"}):
        assert drawn(sweep.figure_5([line])) == plain
        assert matplotlib.rcParams["font.size"] == 30


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
    raw, theta = prob_u16 > 0.5 * 65535, evaluation.threshold(0.5)
    assert (panels[2][..., 0] == 255 * raw).all()
    voted = np.array([raw[labels == k].mean() > 0.5 for k in range(labels.max() + 1)])[labels]
    assert (panels[5] == overlays.overlay(picture, voted)).all() and 0 < voted.mean() < 1
    from lsegrepro.evidence.superpixels import smooth

    assert (voted == (smooth(prob_u16, labels.astype(np.int32)) > theta)).all()
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
        assert any(list(line.get_xdata()) == [paper.THETA[cls]] * 2 for line in axes.lines)
    assert cat.get_ylim()[0] == 0 and cat.get_ylim()[1] > 100 * best[1]
    assert "AP" in cat.get_ylabel() and cat.get_xlabel() == "θ"
    assert f"at most {100 * best[1]:.1f} %" in figure.alt
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert {"LSE1", "max2", "smoothed", "raw", "θ chosen on train", "best on val (oracle)"} <= set(labels)


def test_figure_5_stays_small_at_the_largest_number_of_steps(rng):
    prob_u16 = np.arange(7812, 57724)
    many = evaluation.curve(prob_u16, rng.integers(0, 9, len(prob_u16)), rng.integers(0, 90, len(prob_u16)))
    lines = [sweep.ThetaLine.of(model, cls, many) for model in paper.TABLE_2 for cls in paper.CLASSES]
    kind, content = drawn(sweep.figure_5(lines))
    assert kind == "image/svg+xml" and len(many.thetas) > 49_000 and len(content) < display.LARGEST


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
    assert len(charts.gradient_weights(scores, weights).axes) == 3


def test_tempered_family_goes_from_the_mean_to_the_maximum():
    x, r = np.array([-0.5, 0.1, 0.8, 0.8]), np.geomspace(0.01, 100, 30)
    values = {"with 1/N": np.array([np.log(np.mean(np.exp(t * x))) / t for t in r]),
              "without": np.array([np.log(np.sum(np.exp(t * x))) / t for t in r])}
    weights = np.array([np.exp(t * x) / np.exp(t * x).sum() for t in r])
    figure = charts.tempered_family(r, values, weights, x.mean(), x.max())
    drawn(figure)
    left, right = figure.axes
    assert np.array_equal(left.lines[0].get_ydata(), values["with 1/N"])
    assert left.get_xscale() == "log" and left.get_ylim()[1] > values["without"][r >= 1].max()
    assert sum(to_hex(line.get_color()) == display.VERMILLION.lower() for line in right.lines) == 2


def test_training_curves():
    rows = [{"step": k, "samples": 2000 * k, "loss": 0.69 - 0.01 * k} for k in range(1, 9)]
    rows[3] |= {"heldout_loss": 0.66, "heldout_accuracy": 0.6}
    rows[7] |= {"heldout_loss": 0.65, "heldout_accuracy": 0.7}
    figure = charts.training_curves({"LSE1": rows, "LSE1 round 2": rows, "max1": rows[:1]})
    drawn(figure)
    left, right = figure.axes
    assert left.lines[0].get_xdata().tolist() == [row["samples"] for row in rows]
    assert left.lines[0].get_ydata().tolist() == [row["loss"] for row in rows]
    levels = [line.get_ydata()[0] for line in left.lines if list(line.get_xdata()) == [0, 1]]
    assert paper.LOSS_FLOOR in levels and paper.LOSS_START in levels and left.get_ylim()[0] == 0
    assert right.lines[0].get_ydata() == pytest.approx([60, 70])
    colours = [line.get_color() for line in left.lines[::2][:3]]
    assert len(set(colours)) == 3 and "70.0 %" in figure.alt


# Table 2


class Cells(HTMLParser):
    """Rows of a table as lists of (tag, text, attributes of what it holds)."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.open = [], None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append([tag, "", dict(attributes)])
            self.open = self.rows[-1][-1]
        elif self.open:
            self.open[2] |= dict(attributes)

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.open = None

    def handle_data(self, data):
        if self.open:
            self.open[1] += data


def test_table_2_has_the_papers_numbers_and_ours(rows):
    shown = tables.table_2_html(rows, "On 886 of 1,449 <val> images.")
    table = Cells(shown.html)
    assert "<caption>On 886 of 1,449 &lt;val&gt; images." in shown.html and "http" not in shown.html
    head, *body = table.rows
    assert [text for _, text, _ in head[1:]] == [f"{cls} {name}" for cls in paper.CLASSES
                                                 for name in ("foreground", "background", "AP")]
    assert all(cell[2]["scope"] == "col" for cell in head[1:]) and all(row[0][2] == {"scope": "row"} for row in body)
    lines = {row[0][1]: [text for _, text, _ in row[1:]] for row in body}
    assert list(lines) == [f"{model}, {who}" for model in paper.TABLE_2 for who in ("paper", "here")] + [
        "all foreground"]
    for model, printed in paper.TABLE_2.items():
        assert lines[f"{model}, paper"] == [f"{getattr(printed[cls], field):.2f}" for cls in paper.CLASSES
                                            for field in tables.METRICS]
    assert lines["LSE1, here"] == ["45.00[40.0, 50.0]", "97.00[96.0, 98.0]", "20.00[17.0, 24.0]", "—", "—",
                                   "10.00[7.0, 14.0]"]
    assert lines["all foreground"][:3] == ["100.00", "—", "3.00"]
    reasons = {row[0][1]: [cell[2].get("aria-label") for cell in row[1:]] for row in body}
    assert reasons["max2, here"] == ["not run in this profile"] * 6
    assert reasons["LSE1, here"] == [None] * 3 + ["undefined"] * 2 + [None]


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
    assert "13.0 [12.0, 15.0] at 1 (LSE), 8.0 [7.0, 10.0] at ∞ (max). dog:" in figure.alt
    for none in ({}, {"cat": {}}):
        with pytest.raises(LsegreproError, match="for each class"):
            temperature_curve(none, {})


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
