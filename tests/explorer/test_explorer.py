"""The theta explorer as Python sees it: scenes, the packing, the control and its two forms."""

import base64
import json
import re
import sys
import zlib
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp

from lsegrepro import LsegreproError, evaluation, paper
from lsegrepro.evidence.superpixels import smooth
from lsegrepro.explorer import Picture, Scene, ScoredNetwork, ThetaExplorer, packing

THETAS = (0.0, 0.3, 0.6, 0.705, 0.881)


def maps(height, width, seed):
    """Codes that span the possible range, exact multiples of 0.001 among them, and their vote."""
    rng = np.random.default_rng(seed)
    labels = (np.arange(height)[:, None] // 6 * 99 + np.arange(width) // 7).astype(np.int32)
    labels = np.unique(labels, return_inverse=True)[1].reshape(height, width).astype(np.int32)
    level = rng.uniform(paper.FLOOR, paper.CEILING, labels.max() + 1)[labels]
    probabilities = (level + rng.uniform(-0.2, 0.2, labels.shape)).clip(paper.FLOOR, paper.CEILING).round(3)
    prob_u16 = np.floor(probabilities.clip(None, paper.CEILING) * 65535).astype(np.uint16)
    return prob_u16, smooth(prob_u16, labels)


def scene(networks=(("LSE1", "cat", "round 2"), ("max1", "cat", "round 2"), ("LSE2", "dog", "round 1"))):
    """Networks of two groups, a picture with a truth and one of another size without."""
    rng = np.random.default_rng(0)
    made, pictures = [], []
    shapes = {"with a truth": (40, 60), "without": (30, 50)}
    scored = {(p, n): maps(*shape, seed=10 * i + j)
              for i, (p, shape) in enumerate(shapes.items()) for j, n in enumerate(networks)}
    truth = rng.choice(np.array([0, 8, 12, 255], np.uint8), (40, 60))
    for n in networks:
        curves = [evaluation.curve(c.ravel(), (truth == 8).ravel() * 3, (truth == 0).ravel() * 5)
                  for c in scored["with a truth", n]]
        made.append(ScoredNetwork(*n, curve=curves[1], raw_curve=curves[0], marks={"train": 0.705}))
    for p, shape in shapes.items():
        image = rng.integers(0, 256, (*shape, 3)).astype(np.uint8)
        found = {m.name: scored[p, n] for m, n in zip(made, networks, strict=True)}
        pictures.append(Picture(p, image, found, truth if p == "with a truth" else None))
    return Scene(made, pictures, "on 3 images")


@pytest.fixture(scope="module")
def seen():
    return scene()


def embedded(page):
    return json.loads(re.search(r'<script type="application/json">(.*?)</script>', page.html, re.S)[1])


# The control


@pytest.mark.parametrize("theta", THETAS)
def test_moving_theta_moves_the_masks_and_the_numbers(seen, theta):
    control = ThetaExplorer(seen)
    control.theta = theta
    network, picture = seen.networks[0], seen.pictures[0]
    _, smoothed = picture.maps[network.name]
    assert (control.mask == (smoothed > theta * 65535)).all()
    assert control.ap == network.curve.at(theta).ap
    assert f"theta {theta:.3f} | {100 * control.mask.mean():.1f} % called cat" in control.text
    assert f"AP on 3 images {100 * control.ap:.1f} %" in control.text


def test_another_network_or_picture(seen):
    control = ThetaExplorer(seen, network="LSE2, dog, round 1")
    assert control.theta == 0.8  # the paper's, of its class
    first = control.mask
    control.network = "max1, cat, round 2"
    assert control.theta == 0.8 and (control.mask != first).any()
    control.picture = "without"
    assert control.mask.shape == (30, 50)
    for key, name in (("network", "LSE1"), ("picture", "of mine")):
        with pytest.raises(LsegreproError, match=f"unknown {key} '{name}'; choose one of .*; "):
            setattr(control, key, name)
    assert (control.network, control.picture) == ("max1, cat, round 2", "without")


def test_theta_takes_a_position_of_the_slider(seen):
    control = ThetaExplorer(seen, theta=0.6004)
    assert control.theta == 0.6
    control.theta = 0.95  # above every probability, as 0.881 is
    assert control.theta == 0.881 and not control.mask.any()
    for wrong in (-0.1, 1.0, float("nan")):
        with pytest.raises(LsegreproError, match=r"theta must lie in \[0, 1\)"):
            control.theta = wrong


def test_without_a_curve_there_is_no_ap():
    net, prob_u16 = ScoredNetwork("LSE1", "dog"), np.full((4, 6), 9000, np.uint16)
    picture = Picture("p", np.zeros((4, 6, 3), np.uint8), {net.name: (prob_u16, prob_u16)})
    control = ThetaExplorer(Scene([net], [picture]))
    assert net.name == "LSE1, dog" and control.ap is None and control.text.endswith("called dog")


@pytest.mark.parametrize("make, message", [
    (lambda p, n, c: Picture("p", p.image, {n.name: (c, c[1:])}), "smoothed of LSE1, cat, round 2 must be"),
    (lambda p, n, c: Picture("p", p.image, {n.name: (c / 65535, c)}), "prob_u16 of .* uint16, got .* float64"),
    (lambda p, n, c: Picture("p", p.image, {}, c), "truth must be"),
    (lambda p, n, c: Picture("p", c, {}), r"image must be \(40, 60, 3\) uint8"),
    (lambda p, n, c: ScoredNetwork("LSE1", "cow"), "unknown class 'cow'"),
    (lambda p, n, c: ScoredNetwork("LSE1", "cat", marks={"wrong": 1.5}), r"theta must lie in \[0, 1\)"),
    (lambda p, n, c: Scene([n, n], [p]), "networks must be one or more, each of another name"),
    (lambda p, n, c: Scene([n], []), "pictures must be one or more"),
    (lambda p, n, c: Scene([ScoredNetwork("max2", "cat")], [p]), "picture 'with a truth' has no map of max2, cat"),
])  # fmt: skip
def test_wrong_inputs_are_named(seen, make, message):
    picture, net = seen.pictures[0], seen.networks[0]
    with pytest.raises(LsegreproError, match=message):
        make(picture, net, picture.maps[net.name][0])


# The live form


def test_the_widget_and_python_set_the_same_values(seen):
    pytest.importorskip("anywidget")
    control = ThetaExplorer(seen)
    widget = control.widget
    assert (widget.theta, widget.network, widget.picture) == (0.6, "LSE1, cat, round 2", "with a truth")
    widget.theta, widget.network = 0.432, "LSE2, dog, round 1"  # what a hand or a key does
    assert (control.theta, control.network) == (0.432, "LSE2, dog, round 1")
    assert (control.mask == (seen.pictures[0].maps[control.network][1] > 0.432 * 65535)).all()
    control.theta, control.picture = 0.7, "without"
    assert (widget.theta, widget.picture) == (0.7, "without")
    assert widget.data == packing.payload(seen)


def test_a_live_notebook_gets_the_widget_and_a_page_the_html(seen, monkeypatch):
    pytest.importorskip("anywidget")
    ipython = pytest.importorskip("IPython")
    control = ThetaExplorer(seen)
    html = {"text/plain": control.text, "text/html": control.static._repr_html_()}
    assert control._repr_mimebundle_() == html
    person = SimpleNamespace(kernel=SimpleNamespace(_allow_stdin=True))
    monkeypatch.setattr(ipython, "get_ipython", lambda: person)
    bundle = control._repr_mimebundle_()
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"] == control.widget.model_id
    assert bundle["text/html"] == html["text/html"]
    monkeypatch.setitem(sys.modules, "anywidget", None)
    without = ThetaExplorer(seen)
    assert set(without._repr_mimebundle_()) == {"text/plain", "text/html"}
    with pytest.raises(LsegreproError, match="needs anywidget"):
        _ = without.widget


# The form without a kernel


@given(hnp.arrays(np.uint16, hnp.array_shapes(min_dims=2, max_dims=2)))
def test_packed_maps_come_back_exactly(values):
    content = np.frombuffer(zlib.decompress(base64.b64decode(packing.pack(values))), np.uint8)
    low, high = content.reshape(2, *values.shape).astype(np.int64)
    zigzag = low | high << 8
    assert ((((zigzag >> 1) ^ -(zigzag & 1)).cumsum(axis=0).cumsum(axis=1) & 65535) == values).all()


def test_levels_are_right_at_every_position_of_the_slider():
    prob_u16 = np.arange(65536)
    levels = packing.levels(prob_u16)
    for k in range(0, packing.STEPS, 7):
        assert ((levels > k) == (prob_u16 > k / 1000 * 65535)).all()
    assert packing.STEPS == 882 and not (levels[prob_u16 <= paper.CEILING * 65535] > 881).any()


def test_the_page_holds_the_exact_curves_and_nothing_from_elsewhere(seen):
    page = ThetaExplorer(Scene(seen.networks, seen.pictures, "on <3> images"), 0.7, picture="without").static
    assert page.html.isascii()
    text = page.html.replace("http://www.w3.org/2000/svg", "")  # the name of SVG, which nobody asks for
    assert not re.search(r"https?:|//[a-z]+\.|@import|fetch\(|url\(", text)
    data = embedded(page)
    assert data["start"] == {"theta": 0.7, "network": "LSE1, cat, round 2", "picture": "without"}
    for network, told in zip(seen.networks, data["networks"], strict=True):
        assert told["marks"] == [["paper", 0.8 if network.cls == "dog" else 0.6], ["train", 0.705]]
        for curve, values in ((network.curve, told["ap"]), (network.raw_curve, told["raw"])):
            assert values == pytest.approx([curve.at(k / 1000).ap for k in range(882)], abs=1e-6)
