"""The theta explorer of a run: its networks, curves and pictures."""

import dataclasses

import numpy as np

from lsegrepro import evaluation
from lsegrepro.evidence.superpixels import smooth
from lsegrepro.runs.explore import explore_theta
from lsegrepro.runs.results import choose_theta
from lsegrepro.runs.segment import segment_with


def test_the_explorer_of_a_run_shows_what_its_networks_score(tiny_run, rng):
    image = rng.integers(0, 256, (60, 80, 3)).astype(np.uint8)
    mask = np.full((60, 80), 8, np.uint8)
    explorer = explore_theta(tiny_run, {"noise": (image, mask)})
    network = ("LSE1", "cat", 2, 0)
    assert explorer.network == "LSE1, cat, round 2" and explorer.theta == choose_theta(tiny_run, *network)
    assert {n.model for n in explorer.networks.values()} == {"max1", "LSE1"}
    scored = segment_with(tiny_run, network, image, 0.5)
    prob_u16, smoothed = explorer.pictures["noise"].maps[explorer.network]
    assert (prob_u16 == scored.codes).all() and (smoothed == smooth(scored.codes, scored.labels)).all()
    assert explorer.ap == evaluation.ap(tiny_run.smoothed(*network).at(explorer.theta))
    assert explorer.slider.html.count("<img") == 2
    assert {n.model for n in explore_theta(tiny_run, {"noise": (image, mask)}, ["max1"]).networks.values()} == {"max1"}
    assert explore_theta(tiny_run, {}, ["LSE2"]) is None


def test_without_weights_nothing_is_explored(tiny_run, tmp_path):
    empty = dataclasses.replace(tiny_run, folder=tmp_path)
    assert explore_theta(empty, {}) is None
