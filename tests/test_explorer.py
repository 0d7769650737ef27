"""The theta explorer, live and without a kernel: the same masks and the same AP as the evaluation."""

import base64
import io
import json
import re
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from lsegrepro import LsegreproError, evaluation, explorer, views
from lsegrepro.explorer import Scene, ThetaExplorer, image_counts, masks_at
from lsegrepro.explorer import page as explorer_page
from lsegrepro.superpixels import smooth

CHROMIUM = Path("/usr/bin/chromium")
THETAS = (0.0, 0.3, 0.6, 0.705, 0.881)


def make(height=40, width=60, seed=0):
    """A picture whose probabilities span the possible range, exact multiples of 0.001 among them."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, 3)).astype(np.uint8)
    probabilities = rng.uniform(views.FLOOR, views.CEILING, (height, width)).round(3)
    codes = np.floor(probabilities.clip(None, views.CEILING) * 65535).astype(np.uint16)
    labels = (np.arange(height)[:, None] // 6 * 99 + np.arange(width) // 7).astype(np.int32)
    labels = np.unique(labels, return_inverse=True)[1].reshape(height, width).astype(np.int32)
    smoothed = smooth(codes, labels)
    truth = rng.choice(np.array([0, 8, 12, 255], np.uint8), (height, width))
    curve = evaluation.curve(smoothed.ravel(), (truth == 8).ravel() * 3, (truth == 0).ravel() * 5)
    return image, codes, smoothed, truth, curve


@pytest.fixture(scope="module")
def scene():
    return make()


def embedded(page):
    return json.loads(re.search(r'<script type="application/json">(.*?)</script>', page.html, re.S)[1])


# The masks and the counts


@given(hnp.arrays(np.uint16, (3, 4)), st.floats(0, 1, exclude_max=True))
def test_masks_are_codes_above_theta(codes, theta):
    raw, voted = masks_at(codes, codes[::-1], theta)
    assert (raw == (codes > theta * 65535)).all() and (voted == (codes[::-1] > theta * 65535)).all()


def test_counts_leave_void_out(scene):
    truth, mask = scene[3], scene[1] > 40000
    counts = image_counts(mask, truth, "dog")
    assert counts.tp + counts.fn == (truth == 12).sum()
    assert counts.tp + counts.fp + counts.fn + counts.tn == (truth != 255).sum()
    assert counts.fp == (mask & (truth != 12) & (truth != 255)).sum()


@pytest.mark.parametrize("theta", THETAS)
def test_moving_theta_moves_the_masks_and_the_numbers(scene, theta):
    image, codes, smoothed, truth, curve = scene
    control = ThetaExplorer(*scene, on="on 3 images")
    control.theta = theta
    assert (control.raw == (codes > theta * 65535)).all()
    assert (control.mask == (smoothed > theta * 65535)).all()
    valid = truth != 255
    inside = truth == 8
    iou = (control.mask & inside).sum() / ((control.mask | inside) & valid).sum()
    assert control.ap == pytest.approx(iou)
    assert f"theta {theta:.3f} | {100 * control.raw.mean():.1f} %" in control.text
    assert f"AP of this image {100 * iou:.1f} %" in control.text
    assert f"AP on 3 images {100 * curve.at(theta).ap:.1f} %" in control.text


def test_without_a_truth_there_is_no_ap(scene):
    control = ThetaExplorer(*scene[:3], cls="dog")
    assert control.theta == 0.8 and control.ap is None and "AP" not in control.text
    assert control.scene.whole_ap(0.5) is None
    nothing = ThetaExplorer(*scene[:3], np.zeros((40, 60), np.uint8), theta=0.99)
    assert nothing.ap is None  # 0/0


def test_wrong_inputs_are_named(scene):
    image, codes, smoothed, *_ = scene
    with pytest.raises(LsegreproError, match="smoothed must be"):
        ThetaExplorer(image, codes, smoothed[1:])
    with pytest.raises(LsegreproError, match="codes must be .* uint16, got .* float64"):
        ThetaExplorer(image, codes / 65535, smoothed)
    with pytest.raises(LsegreproError, match="unknown class 'cow'"):
        Scene(image, codes, smoothed, cls="cow")
    with pytest.raises(LsegreproError, match=r"theta must lie in \[0, 1\)"):
        ThetaExplorer(image, codes, smoothed, theta=1.0)
    with pytest.raises(LsegreproError, match="theta"):
        Scene(image, codes, smoothed, marks={"wrong": 1.5})


# The widget


def decode(panel):
    with Image.open(io.BytesIO(panel.value)) as picture:
        return np.asarray(picture)


def test_the_slider_moves_the_pictures(scene):
    image, codes, smoothed, *_ = scene
    control = ThetaExplorer(*scene, marks={"mine": 0.25})
    box = control.widget
    slider = control._slider
    assert (slider.min, slider.max, slider.step, slider.value) == (0, 0.881, 0.001, 0.6)
    assert control.show() is box and box.children[0] is slider
    slider.value = 0.432  # what a hand or a key does
    assert control.theta == 0.432 and (control.mask == (smoothed > 0.432 * 65535)).all()
    assert (decode(control._panels["per pixel"]) == control.raw).all()
    wanted = explorer._encode(views.overlay(image, control.mask))
    assert control._panels["after the vote"].value == wanted
    assert "theta 0.432" in control._readout.value
    control.theta = 0.7
    assert slider.value == 0.7
    box.children[1].children[1].click()
    assert control.theta == slider.value == 0.25
    control.theta = 0.95  # beyond the slider's end, and meant
    assert control.theta == 0.95 and slider.value == 0.881 and not control.mask.any()


def test_a_step_is_quicker_than_a_frame():
    control = ThetaExplorer(*make(300, 400))
    control.show()
    spent = []
    for k in range(9):
        begun = time.process_time()
        control._slider.value = 0.3 + k / 20
        spent.append(time.process_time() - begun)
    assert np.median(spent) < 0.016


def test_a_live_notebook_gets_the_widget_and_a_page_the_html(scene):
    control = ThetaExplorer(*scene)
    bundle = control._repr_mimebundle_()
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"] == control.widget.model_id
    assert bundle["text/html"] == control.show(static=True)._repr_html_()
    assert bundle["text/plain"] == control.text


# Without a kernel


@given(hnp.arrays(np.int64, hnp.array_shapes(min_dims=2, max_dims=2), elements=st.integers(0, 882)))
def test_packed_maps_come_back_exactly(levels):
    content = np.frombuffer(zlib.decompress(base64.b64decode(explorer_page.pack(levels))), np.uint8)
    low, high = content.reshape(2, *levels.shape).astype(np.int64)
    zigzag = low | high << 8
    assert (((zigzag >> 1) ^ -(zigzag & 1)).cumsum(axis=0).cumsum(axis=1) == levels).all()


def test_levels_know_every_position_of_the_slider():
    codes = np.arange(65536)
    levels = explorer_page.levels(codes)
    for k in range(0, explorer_page.STEPS, 7):
        assert ((levels > k) == (codes > k / 1000 * 65535)).all()
    assert explorer_page.STEPS == 882 and not (levels[codes <= views.CEILING * 65535] > 881).any()


def test_the_page_holds_the_exact_curve_and_nothing_from_elsewhere(scene):
    page = explorer.static_html(Scene(*scene, on="on <3> images"), 0.7)
    assert page.html.isascii() and not re.search(r"https?:|//[a-z]+\.|@import|fetch\(|url\(", page.html)
    data, curve = embedded(page), scene[4]
    assert data["theta"] == 0.7 and data["marks"] == [["paper", 0.6]]
    assert data["ap"] == pytest.approx([curve.at(k / 1000).ap for k in range(882)], abs=1e-6)
    assert embedded(explorer.static_html(Scene(*scene[:3])))["ap"] is None


def test_the_page_is_small():
    smooth_noise = np.add.accumulate(np.random.default_rng(0).normal(size=(300, 400)), axis=1) / 30
    codes = np.floor(65535 / (1 + np.exp(-2 * np.tanh(smooth_noise)))).astype(np.uint16)
    image, _, smoothed, truth, curve = make(300, 400)
    image[:] = 40 * np.sin(np.arange(400) / 9)[:, None] + 120
    assert len(explorer.static_html(Scene(image, codes, smoothed, truth, curve)).html) < 300_000


@pytest.fixture(scope="module")
def browser():
    sync = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM.exists():
        pytest.skip(f"no browser at {CHROMIUM}")
    with sync.sync_playwright() as play:
        opened = play.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield opened
        opened.close()


def open_page(browser, path, *pages, **options):
    """Open HTML from a file, with no network; return the page, its complaints and its requests."""
    path.write_text("<!doctype html><html lang=en>" + "".join(page.html for page in pages))
    page = browser.new_context(offline=True, **options).new_page()
    page.set_default_timeout(120_000)
    wrong, asked = [], []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    page.wait_for_selector(".lse-explorer[data-state=ready]")
    return page, wrong, [url for url in asked if not url.startswith(("file:", "data:", "blob:"))]


READ = """panel => {
  const canvas = document.querySelectorAll(".lse-explorer canvas")[panel];
  const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", {willReadFrequently: true});
  copy.drawImage(canvas, 0, 0);
  return Array.from(copy.getImageData(0, 0, canvas.width, canvas.height).data);
}"""


def pixels(page, panel, shape):
    return np.array(page.evaluate(READ, panel)).reshape(*shape, 4)[..., :3]


def test_the_page_by_keyboard_agrees_with_numpy(browser, scene, tmp_path):
    image, codes, smoothed, truth, curve = scene
    scene_ = Scene(*scene, on="on 3 images", marks={"train": 0.705})
    page, wrong, asked = open_page(browser, tmp_path / "explorer.html", explorer.static_html(scene_, 0.6))
    root, slider = page.locator(".lse-explorer"), page.get_by_role("slider")
    assert slider.get_attribute("max") == "0.881"
    slider.focus()

    def check(theta):
        raw, voted = masks_at(codes, smoothed, theta)
        state = {k: root.get_attribute(f"data-{k}") for k in ("theta", "raw", "voted", "ap", "whole")}
        assert float(state["theta"]) == theta
        assert (int(state["raw"]), int(state["voted"])) == (raw.sum(), voted.sum())
        assert float(state["ap"]) == pytest.approx(image_counts(voted, truth, "cat").ap, abs=1e-12)
        assert float(state["whole"]) == pytest.approx(curve.at(theta).ap, abs=1e-6)
        assert (pixels(page, 2, raw.shape)[..., 0] == 255 * raw).all()
        return voted

    check(0.6)
    for _ in range(3):
        slider.press("ArrowRight")
    check(0.603)
    slider.press("ArrowLeft")
    voted = check(0.602)
    spoken = slider.get_attribute("aria-valuetext")
    assert spoken.startswith("theta 0.602") and "AP on 3 images" in spoken
    # The vote: pure green on its edge; the background as it was (to the loss of the picture's WebP).
    shown = pixels(page, 3, voted.shape)
    edge = views.outline(voted)
    assert (shown[edge] == views.GREEN).all() and edge.any()
    assert not (shown[~voted] == views.GREEN).all(axis=-1).any()
    # The probability map, in the colours of every other figure, to the 0.001 of the levels.
    distance = np.abs(pixels(page, 1, codes.shape) - views.heat(codes).astype(int))
    assert distance.max() <= 8
    slider.press("End")
    check(0.881)
    assert root.get_attribute("data-raw") == "0"
    slider.press("Home")
    check(0.0)
    page.get_by_role("button", name="train 0.705").press("Enter")
    check(0.705)
    assert page.locator("svg").get_attribute("aria-label").startswith("AP against theta on 3 images: at most")
    assert not wrong and not asked


def test_two_explorers_on_a_dark_page(browser, scene, tmp_path):
    with_curve = explorer.static_html(Scene(*scene))
    without = explorer.static_html(Scene(*scene[:3], cls="dog"))
    path = tmp_path / "two.html"
    page, wrong, _ = open_page(browser, path, with_curve, without, color_scheme="dark")
    page.wait_for_function("document.querySelectorAll('.lse-explorer[data-state=ready]').length == 2")
    first, second = page.locator(".lse-explorer").all()
    second.get_by_role("slider").press("End")
    assert (first.get_attribute("data-theta"), second.get_attribute("data-theta")) == ("0.600", "0.881")
    assert second.get_attribute("data-ap") == "" and second.locator("svg").count() == 0
    background = second.evaluate("node => getComputedStyle(node).backgroundColor")
    assert max(map(int, re.findall(r"\d+", background)[:3])) < 60
    assert not wrong
