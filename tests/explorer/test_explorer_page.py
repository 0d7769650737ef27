"""The theta explorer in a browser with no network: its numbers are the library's, by key, finger and mouse."""

import numpy as np
import pytest
from chromium import Opened
from literal import counted
from test_explorer import CAT, DOG, MAX, explorer, plain

from lsegrepro import evaluation, paper
from lsegrepro.explorer import theta_slider
from lsegrepro.explorer.fragment import THETA_SCRIPTS, script, script_json
from lsegrepro.figures import overlays

READ = """([kind, panel]) => {
  const canvas = document.querySelectorAll(`.${kind} canvas`)[panel];
  const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", {willReadFrequently: true});
  copy.drawImage(canvas, 0, 0);
  return Array.from(copy.getImageData(0, 0, canvas.width, canvas.height).data);
}"""


@pytest.fixture(scope="module")
def seen():
    return explorer()


@pytest.fixture
def opened(chromium, seen, tmp_path):
    made = Opened(chromium, tmp_path / "theta.html", seen.static, has_touch=True)
    yield made
    made.close()


def pixels(page, panel, shape, kind="lse-theta"):
    return np.array(page.evaluate(READ, [kind, panel])).reshape(*shape, 4)[..., :3]


def check(page, seen, theta, network=CAT, picture="with a truth"):
    """All that the page shows and says at one setting, against the library."""
    net, pic = seen.networks[network], seen.pictures[picture]
    state = page.locator(".lse-theta").evaluate("node => ({...node.dataset})")
    assert (float(state["theta"]), state["network"], state["picture"]) == (theta, network, picture)
    assert page.locator("output").text_content() == f"\u03b8 = {theta:.3f}"
    cells = [text.replace("\u00a0", " ") for text in page.locator(".lse-read tbody td").all_text_contents()]
    curves, names = (net.raw_curve, net.curve), (("raw", "rawAp", "rawWhole"), ("voted", "ap", "whole"))
    for row, (prob_u16, curve, keys) in enumerate(zip(pic.maps[network], curves, names, strict=True)):
        mask = prob_u16 > theta * 65535
        counts = None if pic.truth is None else np.array(counted([mask], [pic.truth], paper.VOC_INDEX[net.cls]))
        ap = None if counts is None else evaluation.ap(counts)
        assert int(state[keys[0]]) == mask.sum()
        whole = evaluation.ap(curve.at(theta))
        for key, value in zip(keys[1:], (ap, whole), strict=True):
            assert state[key] == "" if value is None else float(state[key]) == pytest.approx(value, abs=1e-6)
        for text, value in zip(cells[3 * row : 3 * row + 3], (mask.mean(), ap, whole), strict=True):
            assert text == "\u2013" if value is None else float(text.removesuffix(" %")) == pytest.approx(
                100 * value, abs=0.051)


def test_by_keyboard_at_many_thetas(opened, seen):
    page, slider = opened.page, opened.page.get_by_role("slider", name="theta")
    assert slider.get_attribute("max") == "0.881"
    check(page, seen, 0.6)
    slider.focus()
    for key, theta in (("ArrowRight", 0.601), ("ArrowLeft", 0.6), ("End", 0.881), ("Home", 0.0)):
        slider.press(key)
        check(page, seen, theta)
        assert slider.get_attribute("aria-valuetext") == f"{theta:.3f}"
    for k in range(3, 882, 97):
        slider.fill(str(k / 1000))
        check(page, seen, k / 1000)
    page.get_by_role("button", name="train 0.705").press("Enter")
    check(page, seen, 0.705)


def test_the_pictures_are_the_masks(opened, seen):
    page, picture = opened.page, seen.pictures["with a truth"]
    prob_u16, smoothed = picture.maps[CAT]
    raw, voted = prob_u16 > 0.6 * 65535, smoothed > 0.6 * 65535
    assert (pixels(page, 2, raw.shape)[..., 0] == 255 * raw).all()
    shown, edge = pixels(page, 3, voted.shape), overlays.outline(voted)
    assert edge.any() and (shown[edge] == overlays.GREEN).all()
    assert not (shown[~voted] == overlays.GREEN).all(axis=-1).any()
    rim = overlays.outline(picture.truth == 8) | overlays.outline(picture.truth != 8)
    for panel, where in ((0, rim), (3, rim & ~edge)):
        assert (pixels(page, panel, rim.shape)[where] == (240, 228, 66)).all()
    # The probability map, in the colours of every other figure, to the 0.001 of the levels.
    assert np.abs(pixels(page, 1, prob_u16.shape) - overlays.heat(prob_u16).astype(int)).max() <= 8


POINT = """() => {
  const svg = document.querySelector(".lse-theta > .lse-body > svg"), dot = svg.querySelector("circle[r='6']");
  return [+dot.getAttribute("cx"), +dot.getAttribute("cy"), svg.getAttribute("aria-label"), svg.clientWidth];
}"""


def test_a_selector_moves_the_curve_and_the_numbers(opened, seen):
    page = opened.page
    page.wait_for_selector(".lse-theta .lse-chosen", state="attached")
    highest = max(np.nanmax(evaluation.ap(curve.at(np.arange(882) / 1000)))
                  for n in seen.networks.values() for curve in (n.curve, n.raw_curve))
    for name in (CAT, MAX, DOG):
        page.get_by_role("combobox", name="Network").select_option(label=name)
        page.wait_for_selector(f".lse-theta[data-network='{name}']")
        check(page, seen, 0.6, name)
        x, y, label, width = page.evaluate(POINT)
        assert ", dog, round 1. LSE2 (chosen): at most" in label if name == DOG else ", cat, round 2. LSE1" in label
        # The point's height is the AP of the curve, on the axis from 0 to the largest AP of all.
        ap = evaluation.ap(seen.networks[name].curve.at(0.6))
        assert y == pytest.approx(190 - 20 - (190 - 20 - 22) * ap / highest, abs=0.01)
        assert x == pytest.approx(46 + (width - 46 - 14) * 600 / 881, abs=0.01)
    page.get_by_role("combobox", name="Picture").select_option(label="without")
    page.wait_for_selector(".lse-theta[data-picture=without]")
    check(page, seen, 0.6, DOG, "without")


def test_by_finger_and_by_mouse(opened, seen):
    page = opened.page
    chart = page.locator(".lse-theta .lse-body > svg")
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    left, right = box["x"] + 46, box["x"] + box["width"] - 14
    page.touchscreen.tap(left + (right - left) * 0.3 / 0.881, box["y"] + 80)
    assert float(page.locator(".lse-theta").get_attribute("data-theta")) == pytest.approx(0.3, abs=0.002)
    page.mouse.move(left + (right - left) * 0.4 / 0.881, box["y"] + 80)
    page.mouse.down()
    page.mouse.move(left + (right - left) * 0.7 / 0.881, box["y"] + 90, steps=4)
    page.mouse.up()
    assert float(page.locator(".lse-theta").get_attribute("data-theta")) == pytest.approx(0.7, abs=0.002)


def test_the_live_region_waits_for_the_hand_to_rest(opened):
    page = opened.page
    page.evaluate("""() => { window.said = []; const region = document.querySelector("[role=status]");
        const watcher = new MutationObserver(() => said.push(region.textContent));
        watcher.observe(region, {childList: true, characterData: true, subtree: true});
        const slider = document.querySelector(".lse-theta input");  // moved at once, however slow the machine
        for (let k = 601; k <= 612; k++) { slider.value = k / 1000; slider.dispatchEvent(new Event("input")); } }""")
    page.wait_for_function("said.some(text => text.includes('theta 0.612'))")
    said = page.evaluate("said")
    assert len([text for text in said if text]) == 1
    assert said[-1].startswith("LSE1, cat, round 2, theta 0.612: ") and "AP on 3 images" in said[-1]


def test_two_explorers_on_a_page(chromium, seen, tmp_path):
    made = Opened(chromium, tmp_path / "two.html", seen.static, plain().static)
    first, second = made.page.locator(".lse-theta").all()
    second.get_by_role("slider").press("End")
    assert (first.get_attribute("data-theta"), second.get_attribute("data-theta")) == ("0.600", "0.881")
    assert second.get_attribute("data-ap") == "" and second.locator("svg").count() == 0  # no curve, no chart
    made.close()


WIDGET = """
const model = {
  values: %s, heard: {}, saved: [],
  get(key) { return this.values[key]; },
  set(key, value) { this.values[key] = value; },
  save_changes() { const {data, ...shown} = this.values; this.saved.push(shown); },
  on(event, callback) { this.heard[event] = callback; },
  put(key, value) { this.values[key] = value; this.heard["change:" + key](); },  // Python sets it
};
window.model = model;
widget.render({model, el: document.body});
"""


def test_the_widget_is_the_same_script(chromium, seen, tmp_path):
    """The module that a live notebook runs, with a model in place of the kernel's."""
    values = script_json({"data": script_json(seen.packed), "theta": 0.432, "network": MAX, "picture": "with a truth"})
    module = script(*THETA_SCRIPTS, "theta-widget").replace("export default", "const widget =")
    path = tmp_path / "widget.html"
    path.write_text(f"<!doctype html><html lang=en><body><script type=module>{module}{WIDGET % values}</script>")
    page, wrong = chromium.new_context(offline=True).new_page(), []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text))
    page.goto(path.as_uri())
    page.wait_for_selector(".lse-theta[data-state=ready]")
    check(page, seen, 0.432, MAX)
    free = page.locator(":is(input, select, button):not([data-lm-suppress-shortcuts])")
    assert free.count() == 0  # else JupyterLab takes the arrow keys for itself
    assert page.evaluate("model.saved") == []  # Python knows what it set
    page.get_by_role("slider").press("ArrowRight")
    page.get_by_role("combobox", name="Network").select_option(label=DOG)
    page.wait_for_function("model.saved.length === 2")
    assert page.evaluate("model.saved[1]") == {"theta": 0.433, "network": DOG, "picture": "with a truth"}
    page.evaluate("model.put('theta', 0.7)")
    check(page, seen, 0.7, DOG)
    page.evaluate(f"model.put('network', '{MAX}'); model.put('picture', 'without')")  # at once
    page.wait_for_selector(f".lse-theta[data-network='{MAX}'][data-picture=without]")
    check(page, seen, 0.7, MAX, "without")
    assert page.evaluate("model.saved.length") == 2 and wrong == []
    page.context.close()


def test_the_slider_on_one_photograph(chromium, seen, tmp_path):
    picture = seen.pictures["with a truth"]
    prob_u16, smoothed = picture.maps[CAT]
    made = Opened(chromium, tmp_path / "slider.html", theta_slider(picture.image, prob_u16, smoothed, 0.6, "cat"))
    root, slider = made.page.locator(".lse-slider"), made.page.get_by_role("slider", name="theta")
    for key, theta in ((None, 0.6), ("ArrowRight", 0.601), ("Home", 0.0), ("End", 0.881)):
        if key:
            slider.press(key)
        mask = smoothed > theta * 65535
        assert root.get_attribute("data-count") == str(mask.sum())
        assert slider.get_attribute("aria-valuetext").startswith(f"{theta:.3f}, {100 * mask.mean():.1f}")
    slider.press("Home")
    shown = pixels(made.page, 0, smoothed.shape, "lse-slider")
    assert (shown[overlays.outline(smoothed > 0)] == overlays.GREEN).all()
    made.close()
