"""The bag of scores by hand, in a browser: its values and gradients are those of lsegrepro.network.model."""

import json

import numpy as np
import pytest
import torch
from chromium import Opened

from lsegrepro.explorer import bag_explorer
from lsegrepro.network import model

BAGS = {
    "the chapter's": [0.85, 0.85, 0.55, 0.30, 0.05, -0.20, -0.40, -0.60, -0.75],
    "one sure patch": [1.0] + 8 * [-1.0],
    "all alike": 9 * [0.2],
}


@pytest.fixture
def opened(chromium, tmp_path):
    made = Opened(chromium, tmp_path / "bag.html", bag_explorer(BAGS), has_touch=True)
    yield made
    made.close()


def check(page, scores, r):
    """Every number of the page against the model's, the shares against autograd's."""
    state = page.locator(".lse-bag").evaluate("node => ({...node.dataset})")
    assert json.loads(state["scores"]) == pytest.approx(scores) and float(state["r"]) == pytest.approx(r)
    x = torch.tensor(scores, dtype=torch.float64, requires_grad=True)
    bag = x.view(1, -1, 1)
    value = model.tempered(bag, float(state["r"])).sum()
    value.backward()
    aggregated = {"tempered": value, "mean": model.mean(bag), "lse": model.lse(bag), "max": model.maximum(bag)}
    for key, wanted in aggregated.items():
        assert float(state[key]) == pytest.approx(wanted.item(), abs=1e-12), key
    assert json.loads(state["weights"]) == pytest.approx(x.grad.numpy(), abs=1e-12)
    tall = [float(bar.get_attribute("height")) for bar in page.locator(".lse-bag .lse-bar").all()]
    assert np.array(tall) / 108 == pytest.approx(x.grad.numpy(), abs=1e-9)
    said = page.locator(".lse-read td").nth(1).text_content().replace("\u2212", "-")
    assert float(said) == pytest.approx(value.item(), abs=0.00051)
    assert scores[int(state["winner"])] == max(scores)


def test_values_and_gradients_at_every_temperature(opened):
    page = opened.page
    for name, scores in BAGS.items():
        page.get_by_role("button", name=name).click()
        for power in (-3, -0.3, 0, 1, 3):
            page.get_by_role("slider", name="temperature").fill(str(power))
            check(page, scores, 10**power)


def test_by_keyboard_and_by_finger(opened):
    page, scores = opened.page, list(BAGS["the chapter's"])
    third = page.get_by_role("slider", name="score of patch 3")
    third.press("ArrowUp")
    scores[2] = 0.56
    check(page, scores, 1)
    share = np.exp(0.56) / np.exp(scores).sum()
    assert third.get_attribute("aria-valuetext") == f"0.56, gets {share:.3f} of the gradient"
    page.get_by_role("slider", name="temperature").press("End")
    check(page, scores, 1000)
    page.get_by_role("button", name="to the mean").press("Enter")
    check(page, scores, 0.001)
    way = page.locator(".lse-way")
    way.scroll_into_view_if_needed()
    line = way.bounding_box()
    page.touchscreen.tap(line["x"] + 30 + (line["width"] - 44) * 5 / 6, line["y"] + 60)
    assert float(page.locator(".lse-bag").get_attribute("data-r")) == pytest.approx(100, rel=0.05)
