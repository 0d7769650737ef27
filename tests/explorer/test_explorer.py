"""The theta explorer as Python sees it: what it may show, the control and its two forms."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import refused

from lsegrepro import evaluation, paper
from lsegrepro.evidence.superpixels import smooth
from lsegrepro.explorer import Picture, ScoredNetwork, ThetaExplorer
from lsegrepro.explorer.fragment import script_json

CAT, MAX, DOG = "LSE1, cat, round 2", "max1, cat, round 2", "LSE2, dog, round 1"


def maps(height, width, seed):
    """Codes that span the possible range, exact multiples of 0.001 among them, and their vote."""
    rng = np.random.default_rng(seed)
    labels = (np.arange(height)[:, None] // 6 * 99 + np.arange(width) // 7).astype(np.int32)
    labels = np.unique(labels, return_inverse=True)[1].reshape(height, width).astype(np.int32)
    level = rng.uniform(paper.FLOOR, paper.CEILING, labels.max() + 1)[labels]
    probabilities = (level + rng.uniform(-0.2, 0.2, labels.shape)).clip(paper.FLOOR, paper.CEILING).round(3)
    prob_u16 = np.floor(probabilities.clip(None, paper.CEILING) * 65535).astype(np.uint16)
    return prob_u16, smooth(prob_u16, labels)


def explorer(on="on 3 images"):
    """Networks of two groups, a picture with a truth and one of another size without."""
    rng = np.random.default_rng(0)
    truth, networks = rng.choice(np.array([0, 8, 12, 255], np.uint8), (40, 60)), []
    shapes = {"with a truth": (40, 60), "without": (30, 50)}
    scored = {p: {n: maps(*shape, seed=10 * i + j) for j, n in enumerate((CAT, MAX, DOG))}
              for i, (p, shape) in enumerate(shapes.items())}
    for name, pair in scored["with a truth"].items():
        raw, voted = (evaluation.curve(c.ravel(), (truth == 8).ravel() * 3, (truth == 0).ravel() * 5) for c in pair)
        networks.append(ScoredNetwork(*name.split(", "), curve=voted, raw_curve=raw, marks={"train": 0.705}))
    pictures = [Picture(p, rng.integers(0, 256, (*shape, 3)).astype(np.uint8), scored[p],
                        truth if p == "with a truth" else None) for p, shape in shapes.items()]
    return ThetaExplorer(networks, pictures, on)


def plain():
    """A network without a curve on one grey picture."""
    net, prob_u16 = ScoredNetwork("LSE1", "dog", "mine"), np.full((4, 6), 40000, np.uint16)
    return ThetaExplorer([net], [Picture("p", np.zeros((4, 6, 3), np.uint8), {net.name: (prob_u16, prob_u16)})])


def test_moving_theta_moves_the_masks_and_the_numbers():
    control = explorer()
    assert control.theta == 0.6  # the paper's, of the first network's class
    for theta in (0.0, 0.3, 0.705, 0.881):
        control.theta = theta
        assert (control.mask == (control.pictures["with a truth"].maps[CAT][1] > theta * 65535)).all()
        assert control.ap == evaluation.ap(control.networks[CAT].curve.at(theta))
        assert f"theta {theta:.3f} | {100 * control.mask.mean():.1f} % called cat" in control.text
        assert f"AP on 3 images {100 * control.ap:.1f} %" in control.text
    assert plain().ap is None and plain().text.endswith("called dog")


def test_what_is_set_is_checked():
    control = explorer()
    control.network, control.picture, control.theta = MAX, "without", 0.6004  # the nearest position of the slider
    assert control.mask.shape == (30, 50) and control.theta == 0.6
    for key, value, message in (("network", "LSE1", "unknown network 'LSE1'; choose one of "),
                                ("picture", "of mine", "unknown picture 'of mine'; choose one of "),
                                ("theta", 1.0, "theta must lie in [0, 1)")):
        refused(lambda key=key, value=value: setattr(control, key, value), message)
    assert (control.network, control.picture, control.theta) == (MAX, "without", 0.6)
    control.theta = 0.95  # above every probability, as 0.881 is
    assert control.theta == 0.881 and not control.mask.any()


def test_the_widget_and_python_set_the_same_values():
    pytest.importorskip("anywidget")
    control = explorer()
    widget = control.widget
    assert (widget.theta, widget.network, widget.picture) == (0.6, CAT, "with a truth")
    widget.theta, widget.network = 0.432, DOG  # what a hand or a key does
    assert (control.theta, control.network) == (0.432, DOG)
    assert (control.mask == (control.pictures["with a truth"].maps[DOG][1] > 0.432 * 65535)).all()
    control.theta, control.picture = 0.7, "without"
    assert (widget.theta, widget.picture, widget.data) == (0.7, "without", script_json(control.packed))


def test_a_live_notebook_gets_the_widget_and_a_page_the_html(monkeypatch):
    pytest.importorskip("anywidget")
    ipython = pytest.importorskip("IPython")
    control = explorer()
    html = {"text/plain": control.text, "text/html": control.static._repr_html_()}
    assert control._repr_mimebundle_() == html
    person = SimpleNamespace(kernel=SimpleNamespace(_allow_stdin=True))
    monkeypatch.setattr(ipython, "get_ipython", lambda: person)
    widget = control._repr_mimebundle_()["application/vnd.jupyter.widget-view+json"]
    assert widget["model_id"] == control.widget.model_id and control._repr_mimebundle_().items() >= html.items()
    monkeypatch.setitem(sys.modules, "anywidget", None)
    without = explorer()
    assert set(without._repr_mimebundle_()) == {"text/plain", "text/html"}
